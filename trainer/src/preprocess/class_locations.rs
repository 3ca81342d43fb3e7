//! Where the classes of a case lie, for placing patches.

use serde::{Deserialize, Serialize};

use super::Case;
use crate::dataset::IGNORE;

/// More voxels than this of one class in one case teach a sampler nothing.
pub(crate) const MOST_VOXELS: usize = 1 << 18;

/// A foreground class of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The class.
    pub label: u8,
    /// How many of its voxels are listed: all, or of more than 2¹⁸ evenly every second, third, …
    pub voxels: u32,
}

/// A case's foreground voxels by class, and where some voxels are ignored all others too, as flat indices; long lists are
/// thinned evenly.
#[derive(Debug)]
pub(super) struct ClassLocations {
    listed: Vec<Listed>,
    voxels: Vec<Vec<u32>>,
    annotated: Option<Vec<u32>>,
}

/// A list of voxels that is being made.
struct List {
    /// Of so many, one is kept.
    step: usize,
    seen: usize,
    voxels: Vec<u32>,
}

impl List {
    /// For so many voxels.
    fn of(count: usize) -> Self {
        let step = count.div_ceil(MOST_VOXELS).max(1);
        Self { step, seen: 0, voxels: memory::with_capacity(count.div_ceil(step)) }
    }

    fn push(&mut self, voxel: usize) {
        if self.seen.is_multiple_of(self.step) {
            self.voxels.push(u32::try_from(voxel).expect("reading refuses more than 2^32 voxels"));
        }
        self.seen += 1;
    }
}

impl ClassLocations {
    pub(super) fn of(case: &Case) -> Self {
        let labels = case.labels.as_deref().unwrap_or_default();
        let mut counts = [0usize; 256];
        labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        let mut by_label: Vec<List> =
            counts[1..usize::from(IGNORE)].iter().map(|&count| List::of(count)).collect();
        let ignored = counts[usize::from(IGNORE)];
        let mut annotated = (ignored > 0).then(|| List::of(labels.len() - ignored));
        for (voxel, &label) in labels.iter().enumerate().filter(|&(_, &label)| label != IGNORE) {
            if let Some(annotated) = &mut annotated {
                annotated.push(voxel);
            }
            if label > 0 {
                by_label[usize::from(label) - 1].push(voxel);
            }
        }
        let classes = (1..IGNORE).zip(by_label).filter(|(_, class)| !class.voxels.is_empty());
        let (listed, voxels) = classes
            .map(|(label, List { voxels, .. })| (Listed { label, voxels: voxels.len() as u32 }, voxels))
            .unzip();
        Self { listed, voxels, annotated: annotated.map(|list| list.voxels) }
    }

    /// The foreground classes that there are, in ascending order.
    pub(super) fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The listed voxels of the `class`-th of [`ClassLocations::listed`], in ascending order.
    pub(super) fn voxels(&self, class: usize) -> &[u32] {
        &self.voxels[class]
    }

    /// Voxels that are not ignored, in ascending order; none where no voxel is ignored.
    pub(super) fn annotated(&self) -> Option<&[u32]> {
        self.annotated.as_deref()
    }
}
