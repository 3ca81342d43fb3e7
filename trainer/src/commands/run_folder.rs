//! The folder that a run leaves behind.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the full configuration |
//! | `run.json` | versions, instruction set, threads, plan, cases, checksums of the data |
//! | `log.jsonl` | a line for each log line and validation |
//! | `checkpoints/best`, `checkpoints/last` | see [`crate::checkpoint`]; `best` only with validation cases |
//! | `slices.png` | image, truth and prediction of one case |

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::write_json;
use crate::checkpoint::{Checkpoint, exists};
use crate::cli::Which;
use crate::config::Config;
use crate::data::{Dataset, FileSum};
use crate::plan::Plan;
use crate::{Error, Result};

/// What a result depends on beside the code.
#[derive(Serialize)]
struct Record<'a> {
    version: &'static str,
    instruction_set: String,
    threads: usize,
    dataset: String,
    plan: &'a Plan,
    training_cases: Vec<&'a str>,
    validation_cases: Vec<&'a str>,
    files: Vec<FileSum>,
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

/// Writes `config.toml` and `run.json`.
pub(super) fn record(
    folder: &Path,
    config: &Config,
    dataset: &Dataset,
    plan: &Plan,
    training: &[&str],
    validation: &[&str],
) -> Result<()> {
    let path = folder.join("config.toml");
    fs::write(&path, config.to_toml()).map_err(Error::io(&path))?;
    let record = Record {
        version: env!("CARGO_PKG_VERSION"),
        instruction_set: autograd::simd::active().to_string(),
        threads: match config.training.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        },
        dataset: dataset.path.display().to_string(),
        plan,
        training_cases: training.to_vec(),
        validation_cases: validation.to_vec(),
        files: dataset.checksums()?,
    };
    write_json(&folder.join("run.json"), &record)
}

/// Checks that a run goes on with the cases that it began with.
pub(super) fn check_cases(folder: &Path, training: &[&str], validation: &[&str]) -> Result<()> {
    #[derive(Deserialize)]
    struct Cases {
        training_cases: Vec<String>,
        validation_cases: Vec<String>,
    }
    let path = folder.join("run.json");
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let began: Cases = serde_json::from_str(&text).map_err(|e| Error::file(&path, e.to_string()))?;
    if began.training_cases == training && began.validation_cases == validation {
        return Ok(());
    }
    let message = format!(
        "the run began with training cases {} and validation cases {}, not {} and {}: name the same data set, and the same --validation if there was one",
        listed(&began.training_cases),
        listed(&began.validation_cases),
        listed(training),
        listed(validation)
    );
    Err(Error::file(path, message))
}

fn listed(names: &[impl AsRef<str>]) -> String {
    format!("[{}]", names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
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
