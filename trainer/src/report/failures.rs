//! What fails of a list while the rest is done.

use crate::{Error, Result};

/// So many reasons stand in the last line.
const SHOWN: usize = 3;

/// The reasons, in the order of the list.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<String>);

impl Failures {
    pub(crate) fn add(&mut self, reason: impl ToString) {
        self.0.push(reason.to_string());
    }

    /// Nothing where nothing failed; of a list of one its reason; else one line that says how many of `total` did not do
    /// `what`, and why the first did not.
    pub(crate) fn end(self, total: usize, what: &str) -> Result<()> {
        let reasons = self.0;
        let message = match (reasons.len(), total) {
            (0, _) => return Ok(()),
            (1, 1) => reasons.concat(),
            (failed, _) => {
                let more = match failed.saturating_sub(SHOWN) {
                    0 => String::new(),
                    more => format!("; and {more} more"),
                };
                format!("{failed} of {total} {what}: {}{more}", reasons[..failed.min(SHOWN)].join("; "))
            }
        };
        Err(Error::Usage(message))
    }
}
