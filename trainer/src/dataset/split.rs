//! Which cases are kept out of training: the folds of a cross-validation.
//!
//! They are drawn from the seed, case by case or, where a table says what belongs together ([`groups`]), group by group;
//! nnU-Net's file of folds ([`file`]) takes the place of both.

mod classes;
mod file;
mod groups;

use std::fmt;
use std::path::{Path, PathBuf};

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

pub use self::classes::{CaseClasses, ClassesByFold};
use self::groups::Groups;
use super::fault::{Fault, all};
use super::notes::some;
use super::{CaseFiles, Dataset};
use crate::config::{Auto, Config, NamedFile, Validation, Word};
use crate::random::{Purpose, generator};
use crate::{Error, Result};

/// Folds where nothing else is asked for.
const FOLDS: usize = 5;
/// How nnU-Net calls its file of folds.
const SPLITS: &str = "splits_final.json";

/// One fold of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// From 0.
    pub index: usize,
    /// How many folds there are.
    pub of: usize,
}

/// The cases of a fold, as indices among a data set's training cases, ascending; a case may be in neither list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoldCases {
    /// Those to train on.
    pub training: Vec<usize>,
    /// Those that are held out.
    pub validation: Vec<usize>,
}

/// The folds of a data set, and the one that is held out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossValidation {
    /// One, with all cases to train on, where no case is held out.
    folds: Vec<FoldCases>,
    chosen: usize,
    origin: Origin,
}

/// What the folds follow from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    /// The seed alone, or nothing where no case is held out.
    Seed,
    /// The seed, and so many groups of a table.
    Groups(PathBuf, usize),
    /// A file of folds.
    File(PathBuf),
}

impl CrossValidation {
    /// The folds that a configuration asks for.
    ///
    /// # Errors
    /// A fold that there is not, or a number of folds that the cases do not fill; a file of folds or a table of groups that
    /// cannot be read or does not fit the data set, with the names of fold and case.
    pub fn new(dataset: &Dataset, config: &Config) -> Result<Self> {
        let (cases, seed, config) = (&dataset.training, config.training.seed, &config.validation);
        if config.split == Word::None {
            return must_ask_nothing(config).map(|()| Self::without(cases.len()));
        }
        let groups = config.groups.within(&dataset.path);
        let groups = groups.map(|path| Groups::read(path, dataset)).transpose()?;
        let (folds, origin) = match (file_of_folds(dataset, config), groups) {
            (Some(path), groups) => {
                let folds = file::read(&path, cases).or_else(|faults| all(faults).map(|()| Vec::new()))?;
                groups.map_or(Ok(()), |groups| groups.check(&path, &folds, cases))?;
                must_be_number(config, folds.len(), &path)?;
                (folds, Origin::File(path))
            }
            (None, Some(groups)) => {
                let what = format!("groups of {}", groups.path.display());
                let folds = groups.folds(number(config, groups.len(), &what)?, seed);
                let number = groups.len();
                (folds, Origin::Groups(groups.path, number))
            }
            (None, None) => {
                let what = if cases.len() == 1 { "training case" } else { "training cases" };
                (drawn(cases.len(), number(config, cases.len(), what)?, seed), Origin::Seed)
            }
        };
        let (chosen, of) = (config.fold, folds.len());
        let message = match of {
            0 if chosen == 0 => return Ok(Self::without(cases.len())),
            0 => format!("is {chosen}, but a single case has no folds: leave --fold out"),
            _ if chosen < of => return Ok(Self { folds, chosen, origin }),
            _ => format!("is {chosen}, but there are {of} folds: --fold takes 0 to {}", of - 1),
        };
        Err(Error::config("validation.fold", message))
    }

    /// So many cases, all of which are trained on.
    pub fn without(cases: usize) -> Self {
        let all = FoldCases { training: (0..cases).collect(), validation: Vec::new() };
        Self { folds: vec![all], chosen: 0, origin: Origin::Seed }
    }

    /// The cases of each fold; where none is held out, all cases.
    pub fn folds(&self) -> &[FoldCases] {
        &self.folds
    }

    /// The fold that is held out, if one is.
    pub fn fold(&self) -> Option<Fold> {
        let is_held_out = !self.cases().validation.is_empty();
        is_held_out.then_some(Fold { index: self.chosen, of: self.folds.len() })
    }

    /// The cases of the fold that is held out, or all cases.
    pub fn cases(&self) -> &FoldCases {
        &self.folds[self.chosen]
    }

    /// What is to be said of where the folds come from, a line each; `names` are those of the data set's training cases.
    pub fn notes(&self, names: &[CaseFiles]) -> Vec<String> {
        match &self.origin {
            Origin::Seed => Vec::new(),
            Origin::Groups(path, groups) => {
                vec![format!("no fold divides one of the {groups} groups of {}", file_name(path))]
            }
            Origin::File(path) => {
                let file = file_name(path);
                let left_out = self.folds.iter().enumerate().filter_map(|(index, fold)| {
                    let names = fold.left_out(names.iter().map(|case| case.name.as_str()));
                    (!names.is_empty()).then(|| format!("fold {index} of {file} leaves out {}", some(&names)))
                });
                std::iter::once(format!("folds are those of {file}")).chain(left_out).collect()
            }
        }
    }
}

