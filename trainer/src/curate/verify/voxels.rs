//! Reading every case: what its headers and voxels say of it, and what the comparison of cases needs.
//!
//! Each thread holds the voxels of one file at a time; a digest of them is kept.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use volumes::{Format, Header, Role, Stored};

use super::{Declared, unreadable};
use crate::dataset::fault::{Fault, Kind, Subject};
use crate::dataset::folder::{one_volume_each, same_grid};
use crate::dataset::names::{LooseCase, Part};
use crate::dataset::notes::Note;
use crate::dataset::survey::{LabelSurvey, label_counts, not_finite};
use crate::dataset::warnings::{of_constant, of_counts, of_place};
use crate::dataset::{CaseFiles, IGNORE};

/// What is known of a case once it was read.
pub(super) struct Seen {
    pub(super) part: Part,
    pub(super) name: String,
    /// What its files should be.
    format: Option<Format>,
    /// Its first readable file and that one's header.
    pub(super) first: Option<(PathBuf, Header)>,
    pub(super) images: Vec<Digest>,
    /// Only of label maps that hold more than one value.
    pub(super) label: Option<Digest>,
    /// Voxels by class; `None` without a readable label map.
    pub(super) counts: Option<[u64; 256]>,
    /// What is to be said of its files.
    pub(super) notes: Vec<Note>,
    pub(super) errors: Vec<Fault>,
    pub(super) warnings: Vec<Fault>,
}

/// Stands for the voxels of a file: their shape and a hash of 64 bits.
pub(super) struct Digest {
    pub(super) path: PathBuf,
    pub(super) voxels: ([usize; 3], u64),
}

/// Reads the cases in parallel.
pub(super) fn read(part: Part, cases: &[LooseCase], declared: &Declared) -> Vec<Seen> {
    cases.par_iter().map(|case| Seen::read(part, case, declared)).collect()
}

impl Seen {
    fn read(part: Part, case: &LooseCase, declared: &Declared) -> Self {
        let images = case.images.iter().flatten().cloned().collect();
        let files = CaseFiles { name: case.name.clone(), images, label: case.label.clone() };
        let mut seen = Self {
            part,
            name: case.name.clone(),
            format: Format::of(Path::new(&format!("{}{}", case.name, declared.description.file_ending))).ok(),
            first: None,
            images: Vec::new(),
            label: None,
            counts: None,
            notes: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        // A single file holds all channels.
        let channels = if case.images.len() == 1 { declared.description.channel_names.len() } else { 1 };
        for path in &files.images {
            if let Some(image) = seen.open(&files, path, channels, Role::Image) {
                seen.image(&image);
            }
        }
        if let Some(image) =
            files.label.as_ref().and_then(|path| seen.open(&files, path, channels, Role::Mask))
        {
            seen.labels(&image, declared);
        }
        seen
    }

    /// Reads a file and compares its grid with that of the case's first file.
    fn open(&mut self, files: &CaseFiles, path: &Path, channels: usize, role: Role) -> Option<Stored> {
        // Its name was complained of.
        if Format::of(path).ok() != self.format {
            return None;
        }
        let header = volumes::read_header_as(path, role);
        let header =
            header.map_err(|e| self.errors.push(unreadable(Kind::Unreadable, path, e.into()))).ok()?;
        one_volume_each(files, path, &header, channels).map_err(|fault| self.errors.push(fault)).ok()?;
        self.notes.extend(header.notes.iter().map(|text| (path.to_path_buf(), text.clone())));
        match &self.first {
            None => self.first = Some((path.to_path_buf(), header)),
            Some((first_path, first)) => match same_grid(files, path, &header, (first_path, first)) {
                Err(fault) => self.errors.push(fault),
                Ok(alignment) => {
                    self.warnings.extend(of_place(alignment, path, &header, (first_path, first)));
                }
            },
        }
        Stored::read_as(path, role)
            .map_err(|e| self.errors.push(unreadable(Kind::Unreadable, path, e.into())))
            .ok()
    }

    fn image(&mut self, image: &Stored) {
        let values = image.to_f32();
        self.errors.extend(not_finite(image, &values, &self.name));
        let constant = values.iter().all(|v| *v == values[0]);
        if constant {
            let subject = Subject::File(image.path.clone());
            self.warnings.push(of_constant(subject, format!("every voxel is {}", values[0])));
        } else {
            let bytes = |hasher: &mut DefaultHasher| {
                let mut buffer = Vec::with_capacity(1 << 14);
                for part in values.chunks(1 << 12) {
                    buffer.clear();
                    // −0 and 0 are the same intensity.
                    buffer.extend(part.iter().flat_map(|v| (v + 0.0).to_le_bytes()));
                    hasher.write(&buffer);
                }
            };
            self.images.push(digest(image, bytes));
        }
    }

    fn labels(&mut self, image: &Stored, declared: &Declared) {
        let description = &declared.description;
        let survey = LabelSurvey::new(image, description);
        let faults = survey.faults(image, &self.name, description);
        // Where the labels are not known, a value can still be no label at all.
        let is_sure = |fault: &Fault| declared.labels_known || fault.kind == Kind::NotWholeLabels;
        let is_mask = faults.iter().any(|fault| fault.kind == Kind::Mask255);
        self.errors.extend(faults.into_iter().filter(is_sure));
        let mut counts = label_counts(&survey.labels);
        if survey.is_clean() {
            self.warnings.extend(of_counts(Subject::File(image.path.clone()), &counts));
        }
        if is_mask {
            counts[1] = std::mem::take(&mut counts[usize::from(IGNORE)]);
        }
        if counts.iter().filter(|&&n| n > 0).count() > 1 {
            self.label = Some(digest(image, |hasher| hasher.write(&survey.labels)));
        }
        self.counts = Some(counts);
    }
}

/// SipHash of the voxels, whatever their type in the file: two of a million different volumes have the same by a chance
/// of 3e-8.
fn digest(image: &Stored, voxels: impl FnOnce(&mut DefaultHasher)) -> Digest {
    let mut hasher = DefaultHasher::new();
    voxels(&mut hasher);
    Digest { path: image.path.clone(), voxels: (image.header.size(), hasher.finish()) }
}
