//! Reading a case's files, one in memory at a time: what they hold, and whether they fit together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use volumes::{Alignment, Header, Role, Stored, diagonal, whole_number};

use super::place::{Apart, MaskPlacement};
use super::source::NamedCase;
use crate::curate::verify::unreadable;
use crate::dataset::CaseFiles;
use crate::dataset::fault::{Fault, Kind};
use crate::dataset::folder::{planes_of_one_slice, same_shape};
use crate::dataset::notes::Note;
use crate::dataset::warnings::part_of;
use crate::words::counted;

/// So many kinds of values are told apart.
const MOST_VALUES: usize = 1000;

/// What is known of a case's files.
#[derive(Debug)]
pub(super) struct ScannedCase {
    /// Images that could be read, in the order of their channels.
    pub(super) images: Vec<(PathBuf, Header)>,
    /// A mask that could be read.
    pub(super) mask: Option<PathBuf>,
    pub(super) values: Values,
    /// Voxels along x, y, z, and where they lie; of the first file that says so.
    pub(super) grid: Header,
    /// Whether a file says how large its voxels are.
    pub(super) said: bool,
    /// How far from the image the mask lies by its header, where [`MaskPlacement::Image`] has it taken to lie there.
    pub(super) moved: Option<Apart>,
    /// Whether every image could be read.
    is_whole: bool,
    pub(super) faults: Vec<Fault>,
    /// What is to be said of how files are taken.
    pub(super) notes: Vec<Note>,
}

/// The values of a mask.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// Whole numbers, and how many voxels have them.
    pub(super) whole: BTreeMap<i64, u64>,
    fractions: u64,
    first_fraction: Option<f64>,
}

impl ScannedCase {
    /// Reads the files of a case. `spacing` is that of voxels of which no file says it.
    pub(super) fn new(case: &NamedCase, spacing: Option<[f64; 3]>, geometry: MaskPlacement) -> Self {
        let mut scanned = Self {
            images: Vec::new(),
            mask: None,
            values: Values::default(),
            grid: Header::new(&[1; 3], diagonal([1.0; 3])),
            said: false,
            moved: None,
            is_whole: true,
            faults: Vec::new(),
            notes: Vec::new(),
        };
        let mut first: Option<(PathBuf, Header)> = None;
        let mut placed: Option<(PathBuf, Header)> = None;
        let files =
            CaseFiles { name: case.name.clone(), images: case.images.clone(), label: case.mask.clone() };
        let images = files.images.iter().map(|path| (path, Role::Image));
        for (path, role) in images.chain(files.label.iter().map(|path| (path, Role::Mask))) {
            let is_mask = role == Role::Mask;
            let read = Stored::read_as(path, role)
                .map_err(|e| scanned.faults.push(unreadable(Kind::Unreadable, path, e.into())));
            let Ok(stored) = read else {
                scanned.is_whole &= is_mask;
                continue;
            };
            let header = stored.header.clone();
            // Of a mask that is taken to lie where its image lies, the header does not matter.
            if !is_mask || geometry == MaskPlacement::Agree {
                scanned.notes.extend(header.notes.iter().map(|text| (path.clone(), text.clone())));
            }
            if is_mask {
                scanned.take_mask(&stored);
            } else {
                scanned.faults.extend(not_finite(&stored));
                scanned.images.push((path.clone(), header.clone()));
            }
            let other = placed.as_ref().filter(|_| header.format.has_geometry());
            // Its voxels are written in the order of the others'.
            match other.map(|(path, other)| (path, Alignment::of(other, &header))) {
                Some((_, Alignment::Turned(_))) => continue,
                Some((first, Alignment::Part(_))) if is_mask && geometry == MaskPlacement::Agree => {
                    scanned.notes.push((path.clone(), part_of(&header, first)));
                    continue;
                }
                _ => {}
            }
            let has_shape = scanned.has_shape(&files, path, &header, first.as_ref());
            if let Some((other_path, other)) = other {
                match Apart::of(&header, other).filter(|_| has_shape) {
                    Some(apart) if is_mask && geometry == MaskPlacement::Image => scanned.moved = Some(apart),
                    apart => scanned.faults.extend(apart.map(|a| a.fault(path, other_path, is_mask))),
                }
            }
            if header.format.has_geometry() {
                placed.get_or_insert_with(|| (path.clone(), header.clone()));
            }
            first.get_or_insert_with(|| (path.clone(), header));
        }
        scanned.said = placed.is_some() || first.as_ref().is_some_and(|(_, header)| header.spacing_known);
        let Some((_, first)) = first else { return scanned };
        let place_known = placed.as_ref().is_some_and(|(_, header)| header.place_known);
        let (affine, spacing) = match placed {
            Some((_, header)) => (header.affine, header.spacing),
            None => {
                let spacing = spacing.filter(|_| !scanned.said).unwrap_or(first.spacing);
                (diagonal(spacing), spacing)
            }
        };
        scanned.grid = Header { spacing, place_known, ..Header::new(&first.size(), affine) };
        scanned
    }

