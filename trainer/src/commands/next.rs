//! Commands that may come after a run, as they are typed.

use std::path::Path;

use crate::cli::quoted;

/// What predicts with a run; the program was called so.
pub(super) fn predict(called: &str, run: &Path) -> String {
    format!("{called} predict {} IMAGES --out MASKS", quoted(run))
}

/// What goes on with a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resume<'a> {
    /// The run's folder.
    pub(super) run: &'a Path,
    /// The data set that it is trained on.
    pub(super) dataset: &'a Path,
    /// The folder of validation cases, if that is another.
    pub(super) validation: Option<&'a Path>,
    /// The cache of its cases.
    pub(super) cache: Option<&'a Path>,
}

impl Resume<'_> {
    /// To its end, or to that of so many epochs.
    pub(super) fn command(&self, called: &str, epochs: Option<u64>) -> String {
        let Self { run, dataset, validation, cache } = *self;
        let mut command = format!("{called} train {} --out {} --resume", quoted(dataset), quoted(run));
        for (flag, path) in [("--validation", validation), ("--cache", cache)] {
            if let Some(path) = path {
                command += &format!(" {flag} {}", quoted(path));
            }
        }
        if let Some(epochs) = epochs {
            command += &format!(" --epochs {epochs}");
        }
        command
    }

    /// With twice as many epochs as it had.
    pub(super) fn prolonged(&self, called: &str, epochs: u64) -> String {
        self.command(called, Some(2 * epochs))
    }
}
