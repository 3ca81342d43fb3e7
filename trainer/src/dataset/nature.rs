//! What a folder is that was named where another was meant, told by what lies in it.

use std::path::Path;

use super::listing::Volumes;

/// What a run leaves in its folder, or in the one of all its folds.
const OF_A_RUN: [&str; 3] = ["checkpoints", "model.safetensors", "fold_0"];

/// What a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A data set: it holds `dataset.json`.
    Dataset,
    /// A part of the data set that is the folder above, such as `imagesTr`.
    PartOfDataset,
    /// What `trainer train` makes.
    Run,
    /// Volumes and nothing that says what they are.
    Volumes,
    /// None of these.
    Other,
}

impl Nature {
    /// Of a folder that is there; one that cannot be listed is [`Nature::Other`].
    pub(crate) fn of(folder: &Path) -> Self {
        let is_there = |name: &str| folder.join(name).exists();
        let has_volumes = || Volumes::of(folder).is_ok_and(|found| !found.volumes.is_empty());
        if is_there("dataset.json") {
            Self::Dataset
        } else if OF_A_RUN.iter().any(|name| is_there(name)) {
            Self::Run
        } else if !has_volumes() {
            Self::Other
        } else if is_there("../dataset.json") {
            Self::PartOfDataset
        } else {
            Self::Volumes
        }
    }
}
