//! The largest numbers that a run counts with. Beyond them they are slips of the keyboard or a damaged file; up to there
//! nothing that is made of them overflows, and what takes too much memory is refused by the plan.

use super::Config;
use crate::{Error, Result};

/// Voxels of a batch; as `f32` they take 64 GiB for each channel.
const MOST_VOXELS: usize = 1 << 34;

/// Names the first number that is too large.
pub(super) fn check(config: &Config) -> Result<()> {
    for (key, value, most) in [
        ("data.batch_size", config.data.batch(), 1 << 16),
        ("data.patch_voxels", config.data.patch_voxels, MOST_VOXELS),
        ("training.epochs", config.training.epochs, 1 << 30),
        ("training.steps_per_epoch", config.training.steps_per_epoch, 1 << 30),
        ("training.threads", config.training.threads, 1 << 16),
    ] {
        if value > most {
            return Err(Error::config(key, format!("is {value}: at most {most} is possible")));
        }
    }
    let patch = config.data.patch_size.value().copied().unwrap_or([1; 3]);
    check_patch(patch, config.data.batch()).map_err(|e| Error::config("data.patch_size", format!("is {e}")))
}

/// Refuses patches of which no machine could hold a batch.
pub(crate) fn check_patch(patch: [usize; 3], batch: usize) -> Result<(), String> {
    match patch.into_iter().chain([batch]).try_fold(1usize, usize::checked_mul) {
        Some(voxels) if voxels <= MOST_VOXELS => Ok(()),
        _ => Err(format!("{patch:?}: the patches of a batch hold at most {MOST_VOXELS} voxels together")),
    }
}

/// Whether patches may overlap by this share: with more a volume would take patches without end.
pub(crate) fn is_overlap(share: f64) -> bool {
    (0.0..0.95).contains(&share)
}
