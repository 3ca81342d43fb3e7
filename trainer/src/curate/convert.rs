//! From images and masks in any format to an nnU-Net folder.
//!
//! Everything is read and held against everything else before a byte is written: pairs are complete, the files of a case
//! have one shape and one place, labels are whole numbers with a class each. What is wrong is listed at once, and where
//! anything is, nothing is written. Images keep their numbers as they are stored; masks become unsigned bytes.
//!
//! A file of a format without geometry ([`Format::has_geometry`]) lies where the case's other files lie; where none says,
//! voxels are as large as [`Conversion::spacing`], or 1 mm. A mask that lies elsewhere than its image by its header is
//! refused, or taken to lie there ([`MaskPlacement`]). Nothing is resampled or reoriented. Affines are written as
//! `f32`, which NIfTI-1 has.
//!
//! [`Format::has_geometry`]: volumes::Format::has_geometry

mod folders;
mod labels;
mod place;
mod prefix;
mod scan;
mod source;
mod table;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::verify::{Faults, Verification};
use crate::dataset::fault::{Fault, Kind};
use crate::dataset::names::Part;
use crate::dataset::note_on_spacing;
use crate::dataset::notes::{self, Note};
use crate::words;
use crate::{Error, Result};

pub use labels::Relabel;
pub use place::MaskPlacement;

use labels::Classes;
use scan::ScannedCase;
use source::{NamedCase, NamedCases};

/// What is to be made of what.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// Which image belongs to which mask.
    pub pairs: Pairs,
    /// The folder to make; nnU-Net's are called `DatasetNNN_Name`.
    pub out: PathBuf,
    /// The class of each value in the masks, or that its voxels are to be ignored. Without a class, all other values are
    /// classes already. 0 is the background unless it is here.
    pub labels: Vec<Relabel>,
    /// The foreground classes' names, from class 1 on; empty: they are numbered.
    pub names: Vec<String>,
    /// What each channel is; empty: they are numbered.
    pub channel_names: Vec<String>,
    /// Voxel sizes in mm along x, y, z of cases whose files do not say.
    pub spacing: Option<[f64; 3]>,
    /// What is made of masks that lie elsewhere than their images.
    pub geometry: MaskPlacement,
}

/// How images and masks are named.
#[derive(Clone, Debug)]
pub enum Pairs {
    /// Two folders, in which names without endings agree, but for a suffix such as `_mask` or first words such as `img` and
    /// `label`; the same folder twice where these tell masks from images.
    Folders {
        /// Volumes, or folders of PNG slices; channels end in `_0000`, `_0001`, ….
        images: PathBuf,
        /// The masks.
        masks: PathBuf,
        /// The cases for testing.
        test: Vec<String>,
    },
    /// A table with the columns `image` (or `image_0`, `image_1`, …) and `mask` (or `label`, `labels`, `segmentation`), and
    /// perhaps `case` and `split`.
    Table(PathBuf),
}

/// A case of which something was done.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// What.
    pub stage: Stage,
    /// The case's name.
    pub case: &'a str,
    /// Cases of which it was done, with this one.
    pub done: usize,
    /// Cases in all.
    pub total: usize,
}

/// The parts of the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Files are read and compared.
    Read,
    /// Files are written.
    Write,
}

/// Is told of each case in turn; `false` ends the work.
pub type Watch<'a> = dyn FnMut(Step<'_>) -> bool + 'a;

/// What a conversion found, and what it would write.
#[derive(Debug)]
pub struct Checked {
    /// What is wrong. Where it has an error, nothing can be written.
    pub found: Verification,
    /// What is good to know, a line each.
    pub notes: Vec<String>,
    out: PathBuf,
    cases: Vec<Ready>,
    classes: Classes,
    channel_names: Vec<String>,
}

/// A case whose files were read.
#[derive(Debug)]
struct Ready {
    name: String,
    part: Part,
    scanned: ScannedCase,
}

