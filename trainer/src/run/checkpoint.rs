//! Checkpoints: a folder that appears, or is replaced, as a whole.
//!
//! | file | what |
//! |---|---|
//! | `model.safetensors` | the [model](crate::predict::ModelFile): all that a prediction needs |
//! | `report.json` | what a report shows of the model, where it was validated |
//! | `state.bin` | what a run that goes on needs beside it: a header, the state (bincode), the optimiser's tensors (safetensors) |
//!
//! The header of `state.bin`, little endian: 8 bytes of magic, version (u32), lengths of state and optimiser (u64 each),
//! CRC-32C of state, optimiser and model file (u32 each). So a truncated, mixed or foreign folder is refused
//! before anything is made of it.

use std::fs;
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use bincode::Options;
use nn::state_dict::{self, Contents};
use serde::{Deserialize, Serialize};
use volumes::files::{open_plain, sync_folder};

use crate::codec::options;
use crate::predict::model::tensors::{Summed, error_of};
use crate::predict::{ModelCard, ModelFile, NetworkCard, Tensors};
use crate::{Error, Result};

mod saved;
mod version_4;

pub use self::saved::Saved;

/// The folder of a run's checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// The best by the run's metric; only with validation cases.
pub const BEST: &str = "best";
/// The last.
pub const LAST: &str = "last";
/// The one before the last.
pub const PREVIOUS: &str = "previous";

const MAGIC: &[u8; 8] = b"UNET3D-C";
const VERSION: u32 = 5;
const HEADER: usize = 8 + 4 + 8 + 8 + 4 + 4 + 4;
/// How the names of folders begin that are being written.
const FRESH: &str = ".checkpoint-";
/// Bytes that are read or written at once.
const BUFFER: usize = 1 << 16;
const MODEL: &str = "model.safetensors";
const STATE: &str = "state.bin";
pub(crate) const REPORT: &str = "report.json";

/// What a run is at the end of a step, beside its model and its optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Steps taken.
    pub step: u64,
    /// Seconds spent on them.
    pub seconds: f64,
    /// The configuration, as TOML.
    pub config: String,
    /// What "best" means.
    pub metric: String,
    /// The metric's value at this step and its best so far; none without validation cases.
    pub metric_now: Option<f64>,
    /// See `metric_now`.
    pub metric_best: Option<f64>,
    /// Whether what is due after this step is done: its validation, which a stop may have cut off.
    pub validated: bool,
    /// Steps and patches that taught nothing.
    pub idle: SkipCounts,
    /// What a plateau schedule has seen.
    pub plateau: nn::schedule::PlateauState,
    /// The length of the run's log, in bytes: what stands behind it belongs to steps that will be taken again.
    pub log_bytes: u64,
}

/// What a run has seen that taught it nothing.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipCounts {
    /// Patches in which no voxel counts: all are padding or to be ignored.
    pub empty_patches: u64,
    /// Batches whose voxels all have the weight 0; their loss is 0.
    pub empty_batches: u64,
    /// Steps that were left out, as their numbers were not finite.
    pub left_out: u64,
    /// How many of these came one after another, up to now.
    pub left_out_in_a_row: u64,
}

/// A checkpoint in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What only a run that goes on needs.
    pub state: State,
    /// What a prediction needs beside the weights, of one network.
    pub card: ModelCard,
    /// The model's parameters and buffers.
    pub weights: Tensors,
    /// The optimiser's.
    pub optimizer: Tensors,
    /// What a report shows of the model, as JSON; none where there is nothing yet.
    pub report: Option<Vec<u8>>,
}

impl Checkpoint {
    /// The only network of the card.
    pub fn network(&self) -> &NetworkCard {
        &self.card.networks[0]
    }

    /// Writes the folder `path`; an older one of that name is there until the new one is complete, then it is gone.
    ///
    /// # Errors
    /// If the disk refuses; an older one is still there.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.save_beside(path, None)
    }

    /// Writes the folder `path`; an older one of that name becomes the folder `before`, in place of what was there.
    ///
    /// # Errors
    /// If the disk refuses; an older one is still there under one of the two names.
    pub fn save_keeping(&self, path: &Path, before: &Path) -> Result<()> {
        self.save_beside(path, Some(before))
    }

    fn save_beside(&self, path: &Path, before: Option<&Path>) -> Result<()> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let fresh = tempfile::Builder::new().prefix(FRESH).tempdir_in(parent).map_err(Error::io(parent))?;
        let of_model = write_synced(&fresh.path().join(MODEL), |file| {
            let mut file = Summed::new(file);
            ModelFile::write_to(&self.card, std::slice::from_ref(&self.weights), &mut file)?;
            Ok(file.sum)
        })?;
        write_synced(&fresh.path().join(STATE), |file| {
            let state = options().serialize(&self.state).expect("a state is plain data");
            // The header is written last, when all sums are known.
            file.write_all(&[0; HEADER])?;
            file.write_all(&state)?;
            let mut summed = Summed::new(&mut *file);
            state_dict::write(&self.optimizer, None, &mut summed)?;
            let Summed { bytes, sum, .. } = summed;
            file.rewind()?;
            file.write_all(MAGIC)?;
            file.write_all(&VERSION.to_le_bytes())?;
            file.write_all(&(state.len() as u64).to_le_bytes())?;
            file.write_all(&bytes.to_le_bytes())?;
            let sums = [crc32c::crc32c(&state), sum, of_model];
            sums.iter().try_for_each(|sum| file.write_all(&sum.to_le_bytes()))
        })?;
        if let Some(report) = &self.report {
            write_synced(&fresh.path().join(REPORT), |file| file.write_all(report))?;
        }
        sync_folder(fresh.path())?;
        put_in_place(fresh, path, before)
    }

    /// Reads a folder that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If a file is missing, foreign, of another version, truncated or damaged.
    pub fn load(path: &Path) -> Result<Self> {
        let mut saved = Saved::open(path)?;
        let (weights, optimizer) = (saved.weights()?, saved.optimizer()?);
        let report = saved.report()?;
        Ok(Self { state: saved.state, card: saved.card, weights, optimizer, report })
    }
}

