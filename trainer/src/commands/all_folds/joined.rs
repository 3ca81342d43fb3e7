//! Folds that were trained by themselves, as by the tasks of a cluster's job, and are joined.

use std::path::Path;

use super::DONE;
use crate::Result;
use crate::cli::Train;
use crate::commands::{train, watch};
use crate::dataset::{Checksums, Dataset, Fold};
use crate::run::checkpoint::latest;
use crate::run::record::{self, Division, Origins};

/// What folds need not share: each has its own number, and settled mirror images by its own cases.
const FREE: [&str; 4] = ["training.threads", "validation.fold", "validation.folds", "inference.mirror"];
/// What follows from a time, which each task was given for its fold alone.
const OF_TIME: [&str; 2] = ["training.epochs", "training.steps_per_epoch"];

/// Whether a cross-validation's folder may hold something of this name before it is one.
pub(super) fn is_fold(name: &str) -> bool {
    name.strip_prefix("fold_").is_some_and(|number| number.parse::<usize>().is_ok())
}

/// Refuses a fold that was begun with other settings than all are to share.
pub(super) fn agree(args: &Train, folder: &Path) -> Result<()> {
    if latest(folder).is_none() {
        return Ok(());
    }
    let of_time = if args.time.is_some() { &OF_TIME[..] } else { &[] };
    train::agree(folder, args, &[&FREE, of_time].concat())
}

/// Takes a fold that was trained to its end by itself, and marks it as finished; false where it is not at its end.
///
/// # Errors
/// If it has other settings or cases than are asked for.
pub(super) fn take(
    args: &Train,
    fold: Fold,
    folder: &Path,
    held_out: &[String],
    dataset: &Dataset,
) -> Result<bool> {
    if latest(folder).is_none() || !watch::is_done(folder)? {
        return Ok(false);
    }
    agree(args, folder)?;
    let names = dataset.training.iter().map(|case| case.name.clone());
    let (validation_cases, training_cases) = names.partition(|name| held_out.contains(name));
    let division = Division { fold: Some(fold), training_cases, validation_cases };
    let checksums = args.loading.cache.as_deref().map(Checksums::kept_in).unwrap_or_default();
    let origins = Origins { training: dataset, validation: None, checksums: &checksums };
    // That it was trained with another instruction set is no matter: it does not go on.
    record::check(folder, origins, &division)?;
    volumes::files::write_json(&folder.join(DONE), &fold)?;
    Ok(true)
}
