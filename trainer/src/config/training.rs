//! How long a run trains, in what steps, and what it keeps.

use serde::{Deserialize, Serialize};
use unet3d::Norm;

use crate::{Error, Result, threads};

/// `[training]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Training {
    pub epochs: usize,
    pub steps_per_epoch: usize,
    pub accumulate: usize,
    pub patience: usize,
    pub seed: u64,
    pub threads: usize,
    pub log_every: usize,
    pub tensorboard: bool,
    pub checkpoint_steps: usize,
    pub checkpoint_minutes: f64,
    pub non_finite: NonFiniteStep,
    pub check_numerics: bool,
}

/// What becomes of a step whose loss or gradient is not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub enum NonFiniteStep {
    Stop,
    Skip,
}

impl Training {
    /// The threads that kernels run in: those that were given, or as many as are available.
    pub fn pool_threads(&self) -> usize {
        match self.threads {
            0 => threads::available(),
            threads => threads,
        }
    }

    /// Refuses parts that a batch has not.
    ///
    /// # Errors
    /// Names the key and the remedy.
    pub(super) fn check_accumulate(&self, batch: Option<usize>, norm: Norm) -> Result<()> {
        let parts = self.accumulate;
        let message = match batch {
            _ if parts > 1 && norm == Norm::Batch => {
                "but model.norm = \"batch\" takes its statistics over the whole batch: take 1, or norm = \"instance\""
                    .to_owned()
            }
            Some(batch) if !batch.is_multiple_of(parts) => {
                format!("which does not divide data.batch_size = {batch}: take a divisor, such as {batch}")
            }
            _ => return Ok(()),
        };
        Err(Error::config("training.accumulate", format!("is {parts}, {message}")))
    }
}