impl FoldCases {
    /// Of one item for each training case of the data set, those to train on and those that are held out.
    ///
    /// ```
    /// # use trainer::dataset::FoldCases;
    /// let fold = FoldCases { training: vec![0, 3], validation: vec![1] };
    /// assert_eq!(fold.divide(["a", "b", "c", "d"]), (vec!["a", "d"], vec!["b"]));
    /// ```
    pub fn divide<T>(&self, cases: impl IntoIterator<Item = T>) -> (Vec<T>, Vec<T>) {
        let (mut training, mut validation) = (Vec::new(), Vec::new());
        for (index, case) in cases.into_iter().enumerate() {
            if self.validation.binary_search(&index).is_ok() {
                validation.push(case);
            } else if self.training.binary_search(&index).is_ok() {
                training.push(case);
            }
        }
        (training, validation)
    }

    /// Of one item for each training case of the data set, those that are on neither side.
    pub fn left_out<T>(&self, cases: impl IntoIterator<Item = T>) -> Vec<T> {
        let is_in = |index: &usize| {
            self.training.binary_search(index).is_ok() || self.validation.binary_search(index).is_ok()
        };
        cases.into_iter().enumerate().filter(|(index, _)| !is_in(index)).map(|(_, case)| case).collect()
    }

    /// Those in which `is_held_out`, and the others, of so many cases.
    fn of(cases: usize, is_held_out: impl Fn(usize) -> bool) -> Self {
        let (validation, training) = (0..cases).partition(|&case| is_held_out(case));
        Self { training, validation }
    }
}

/// `fold 1 (of 0 to 4)`
impl fmt::Display for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fold {} (of 0 to {})", self.index, self.of - 1)
    }
}

/// What is wrong with the file of folds that lies in a data set's folder.
pub(crate) fn faults(dataset: &Dataset) -> Vec<Fault> {
    let path = file_of_folds(dataset, &Config::default().validation);
    path.and_then(|path| file::read(&path, &dataset.training).err()).unwrap_or_default()
}

/// The file that says what the folds are, if there is one.
fn file_of_folds(dataset: &Dataset, config: &Validation) -> Option<PathBuf> {
    match &config.splits {
        NamedFile::Auto => Some(dataset.path.join(SPLITS)).filter(|path| path.exists()),
        named => named.within(&dataset.path),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Refuses a fold where none is to be held out.
fn must_ask_nothing(config: &Validation) -> Result<()> {
    let names_file = [&config.splits, &config.groups].into_iter().any(|f| matches!(f, NamedFile::Path(_)));
    if config.fold == 0 && config.folds == Auto::Word(Word::Auto) && !names_file {
        return Ok(());
    }
    let message = "is \"none\", so that no fold is held out: set it to \"auto\", or name no fold";
    Err(Error::config("validation.split", message))
}

/// Refuses a number of folds that is not the file's.
fn must_be_number(config: &Validation, there: usize, path: &Path) -> Result<()> {
    match config.folds {
        Auto::Value(folds) if folds != there => {
            let message = format!(
                "is {folds}, but {} has {there} folds: leave it \"auto\", or set validation.splits to \"none\"",
                path.display()
            );
            Err(Error::config("validation.folds", message))
        }
        _ => Ok(()),
    }
}

/// Into how many folds so many cases or groups are divided.
fn number(config: &Validation, there: usize, what: &str) -> Result<usize> {
    match config.folds {
        Auto::Word(_) => Ok(FOLDS.min(there)),
        Auto::Value(folds) if (2..=there).contains(&folds) => Ok(folds),
        Auto::Value(folds) => {
            let remedy = match there {
                0 | 1 => "one case has no folds, leave it \"auto\"".to_owned(),
                2 => "--folds takes 2 here".to_owned(),
                _ => format!("--folds takes 2 to {there} here"),
            };
            Err(Error::config("validation.folds", format!("is {folds} for {there} {what}: {remedy}")))
        }
    }
}

/// The folds of so many cases in order of their names, which follow from the seed alone. Each case is held out once; folds
/// differ by one case at most, the larger ones first. A single case has no folds.
fn drawn(cases: usize, of: usize, seed: u64) -> Vec<FoldCases> {
    if of < 2 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..cases).collect();
    order.shuffle(&mut generator(seed, Purpose::Split, 0));
    let (size, larger) = (cases / of, cases % of);
    let first = |fold: usize| fold * size + fold.min(larger);
    let held_out = (0..of).map(|fold| &order[first(fold)..first(fold + 1)]);
    held_out.map(|held_out| FoldCases::of(cases, |case| held_out.contains(&case))).collect()
}

#[cfg(test)]
mod tests;
