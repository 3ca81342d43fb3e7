//! The early end of a run whose model gets no better (`training.patience`), judged as the best model is: by whole cases.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::Run;
use crate::{Error, Result};

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
    #[derive(Deserialize)]
    struct Event {
        /// Older versions did not count.
        #[serde(default)]
        since_best: u64,
    }
    let mut since = 0;
    for line in BufReader::new(File::open(log).map_err(Error::io(log))?).lines() {
        let line = line.map_err(Error::io(log))?;
        if line.starts_with(r#"{"event":"validation""#) {
            let event = serde_json::from_str(&line);
            let Event { since_best } =
                event.map_err(|e| Error::file(log, format!("holds a damaged line ({e})")))?;
            since = since_best;
        }
    }
    Ok(since)
}
