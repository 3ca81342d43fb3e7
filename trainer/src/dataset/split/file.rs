//! nnU-Net's file of folds, `splits_final.json`: which cases each fold trains on, and which it validates on.
//!
//! ```json
//! [{"train": ["case_1", "case_2"], "val": ["case_3"]}, {"train": ["case_2", "case_3"], "val": ["case_1"]}]
//! ```
//!
//! Folds may overlap and leave cases out, as people make them.
//!
//! # Source
//! nnU-Net v2, `do_split` in `nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use volumes::files::read_text;

use super::FoldCases;
use crate::dataset::CaseFiles;
use crate::dataset::fault::{Fault, Kind};

/// A fold as it is written.
#[derive(Deserialize)]
struct Written {
    train: Vec<String>,
    val: Vec<String>,
}

/// The folds of a file, by the names of `cases`.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(path: &Path, cases: &[CaseFiles]) -> Result<Vec<FoldCases>, Vec<Fault>> {
    let fault = |message: String, remedy: &str| Fault::file(Kind::Folds, path, message, remedy);
    let example =
        r#"write [{"train": ["CASE", …], "val": ["CASE", …]}, …], or take it away, and folds are drawn"#;
    let text = read_text(path).map_err(|error| vec![fault(message(error), example)])?;
    let folds: Vec<Value> = serde_json::from_str(&text)
        .map_err(|error| vec![fault(format!("is no list of folds ({error})"), example)])?;
    if folds.is_empty() {
        return Err(vec![fault("holds no fold".into(), example)]);
    }
    let known: BTreeMap<&str, usize> = cases.iter().enumerate().map(|(i, case)| (&*case.name, i)).collect();
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for (index, fold) in folds.into_iter().enumerate() {
        let mut fold_fault =
            |message: String, remedy: &str| faults.push(fault(format!("fold {index} {message}"), remedy));
        match serde_json::from_value(fold) {
            Ok(fold) => read.push(of_names(&fold, &known, &mut fold_fault)),
            Err(error) => fold_fault(format!("is no train and val ({error})"), example),
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

/// A fold's cases; what is wrong is told.
fn of_names(fold: &Written, known: &BTreeMap<&str, usize>, fault: &mut dyn FnMut(String, &str)) -> FoldCases {
    let mut list = |key: &str, names: &[String]| {
        let mut indices = Vec::new();
        if names.is_empty() {
            fault(format!("names no case under {key:?}"), "name one at least");
        }
        for name in names {
            match known.get(name.as_str()) {
                Some(&index) if indices.contains(&index) => {
                    fault(format!("names {name} twice under {key:?}"), "name each case once");
                }
                Some(&index) => indices.push(index),
                None => {
                    let remedy =
                        "write it as its files are named, without channel and ending, or take it out";
                    fault(format!("names {name} under {key:?}, which is no training case"), remedy);
                }
            }
        }
        indices.sort_unstable();
        indices
    };
    let (training, validation) = (list("train", &fold.train), list("val", &fold.val));
    let both = |name: &&String| fold.train.contains(name);
    for name in fold.val.iter().filter(both) {
        let message = format!("trains on {name} and validates on it");
        fault(message, "take it out of one of the two lists");
    }
    FoldCases { training, validation }
}

/// Why a text cannot be read.
fn message(error: volumes::Error) -> String {
    match error {
        volumes::Error::File { message, .. } => message,
        volumes::Error::Io { source, .. } => format!("cannot be read ({source})"),
        other => other.to_string(),
    }
}
