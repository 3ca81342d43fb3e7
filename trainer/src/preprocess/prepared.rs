//! Cases that are ready to be trained on, wherever their voxels are.

use serde::{Deserialize, Serialize};

use super::{Block, CachedCase, Case, Grids, LostForeground, PatchSource, Region};
use crate::dataset::fault::{Fault, Kind, Subject};
use crate::dataset::survey::label_counts;
use crate::dataset::warnings::of_counts;
use crate::dataset::{CaseClasses, IGNORE};
use crate::{Error, Result};

/// What is known of a case without its voxels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseSummary {
    /// The case's name.
    pub name: String,
    /// Voxels along d, h, w.
    pub shape: [usize; 3],
    /// Images per case.
    pub channels: usize,
    /// Millimetres along d, h, w.
    pub spacing: [f32; 3],
    /// Whether there are labels.
    pub labelled: bool,
    /// Voxels of each label from 0 to 255; all 0 where the labels are unknown.
    pub(super) counts: Vec<u64>,
    /// Foreground that is in the file and not among the labels.
    pub lost: LostForeground,
    /// The grids of its file and of the case.
    pub grids: Grids,
}

impl CaseSummary {
    /// Of a case in memory, whose labels are counted.
    pub fn of(case: &Case) -> Self {
        let counts = label_counts(case.labels.as_deref().unwrap_or_default()).to_vec();
        Self {
            name: case.name.clone(),
            shape: case.shape,
            channels: case.channels,
            spacing: case.spacing,
            labelled: case.labels.is_some(),
            counts,
            lost: case.lost.clone(),
            grids: case.geometry.grids.clone(),
        }
    }

    /// Voxels of one channel.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of the case's voxels in memory: `d·h·w·(4·channels + 1)`, or without the 1 where it has no labels.
    pub fn bytes(&self) -> usize {
        self.voxels() * (size_of::<f32>() * self.channels + usize::from(self.labelled))
    }

    /// Voxels that have a label and are not ignored.
    pub fn annotated(&self) -> u64 {
        self.counts[..usize::from(IGNORE)].iter().sum()
    }

    /// Voxels of each class, for classes 0 to `classes` − 1, and of those that are ignored.
    /// All zero where the labels are unknown.
    pub fn class_counts(&self, classes: usize) -> (Vec<u64>, u64) {
        (self.counts[..classes.min(255)].to_vec(), self.counts[usize::from(IGNORE)])
    }

    /// What deserves a look in the case's labels, whose classes these are.
    pub(crate) fn warnings(&self, classes: &[String]) -> Vec<Fault> {
        let mut faults = self.lost.faults(&self.name, classes, self.spacing.map(f64::from));
        // Background that is cut off is background, and lost foreground was some.
        let is_cut = self.grids.part_shape() != self.grids.whole_shape();
        let of_counts =
            of_counts(Subject::Case(self.name.clone()), &self.counts).filter(|fault| match fault.kind {
                Kind::EmptyCase => faults.is_empty(),
                _ => !is_cut,
            });
        faults.extend(of_counts.filter(|_| self.labelled));
        faults
    }

    /// The same, with the case's name.
    pub fn classes(&self, classes: usize) -> CaseClasses {
        CaseClasses { name: self.name.clone(), voxels: self.class_counts(classes).0 }
    }
}

/// A normalised case: in memory, or in a file of a [`Cache`](super::Cache).
#[derive(Debug)]
pub struct PreparedCase {
    summary: CaseSummary,
    voxels: Voxels,
}

#[derive(Debug)]
enum Voxels {
    Memory(Box<Case>),
    File(Box<CachedCase>),
}

impl From<Case> for PreparedCase {
    fn from(case: Case) -> Self {
        Self { summary: CaseSummary::of(&case), voxels: Voxels::Memory(Box::new(case)) }
    }
}

impl From<CachedCase> for PreparedCase {
    fn from(case: CachedCase) -> Self {
        Self { summary: case.summary().clone(), voxels: Voxels::File(Box::new(case)) }
    }
}

impl<'a> From<&'a PreparedCase> for PatchSource<'a> {
    fn from(case: &'a PreparedCase) -> Self {
        match &case.voxels {
            Voxels::Memory(case) => (&**case).into(),
            Voxels::File(case) => (&**case).into(),
        }
    }
}

impl PreparedCase {
    /// What is known without its voxels.
    pub fn summary(&self) -> &CaseSummary {
        &self.summary
    }

    /// The case's name.
    pub fn name(&self) -> &str {
        &self.summary.name
    }

    /// The names of cases.
    pub fn names(cases: &[Self]) -> Vec<String> {
        cases.iter().map(|case| case.name().to_owned()).collect()
    }

    /// What is known of cases without their voxels.
    pub fn summaries(cases: &[Self]) -> Vec<CaseSummary> {
        cases.iter().map(|case| case.summary.clone()).collect()
    }

    /// Voxels of each class, for classes 0 to `classes` − 1, of all cases together.
    pub fn class_counts(cases: &[Self], classes: usize) -> Vec<u64> {
        cases.iter().fold(vec![0; classes], |mut sums, case| {
            let (counts, _) = case.summary.class_counts(classes);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            sums
        })
    }

    /// Of each channel, whether it has one value everywhere.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn constant_channels(&self) -> Result<Vec<bool>> {
        let is_constant = |region: &Region<'_>, channel: usize| {
            let (image, channels) = (region.image(), region.channels());
            image.iter().skip(channel).step_by(channels).all(|v| *v == image[channel])
        };
        let of = |region: &Region<'_>| -> Vec<bool> {
            (0..region.channels()).map(|channel| is_constant(region, channel)).collect()
        };
        // One plane of a file tells it of most.
        let [d, h, w] = self.summary.shape;
        let plane = Block { start: [d / 2, 0, 0], size: [1, h, w] };
        match &self.voxels {
            Voxels::File(case) if !of(&case.region(plane)?).contains(&true) => {
                Ok(vec![false; self.summary.channels])
            }
            Voxels::File(_) | Voxels::Memory(_) => Ok(of(&self.voxels()?)),
        }
    }

    /// The labels `[d, h, w]` of the whole file, whatever of it the case is; `None` where they are unknown.
    ///
    /// # Errors
    /// If a file of the cache cannot be read, or is damaged.
    pub fn file_labels(&self) -> Result<Option<Vec<u8>>> {
        let packed = match &self.voxels {
            Voxels::Memory(case) => case.file_labels.clone(),
            Voxels::File(case) => case.file_labels()?,
        };
        if let Some(packed) = packed {
            let damaged =
                || Error::case(self.name(), "its packed labels are damaged: remove it from the cache");
            return packed.unpack().map(Some).ok_or_else(damaged);
        }
        Ok(self.voxels()?.labels.map(|labels| memory::collected(labels.iter().copied())))
    }

    /// The labels `[d, h, w]` of the part of its file that the case is, on the file's voxels; [`IGNORE`] where they are unknown.
    ///
    /// # Errors
    /// As [`file_labels`](Self::file_labels).
    pub fn part_labels(&self) -> Result<Vec<u8>> {
        let grids = &self.summary.grids;
        let unknown = || memory::filled(IGNORE, grids.part_shape().iter().product());
        Ok(self.file_labels()?.map_or_else(unknown, |whole| grids.part_of(&whole)))
    }

    /// All voxels; read where they are in a file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn voxels(&self) -> Result<Region<'_>> {
        match &self.voxels {
            Voxels::Memory(case) => Ok(Region::of(case)),
            Voxels::File(case) => case.region(Block::whole(self.summary.shape)),
        }
    }
}