/// A file that is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Relative to the folder.
    pub target: PathBuf,
    /// What it is made of.
    pub source: PathBuf,
    /// Type, voxels and their size.
    pub what: String,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  <- {}  ({})", self.target.display(), self.source.display(), self.what)
    }
}

impl Conversion {
    /// Reads every file and compares. `None` where `watch` ended it.
    ///
    /// # Errors
    /// An `out` that exists, a folder or table that cannot be read at all, and settings that contradict each other; all
    /// else is in [`Checked::found`].
    pub fn check(&self, watch: &mut Watch<'_>) -> Result<Option<Checked>> {
        if self.out.exists() {
            return Err(Error::file(&self.out, "exists already; name a new folder, or take it away"));
        }
        let given = Classes::given(&self.labels, &self.names)?;
        let mut found = Faults::default();
        let NamedCases { cases, mut notes } = match &self.pairs {
            Pairs::Folders { images, masks, test } => folders::pair(images, masks, test, &mut found)?,
            Pairs::Table(path) => table::read(path, &mut found)?,
        };
        let look = |case: &NamedCase| ScannedCase::new(case, self.spacing, self.geometry);
        let scanned = in_turn(Stage::Read, &cases, |case| &case.name, watch, look);
        let Some(mut scanned) = scanned else { return Ok(None) };
        scanned.iter_mut().for_each(|scanned| found.errors.append(&mut scanned.faults));
        let classes = given.settled(&scanned, &mut found.errors);
        let ready = |(case, scanned): (NamedCase, _)| Ready { name: case.name, part: case.part, scanned };
        let cases: Vec<Ready> = cases.into_iter().zip(scanned).map(ready).collect();
        let channel_names = channel_names(&cases, &self.channel_names, &mut found);
        notes.extend(self.note_on_spacing(&cases));
        let of_files: Vec<Note> = cases.iter().flat_map(|case| case.scanned.notes.iter().cloned()).collect();
        notes.extend(notes::lines(&of_files, Path::new("")));
        notes.extend(place::note(
            cases.iter().filter_map(|c| Some((c.name.as_str(), c.scanned.moved.as_ref()?))),
        ));
        let count = |part| cases.iter().filter(|case| case.part == part).count();
        let counts = [count(Part::Training), count(Part::Test)];
        if counts[0] == 0 && counts[1] > 0 {
            let (message, remedy) = ("no case is left for training", "name fewer cases for testing");
            found.errors.push(Fault::file(Kind::NoImages, self.pairs.path(), message, remedy));
        }
        let found = found.sorted(Path::new(""), self.name(), counts, Vec::new());
        Ok(Some(Checked { found, notes, out: self.out.clone(), cases, classes, channel_names }))
    }

    /// Where voxel sizes are made up, or those given are not used.
    fn note_on_spacing(&self, cases: &[Ready]) -> Option<String> {
        let silent = cases.iter().filter(|case| !case.scanned.said).count();
        note_on_spacing(silent, cases.len(), self.spacing)
    }

    /// The data set's name: the folder's without `DatasetNNN_`.
    fn name(&self) -> String {
        let folder = self.out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name = folder.strip_prefix("Dataset").and_then(|rest| rest.split_once('_'));
        match name {
            Some((digits, name)) if !name.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                name.into()
            }
            _ => folder,
        }
    }
}

impl Pairs {
    /// What was named on the command line.
    fn path(&self) -> &Path {
        match self {
            Self::Folders { images, .. } => images,
            Self::Table(path) => path,
        }
    }
}

impl Checked {
    /// Every file but `dataset.json`, in the order of the cases.
    pub fn files(&self) -> Vec<Planned> {
        self.cases.iter().flat_map(write::planned).collect()
    }

