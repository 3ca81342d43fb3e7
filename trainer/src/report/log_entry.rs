//! The lines of a run's log, as they are read back.

use std::fs;
use std::path::Path;

use metrics::BinaryCounts;
use serde::Deserialize;

use super::LogLine;
use super::run_log::Seconds;
use crate::{Error, Result};

/// A line of `log.jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LogEntry {
    /// When whole cases are validated, as a run says before its first step.
    Schedule {
        /// Ascending epochs, of which the last is the run's.
        whole_cases_after: Vec<u64>,
    },
    /// Some batches.
    Batch(LogLine),
    /// A look at a sample of patches.
    Patches(LoggedPatches),
    /// A validation of whole cases.
    Validation(LoggedValidation),
    /// The end of a session.
    End(LoggedEnd),
    /// What later versions add.
    #[serde(other)]
    Other,
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
    /// The foreground classes that were learnt.
    pub classes: Vec<LoggedPatchClass>,
}

/// A class over the voxels of a sample of patches.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoggedPatchClass {
    /// The class.
    pub name: String,
    /// Its Dice over the sample's voxels.
    pub patch_dice: Option<f64>,
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
    /// How many validations, this one included, came after the best; older versions did not count.
    #[serde(default)]
    pub since_best: u64,
    /// The foreground classes.
    pub classes: Vec<LoggedClass>,
}

/// A class over the voxels of all cases of a validation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoggedClass {
    /// The class.
    pub name: String,
    /// Whether the network was trained on a voxel of it; older versions did not say it.
    #[serde(default = "yes")]
    pub learnt: bool,
    /// Its voxels, found, missed and invented.
    pub counts: BinaryCounts,
    /// The same at probability 1/2 as the network gives it.
    pub at_half: BinaryCounts,
    /// The area under its precision-recall curve.
    pub average_precision: Option<f64>,
    /// The mean probability of it.
    pub mean_probability: f64,
    /// Its share of the voxels.
    pub share: f64,
}

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LoggedEnd {
    /// Steps taken in all.
    pub step: u64,
    /// CRC-32C of all weights' bits.
    pub weights_crc32c: String,
    /// Whether it was stopped, perhaps in its last validation; older versions do not say it.
    #[serde(default)]
    pub stopped: bool,
    /// Where the session's time went; older versions do not say it.
    pub seconds: Option<Seconds>,
    /// The most memory in bytes that the process has held.
    pub peak_memory: Option<u64>,
}

fn yes() -> bool {
    true
}

impl LogEntry {
    /// The whole lines of a log; a last line without an end is being written and left for later.
    ///
    /// # Errors
    /// If the log cannot be read, or a whole line is damaged.
    pub fn read_all(path: &Path) -> Result<Vec<Self>> {
        let text = fs::read(path).map_err(Error::io(path))?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let lines = text[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let read = |line: &[u8]| {
            serde_json::from_slice(line).map_err(|e| {
                let line = String::from_utf8_lossy(line);
                Error::file(path, format!("holds a damaged line ({e}): {line}"))
            })
        };
        lines.map(read).collect()
    }

    /// A validation of whole cases, if it is one.
    pub fn validation(self) -> Option<LoggedValidation> {
        match self {
            Self::Validation(validation) => Some(validation),
            _ => None,
        }
    }

    /// The step and the numbers that are drawn over steps, each under a tag such as `dice/lesion`.
    pub(super) fn scalars(&self) -> Option<(u64, Vec<(String, f64)>)> {
        let (step, scalars) = match self {
            Self::Batch(LogLine { epoch, batch, batches_per_epoch, lr, loss, .. }) => (
                epoch.saturating_sub(1) * batches_per_epoch + batch,
                vec![("loss/batches".to_owned(), Some(*loss)), ("lr".to_owned(), Some(*lr))],
            ),
            Self::Patches(LoggedPatches { step, loss, classes, .. }) => {
                let dice =
                    classes.iter().map(|class| (format!("patch_dice/{}", class.name), class.patch_dice));
                (*step, std::iter::once(("loss/patches".to_owned(), *loss)).chain(dice).collect())
            }
            Self::Validation(validation) => (validation.step, validation.scalars()),
            Self::Schedule { .. } | Self::End(_) | Self::Other => return None,
        };
        let known = scalars.into_iter().filter_map(|(tag, value)| Some((tag, value?)));
        Some((step, known.filter(|(_, value)| value.is_finite()).collect()))
    }
}

impl LoggedValidation {
    /// Of the classes that were learnt, by what is drawn of them.
    fn scalars(&self) -> Vec<(String, Option<f64>)> {
        let of_class = |class: &LoggedClass| {
            let LoggedClass { name, counts, average_precision, .. } = class;
            [
                ("dice", counts.dice()),
                ("precision", counts.precision()),
                ("recall", counts.recall()),
                ("average_precision", *average_precision),
            ]
            .map(|(figure, value)| (validation_tag(figure, name, self.on_training_cases), value))
        };
        self.classes.iter().filter(|class| class.learnt).flat_map(of_class).collect()
    }
}

/// The tag of a class's figure; of cases that were trained on it says so.
pub(super) fn validation_tag(figure: &str, class: &str, on_training_cases: bool) -> String {
    let of = if on_training_cases { "_of_training_cases" } else { "" };
    format!("{figure}{of}/{class}")
}
