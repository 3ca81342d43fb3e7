//! Everything that is wrong with a data set, at once: [`Dataset::open`] stops at the first fault, this goes on.
//!
//! An error is what training, or for a test case whatever reads it, refuses; a warning is what trains, but deserves a
//! look. Where one mistake has several consequences, such as a label map under a wrong name, whose image then has no
//! labels, it is listed once. Nothing is changed in the folder.

mod file_names;
mod page;
mod set;
mod voxels;

use self::voxels::Seen;
pub use crate::dataset::fault::Kind;

use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::dataset::description::{Labels, Parts};
use crate::dataset::fault::Fault;
use crate::dataset::folder::must_be_folder;
use crate::dataset::listed::ListedCase;
use crate::dataset::names::{LooseCase, Part};
use crate::dataset::{
    CaseClasses, CaseFiles, ClassesByFold, CrossValidation, Dataset, Description, split, warnings,
};
use crate::preprocess::CaseReader;
use crate::{Error, Result};

/// What [`verify`] found. Its `Display` is a page for reading.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// The data set's name, or its folder's.
    pub name: String,
    /// Training cases of which there is at least one image.
    pub training_cases: usize,
    /// The same for testing.
    pub test_cases: usize,
    /// Errors, then warnings.
    pub findings: Vec<Finding>,
    /// What is good to know, a line each.
    pub notes: Vec<String>,
    /// How many findings are errors.
    pub errors: usize,
    /// How many findings are warnings.
    pub warnings: usize,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of mistake it is.
    pub kind: Kind,
    /// The file, relative to the data set's folder, or `case` and its name.
    pub subject: String,
    /// What is wrong, with the offending value.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is refused.
    Error,
    /// It is accepted.
    Warning,
}

/// Looks at every file of a data set. Voxels are read in parallel over cases, one file a thread at a time.
///
/// ```no_run
/// let found = trainer::curate::verify::verify("MY_DATA")?;
/// println!("{found}");
/// # Ok::<(), trainer::Error>(())
/// ```
///
/// # Errors
/// A path that is no folder, or a folder that cannot be listed; all else is a finding.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification> {
    let path = path.as_ref();
    must_be_folder(path)?;
    let mut found = Faults::default();
    let folder = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let (mut training, mut test, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let parts = Parts::read(path).map_err(|fault| found.errors.push(fault)).ok();
    if let Some(parts) = parts.as_ref().filter(|parts| !parts.name.is_empty()) {
        name.clone_from(&parts.name);
    }
    if let Some(declared) = Declared::new(path, parts, &mut found)? {
        training = file_names::side(path, Part::Training, &declared, &mut found)?;
        test = file_names::side(path, Part::Test, &declared, &mut found)?;
        let names = [&training, &test].map(|cases| cases.iter().map(|case| case.name.as_str()).collect());
        found.warnings.extend(warnings::of_names(path, names, declared.num_training));
        let read = |part, cases: &[LooseCase]| voxels::read(part, cases, &declared);
        seen = read(Part::Training, &training);
        seen.extend(read(Part::Test, &test));
        set::compare(path, &declared, &mut seen, &mut found);
    }
    let mut notes = Vec::new();
    match Dataset::open(path) {
        Ok(dataset) => {
            let cases = dataset.training.iter().chain(&dataset.test);
            found.warnings.extend(warnings::of_links(path, cases));
            if found.errors.is_empty() {
                lost_foreground(&dataset, &mut found);
            }
            notes = folds(&dataset, &seen, &mut found);
        }
        // Whatever was overlooked above: no error here means that the folder opens.
        Err(error) if found.errors.is_empty() => found.errors.push(unreadable(Kind::Refused, path, error)),
        Err(_) => {}
    }
    Ok(found.sorted(path, name, [training.len(), test.len()], notes))
}

/// What is to be said of the folds of the default configuration.
fn folds(dataset: &Dataset, seen: &[Seen], found: &mut Faults) -> Vec<String> {
    found.errors.extend(split::faults(dataset));
    // Whatever else keeps folds from being is not the folder's fault.
    let Ok(folds) = CrossValidation::new(dataset, &Config::default()) else { return Vec::new() };
    if let (Some(cases), true) = (counted(dataset, seen), found.errors.is_empty()) {
        let path = dataset.path.join("dataset.json");
        let remedy = "add cases that have it, take other folds, or name folds in splits_final.json";
        let warnings = ClassesByFold::new(&folds, &cases, &dataset.description.classes).warnings_of_folds();
        let fault = |warning| Fault::file(Kind::ClassByFold, &path, warning, remedy);
        found.warnings.extend(warnings.into_iter().map(fault));
    }
    folds.notes(&dataset.training)
}

/// The classes of the training cases, as they were counted.
fn counted(dataset: &Dataset, seen: &[Seen]) -> Option<Vec<CaseClasses>> {
    let of_case = |case: &CaseFiles| {
        let seen = seen.iter().find(|seen| seen.part == Part::Training && seen.name == case.name)?;
        let voxels = seen.counts?[..dataset.description.num_classes()].to_vec();
        Some(CaseClasses { name: case.name.clone(), voxels })
    };
    dataset.training.iter().map(of_case).collect()
}

