//! Voxels out of a file: memory is taken only for what the file can hold, compressed or not.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::layout;
use crate::files::{open_plain, reach_checksum, refuse_stand_in};
use crate::gzip::Gunzip;
use crate::{ByteOrder, Error, Result, Voxel, VoxelType};

/// Deflate expands no byte to more than this (zlib's technical notes: 1032:1).
pub(super) const MOST_EXPANSION: u64 = 1032;
/// The longest number in text: f64 needs 24 characters, or some 310 without an exponent.
const LONGEST_NUMBER: usize = 400;

/// How a file's voxels are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compression {
    None,
    Gzip,
    Zlib,
}

/// A file that is there, with its length.
///
/// # Errors
/// What is no plain file, or is empty.
pub(super) fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let (file, length) = open_plain(path)?;
    if length == 0 {
        return Err(Error::file(path, "is empty (0 bytes); copy or export it again"));
    }
    let mut file = BufReader::with_capacity(1 << 16, file);
    refuse_stand_in(path, &mut file)?;
    Ok((file, length))
}

/// What remains of a file, its compression taken off.
pub(super) struct Stream<'a> {
    path: &'a Path,
    reader: Box<dyn Read + 'a>,
    /// Bytes that can come at most.
    most: u64,
    /// Bytes that remain in the file.
    left: u64,
    compression: Compression,
}

impl<'a> Stream<'a> {
    /// `left` bytes of the file remain in `reader`.
    pub(super) fn new(
        path: &'a Path,
        reader: impl std::io::BufRead + 'a,
        left: u64,
        compression: Compression,
    ) -> Self {
        let (reader, most): (Box<dyn Read + 'a>, u64) = match compression {
            Compression::None => (Box::new(reader), left),
            Compression::Gzip => (Box::new(Gunzip::new(reader)), left.saturating_mul(MOST_EXPANSION)),
            Compression::Zlib => (Box::new(ZlibDecoder::new(reader)), left.saturating_mul(MOST_EXPANSION)),
        };
        Self { path, reader, most, left, compression }
    }

    /// The next bytes; `short` is said of a file that ends before.
    pub(super) fn fill(&mut self, bytes: &mut [u8], short: &str) -> Result<()> {
        let (mut done, wanted) = (0, bytes.len());
        // `read_exact` would not tell the end of the file from a compressed stream that is cut.
        while done < wanted {
            match self.reader.read(&mut bytes[done..]) {
                Ok(0) => return Err(Error::file(self.path, short)),
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(broken(self.path, self.compression, e)),
            }
        }
        self.most = self.most.saturating_sub(wanted as u64);
        Ok(())
    }

