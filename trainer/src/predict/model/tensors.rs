//! Files of named tensors: [`nn::state_dict`] with the file's name in each message, and the sums by which damage is found.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use autograd::Tensor;

use crate::Error;

/// Named tensors, in PyTorch's layouts where they are weights.
pub type Tensors = BTreeMap<String, Tensor<f32>>;

/// An error of [`nn::state_dict`]: what is wrong with a file, or with its reading.
pub(crate) fn error_of(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |error| match error.kind() {
        ErrorKind::InvalidData => Error::file(path, error.to_string()),
        _ => Error::io(path)(error),
    }
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
