//! Checkpoints on disk: checked as a whole, read a part at a time.

use std::fs;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use autograd::Tensor;
use bincode::Options;
use nn::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use unet3d::UNet3d;

use super::{HEADER, MAGIC, STATE, State, Tensors, VERSION, WEIGHTS, aside, open, tensors, write};
use crate::codec::{LARGEST_STATE, options};
use crate::{Error, Result};

/// A checkpoint on disk, whole when it was opened, whose tensors are read when they are asked for.
#[derive(Debug)]
pub struct Saved {
    /// What is not a tensor.
    pub state: State,
    weights: Part,
    optimizer: Part,
}

/// Tensors in a file, to be read once.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    stream: io::Take<BufReader<fs::File>>,
}

impl Saved {
    /// Opens a folder that [`Checkpoint::save`](super::Checkpoint::save) wrote, and reads its files once to see that they are whole.
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
        if u32_at(8) != VERSION {
            let message = format!(
                "has version {}, this program reads {VERSION}: use the program that wrote it",
                u32_at(8)
            );
            return Err(Error::file(&file, message));
        }
        let (state_len, optimizer_len) = (u64_at(12), u64_at(20));
        let body = length - HEADER as u64;
        if state_len > LARGEST_STATE || state_len.checked_add(optimizer_len) != Some(body) {
            return Err(damaged("its length"));
        }
        let weights_file = path.join(WEIGHTS);
        let (mut weights, weights_len) = open(&weights_file)?;
        let mut state = vec![0; state_len as usize];
        stream.read_exact(&mut state).map_err(Error::io(&file))?;
        // Nothing is made of a file before all of it is known to be whole.
        let optimizer = tensors::sum_of(&mut stream, optimizer_len).map_err(Error::io(&file))?;
        for (sum, at, what) in
            [(crc32c::crc32c(&state), 28, "the state"), (optimizer, 32, "the optimiser's part")]
        {
            if sum != u32_at(at) {
                return Err(damaged(what));
            }
        }
        if tensors::sum_of(&mut weights, weights_len).map_err(Error::io(&weights_file))? != u32_at(36) {
            let message = "does not belong to the state.bin beside it, or is damaged: use another checkpoint of the run";
            return Err(Error::file(&weights_file, message));
        }
        let state: State = options().deserialize(&state).map_err(|e| damaged(&e.to_string()))?;
        state.check().map_err(|e| damaged(&e))?;
        weights.rewind().map_err(Error::io(&weights_file))?;
        stream.seek(SeekFrom::Start(HEADER as u64 + state_len)).map_err(Error::io(&file))?;
        let weights = Part { path: weights_file, stream: weights.take(weights_len) };
        let optimizer = Part { path: file, stream: stream.take(optimizer_len) };
        Ok(Self { state, weights, optimizer })
    }

    /// The model's parameters and buffers; they can be asked for once.
    ///
    /// # Errors
    /// If the file does not hold tensors, or cannot be read.
    pub fn weights(&mut self) -> Result<Tensors> {
        self.weights.tensors()
    }

    /// The optimiser's tensors, as [`weights`](Self::weights).
    ///
    /// # Errors
    /// As [`weights`](Self::weights).
    pub fn optimizer(&mut self) -> Result<Tensors> {
        self.optimizer.tensors()
    }

    /// Writes the folder anew with another state and the same tensors.
    ///
    /// # Errors
    /// As [`Checkpoint::save`](super::Checkpoint::save).
    pub fn save_as(mut self, path: &Path, state: &State) -> Result<()> {
        write((path, None), state, |out| self.weights.copy(out), |out| self.optimizer.copy(out))
    }

    /// The network with its weights. `path` is for messages.
    ///
    /// # Errors
    /// As [`weights`](Self::weights); if a network cannot be built, or the weights are those of another one; no memory is taken for a network that has
    /// more of them.
    pub fn into_network(mut self, path: &Path) -> Result<UNet3d<f32>> {
        let weights = self.weights()?;
        let (wanted, there) =
            (self.state.plan.model.parameters(), weights.values().map(Tensor::numel).sum::<usize>());
        if wanted > there {
            let message =
                format!("names a network of {wanted} weights, but holds {there}: it is of another run");
            return Err(Error::file(path, message));
        }
        let mut model = UNet3d::new(self.state.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0))
            .map_err(|e| Error::file(path, format!("holds a network that cannot be built: {e}")))?;
        model.load_state_dict(weights).map_err(|e| Error::file(path, e.to_string()))?;
        Ok(model)
    }
}

impl Part {
    fn tensors(&mut self) -> Result<Tensors> {
        let bytes = self.stream.limit();
        tensors::read(&self.path, &mut self.stream, bytes)
    }

    fn copy(&mut self, out: &mut impl Write) -> io::Result<()> {
        io::copy(&mut self.stream, out).map(drop)
    }
}
