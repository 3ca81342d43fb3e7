//! Which prediction belongs to which label.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Warning;
use crate::dataset::listing::Volumes;
use crate::{Error, Result};

/// The files of one case.
pub(super) struct Pair {
    pub(super) case: String,
    pub(super) label: PathBuf,
    pub(super) prediction: PathBuf,
}

/// The cases that are in both folders, by name.
pub(super) fn pair(predictions: &Path, labels: &Path) -> Result<(Vec<Pair>, Vec<Warning>)> {
    let mut predicted = volumes(predictions)?;
    let (mut pairs, mut missing, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
    for (case, label) in volumes(labels)? {
        match predicted.remove(&case) {
            Some(prediction) => pairs.push(Pair { case, label, prediction }),
            None => missing.push(case),
        }
    }
    for (folder, empty) in [
        (labels, pairs.is_empty() && missing.is_empty()),
        (predictions, pairs.is_empty() && predicted.is_empty()),
    ] {
        if empty {
            return Err(Error::file(
                folder,
                "holds no volume (.nii.gz, .nrrd, …); name the folder that does",
            ));
        }
    }
    if pairs.is_empty() {
        let message = format!(
            "none of its {} volumes has the name of one of the {} in {}; \
             predictions must be named as their labels are",
            predicted.len(),
            missing.len(),
            labels.display()
        );
        return Err(Error::file(predictions, message));
    }
    if !missing.is_empty() {
        warnings.push(Warning::MissingPredictions { cases: missing });
    }
    if !predicted.is_empty() {
        warnings.push(Warning::ExtraPredictions { cases: predicted.into_keys().collect() });
    }
    Ok((pairs, warnings))
}

/// The volumes of a folder by their names without ending.
fn volumes(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut volumes = BTreeMap::new();
    for (case, path) in Volumes::of(folder)?.by_stem() {
        if let Some(other) = volumes.insert(case, path.clone()) {
            let message = format!("is the same case as {}; remove one of them", other.display());
            return Err(Error::file(path, message));
        }
    }
    Ok(volumes)
}
