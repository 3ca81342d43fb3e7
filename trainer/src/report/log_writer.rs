//! What a run tells programs while it goes on: `log.jsonl`, and the same numbers as TensorBoard's events.

use std::path::Path;

use metrics::ScoreHistogram;
use serde::Serialize;

use super::log_entry::{LogEntry, validation_tag};
use super::tensorboard::EventFile;
use super::{Console, JsonLines};
use crate::Result;
use crate::run::folder::LOG;

/// The log of a run under way. An event of TensorBoard is made of the line that was written, so that the two agree.
#[derive(Debug)]
pub(crate) struct LogWriter {
    lines: JsonLines,
    events: Option<EventFile>,
}

impl LogWriter {
    /// Goes on behind the first `known` bytes of the log, after so many steps, and makes both files where there are none.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(crate) fn open(folder: &Path, known: u64, steps: u64, tensorboard: bool) -> Result<Self> {
        let lines = JsonLines::append(folder.join(LOG), known)?;
        let events = tensorboard.then(|| EventFile::create(folder, steps + 1)).transpose()?;
        Ok(Self { lines, events })
    }

    /// The log's length so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// See [`JsonLines::sync`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn sync(&self) -> Result<()> {
        self.lines.sync()
    }

    /// See [`JsonLines::write`].
    ///
    /// # Errors
    /// When `data` is no JSON object, or a file cannot be written.
    pub(crate) fn write<T: Serialize>(&mut self, event: &str, data: &T) -> Result<()> {
        let line = self.lines.write(event, data)?;
        Console::get().log_line(&line);
        let Some(events) = &mut self.events else { return Ok(()) };
        let entry: LogEntry = serde_json::from_str(&line).expect("a line is read as it was written");
        match entry.scalars() {
            Some((step, scalars)) => events.scalars(step, &scalars),
            None => Ok(()),
        }
    }

    /// Writes the precision-recall curves of classes, for TensorBoard alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn pr_curves<'a>(
        &mut self,
        step: u64,
        on_training_cases: bool,
        classes: impl IntoIterator<Item = (&'a str, &'a ScoreHistogram)>,
    ) -> Result<()> {
        let Some(events) = &mut self.events else { return Ok(()) };
        classes.into_iter().try_for_each(|(name, scores)| {
            events.pr_curve(step, &validation_tag("pr_curve", name, on_training_cases), scores)
        })
    }
}