    /// Writes the folder, which appears whole or not at all, and verifies it before it appears. `None` where `watch` ended
    /// it.
    ///
    /// # Errors
    /// Where an error was found, a file changed since it was checked, or the system refuses.
    pub fn write(&self, watch: &mut Watch<'_>) -> Result<Option<Verification>> {
        self.is_sound(&self.found)?;
        volumes::files::folder_into_place(&self.out, |folder: &Path| -> Result<_> {
            for name in self.cases.iter().flat_map(|case| case.part.folders()) {
                std::fs::create_dir_all(folder.join(name)).map_err(Error::io(folder))?;
            }
            volumes::files::write_json(&folder.join("dataset.json"), &self.description())?;
            let write = |case: &Ready| write::case(folder, case, &self.classes);
            let written = in_turn(Stage::Write, &self.cases, |case| &case.name, watch, write);
            let Some(written) = written else { return Ok(None) };
            written.into_iter().collect::<Result<()>>()?;
            let found = crate::curate::verify::verify(folder)?;
            self.is_sound(&found).map(|()| Some(found))
        })
    }

    fn is_sound(&self, found: &Verification) -> Result<()> {
        let Some(first) = found.findings.first().filter(|_| found.errors > 0) else { return Ok(()) };
        let message = format!(
            "cannot be written for {}; the first is {}: {}; {}",
            crate::dataset::notes::counted(found.errors, "error"),
            first.subject,
            first.message,
            first.remedy
        );
        Err(Error::file(&self.out, message))
    }

    fn description(&self) -> Value {
        let named = |(i, name): (usize, &String)| (i.to_string(), Value::from(name.as_str()));
        let channels: Map<String, Value> = self.channel_names.iter().enumerate().map(named).collect();
        let label = |(i, name): (usize, &String)| (name.clone(), Value::from(i));
        let ignored = self.classes.ignore().map(|value| ("ignore".to_owned(), Value::from(value)));
        let labels: Map<String, Value> =
            self.classes.names.iter().enumerate().map(label).chain(ignored).collect();
        json!({
            "name": self.found.name,
            "channel_names": channels,
            "labels": labels,
            "file_ending": write::ENDING,
            "numTraining": self.found.training_cases,
        })
    }
}

/// The channels' names. The cases must have as many as the first whose images could be read.
fn channel_names(cases: &[Ready], names: &[String], found: &mut Faults) -> Vec<String> {
    let counted = || cases.iter().filter_map(|case| Some((case, case.scanned.channels()?)));
    let Some((first, channels)) = counted().next() else { return names.to_vec() };
    for (case, other) in counted().filter(|&(_, other)| other != channels) {
        let message = format!("has {}, but {} has {channels}", words::counted(other, "channel"), first.name);
        let remedy = "give every case the same channels in the same order";
        found.errors.push(Fault::case(Kind::ChannelCount, &case.name, message, remedy));
    }
    if names.is_empty() {
        return (0..channels).map(|channel| format!("channel_{channel}")).collect();
    }
    if names.len() != channels {
        let message =
            format!("has {}, but --channel-names names {}", words::counted(channels, "channel"), names.len());
        let remedy = "name each channel once, in their order";
        found.errors.push(Fault::case(Kind::ChannelCount, &first.name, message, remedy));
    }
    names.to_vec()
}

/// Does `work` for as many items at a time as there are threads, and tells `watch` of each in their order.
fn in_turn<T: Sync, R: Send>(
    stage: Stage,
    items: &[T],
    name: impl Fn(&T) -> &String,
    watch: &mut Watch<'_>,
    work: impl Fn(&T) -> R + Sync,
) -> Option<Vec<R>> {
    let (mut results, total) = (Vec::new(), items.len());
    for batch in items.chunks(rayon::current_num_threads()) {
        results.extend(batch.par_iter().map(&work).collect::<Vec<R>>());
        for (item, done) in batch.iter().zip(results.len() + 1 - batch.len()..) {
            if !watch(Step { stage, case: name(item), done, total }) {
                return None;
            }
        }
    }
    Some(results)
}
