//! A table of which cases belong together, such as those of one patient or of one site: no fold divides them.
//!
//! ```csv
//! case,group
//! scan_1,patient_1
//! scan_2,patient_1
//! scan_3,patient_2
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use rand::seq::SliceRandom;

use super::FoldCases;
use crate::dataset::fault::{Fault, Kind, all};
use crate::dataset::notes::some;
use crate::dataset::table::{BROKEN_LINE, open};
use crate::dataset::{CaseFiles, Dataset};
use crate::random::{Purpose, generator};
use crate::{Error, Result};

/// The groups of a data set's training cases.
pub(super) struct Groups {
    /// The table's.
    pub(super) path: PathBuf,
    /// Their names, ascending.
    names: Vec<String>,
    /// The group of each training case.
    of_case: Vec<usize>,
}

impl Groups {
    /// # Errors
    /// A table that cannot be read; cases that it lacks, or names without the data set having them, or names twice; a single
    /// group.
    pub(super) fn read(path: PathBuf, dataset: &Dataset) -> Result<Self> {
        let table = rows(&path, dataset)?;
        let missing = dataset.training.iter().filter(|case| !table.contains_key(case.name.as_str()));
        let missing: Vec<&str> = missing.map(|case| case.name.as_str()).collect();
        if !missing.is_empty() {
            let message = format!("has no group for {}: add a line for each training case", some(&missing));
            return Err(Error::file(path, message));
        }
        let groups: Vec<&String> = dataset.training.iter().map(|case| &table[&case.name]).collect();
        let mut names: Vec<String> = groups.iter().map(|&group| group.clone()).collect();
        names.sort();
        names.dedup();
        if let [name] = names.as_slice() {
            let message = format!(
                "puts all training cases into the group {name}, so that no fold can be held out: name two groups at least, or leave validation.groups out"
            );
            return Err(Error::file(path, message));
        }
        let place = |group: &String| names.binary_search(group).expect("names are those of all groups");
        let of_case = groups.into_iter().map(place).collect();
        Ok(Self { path, names, of_case })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// So many folds, of at most as many groups: the largest groups come first, each into the fold with the fewest cases so
    /// far. So folds differ by the cases of the largest group at most. Among groups of one size the seed decides.
    ///
    /// # Source
    /// scikit-learn, `GroupKFold`.
    pub(super) fn folds(&self, of: usize, seed: u64) -> Vec<FoldCases> {
        let mut sizes = vec![0usize; self.len()];
        self.of_case.iter().for_each(|&group| sizes[group] += 1);
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut generator(seed, Purpose::Split, 0));
        order.sort_by_key(|&group| std::cmp::Reverse(sizes[group]));
        let (mut fold_of, mut filled) = (vec![0; self.len()], vec![0; of]);
        for group in order {
            let fewest = (0..of).min_by_key(|&fold| filled[fold]).expect("there are two folds at least");
            fold_of[group] = fewest;
            filled[fewest] += sizes[group];
        }
        let cases = self.of_case.len();
        (0..of).map(|fold| FoldCases::of(cases, |case| fold_of[self.of_case[case]] == fold)).collect()
    }

    /// Refuses folds of a file that divide a group.
    pub(super) fn check(&self, file: &Path, folds: &[FoldCases], cases: &[CaseFiles]) -> Result<()> {
        for (index, fold) in folds.iter().enumerate() {
            let trained = |held_out: usize| {
                fold.training.iter().find(|&&case| self.of_case[case] == self.of_case[held_out])
            };
            let Some((held_out, trained)) = fold.validation.iter().find_map(|&i| Some((i, *trained(i)?)))
            else {
                continue;
            };
            let message = format!(
                "fold {index} trains on {} and validates on {}, which are both of the group {} in {}: put them on one side, or set validation.splits to \"none\"",
                cases[trained].name,
                cases[held_out].name,
                self.names[self.of_case[held_out]],
                self.path.display()
            );
            return Err(Error::file(file, message));
        }
        Ok(())
    }
}

/// The group of each case that a table names.
fn rows(path: &Path, dataset: &Dataset) -> Result<BTreeMap<String, String>> {
    let (mut reader, header) = open(path)?;
    let [case, group] = columns(&header).map_err(|message| Error::file(path, message))?;
    let is_known = |name: &str| dataset.training.iter().chain(&dataset.test).any(|case| case.name == name);
    let (mut groups, mut faults) = (BTreeMap::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                faults.push(Fault::file(Kind::Table, path, error.to_string(), BROKEN_LINE));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        let mut fault = |message: String, remedy: &str| {
            faults.push(Fault::file(Kind::Table, path, format!("line {line}: {message}"), remedy));
        };
        let [name, group] = [case, group].map(|column| record.get(column).unwrap_or_default());
        if !is_known(name) {
            let remedy = "write it as its files are named, without channel and ending, or take the line out";
            fault(format!("{name:?} is no case of the data set"), remedy);
        } else if group.is_empty() {
            fault(format!("{name} has no group"), "name one; a case alone can have its own name");
        } else if groups.insert(name.to_owned(), group.to_owned()).is_some() {
            fault(format!("{name} has a line already"), "take one of them out");
        }
    }
    all(faults).map(|()| groups)
}

/// Where the columns are.
fn columns(header: &StringRecord) -> Result<[usize; 2], String> {
    let place = |name: &str| {
        let mut places = (0..header.len()).filter(|&i| header[i].eq_ignore_ascii_case(name));
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (found, _) => {
                let what = if found.is_some() { "two columns" } else { "no column" };
                let listed: Vec<&str> = header.iter().collect();
                let listed = listed.join(", ");
                Err(format!(
                    "has {what} {name}: its columns are {listed}; the first line is such as case,group"
                ))
            }
        }
    };
    Ok([place("case")?, place("group")?])
}
