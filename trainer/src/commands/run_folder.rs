//! The folder that a run leaves behind.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the full configuration |
//! | `run.json` | versions, instruction set, threads, plan and the memory that it takes, cases, checksums of the data |
//! | `log.jsonl` | a line for each log line and validation |
//! | `checkpoints/best`, `checkpoints/last` | see [`crate::checkpoint`]; `best` only with validation cases |
//! | `slices.png` | image, truth and prediction of one case |

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, exists};
use crate::cli::Which;
use crate::config::Config;
use crate::data::{Dataset, FileSum};
use crate::engine::Fold;
use crate::files::write_json;
use crate::plan::{Outlook, Plan, Settled};
use crate::{Error, Result};

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
        return Err(Error::file(
            folder,
            "is not empty: name another --out, or go on with its run with --resume",
        ));
    }
    fs::create_dir_all(folder).map_err(Error::io(folder))
}

/// Takes away what a run leaves that ended before its first checkpoint, and nothing else.
pub(super) fn clear_unstarted(folder: &Path) -> Result<()> {
    for name in ["config.toml", "run.json", "log.jsonl"].map(|name| folder.join(name)) {
        if name.is_file() {
            fs::remove_file(&name).map_err(Error::io(&name))?;
        }
    }
    // Without a checkpoint it holds at most one that was half written.
    let checkpoints = folder.join("checkpoints");
    if checkpoints.is_dir() {
        fs::remove_dir_all(&checkpoints).map_err(Error::io(&checkpoints))?;
    }
    Ok(())
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

/// Reads a checkpoint: the one asked for, else the best if there is one, else the last.
pub(super) fn checkpoint(folder: &Path, which: Option<Which>) -> Result<(PathBuf, Checkpoint)> {
    let all = folder.join("checkpoints");
    let (best, last) = (all.join("best"), all.join("last"));
    let path = match which {
        Some(Which::Best) => best,
        Some(Which::Last) => last,
        None if exists(&best) => best,
        None => last,
    };
    if !all.is_dir() {
        return Err(Error::file(
            folder,
            "is no run folder (it holds no checkpoints): name the --out of `trainer train`",
        ));
    }
    if which == Some(Which::Best) && !exists(&path) {
        return Err(Error::file(
            path,
            "does not exist: without validation cases no checkpoint is best; use last",
        ));
    }
    let checkpoint = Checkpoint::load(&path)?;
    Ok((path, checkpoint))
}
