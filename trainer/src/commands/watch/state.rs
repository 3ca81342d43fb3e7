//! What a run's folder says of how far the run is: its log, its record, its settings and its lock.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use volumes::files::read_text;

use crate::commands::{all_folds, study};
use crate::report::{LogEntry, LogLine, LoggedValidation};
use crate::run::checkpoint::latest;
use crate::run::folder::{EVENT_FILES, LOCK, LOG};
use crate::run::record::{CONFIGURATION, RECORD};
use crate::{Error, Result};

/// Folders within folders that are looked into for runs.
const DEPTH: usize = 3;

/// Where a run is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// It reads its cases.
    Starting,
    /// It takes steps.
    Running,
    /// It predicts whole cases at the end of an epoch.
    Validating,
    /// Ended before its last step, by whoever typed Ctrl-C.
    Stopped,
    /// Ended as it was to.
    Done,
    /// Ended without a word: killed, or by an error.
    Died,
}

/// A run as its folder shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RunState {
    pub(super) run: PathBuf,
    pub(super) state: Phase,
    /// The epoch of the last log line, from 1, and all.
    pub(super) epoch: u64,
    pub(super) epochs: Option<u64>,
    /// Steps taken by the last log line, and all.
    pub(super) step: u64,
    pub(super) steps: Option<u64>,
    /// Of the last log line.
    pub(super) lr: Option<f64>,
    /// The losses of the log lines; none where they were not finite.
    pub(super) losses: Vec<Loss>,
    /// Until the last log line, and after it at the pace so far.
    pub(super) elapsed_seconds: f64,
    pub(super) left_seconds: Option<f64>,
    /// Since the log was last written to.
    pub(super) silent_seconds: Option<f64>,
    pub(super) validations: Vec<Validation>,
    /// Whether TensorBoard finds something there.
    pub(super) tensorboard: bool,
    /// What goes on with the run.
    #[serde(skip)]
    pub(super) goes_on: GoesOn,
}

/// The mean loss of the batches up to a step since the one before.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Loss {
    pub(super) step: u64,
    pub(super) loss: Option<f64>,
}

/// A validation of whole cases.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Validation {
    pub(super) epoch: u64,
    pub(super) on_training_cases: bool,
    /// Of each class that was learnt, over all cases together.
    pub(super) classes: Vec<ClassDice>,
    pub(super) metric: Option<f64>,
    pub(super) is_best: bool,
}

/// A class's Dice; none where it occurs nowhere.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ClassDice {
    pub(super) name: String,
    pub(super) dice: Option<f64>,
}

/// How a run that ended is gone on with.
#[derive(Clone, Debug)]
pub(super) enum GoesOn {
    /// By `trainer train` with this data set, and the folder of validation cases if that is another.
    Resume { dataset: String, validation: Option<String> },
    /// By the command that began it, with other settings than its data set, or together with others.
    SameCommand,
}

impl RunState {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, Phase::Stopped | Phase::Done | Phase::Died)
    }

    /// The state of a run's folder.
    pub(super) fn read(run: &Path) -> Result<Self> {
        let path = run.join(LOG);
        let log = if path.is_file() { LogEntry::read_all(&path)? } else { Vec::new() };
        let settings = Settings::read(run, &log);
        let mut state = Self {
            run: run.to_owned(),
            state: Phase::Starting,
            epoch: 0,
            epochs: settings.epochs,
            step: 0,
            steps: None,
            lr: None,
            losses: Vec::new(),
            elapsed_seconds: 0.0,
            left_seconds: None,
            silent_seconds: silence(&path).map(|silence| silence.as_secs_f64()),
            validations: Vec::new(),
            tensorboard: has_events(run),
            goes_on: GoesOn::of(run),
        };
        let (mut ended, mut since_best) = (None, 0);
        let mut per_epoch = settings.steps_per_epoch;
        for entry in log {
            ended = None;
            match entry {
                LogEntry::Batch(LogLine { epoch, batch, batches_per_epoch, lr, loss, elapsed }) => {
                    per_epoch = Some(batches_per_epoch);
                    (state.epoch, state.lr, state.elapsed_seconds) = (epoch, Some(lr), elapsed.as_secs_f64());
                    state.step = epoch.saturating_sub(1) * batches_per_epoch + batch;
                    let loss = Some(loss).filter(|loss| loss.is_finite());
                    state.losses.push(Loss { step: state.step, loss });
                    let is_validated =
                        batch == batches_per_epoch && settings.whole_cases_after.contains(&epoch);
                    state.state = if is_validated { Phase::Validating } else { Phase::Running };
                }
                LogEntry::Validation(validation) => {
                    (state.state, since_best) = (Phase::Running, validation.since_best);
                    state.add(validation);
                }
                LogEntry::End(end) => (ended, state.step) = (Some((end.step, end.stopped)), end.step),
                LogEntry::Schedule { .. } | LogEntry::Patches(_) | LogEntry::Other => {}
            }
        }
        state.steps = settings.epochs.zip(per_epoch).map(|(epochs, steps)| epochs * steps);
        if !is_written(run) {
            let is_out_of_patience = settings.patience > 0 && since_best >= settings.patience;
            state.state = match ended {
                Some((step, false))
                    if is_out_of_patience || state.steps.is_none_or(|steps| step >= steps) =>
                {
                    Phase::Done
                }
                Some(_) => Phase::Stopped,
                None => Phase::Died,
            };
        } else if let Some(steps) = state.steps.filter(|_| state.step > 0) {
            let left = steps.saturating_sub(state.step) as f64;
            state.left_seconds = Some(state.elapsed_seconds * left / state.step as f64);
        }
        Ok(state)
    }

    fn add(&mut self, validation: LoggedValidation) {
        let LoggedValidation { epoch, on_training_cases, metric, classes, .. } = validation;
        // A resumed run may repeat one.
        self.validations.retain(|other| other.epoch != epoch);
        let best = self.validations.iter().filter_map(|other| other.metric).reduce(f64::max);
        let is_best = metric.is_some() && metric > best;
        if is_best {
            self.validations.iter_mut().for_each(|other| other.is_best = false);
        }
        let learnt = classes.into_iter().filter(|class| class.learnt);
        let classes = learnt.map(|class| ClassDice { name: class.name, dice: class.counts.dice() }).collect();
        self.validations.push(Validation { epoch, on_training_cases, classes, metric, is_best });
    }
}

