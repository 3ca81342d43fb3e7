//! Named tensors in the layout of safetensors, a piece at a time: neither writing nor reading holds a file's bytes beside the
//! tensors.
//!
//! A file is the length of its header (u64, little endian), the header (JSON, padded with spaces to 8 bytes), and the
//! numbers of all tensors in the order that the header says.

use std::io::{self, Read, Write};
use std::path::Path;

use autograd::{MAX_RANK, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use super::Tensors;
use crate::{Error, Result};

/// Numbers that are turned into bytes, or out of them, at once.
const PIECE: usize = 1 << 14;
/// A longer header is none: a hundred thousand tensors take a tenth of it.
const LONGEST_HEADER: u64 = 100 << 20;

/// Writes what [`read`] reads: the bytes of `safetensors::serialize`.
pub(crate) fn write(tensors: &Tensors, out: &mut impl Write) -> io::Result<()> {
    let mut end = 0;
    let info = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.numel() * size_of::<f32>();
        let shape = tensor.dims().to_vec();
        (name.clone(), TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) })
    });
    let header = Metadata::new(None, info.collect()).expect("tensors follow each other");
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    let mut bytes = Vec::with_capacity(PIECE * size_of::<f32>());
    for piece in tensors.values().flat_map(|tensor| tensor.data().chunks(PIECE)) {
        bytes.clear();
        bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Reads tensors of `f32` or `f64` from `bytes` bytes, as `f32`. `path` is for messages.
pub(crate) fn read(path: &Path, file: &mut impl Read, bytes: u64) -> Result<Tensors> {
    let foreign = |e: String| Error::file(path, format!("is not a safetensors file: {e}"));
    let short = || foreign("it ends within its header".into());
    let mut length = [0; size_of::<u64>()];
    if bytes < length.len() as u64 {
        return Err(short());
    }
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
    let tensor = |name: String| {
        let TensorInfo { dtype, shape, .. } = header.info(&name).expect("it is one of the header's names");
        if ![Dtype::F32, Dtype::F64].contains(dtype) {
            return Err(Error::file(path, format!("holds {name} as {dtype:?}: convert it to F32")));
        }
        if shape.len() > MAX_RANK {
            let message = format!("holds {name} with {} axes: no layer has that", shape.len());
            return Err(Error::file(path, message));
        }
        let mut tensor = Tensor::scratch(shape.as_slice());
        fill(tensor.data_mut(), *dtype, file).map_err(Error::io(path))?;
        Ok((name, tensor))
    };
    header.offset_keys().into_iter().map(tensor).collect()
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
