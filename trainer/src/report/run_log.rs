//! A run's `log.jsonl`, read back.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use metrics::BinaryCounts;
use serde::{Deserialize, Serialize};

use super::LogLine;
use crate::{Error, Result};

/// What a run has logged so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunLog {
    /// The lines of batches.
    pub batches: Vec<LogLine>,
    /// What was measured on a sample of patches.
    pub patches: Vec<LoggedPatches>,
    /// Validations of whole cases.
    pub validations: Vec<LoggedValidation>,
    /// The ends of the sessions that did not die.
    pub ends: Vec<LoggedEnd>,
}

/// What the network says of a sample of patches.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoggedPatches {
    /// The epoch that it came after.
    pub epoch: u64,
    /// Steps taken until then.
    pub step: u64,
    /// Whether they are of cases that are trained on.
    pub of_training_cases: bool,
    /// The mean loss; none where it is no number.
    pub loss: Option<f64>,
}

/// A validation of whole cases.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoggedValidation {
    /// The epoch that it came after.
    pub epoch: u64,
    /// Steps taken until then.
    pub step: u64,
    /// Whether the network was trained on these cases.
    pub on_training_cases: bool,
    /// What "best" is judged by; none where the network was trained on the cases.
    #[serde(default)]
    pub metric: Option<f64>,
    /// The foreground classes.
    pub classes: Vec<LoggedClass>,
}

/// A class over the voxels of all cases of a validation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoggedClass {
    /// The class.
    pub name: String,
    /// Its voxels, found, missed and invented.
    pub counts: BinaryCounts,
    /// The area under its precision-recall curve.
    pub average_precision: Option<f64>,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoggedEnd {
    /// Steps taken in all.
    pub step: u64,
    /// CRC-32C of all weights' bits.
    pub weights_crc32c: String,
    /// Where the session's time went; older versions do not say it.
    pub seconds: Option<Seconds>,
    /// The most memory in bytes that the process has held.
    pub peak_memory: Option<u64>,
}

/// Where a session's time went, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Before the first step.
    pub preparing: f64,
    /// Forward and backward passes and the optimiser's steps.
    pub steps: f64,
    /// Waiting for batches.
    pub waiting: f64,
    /// Validations, of patches and of whole cases.
    pub validation: f64,
    /// Checkpoints and reports.
    pub saving: f64,
}

impl Seconds {
    /// The parts by name.
    pub fn parts(&self) -> [(&'static str, f64); 5] {
        let Self { preparing, steps, waiting, validation, saving } = *self;
        [
            ("before the first step", preparing),
            ("steps", steps),
            ("waiting for batches", waiting),
            ("validation", validation),
            ("checkpoints and reports", saving),
        ]
    }
}

impl RunLog {
    /// Reads a log, also while it is written: a last line without an end is left for later. Of steps that were repeated after a
    /// stop there is nothing double, since a run that goes on cuts its log where it goes on from.
    ///
    /// # Errors
    /// If the file cannot be read, or a whole line of it is damaged.
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Event {
            event: String,
        }
        let mut log = Self::default();
        let mut file = BufReader::new(File::open(path).map_err(Error::io(path))?);
        let mut line = String::new();
        while file.read_line(&mut line).map_err(Error::io(path))? > 0 && line.ends_with('\n') {
            let damaged = |e: serde_json::Error| {
                Error::file(path, format!("holds a damaged line ({e}): {}", line.trim()))
            };
            let Event { event } = serde_json::from_str(&line).map_err(damaged)?;
            match event.as_str() {
                "batch" => log.batches.push(serde_json::from_str(&line).map_err(damaged)?),
                "patches" => log.patches.push(serde_json::from_str(&line).map_err(damaged)?),
                "validation" => log.validations.push(serde_json::from_str(&line).map_err(damaged)?),
                "end" => log.ends.push(serde_json::from_str(&line).map_err(damaged)?),
                // What later versions add.
                _ => {}
            }
            line.clear();
        }
        Ok(log)
    }

    /// The seconds of all sessions that told of them, by part.
    pub fn seconds(&self) -> Seconds {
        self.ends.iter().filter_map(|end| end.seconds).fold(Seconds::default(), |sum, one| Seconds {
            preparing: sum.preparing + one.preparing,
            steps: sum.steps + one.steps,
            waiting: sum.waiting + one.waiting,
            validation: sum.validation + one.validation,
            saving: sum.saving + one.saving,
        })
    }
}
