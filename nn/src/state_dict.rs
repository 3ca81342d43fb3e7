//! Weights in the layout of safetensors, to and from streams, a piece at a time: neither writing nor reading holds a file's
//! bytes beside the tensors.
//!
//! ```
//! use std::io::Cursor;
//!
//! use nn::{Module, layers::Linear, state_dict};
//! # use rand::SeedableRng;
//!
//! # let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(0);
//! let model = Linear::<f32>::new(2, 3, &mut rng)?;
//! let mut file = Vec::new(); // or BufWriter::new(File::create(path)?), and to read BufReader::new(File::open(path)?)
//! state_dict::write(model.state_dict(), None, &mut file)?;
//!
//! let mut other = Linear::<f32>::new(2, 3, &mut rng)?;
//! other.load_state_dict(state_dict::read(Cursor::new(file))?)?;
//! assert_eq!(other.weight.value(), model.weight.value());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A file is the length of its header (u64, little endian), the header (JSON, padded with spaces to 8 bytes), and the
//! numbers of all tensors in the order that the header says. PyTorch reads it with `safetensors.torch.load_file`.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};

use autograd::{MAX_RANK, Real, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

/// Numbers that are turned into bytes, or out of them, at once.
const PIECE: usize = 1 << 14;
/// A longer header is none: a hundred thousand tensors take a tenth of it.
const LONGEST_HEADER: u64 = 100 << 20;

/// Writes tensors in the order given, as `F32` or `F64`: the bytes of `safetensors::serialize`. `metadata` are words of your
/// own that go with them. The stream is flushed.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for two tensors of one name; what the stream says.
pub fn write<T: Real>(
    tensors: impl IntoIterator<Item = (impl Into<String>, impl Borrow<Tensor<T>>)>,
    metadata: Option<HashMap<String, String>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let (dtype, size) = if is_double::<T>() { (Dtype::F64, 8) } else { (Dtype::F32, 4) };
    let tensors: Vec<_> = tensors.into_iter().map(|(name, tensor)| (name.into(), tensor)).collect();
    let mut names = BTreeSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !names.insert(name)) {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("two tensors are called {name}")));
    }
    let mut end = 0;
    let info = tensors.iter().map(|(name, tensor)| {
        let (start, tensor) = (end, tensor.borrow());
        end += tensor.numel() * size;
        (name.clone(), TensorInfo { dtype, shape: tensor.dims().to_vec(), data_offsets: (start, end) })
    });
    let header = Metadata::new(metadata, info.collect()).expect("tensors follow each other");
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut bytes = Vec::with_capacity(PIECE * size);
    for piece in tensors.iter().flat_map(|(_, tensor)| tensor.borrow().data().chunks(PIECE)) {
        bytes.clear();
        match dtype {
            Dtype::F64 => bytes.extend(piece.iter().flat_map(|value| value.to_f64().to_le_bytes())),
            _ => bytes.extend(piece.iter().flat_map(|value| (value.to_f64() as f32).to_le_bytes())),
        }
        out.write_all(&bytes)?;
    }
    out.flush()
}

/// All tensors of a stream, from its beginning to its end.
///
/// # Errors
/// As [`Contents::open`] and [`Contents::read`].
pub fn read<T: Real>(file: impl Read + Seek) -> io::Result<BTreeMap<String, Tensor<T>>> {
    let mut file = file;
    let begin = file.stream_position()?;
    let bytes = file.seek(SeekFrom::End(0))? - begin;
    file.seek(SeekFrom::Start(begin))?;
    Contents::open(file, bytes)?.read(|name| Some(name.to_owned()))
}

/// A stream whose header was read.
#[derive(Debug)]
pub struct Contents<R> {
    file: R,
    header: Metadata,
    /// Where the numbers begin.
    start: u64,
}

impl<R: Read + Seek> Contents<R> {
    /// Reads the header of what takes the next `bytes` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] for what is no safetensors file, or does not have the length that its header says; what the
    /// stream says.
    pub fn open(mut file: R, bytes: u64) -> io::Result<Self> {
        let short = || invalid("is not a safetensors file: it ends within its header");
        let mut length = [0; size_of::<u64>()];
        if bytes < length.len() as u64 {
            return Err(short());
        }
        let begin = file.stream_position()?;
        file.read_exact(&mut length)?;
        let (behind, of_header) = (bytes - length.len() as u64, u64::from_le_bytes(length));
        if of_header > behind.min(LONGEST_HEADER) {
            return Err(short());
        }
        let mut header = vec![0; of_header as usize];
        file.read_exact(&mut header)?;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|error| invalid(&format!("is not a safetensors file: {error}")))?;
        if header.data_len() as u64 != behind - of_header {
            return Err(invalid("is not a safetensors file: its length is not that of its tensors"));
        }
        let start = begin + length.len() as u64 + of_header;
        Ok(Self { file, header, start })
    }

    /// What the header says beside the tensors.
    pub fn metadata(&self) -> Option<&HashMap<String, String>> {
        self.header.metadata().as_ref()
    }

    /// The tensors of `f32` or `f64` that `rename` gives a name, as `T`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidData`] for numbers of another type, too many axes or too large ones, by the tensor's name; what the stream says.
    pub fn read<T: Real>(
        &mut self,
        rename: impl Fn(&str) -> Option<String>,
    ) -> io::Result<BTreeMap<String, Tensor<T>>> {
        let mut tensors = BTreeMap::new();
        for name in self.header.offset_keys() {
            let Some(renamed) = rename(&name) else { continue };
            let info = self.header.info(&name).expect("it is one of the header's names");
            let (dtype, shape, offset) = (info.dtype, info.shape.clone(), info.data_offsets.0);
            if ![Dtype::F32, Dtype::F64].contains(&dtype) {
                return Err(invalid(&format!("holds {name} as {dtype:?}: convert it to F32")));
            }
            if shape.len() > MAX_RANK {
                let message = format!("holds {name} with {} axes: no layer has that", shape.len());
                return Err(invalid(&message));
            }
            // As `Shape` counts them: without those of 0.
            let numbers = shape.iter().filter(|d| **d != 0).try_fold(1usize, |n, d| n.checked_mul(*d));
            if numbers.is_none_or(|numbers| numbers > isize::MAX as usize / size_of::<f64>()) {
                return Err(invalid(&format!(
                    "holds {name} with shape {shape:?}, more than any memory holds"
                )));
            }
            self.file.seek(SeekFrom::Start(self.start + offset as u64))?;
            let mut tensor = Tensor::scratch(shape.as_slice());
            fill(tensor.data_mut(), dtype, &mut self.file)?;
            tensors.insert(renamed, tensor);
        }
        Ok(tensors)
    }
}

fn fill<T: Real>(values: &mut [T], dtype: Dtype, file: &mut impl Read) -> io::Result<()> {
    let size = if dtype == Dtype::F64 { 8 } else { 4 };
    let mut bytes = vec![0; PIECE.min(values.len()) * size];
    for values in values.chunks_mut(PIECE) {
        let bytes = &mut bytes[..values.len() * size];
        file.read_exact(bytes)?;
        if dtype == Dtype::F64 {
            let numbers = bytes.as_chunks().0.iter().map(|&b| T::from_f64(f64::from_le_bytes(b)));
            values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number);
        } else {
            let numbers = bytes.as_chunks().0.iter().map(|&b| T::from_f64(f32::from_le_bytes(b).into()));
            values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number);
        }
    }
    Ok(())
}

fn is_double<T: Real>() -> bool {
    size_of::<T>() == size_of::<f64>()
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, message)
}
