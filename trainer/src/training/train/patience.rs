//! The early end of a run whose model gets no better (`training.patience`), judged as the best model is: by whole cases.

use std::path::Path;

use super::Run;
use crate::Result;
use crate::report::LogEntry;

impl Run {
    /// Whether as many validations as are waited for came after the best.
    pub(super) fn is_out_of_patience(&self) -> bool {
        let patience = self.setup.config.training.patience as u64;
        patience > 0 && self.since_best >= patience
    }

    /// What is said of it.
    pub(super) fn early_end(&self) -> String {
        let validations = match self.since_best {
            1 => "validation of whole cases was".to_owned(),
            some => format!("{some} validations of whole cases were"),
        };
        format!(
            "the run ends early, after step {} of {}: the last {validations} no better than the best (training.patience = {})",
            self.step,
            self.last_step(),
            self.setup.config.training.patience
        )
    }
}

/// Validations since the best one, as the last of them wrote it into a run's log; the log ends where its checkpoint was written,
/// so that a run that goes on ends where one that was not interrupted does. 0 where there was none.
///
/// # Errors
/// If the log cannot be read.
pub(super) fn since_best(log: &Path) -> Result<u64> {
    let last = LogEntry::read_all(log)?.into_iter().rev().find_map(LogEntry::validation);
    Ok(last.map_or(0, |last| last.since_best))
}