    /// Channels of all images; `None` where one could not be read.
    pub(super) fn channels(&self) -> Option<usize> {
        (self.is_whole && !self.images.is_empty())
            .then(|| self.images.iter().map(|(_, header)| header.channels()).sum())
    }

    fn take_mask(&mut self, stored: &Stored) {
        let path = &stored.path;
        let channels = stored.header.channels();
        if channels > 1 {
            if let Err(fault) = planes_of_one_slice(path) {
                self.faults.push(fault);
                return;
            }
            let message = format!("has {channels} values at each place, shape {:?}", stored.header.shape);
            let remedy = "save one label map of whole numbers, a class each";
            self.faults.push(Fault::file(Kind::NotOneVolume, path, message, remedy));
            return;
        }
        self.values = Values::of(stored);
        if let Some(value) = self.values.first_fraction {
            let message = format!(
                "holds {value}, which is no whole number (in {})",
                counted(self.values.fractions, "voxel")
            );
            let remedy = "save masks as integers and resample them with nearest neighbour";
            self.faults.push(Fault::file(Kind::NotWholeLabels, path, message, remedy));
        }
        self.mask = Some(path.clone());
    }

    /// Whether a file has the shape of the case's first; complains where not.
    fn has_shape(
        &mut self,
        files: &CaseFiles,
        path: &Path,
        header: &Header,
        first: Option<&(PathBuf, Header)>,
    ) -> bool {
        let Some((first_path, first)) = first else { return true };
        let (size, other) = (header.size(), first.size());
        let Err(mut fault) = same_shape(files, path, size, (first_path, other)) else { return true };
        let [x, y, z] = size;
        if other == [z, y, x] && fault.kind == Kind::ShapeDiffers {
            fault.remedy = "its axes are in reverse order: save it transposed".into();
        }
        self.faults.push(fault);
        false
    }
}

impl Values {
    fn of(stored: &Stored) -> Self {
        let mut values = Self::default();
        // A run of equal values is counted at its end.
        let mut run = (0.0, 0);
        stored.for_each(|value| {
            if value != run.0 {
                values.add(run);
                run = (value, 0);
            }
            run.1 += 1;
        });
        values.add(run);
        values
    }

    fn add(&mut self, (value, count): (f64, u64)) {
        if count == 0 {
            return;
        }
        // Whole numbers beyond 2^63 stay at its end, where they are no class either.
        let Some(value) = whole_number(value) else {
            self.fractions += count;
            self.first_fraction.get_or_insert(value);
            return;
        };
        if self.whole.len() < MOST_VALUES || self.whole.contains_key(&value) {
            *self.whole.entry(value).or_insert(0) += count;
        }
    }
}

/// Counts the numbers that are NaN or infinite, as 32-bit numbers.
fn not_finite(stored: &Stored) -> Option<Fault> {
    let (mut count, mut index, mut first) = (0u64, 0usize, None);
    stored.for_each(|value| {
        if !(value as f32).is_finite() {
            count += 1;
            first.get_or_insert(index);
        }
        index += 1;
    });
    let [nx, ny, nz] = stored.header.size();
    let at = |index: usize| [index % nx, index / nx % ny, index / (nx * ny) % nz];
    let message = format!(
        "holds {} that are NaN or infinite (as 32-bit numbers), the first at (x, y, z) = {:?}",
        counted(count, "voxel"),
        at(first?)
    );
    let remedy = "replace them, for example by the background's value";
    Some(Fault::file(Kind::NotFinite, &stored.path, message, remedy))
}
