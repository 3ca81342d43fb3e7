//! The folder that a run leaves behind.
//!
//! | file | what |
//! |---|---|
//! | `config.toml` | the full configuration |
//! | `run.json` | versions, instruction set, threads, plan and the memory that it takes, cases, checksums of the data |
//! | `log.jsonl` | a line for each log line and validation |
//! | `events.out.tfevents.*` | the same for TensorBoard, with precision-recall curves; one for each time that the run went on |
//! | `checkpoints/last`, `previous`, `best` | see [`crate::run::checkpoint`]; `best` only with validation cases |
//! | `report.html` | what was trained, how it went, and how good the model is: one page that needs nothing else |
//! | `slices.png` | image, truth and prediction of the case that the model is worst on |
//! | `.lock` | held by the process that writes here |

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use volumes::files::WRITING;

use super::checkpoint::{BEST, CHECKPOINTS, LAST, PREVIOUS, Saved, exists, latest};
use crate::dataset::nature::Nature;
use crate::{Error, Result};

/// A checkpoint of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// The best by the run's metric on validation cases.
    Best,
    /// The last.
    Last,
    /// The one before the last.
    Previous,
}

/// A run's log.
pub(crate) const LOG: &str = "log.jsonl";
/// How the names of TensorBoard's files begin, which reads those of a folder in the order of their names.
pub(crate) const EVENT_FILES: &str = "events.out.tfevents.";
/// Slices of a case.
pub(crate) const SLICES: &str = "slices.png";
/// The page on a run.
pub(crate) const PAGE: &str = "report.html";
/// After so long it is no turn that another process takes.
const TURN: Duration = Duration::from_secs(60);
/// The file that is locked.
pub(crate) const LOCK: &str = ".lock";
/// What a run has written before its first checkpoint.
const UNSTARTED: [&str; 4] = ["config.toml", "run.json", LOG, PAGE];
/// How the names of further such files begin.
const BEGINNINGS: [&str; 2] = [WRITING, EVENT_FILES];

/// Makes the folder, which must not hold a run yet.
pub(crate) fn create(folder: &Path) -> Result<()> {
    let occupied = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if occupied {
        return Err(not_empty(folder));
    }
    fs::create_dir_all(folder).map_err(Error::io(folder))
}

/// Makes the folder of a run and keeps others from it; what a run left there that ended before its first checkpoint is
/// taken away.
pub(crate) fn begin(folder: &Path) -> Result<fs::File> {
    // Nothing is put into a folder that belongs to something else.
    if !folder.join(LOCK).is_file() {
        create(folder)?;
        return lock(folder);
    }
    let lock = lock(folder)?;
    let is_file = |name: &str| {
        UNSTARTED.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
    };
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

/// Makes the folder of several runs, which the file `terms` marks, and keeps others from it. Before it is marked it may hold
/// runs by names that `may_hold` allows.
pub(crate) fn share(folder: &Path, terms: &str, may_hold: impl Fn(&str) -> bool) -> Result<fs::File> {
    prepare(folder, terms, may_hold)?;
    lock(folder)
}

/// As [`share`], for a process that does not keep others from the folder while it works, but waits for its turn to look and to
/// write, which is short.
pub(crate) fn turn(folder: &Path, terms: &str) -> Result<fs::File> {
    prepare(folder, terms, |_| false)?;
    let began = Instant::now();
    loop {
        match lock(folder) {
            Err(_) if began.elapsed() < TURN => std::thread::sleep(TURN / 600),
            lock => return lock,
        }
    }
}

/// Makes a folder of several runs, and refuses one that belongs to something else.
fn prepare(folder: &Path, terms: &str, may_hold: impl Fn(&str) -> bool) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    if folder.join(terms).exists() {
        return Ok(());
    }
    // What holds more than a lock, and what a kill left of the terms, is a run's own.
    let is_left = |name: &str| name == LOCK || name.starts_with(WRITING) || may_hold(name);
    let mut entries = fs::read_dir(folder).map_err(Error::io(folder))?.flatten();
    // Others may have marked it meanwhile.
    if !entries.all(|entry| is_left(&entry.file_name().to_string_lossy())) && !folder.join(terms).exists() {
        return Err(not_empty(folder));
    }
    Ok(())
}

fn not_empty(folder: &Path) -> Error {
    let remedy = match latest(folder) {
        Some(_) => "name another --out, or go on with its run with --resume",
        None => "name another --out, a folder that is new or empty",
    };
    Error::file(folder, format!("is not empty: {remedy}"))
}

/// Keeps others from writing to a run's folder as long as the file lives, also where its process is killed.
///
/// # Errors
/// If another process has it.
pub(crate) fn lock(folder: &Path) -> Result<fs::File> {
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

/// Refuses a folder that no run has written to.
pub(crate) fn must_be_run(folder: &Path) -> Result<()> {
    if folder.join(CHECKPOINTS).is_dir() {
        return Ok(());
    }
    let what = match folder.is_dir() {
        true => match Nature::of(folder) {
            Nature::Dataset => "is a data set, and so it ",
            Nature::PartOfDataset | Nature::Volumes => "holds volumes, and so it ",
            Nature::Run | Nature::Other => "",
        },
        false if folder.exists() => "is a file, and so it ",
        false => "does not exist, and so it ",
    };
    let message =
        format!("{what}is no run folder (it holds no checkpoints): name the --out of `trainer train`");
    Err(Error::file(folder, message))
}

/// Opens a checkpoint: the one asked for, else the best if there is one, else the last.
pub(crate) fn checkpoint(folder: &Path, which: Option<Which>) -> Result<(PathBuf, Saved)> {
    must_be_run(folder)?;
    let all = folder.join(CHECKPOINTS);
    let [best, previous] = [BEST, PREVIOUS].map(|name| all.join(name));
    let path = match which {
        Some(Which::Best) if !exists(&best) => {
            let message = "does not exist: without validation cases no checkpoint is best; use last";
            return Err(Error::file(best, message));
        }
        Some(Which::Best) => best,
        Some(Which::Previous) => previous,
        None if exists(&best) => best,
        _ => match latest(folder) {
            Some(path) => path,
            None => return Err(Error::file(&all, "holds no checkpoint yet: begin again, without --resume")),
        },
    };
    match Saved::open(&path) {
        Ok(checkpoint) => Ok((path, checkpoint)),
        Err(error) => Err(offer_others(error, &all, &path)),
    }
}

/// An error with the names of the checkpoints that can be read instead.
fn offer_others(error: Error, all: &Path, refused: &Path) -> Error {
    let others = [LAST, PREVIOUS, BEST].into_iter().filter(|name| all.join(name) != refused);
    let offers: Vec<String> = others
        .filter_map(|name| {
            let step = Saved::open(&all.join(name)).ok()?.state.step;
            Some(format!("--checkpoint {name} (after {step} steps)"))
        })
        .collect();
    match offers.as_slice() {
        [] => error,
        offers => Error::Usage(format!("{error}; whole is {}", offers.join(", "))),
    }
}
