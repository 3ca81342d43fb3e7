//! Reading every case: what its headers and voxels say of it, and what the comparison of cases needs.
//!
//! Each thread holds the voxels of one file at a time; a digest of them is kept.

use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use volumes::{Alignment, Format, Header, Role, Stored};

use super::{Meant, unreadable};
use crate::dataset::fault::{Fault, Kind};
use crate::dataset::folder::{one_volume_each, part_of, same_grid};
use crate::dataset::names::{LooseCase, Part};
use crate::dataset::notes::Note;
use crate::dataset::survey::{LabelSurvey, not_finite};
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
pub(super) fn read(part: Part, cases: &[LooseCase], meant: &Meant) -> Vec<Seen> {
    cases.par_iter().map(|case| Seen::read(part, case, meant)).collect()
}

impl Seen {
    fn read(part: Part, case: &LooseCase, meant: &Meant) -> Self {
        let images = case.images.iter().flatten().cloned().collect();
        let files = CaseFiles { name: case.name.clone(), images, label: case.label.clone() };
        let mut seen = Self {
            part,
            name: case.name.clone(),
            format: Format::of(Path::new(&format!("{}{}", case.name, meant.description.file_ending))).ok(),
            first: None,
            images: Vec::new(),
            label: None,
            counts: None,
            notes: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        // A single file holds all channels.
        let channels = if case.images.len() == 1 { meant.description.channel_names.len() } else { 1 };
        for path in &files.images {
            if let Some(image) = seen.open(&files, path, channels, Role::Image) {
                seen.image(&image);
            }
        }
        if let Some(image) =
            files.label.as_ref().and_then(|path| seen.open(&files, path, channels, Role::Mask))
        {
            seen.labels(&image, meant);
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
                Ok(Alignment::Turned(_) | Alignment::Apart) => {}
                Ok(Alignment::Part(_)) => {
                    let remedy = "see that it is right so; else save it on the image's grid";
                    let message = part_of(&header, first_path);
                    self.warnings.push(Fault::file(Kind::PlaceDiffers, path, message, remedy));
                }
                Ok(Alignment::Same) => {
                    if let Some(apart) = first.apart(&header) {
                        let message = format!(
                            "by the headers its voxels lie up to {apart:.3} mm from those of {}",
                            first_path.display()
                        );
                        let remedy =
                            "check that they belong together, then give both the same affine or resample";
                        self.warnings.push(Fault::file(Kind::PlaceDiffers, path, message, remedy));
                    }
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
            let message = format!("every voxel is {}", values[0]);
            let remedy = "export it again; if it is meant to be so, take the case away";
            self.warnings.push(Fault::file(Kind::ConstantImage, &image.path, message, remedy));
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

    fn labels(&mut self, image: &Stored, meant: &Meant) {
        let description = &meant.description;
        let survey = LabelSurvey::new(image, description);
        let faults = survey.faults(image, &self.name, description);
        // Where the labels are not known, a value can still be no label at all.
        let is_sure = |fault: &Fault| meant.labels_known || fault.kind == Kind::NotWholeLabels;
        let is_mask = faults.iter().any(|fault| fault.kind == Kind::Mask255);
        self.errors.extend(faults.into_iter().filter(is_sure));
        let mut counts = [0u64; 256];
        survey.labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
        if survey.is_clean() {
            self.extremes(&image.path, &counts);
        }
        if is_mask {
            counts[1] = std::mem::take(&mut counts[usize::from(IGNORE)]);
        }
        if counts.iter().filter(|&&n| n > 0).count() > 1 {
            self.label = Some(digest(image, |hasher| hasher.write(&survey.labels)));
        }
        self.counts = Some(counts);
    }

    /// Cases without foreground or without background.
    fn extremes(&mut self, path: &Path, counts: &[u64; 256]) {
        let (background, ignored) = (counts[0], counts[usize::from(IGNORE)]);
        let foreground: u64 = counts[1..usize::from(IGNORE)].iter().sum();
        let voxels = background + foreground + ignored;
        let (kind, message, remedy) = if foreground == 0 {
            let what = if background == 0 { "all are to be ignored" } else { "all are background" };
            let message = format!("none of its {voxels} voxels is foreground: {what}");
            (Kind::EmptyCase, message, "if there is nothing to be found in the image, keep it; else label it")
        } else if background == 0 {
            let message = format!("none of its {voxels} voxels is background: {foreground} are foreground");
            (Kind::AllForeground, message, "check that 0 is the background and that the image is not cropped")
        } else {
            return;
        };
        self.warnings.push(Fault::file(kind, path, message, remedy));
    }
}

/// SipHash of the voxels, whatever their type in the file: two of a million different volumes have the same by a chance
/// of 3e-8.
fn digest(image: &Stored, voxels: impl FnOnce(&mut DefaultHasher)) -> Digest {
    let mut hasher = DefaultHasher::new();
    voxels(&mut hasher);
    Digest { path: image.path.clone(), voxels: (image.header.size(), hasher.finish()) }
}
