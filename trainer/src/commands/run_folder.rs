//! The folder that a run leaves behind.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the full configuration |
//! | `run.json` | versions, instruction set, threads, plan and the memory that it takes, cases, checksums of the data |
//! | `log.jsonl` | a line for each log line and validation |
//! | `checkpoints/last`, `previous`, `best` | see [`crate::checkpoint`]; `best` only with validation cases |
//! | `slices.png` | image, truth and prediction of one case |
//! | `.lock` | held by the process that writes here |

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checkpoint::{BEST, CHECKPOINTS, Checkpoint, LAST, PREVIOUS, exists, latest};
use crate::cli::Which;
use crate::config::Config;
use crate::data::{Dataset, FileSum};
use crate::engine::Fold;
use crate::files::{WRITING, write_json};
use crate::plan::{Outlook, Plan, Settled};
use crate::{Error, Result};

/// The file that is locked.
const LOCK: &str = ".lock";
/// What a run has written before its first checkpoint.
const UNSTARTED: [&str; 3] = ["config.toml", "run.json", "log.jsonl"];

/// What a result depends on beside the code.
#[derive(Serialize)]
struct Record<'a> {
    version: &'static str,
    instruction_set: String,
    threads: usize,
    dataset: String,
    plan: &'a Plan,
    outlook: &'a Outlook,
    #[serde(flatten)]
    division: &'a Division,
    files: Vec<FileSum>,
}

/// Which cases a run is trained on, and which it is held against.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Division {
    /// The fold that is held out; `None` where the cases are not divided so.
    #[serde(default)]
    pub(super) fold: Option<Fold>,
    pub(super) training_cases: Vec<String>,
    pub(super) validation_cases: Vec<String>,
}

/// Makes the folder, which must not hold a run yet.
pub(super) fn create(folder: &Path) -> Result<()> {
    let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(not_empty(folder));
    }
    fs::create_dir_all(folder).map_err(Error::io(folder))
}

/// Makes the folder of a run and keeps others from it; what a run left there that ended before its first checkpoint is
/// taken away.
pub(super) fn begin(folder: &Path) -> Result<fs::File> {
    // Nothing is put into a folder that belongs to something else.
    if !folder.join(LOCK).is_file() {
        create(folder)?;
        return lock(folder);
    }
    let lock = lock(folder)?;
    let is_file = |name: &str| UNSTARTED.contains(&name) || name.starts_with(WRITING);
    let is_ours = |name: &str| is_file(name) || name == LOCK || name == CHECKPOINTS;
    let names = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    });
    let names: Vec<String> = names.map_err(Error::io(folder))?;
    if !names.iter().all(|name| is_ours(name)) || latest(folder).is_some() {
        return Err(not_empty(folder));
    }
    for name in names.iter().filter(|name| is_file(name)).map(|name| folder.join(name)) {
        fs::remove_file(&name).map_err(Error::io(&name))?;
    }
    // Without a checkpoint it holds at most one that was half written.
    let checkpoints = folder.join(CHECKPOINTS);
    if checkpoints.is_dir() {
        fs::remove_dir_all(&checkpoints).map_err(Error::io(&checkpoints))?;
    }
    Ok(lock)
}

fn not_empty(folder: &Path) -> Error {
    Error::file(folder, "is not empty: name another --out, or go on with its run with --resume")
}

/// Writes `config.toml` and `run.json`.
pub(super) fn record(
    folder: &Path,
    config: &Config,
    dataset: &Dataset,
    settled: &Settled,
    division: &Division,
) -> Result<()> {
    let path = folder.join("config.toml");
    fs::write(&path, config.to_toml()).map_err(Error::io(&path))?;
    let record = Record {
        version: env!("CARGO_PKG_VERSION"),
        instruction_set: autograd::simd::active().to_string(),
        threads: config.training.pool_threads(),
        dataset: dataset.path.display().to_string(),
        plan: &settled.plan,
        outlook: &settled.outlook,
        division,
        files: dataset.checksums()?,
    };
    write_json(&folder.join("run.json"), &record)
}

/// How a run's cases were divided.
pub(super) fn division(folder: &Path) -> Result<Division> {
    let path = folder.join("run.json");
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    serde_json::from_str(&text).map_err(|e| Error::file(&path, e.to_string()))
}

/// Checks that a run goes on with the cases that it began with.
pub(super) fn check_cases(folder: &Path, now: &Division) -> Result<()> {
    let began = division(folder)?;
    // A run from before folds were recorded held out fold 0.
    let cases = |division: &Division| (listed(&division.training_cases), listed(&division.validation_cases));
    let ((training, validation), (now_training, now_validation)) = (cases(&began), cases(now));
    if training == now_training && validation == now_validation {
        return Ok(());
    }
    let message = format!(
        "the run began with training cases {training} and validation cases {validation}{}, not {now_training} and {now_validation}: name the same data set, and the same --validation if there was one",
        began.fold.map(|fold| format!(", {fold}")).unwrap_or_default(),
    );
    Err(Error::file(folder.join("run.json"), message))
}

fn listed(names: &[String]) -> String {
    format!("[{}]", names.join(", "))
}

/// Keeps others from writing to a run's folder as long as the file lives, also where its process is killed.
///
/// # Errors
/// If another process has it.
pub(super) fn lock(folder: &Path) -> Result<fs::File> {
    let path = folder.join(LOCK);
    let file = fs::File::create(&path).map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let message =
                "another process is writing to this folder: wait for it, stop it, or name another --out";
            Err(Error::file(folder, message))
        }
        Err(fs::TryLockError::Error(error)) => Err(Error::io(&path)(error)),
    }
}

/// Reads a checkpoint: the one asked for, else the best if there is one, else the last.
pub(super) fn checkpoint(folder: &Path, which: Option<Which>) -> Result<(PathBuf, Checkpoint)> {
    let all = folder.join(CHECKPOINTS);
    let [best, previous] = [BEST, PREVIOUS].map(|name| all.join(name));
    if !all.is_dir() {
        return Err(Error::file(
            folder,
            "is no run folder (it holds no checkpoints): name the --out of `trainer train`",
        ));
    }
    let path = match which {
        Some(Which::Best) if !exists(&best) => {
            let message = "does not exist: without validation cases no checkpoint is best; use last";
            return Err(Error::file(best, message));
        }
        Some(Which::Best) => best,
        Some(Which::Previous) => previous,
        None if exists(&best) => best,
        _ => latest(folder).unwrap_or_else(|| all.join(LAST)),
    };
    match Checkpoint::load(&path) {
        Ok(checkpoint) => Ok((path, checkpoint)),
        Err(error) => Err(offer_others(error, &all, &path)),
    }
}

/// An error with the names of the checkpoints that can be read instead.
fn offer_others(error: Error, all: &Path, refused: &Path) -> Error {
    let others = [LAST, PREVIOUS, BEST].into_iter().filter(|name| all.join(name) != refused);
    let offers: Vec<String> = others
        .filter_map(|name| {
            let step = Checkpoint::load(&all.join(name)).ok()?.state.step;
            Some(format!("--checkpoint {name} (after {step} steps)"))
        })
        .collect();
    match offers.as_slice() {
        [] => error,
        offers => Error::Usage(format!("{error}; whole is {}", offers.join(", "))),
    }
}
