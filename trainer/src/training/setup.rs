//! What a run is given, and what it gives back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ranks::Ranks;
use serde::Serialize;
use unet3d::UNet3d;

use super::{ValidationFigures, ValidationSchedule};
use crate::config::Config;
use crate::predict::{Choice, Pipeline, Tensors};
use crate::preprocess::{Preparation, PreparedCase};
use crate::report::Seconds;
use crate::run::Plan;
use crate::run::checkpoint::{Saved, SkipCounts};

/// Everything a run needs.
#[derive(Debug)]
pub struct Setup {
    /// The run folder, which exists.
    pub folder: PathBuf,
    /// All settings.
    pub config: Config,
    /// The patch and the network.
    pub plan: Plan,
    /// How the cases below were made.
    pub preparation: Preparation,
    /// Normalised cases with labels.
    pub training: Arc<[PreparedCase]>,
    /// Normalised cases that are not trained on; empty: metrics are of the training cases.
    pub validation: Arc<[PreparedCase]>,
    /// Weights to start from.
    pub init: Option<Tensors>,
    /// A checkpoint to go on from.
    pub resume: Option<Saved>,
    /// Whether that one is not the last: the first that is written then takes the last one's place for good.
    pub abandons_last: bool,
    /// The processes that train together; one by itself has no others. Each has the same cases, and all but the first leave the
    /// folder as it is.
    pub ranks: Ranks,
    /// What was spent on all that came before, such as reading the cases, for the report.
    pub preparing: Duration,
}

impl Setup {
    /// A run from its beginning, in a folder that exists.
    pub fn new(
        folder: impl Into<PathBuf>,
        config: Config,
        plan: Plan,
        preparation: Preparation,
        training: Vec<PreparedCase>,
        validation: Vec<PreparedCase>,
    ) -> Self {
        Self {
            folder: folder.into(),
            config,
            plan,
            preparation,
            training: training.into(),
            validation: validation.into(),
            init: None,
            resume: None,
            abandons_last: false,
            ranks: Ranks::alone(),
            preparing: Duration::ZERO,
        }
    }

    /// Those that metrics are of: the training cases, where there are no others.
    pub(super) fn validated_cases(&self) -> &[PreparedCase] {
        if self.validation.is_empty() { &self.training } else { &self.validation }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The model after the last step.
    pub model: UNet3d<f32>,
    /// The last validation.
    pub validation: Option<ValidationFigures>,
    /// How cases are predicted with the model after the last step.
    pub pipeline: Pipeline,
    /// What was chosen of post-processing, where that was to be chosen and could be.
    pub postprocess: Option<Choice>,
    /// The best metric, with validation cases.
    pub best: Option<f64>,
    /// Whether it was stopped before its last step.
    pub stopped: bool,
    /// Steps taken in all.
    pub steps: u64,
    /// Epochs that were to be taken.
    pub epochs: usize,
    /// Time spent in all.
    pub elapsed: Duration,
    /// When whole cases were validated, and the share of the work that this was.
    pub schedule: ValidationSchedule,
    /// The last line of the log.
    pub end: End,
}

/// How a log ends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct End {
    /// Steps taken in all.
    pub step: u64,
    /// CRC-32C of all weights' bits, in the order of their names: equal for equal runs, whatever the number of threads.
    pub weights_crc32c: String,
    /// Whether the session was stopped before the run came to its end, which may be in its last validation.
    pub stopped: bool,
    /// Steps and patches that taught nothing.
    #[serde(flatten)]
    pub idle: SkipCounts,
    /// The share of this session's time that the training thread waited for batches.
    pub waited_for_data: f64,
    /// Where this session's time went.
    pub seconds: Seconds,
    /// The most memory in bytes that the process has held; `None` where the system does not tell.
    pub peak_memory: Option<usize>,
}

/// See [`End::weights_crc32c`].
pub(crate) fn digest(weights: &Tensors) -> u32 {
    weights
        .values()
        .flat_map(|weight| weight.data())
        .fold(0, |sum, value| crc32c::crc32c_append(sum, &value.to_bits().to_le_bytes()))
}
