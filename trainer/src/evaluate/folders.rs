//! Which prediction belongs to which label.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Warning;
use crate::dataset::listing::Volumes;
use crate::dataset::nature::Nature;
use crate::{Error, Result};

/// The files of one case.
pub(super) struct Pair {
    pub(super) case: String,
    pub(super) label: PathBuf,
    pub(super) prediction: PathBuf,
}

/// The cases that are in both folders, by name.
pub(super) fn pair(predictions: &Path, labels: &Path) -> Result<(Vec<Pair>, Vec<Warning>)> {
    for (folder, what) in [(predictions, "masks"), (labels, "labels")] {
        if !folder.is_dir() {
            let is = if folder.exists() { "is a file" } else { "does not exist" };
            return Err(Error::file(folder, format!("{is}; name the folder of {what}")));
        }
    }
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
            let inner = |name: &&str| folder.join(name).is_dir();
            let remedy = match ["labelsTr", "labelsTs"].iter().find(|name| inner(name)) {
                Some(name) => format!("name its {name}"),
                None => "name the folder that does".to_owned(),
            };
            return Err(Error::file(folder, format!("holds no volume (.nii.gz, .nrrd, …); {remedy}")));
        }
    }
    if pairs.is_empty() {
        let are_images = |folder: &Path, cases: &[&String]| {
            let is_image = |case: &&String| case.strip_suffix("_0000").is_some_and(|case| !case.is_empty());
            cases.iter().all(is_image).then(|| format!("; {} holds images", folder.display()))
        };
        let (ours, theirs) = (predicted.keys().collect::<Vec<_>>(), missing.iter().collect::<Vec<_>>());
        let images = are_images(predictions, &ours).or(are_images(labels, &theirs)).unwrap_or_default();
        let message = format!(
            "none of its masks, such as {}, has the name of one in {}, such as {}; \
             predictions must be named as their labels are{images}",
            ours[0],
            labels.display(),
            theirs[0],
        );
        return Err(Error::file(predictions, message));
    }
    if is_swapped(predictions, labels) {
        warnings.push(Warning::Swapped);
    }
    if !missing.is_empty() {
        warnings.push(Warning::MissingPredictions { cases: missing });
    }
    if !predicted.is_empty() {
        warnings.push(Warning::ExtraPredictions { cases: predicted.into_keys().collect() });
    }
    Ok((pairs, warnings))
}

/// Whether the predictions lie in a data set and the labels do not: precision and recall would be each other's.
fn is_swapped(predictions: &Path, labels: &Path) -> bool {
    let is_of_dataset = |folder: &Path| Nature::of(folder) == Nature::PartOfDataset;
    is_of_dataset(predictions) && !is_of_dataset(labels) && Nature::of(labels) != Nature::Dataset
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