/// The run of a folder, or those of the folders in it.
///
/// # Errors
/// If there is none, or a log is damaged.
pub(super) fn runs(folder: &Path) -> Result<Vec<RunState>> {
    let mut found = Vec::new();
    find(folder, DEPTH, &mut found)?;
    if found.is_empty() {
        let message = "holds no run: name the --out of `trainer train`, or a folder of such";
        return Err(Error::file(folder, message));
    }
    found.iter().map(|run| RunState::read(run)).collect()
}

fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let has = |name: &str| folder.join(name).is_file();
    let is_of_several = has(all_folds::TERMS) || has(study::TERMS);
    if has(LOG) || has(RECORD) || has(LOCK) && !is_of_several {
        found.push(folder.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(Error::io(folder))?;
    let folders = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let mut folders: Vec<PathBuf> = folders.collect();
    folders.sort();
    // What cannot be read is no run of ours.
    folders.iter().for_each(|folder| drop(find(folder, depth - 1, found)));
    Ok(())
}

/// Whether a process writes to a run: it holds the run's lock.
fn is_written(run: &Path) -> bool {
    let lock = File::open(run.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn has_events(run: &Path) -> bool {
    let is_of_events = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(EVENT_FILES);
    fs::read_dir(run).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_of_events)))
}

/// The time since a file was written to.
fn silence(path: &Path) -> Option<Duration> {
    let written = fs::metadata(path).and_then(|data| data.modified()).ok()?;
    SystemTime::now().duration_since(written).ok()
}

/// How long a run is to be.
struct Settings {
    epochs: Option<u64>,
    steps_per_epoch: Option<u64>,
    patience: u64,
    /// The epochs that end with a validation of whole cases, as far as the log says it.
    whole_cases_after: Vec<u64>,
}

impl Settings {
    /// As the run's configuration has it; a study's runs have none, and take all their steps.
    fn read(run: &Path, log: &[LogEntry]) -> Self {
        let table =
            read_text(&run.join(CONFIGURATION)).ok().and_then(|text| text.parse::<toml::Table>().ok());
        let key = |key: &str| u64::try_from(table.as_ref()?.get("training")?.get(key)?.as_integer()?).ok();
        let scheduled = log.iter().find_map(|entry| match entry {
            LogEntry::Schedule { whole_cases_after } => Some(whole_cases_after.clone()),
            _ => None,
        });
        let whole_cases_after = scheduled.unwrap_or_default();
        Self {
            epochs: key("epochs").or(whole_cases_after.last().copied()),
            steps_per_epoch: key("steps_per_epoch"),
            patience: key("patience").unwrap_or(0),
            whole_cases_after,
        }
    }
}

impl GoesOn {
    fn of(run: &Path) -> Self {
        #[derive(Deserialize)]
        struct Record {
            dataset: String,
            validation: Option<Other>,
        }
        #[derive(Deserialize)]
        struct Other {
            dataset: String,
        }
        let is_fold = run.parent().is_some_and(|folder| folder.join(all_folds::TERMS).is_file());
        // Without a checkpoint it is begun again.
        let resumes = !is_fold && latest(run).is_some();
        let text = read_text(&run.join(RECORD)).ok().filter(|_| resumes);
        match text.and_then(|text| serde_json::from_str(&text).ok()) {
            Some(Record { dataset, validation }) => {
                Self::Resume { dataset, validation: validation.map(|other| other.dataset) }
            }
            None => Self::SameCommand,
        }
    }
}