/// Weights from a safetensors file of any origin, as `f32`.
///
/// # Errors
/// If it is not one, or holds something other than `f32` or `f64`.
pub fn load_weights(path: &Path) -> Result<Tensors> {
    let (file, length) = open(path)?;
    let contents = Contents::open(file, length).and_then(|mut file| file.read(|name| Some(name.to_owned())));
    contents.map_err(error_of(path))
}

/// The last checkpoint of a run's folder, if there is one. A crash between two renamings leaves only the one before.
pub fn latest(run: &Path) -> Option<PathBuf> {
    let all = run.join(CHECKPOINTS);
    [LAST, PREVIOUS].map(|name| all.join(name)).into_iter().find(|path| exists(path))
}

/// Whether there is a checkpoint of this name, be it one that a crash left half-way through being replaced.
pub fn exists(path: &Path) -> bool {
    path.exists() || aside(path).exists()
}

/// The file of a run's model: of the best weights, or of the last where none are best.
pub const MODEL_FILE: &str = "model.safetensors";
/// The file of the model after the last step.
pub const LAST_MODEL_FILE: &str = "model_last.safetensors";

/// Puts the models of a run's checkpoints where they are looked for: [`MODEL_FILE`], and at the run's `end`
/// [`LAST_MODEL_FILE`].
///
/// # Errors
/// If the disk refuses.
pub(crate) fn publish(run: &Path, end: bool) -> Result<()> {
    let all = run.join(CHECKPOINTS);
    let model = |name: &str| all.join(name).join(MODEL);
    let best = if model(BEST).is_file() { model(BEST) } else { model(LAST) };
    link(&best, run, MODEL_FILE)?;
    if end { link(&model(LAST), run, LAST_MODEL_FILE) } else { Ok(()) }
}

/// Gives a checkpoint's file, which is never written to again, a name in the run's folder; a copy where the disk has no links.
/// What a crash leaves lies with the checkpoints, where [`clear_unfinished`] finds it.
fn link(from: &Path, run: &Path, name: &str) -> Result<()> {
    let (all, to) = (run.join(CHECKPOINTS), run.join(name));
    let place = tempfile::Builder::new().prefix(FRESH).tempdir_in(&all).map_err(Error::io(&all))?;
    let fresh = place.path().join(MODEL);
    if fs::hard_link(from, &fresh).is_err() {
        fs::copy(from, &fresh).map_err(Error::io(&to))?;
    }
    fs::rename(&fresh, &to).map_err(Error::io(&to))?;
    Ok(sync_folder(run)?)
}

/// Moves a whole folder to `path`. A folder cannot replace another in one step: the old one first steps aside, to where
/// [`Checkpoint::load`] looks for it, or to `before`.
fn put_in_place(fresh: tempfile::TempDir, path: &Path, before: Option<&Path>) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let there = before.map_or_else(|| aside(path), Path::to_path_buf);
    if path.exists() {
        remove(&there)?;
        fs::rename(path, &there).map_err(Error::io(path))?;
    }
    fs::rename(fresh.path(), path).map_err(Error::io(path))?;
    // It has another name, so there is nothing to be taken away.
    let _ = fresh.keep();
    sync_folder(parent)?;
    if before.is_none() { remove(&there) } else { Ok(()) }
}

/// Takes away what a crash left half-written in a folder of checkpoints.
///
/// # Errors
/// If the disk refuses.
pub fn clear_unfinished(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        if entry.file_name().to_string_lossy().starts_with(FRESH) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Takes a folder away if it is there.
fn remove(path: &Path) -> Result<()> {
    if path.exists() { fs::remove_dir_all(path).map_err(Error::io(path)) } else { Ok(()) }
}

fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.old"))
}

fn open(path: &Path) -> Result<(BufReader<fs::File>, u64)> {
    let (file, length) = open_plain(path)?;
    Ok((BufReader::with_capacity(BUFFER, file), length))
}

/// Writes a file with `fill` and waits until it is on disk.
fn write_synced<R>(path: &Path, fill: impl FnOnce(&mut BufWriter<fs::File>) -> io::Result<R>) -> Result<R> {
    let work = || {
        let mut file = BufWriter::with_capacity(BUFFER, fs::File::create(path)?);
        let filled = fill(&mut file)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(filled)
    };
    work().map_err(Error::io(path))
}