/// Cases whose foreground the default configuration would cut off or resample to nothing.
fn lost_foreground(dataset: &Dataset, found: &mut Faults) {
    let reader = CaseReader::new(dataset, &Config::default().data);
    if reader.preprocessing.spacing.is_none() {
        return;
    }
    let faults = |files: &CaseFiles| -> Result<Vec<Fault>> {
        let case = reader.summary(files)?;
        Ok(case.lost.faults(&case.name, &dataset.description.classes, case.spacing.map(f64::from)))
    };
    let all: Vec<Result<Vec<Fault>>> = dataset.training.par_iter().map(faults).collect();
    for case in all {
        match case {
            Ok(faults) => found.warnings.extend(faults),
            Err(error) => found.errors.push(unreadable(Kind::UnusualSpacing, &dataset.path, error)),
        }
    }
}

/// What is wrong so far.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) errors: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
}

impl Faults {
    fn push(&mut self, is_error: bool, fault: Fault) {
        if is_error { &mut self.errors } else { &mut self.warnings }.push(fault);
    }

    /// The findings; `cases` are counted for training and for testing.
    pub(crate) fn sorted(
        self,
        root: &Path,
        name: String,
        cases: [usize; 2],
        notes: Vec<String>,
    ) -> Verification {
        let finding = |severity| move |fault| Finding::new(severity, fault, root);
        let (errors, warnings) = (self.errors.len(), self.warnings.len());
        let all = self.errors.into_iter().map(finding(Severity::Error));
        let mut findings: Vec<_> =
            all.chain(self.warnings.into_iter().map(finding(Severity::Warning))).collect();
        // What concerns the whole set comes first.
        findings.sort_by_cached_key(|f| (f.severity, f.subject != "dataset.json", f.subject.clone(), f.kind));
        let [training_cases, test_cases] = cases;
        Verification { name, training_cases, test_cases, notes, findings, errors, warnings }
    }
}

impl Finding {
    fn new(severity: Severity, fault: Fault, root: &Path) -> Self {
        let [subject, message, remedy] = fault.within(root);
        Self { severity, kind: fault.kind, subject, message, remedy }
    }
}

/// What `dataset.json` means as far as it can be told.
struct Declared {
    /// Where a part is faulty, what lets the rest be looked at.
    description: Description,
    /// The labels are known, so that values can be compared with them.
    labels_known: bool,
    num_training: Option<u64>,
    /// Training cases that `dataset.json` lists.
    listed: Option<Vec<ListedCase>>,
}

impl Declared {
    /// `None` where not even the files' ending is known. Where there is no `dataset.json` to speak of, the usual ending
    /// is looked for.
    fn new(root: &Path, parts: Option<Parts>, found: &mut Faults) -> Result<Option<Self>> {
        let (mut name, mut num_training, mut listed) = (String::new(), None, None);
        let (mut channels, mut labels, mut ending) = (None, None, Some(".nii.gz".to_owned()));
        if let Some(parts) = parts {
            (name, num_training) = (parts.name, parts.num_training);
            // A list that cannot be read is no reason to look for other cases.
            listed = parts.cases.unwrap_or_else(|fault| {
                found.errors.push(fault);
                Some(Vec::new())
            });
            labels = parts.labels.map_err(|faults| found.errors.extend(faults)).ok();
            channels = parts.channel_names.map_err(|fault| found.errors.push(fault)).ok();
            ending = parts.file_ending.map_err(|fault| found.errors.push(fault)).ok();
        }
        let Some(file_ending) = ending else { return Ok(None) };
        let labels_known = labels.is_some();
        let any = || Labels { classes: (0..255).map(|value| value.to_string()).collect(), ignore: None };
        let Labels { classes, ignore } = labels.unwrap_or_else(any);
        let channel_names = match channels {
            Some(names) => names,
            None => {
                (0..file_names::channels(root, &file_ending)?).map(|channel| channel.to_string()).collect()
            }
        };
        let description =
            Description { name, channel_names, classes, ignore, joined_up_to: None, file_ending };
        Ok(Some(Self { description, labels_known, num_training, listed }))
    }
}

/// An error of reading as a fault. Messages say what is wrong, then the remedy.
pub(crate) fn unreadable(kind: Kind, path: &Path, error: Error) -> Fault {
    let message = match &error {
        Error::File(volumes::Error::File { message, .. }) => message.clone(),
        Error::File(volumes::Error::Io { source, .. }) => format!("cannot be read: {source}"),
        other => other.to_string(),
    };
    let path = match &error {
        Error::File(volumes::Error::File { path, .. } | volumes::Error::Io { path, .. }) => path,
        _ => path,
    };
    match message.rsplit_once("; ") {
        Some((message, remedy)) => Fault::file(kind, path, message, remedy),
        None => Fault::file(kind, path, message, "see that it is there and may be read"),
    }
}
