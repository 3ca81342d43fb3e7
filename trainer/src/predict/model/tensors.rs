//! Named tensors in the layout of safetensors, a piece at a time: neither writing nor reading holds a file's bytes beside the
//! tensors.
//!
//! A file is the length of its header (u64, little endian), the header (JSON, padded with spaces to 8 bytes), and the
//! numbers of all tensors in the order that the header says.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use autograd::{MAX_RANK, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::{Error, Result};

/// Numbers that are turned into bytes, or out of them, at once.
const PIECE: usize = 1 << 14;
/// A longer header is none: a hundred thousand tensors take a tenth of it.
const LONGEST_HEADER: u64 = 100 << 20;

/// Named tensors, in PyTorch's layouts where they are weights.
pub type Tensors = BTreeMap<String, Tensor<f32>>;

/// Writes tensors in the order given: the bytes of `safetensors::serialize`.
pub(crate) fn write(
    tensors: Vec<(String, &Tensor<f32>)>,
    metadata: Option<HashMap<String, String>>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut end = 0;
    let info = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.numel() * size_of::<f32>();
        let shape = tensor.dims().to_vec();
        (name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) })
    });
    let header = Metadata::new(metadata, info.collect()).expect("tensors follow each other");
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut bytes = Vec::with_capacity(PIECE * size_of::<f32>());
    for piece in tensors.iter().flat_map(|(_, tensor)| tensor.data().chunks(PIECE)) {
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// A file whose header was read.
#[derive(Debug)]
pub(crate) struct Contents<R> {
    path: PathBuf,
    file: R,
    header: Metadata,
    /// Where the numbers begin.
    start: u64,
}

/// Reads the header of a file of `bytes` bytes, from its beginning. `path` is for messages.
///
/// # Errors
/// What is no safetensors file, or does not have the length that its header says.
pub(crate) fn open<R: Read + Seek>(path: &Path, mut file: R, bytes: u64) -> Result<Contents<R>> {
    let foreign = |e: String| Error::file(path, format!("is not a safetensors file: {e}"));
    let short = || foreign("it ends within its header".into());
    let mut length = [0; size_of::<u64>()];
    if bytes < length.len() as u64 {
        return Err(short());
    }
    let begin = file.stream_position().map_err(Error::io(path))?;
    file.read_exact(&mut length).map_err(Error::io(path))?;
    let (behind, of_header) = (bytes - length.len() as u64, u64::from_le_bytes(length));
    if of_header > behind.min(LONGEST_HEADER) {
        return Err(short());
    }
    let mut header = vec![0; of_header as usize];
    file.read_exact(&mut header).map_err(Error::io(path))?;
    let header: Metadata = serde_json::from_slice(&header).map_err(|e| foreign(e.to_string()))?;
    if header.data_len() as u64 != behind - of_header {
        return Err(foreign("its length is not that of its tensors".into()));
    }
    let start = begin + length.len() as u64 + of_header;
    Ok(Contents { path: path.to_path_buf(), file, header, start })
}

impl<R: Read + Seek> Contents<R> {
    /// What the header says beside the tensors.
    pub(crate) fn metadata(&self) -> Option<&HashMap<String, String>> {
        self.header.metadata().as_ref()
    }

    /// The tensors of `f32` or `f64` that `rename` gives a name, as `f32`.
    pub(crate) fn read(&mut self, rename: impl Fn(&str) -> Option<String>) -> Result<Tensors> {
        let mut tensors = Tensors::new();
        for name in self.header.offset_keys() {
            let Some(renamed) = rename(&name) else { continue };
            let info = self.header.info(&name).expect("it is one of the header's names");
            let (dtype, shape, offset) = (info.dtype, info.shape.clone(), info.data_offsets.0);
            if ![Dtype::F32, Dtype::F64].contains(&dtype) {
                let message = format!("holds {name} as {dtype:?}: convert it to F32");
                return Err(Error::file(&self.path, message));
            }
            if shape.len() > MAX_RANK {
                let message = format!("holds {name} with {} axes: no layer has that", shape.len());
                return Err(Error::file(&self.path, message));
            }
            let at = SeekFrom::Start(self.start + offset as u64);
            self.file.seek(at).map_err(Error::io(&self.path))?;
            let mut tensor = Tensor::scratch(shape.as_slice());
            fill(tensor.data_mut(), dtype, &mut self.file).map_err(Error::io(&self.path))?;
            tensors.insert(renamed, tensor);
        }
        Ok(tensors)
    }
}

fn fill(values: &mut [f32], dtype: Dtype, file: &mut impl Read) -> io::Result<()> {
    let size = if dtype == Dtype::F64 { size_of::<f64>() } else { size_of::<f32>() };
    let mut bytes = vec![0; PIECE.min(values.len()) * size];
    for values in values.chunks_mut(PIECE) {
        let bytes = &mut bytes[..values.len() * size];
        file.read_exact(bytes)?;
        if dtype == Dtype::F64 {
            let numbers = bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32);
            values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number);
        } else {
            let numbers = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
            values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number);
        }
    }
    Ok(())
}

/// What goes through a stream: how much, and its CRC-32C.
pub(crate) struct Summed<S> {
    stream: S,
    pub(crate) bytes: u64,
    pub(crate) sum: u32,
}

impl<S> Summed<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, bytes: 0, sum: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sum = crc32c::crc32c_append(self.sum, bytes);
    }
}

impl<S: Write> Write for Summed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes)?;
        self.add(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The CRC-32C of the next `bytes` bytes.
pub(crate) fn sum_of(stream: &mut impl Read, bytes: u64) -> io::Result<u32> {
    let mut summed = Summed::new(io::sink());
    let copied = io::copy(&mut stream.take(bytes), &mut summed)?;
    if copied == bytes { Ok(summed.sum) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