    /// Leaves out `bytes`.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<()> {
        let short = |most| {
            Error::file(
                self.path,
                format!(
                    "is too short: the voxels begin {bytes} bytes behind the header, the file has {most} there; copy or export it again"
                ),
            )
        };
        if bytes > self.most {
            return Err(short(self.most));
        }
        let skipped = std::io::copy(&mut (&mut self.reader).take(bytes), &mut std::io::sink());
        let skipped = skipped.map_err(|e| broken(self.path, self.compression, e))?;
        self.most -= skipped;
        if skipped < bytes { Err(short(skipped)) } else { Ok(()) }
    }

    /// The numbers of a volume of `shape`, as bytes.
    pub(super) fn numbers(&mut self, shape: &[usize], kind: VoxelType) -> Result<Vec<u8>> {
        let wanted = layout::bytes(shape, kind.size()).map_err(|m| Error::file(self.path, m))?;
        if wanted > self.most {
            return Err(self.too_short(shape, kind, wanted, self.most));
        }
        // A compressed file is believed as far as it goes: the buffer grows with what arrives.
        let first = match self.compression {
            Compression::None => wanted,
            _ => wanted.min(self.left.saturating_mul(4)),
        };
        let mut raw = memory::with_capacity(first as usize);
        let read = (&mut self.reader).take(wanted).read_to_end(&mut raw);
        read.map_err(|e| broken(self.path, self.compression, e))?;
        if (raw.len() as u64) < wanted {
            return Err(self.too_short(shape, kind, wanted, raw.len() as u64));
        }
        if self.compression != Compression::None {
            reach_checksum(&mut self.reader).map_err(|e| broken(self.path, self.compression, e))?;
        }
        Ok(raw)
    }

    /// The numbers of a volume of `shape` that are written as text, as little-endian bytes.
    pub(super) fn text(&mut self, shape: &[usize], kind: VoxelType) -> Result<Vec<u8>> {
        let wanted = layout::bytes(shape, 1).map_err(|m| Error::file(self.path, m))?;
        // A digit and a blank each, but for the last.
        if wanted > self.left / 2 + 1 {
            let message = format!(
                "is too short: shape {shape:?} takes {wanted} numbers, the file has {} bytes of text; copy or export it again",
                self.left
            );
            return Err(Error::file(self.path, message));
        }
        let mut raw = memory::with_capacity(wanted as usize * kind.size());
        let mut tokens = Tokens { bytes: BufReader::new(&mut self.reader).bytes() };
        for index in 0..wanted {
            let token = tokens.next().map_err(Error::io(self.path))?;
            if token.is_empty() {
                let message = format!(
                    "is too short: shape {shape:?} takes {wanted} numbers, the file has {index}; copy or export it again"
                );
                return Err(Error::file(self.path, message));
            }
            if !append_parsed(&token, kind, &mut raw) {
                let message = format!(
                    "number {index} of the voxels is \"{}\", which is no {}; export it again",
                    token.escape_debug(),
                    kind.name()
                );
                return Err(Error::file(self.path, message));
            }
        }
        Ok(raw)
    }

    fn too_short(&self, shape: &[usize], kind: VoxelType, wanted: u64, there: u64) -> Error {
        let what = match self.compression {
            Compression::None => "",
            _ => " at most once expanded",
        };
        let message = format!(
            "is too short: shape {shape:?} of {} takes {wanted} bytes, the file has {there}{what}; copy or export it again",
            kind.name()
        );
        Error::file(self.path, message)
    }
}

fn broken(path: &Path, compression: Compression, error: std::io::Error) -> Error {
    match compression {
        Compression::None => Error::io(path)(error),
        // The voxels outgrew what was left; nothing is wrong with the file.
        _ if error.kind() == std::io::ErrorKind::OutOfMemory => Error::io(path)(error),
        Compression::Gzip | Compression::Zlib => {
            let what = if compression == Compression::Gzip { "gzip" } else { "zlib" };
            let message =
                format!("the {what} stream is cut or damaged ({error}); copy or export the file again");
            Error::file(path, message)
        }
    }
}

/// Words between blanks.
struct Tokens<R> {
    bytes: std::io::Bytes<R>,
}

impl<R: Read> Tokens<R> {
    /// The next word, cut where it is too long for a number; empty at the end.
    fn next(&mut self) -> std::io::Result<String> {
        let mut word = Vec::new();
        for byte in self.bytes.by_ref() {
            let byte = byte?;
            if !byte.is_ascii_whitespace() && byte != b',' {
                word.push(byte);
                if word.len() == LONGEST_NUMBER {
                    break;
                }
            } else if !word.is_empty() {
                break;
            }
        }
        Ok(String::from_utf8_lossy(&word).into_owned())
    }
}

/// Appends one number in little-endian bytes; `false` where the text is none of that type.
fn append_parsed(text: &str, kind: VoxelType, out: &mut Vec<u8>) -> bool {
    fn put<V: Voxel + std::str::FromStr>(text: &str, out: &mut Vec<u8>) -> bool {
        text.parse::<V>().map(|value| value.append_bytes(ByteOrder::Little, out)).is_ok()
    }
    match kind {
        VoxelType::U8 => put::<u8>(text, out),
        VoxelType::I8 => put::<i8>(text, out),
        VoxelType::U16 => put::<u16>(text, out),
        VoxelType::I16 => put::<i16>(text, out),
        VoxelType::U32 => put::<u32>(text, out),
        VoxelType::I32 => put::<i32>(text, out),
        VoxelType::U64 => put::<u64>(text, out),
        VoxelType::I64 => put::<i64>(text, out),
        VoxelType::F32 => put::<f32>(text, out),
        VoxelType::F64 => put::<f64>(text, out),
    }
}
