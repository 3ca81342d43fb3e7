//! Checkpoints on disk: checked as a whole, read a part at a time.

use std::fs;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bincode::Options;
use nn::state_dict::Contents;
use unet3d::UNet3d;

use super::{HEADER, MAGIC, MODEL, REPORT, STATE, State, VERSION, aside, open, version_4};
use crate::codec::{LARGEST_STATE, options};
use crate::predict::model::tensors::{error_of, sum_of};
use crate::predict::{ModelCard, ModelFile, Tensors};
use crate::{Error, Result};

/// A checkpoint on disk, whole when it was opened, whose tensors are read when they are asked for.
#[derive(Debug)]
pub struct Saved {
    /// What only a run that goes on needs.
    pub state: State,
    /// What a prediction needs beside the weights.
    pub card: ModelCard,
    /// Whether this version of the program wrote it, and so can go on with its run.
    pub is_current: bool,
    model: ModelFile,
    optimizer: Part,
    /// The folder.
    path: PathBuf,
}

/// The optimiser's part of a file.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: BufReader<fs::File>,
    bytes: u64,
}

impl Saved {
    /// Opens a folder that [`Checkpoint::save`](super::Checkpoint::save) wrote, and reads its files once to see that they
    /// are whole.
    ///
    /// # Errors
    /// As [`Checkpoint::load`](super::Checkpoint::load).
    pub fn open(path: &Path) -> Result<Self> {
        let aside = aside(path);
        let path = if !path.exists() && aside.exists() { &aside } else { path };
        let file = path.join(STATE);
        let (mut stream, length) = open(&file)?;
        let damaged = |what: &str| {
            Error::file(&file, format!("is damaged ({what}): use another checkpoint of the run"))
        };
        let mut header = [0; HEADER];
        if length < HEADER as u64 || stream.read_exact(&mut header).is_err() || &header[..8] != MAGIC {
            return Err(Error::file(
                &file,
                "is not a checkpoint of this program: name a run folder of `trainer train`",
            ));
        }
        let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
        let version = u32_at(8);
        let model_file = path.join(match version {
            VERSION => MODEL,
            version_4::VERSION => version_4::WEIGHTS,
            other => {
                let message = format!(
                    "has version {other}, this program reads {} and {VERSION}: use the program that wrote it",
                    version_4::VERSION
                );
                return Err(Error::file(&file, message));
            }
        });
        let (state_len, optimizer_len) = (u64_at(12), u64_at(20));
        let body = length - HEADER as u64;
        if state_len > LARGEST_STATE || state_len.checked_add(optimizer_len) != Some(body) {
            return Err(damaged("its length"));
        }
        let (mut model, model_len) = open(&model_file)?;
        let mut state = vec![0; state_len as usize];
        stream.read_exact(&mut state).map_err(Error::io(&file))?;
        // Nothing is made of a file before all of it is known to be whole.
        let optimizer = sum_of(&mut stream, optimizer_len).map_err(Error::io(&file))?;
        for (sum, at, what) in
            [(crc32c::crc32c(&state), 28, "the state"), (optimizer, 32, "the optimiser's part")]
        {
            if sum != u32_at(at) {
                return Err(damaged(what));
            }
        }
        if sum_of(&mut model, model_len).map_err(Error::io(&model_file))? != u32_at(36) {
            let message = "does not belong to the state.bin beside it, or is damaged: use another checkpoint of the run";
            return Err(Error::file(&model_file, message));
        }
        stream.seek(SeekFrom::Start(HEADER as u64 + state_len)).map_err(Error::io(&file))?;
        let (state, model) = match version {
            VERSION => {
                let state = options().deserialize(&state).map_err(|e| damaged(&e.to_string()))?;
                (state, ModelFile::open(&model_file)?)
            }
            _ => {
                let (state, card) = version_4::read(&state).map_err(|e| damaged(&e))?;
                (state, ModelFile::described(&model_file, card)?)
            }
        };
        let optimizer = Part { path: file, file: stream, bytes: optimizer_len };
        let (card, path) = (model.card.clone(), path.to_path_buf());
        Ok(Self { state, card, is_current: version == VERSION, model, optimizer, path })
    }

    /// The model's parameters and buffers.
    ///
    /// # Errors
    /// If the file does not hold tensors, or cannot be read.
    pub fn weights(&mut self) -> Result<Tensors> {
        self.model.weights(0)
    }

    /// The optimiser's tensors.
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn optimizer(&mut self) -> Result<Tensors> {
        let Part { path, file, bytes } = &mut self.optimizer;
        let start = file.stream_position().map_err(Error::io(&*path))?;
        let contents = Contents::open(&mut *file, *bytes);
        let tensors = contents.and_then(|mut file| file.read(|name| Some(name.to_owned())));
        let tensors = tensors.map_err(error_of(path))?;
        file.seek(SeekFrom::Start(start)).map_err(Error::io(&*path))?;
        Ok(tensors)
    }

    /// What a report shows of the model, as JSON; none where there is nothing, as with older versions.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn report(&self) -> Result<Option<Vec<u8>>> {
        match fs::read(self.path.join(REPORT)) {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(self.path.join(REPORT))(error)),
        }
    }

    /// The model alone.
    pub fn into_model(self) -> ModelFile {
        self.model
    }

    /// The network with its weights.
    ///
    /// # Errors
    /// As [`ModelFile::network`].
    pub fn into_network(mut self) -> Result<UNet3d<f32>> {
        self.model.network(0)
    }
}
