//! A run's `log.jsonl`, read back and sorted by what its lines tell.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::LogLine;
use super::log_entry::{LogEntry, LoggedEnd, LoggedPatches, LoggedValidation};
use crate::Result;

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
        let mut log = Self::default();
        for entry in LogEntry::read_all(path)? {
            match entry {
                LogEntry::Batch(line) => log.batches.push(line),
                LogEntry::Patches(patches) => log.patches.push(patches),
                LogEntry::Validation(validation) => log.validations.push(validation),
                LogEntry::End(end) => log.ends.push(end),
                LogEntry::Schedule { .. } | LogEntry::Other => {}
            }
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
