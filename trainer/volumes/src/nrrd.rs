//! NRRD: a header of text, then the voxels (`.nrrd`) or the name of their file (`.nhdr`).
//!
//! Read are the encodings raw, gzip and text. Not read are bzip2 and hex, block and complex voxels, and volumes that are
//! spread over several files.
//!
//! # Source
//! <https://teem.sourceforge.net/nrrd/format.html>

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::stream::{self, Compression, Stream};
use super::text::{self, Fields};
use super::{Format, Header, Stored, layout, nrrd_axes};
use crate::{ByteOrder, Error, Result, VoxelType};

const DATA_FILE: &[&str] = &["data file", "datafile"];
const LINE_SKIP: &[&str] = &["line skip", "lineskip"];
const BYTE_SKIP: &[&str] = &["byte skip", "byteskip"];

pub(super) fn header(path: &Path) -> Result<Header> {
    Ok(Opened::new(path)?.header)
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    Opened::new(path)?.read()
}

/// The file of the voxels, where the header names one.
pub(super) fn detached(path: &Path) -> Option<PathBuf> {
    Opened::new(path).ok()?.data_file().ok()?
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Raw,
    Gzip,
    Text,
}

/// A file whose header has been read.
struct Opened<'a> {
    path: &'a Path,
    fields: Fields<'a>,
    header: Header,
    /// Lengths as they are stored, and which stored axis becomes which.
    lengths: Vec<usize>,
    order: Vec<usize>,
    encoding: Encoding,
    /// Behind the header.
    reader: BufReader<File>,
    left: u64,
}

impl<'a> Opened<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        let (mut reader, file_bytes) = stream::open(path)?;
        let start = reader.fill_buf().map_err(Error::io(path))?;
        if !start.starts_with(b"NRRD000") {
            return Err(Error::file(
                path,
                "is not an NRRD file: it does not begin with NRRD000; export it as NRRD again",
            ));
        }
        let lines = text::read_lines(path, &mut reader, str::is_empty)?;
        let mut fields = Fields::new(path);
        for line in lines.lines.iter().skip(1).filter(|line| !line.starts_with('#')) {
            // `key:=value` says nothing of the voxels.
            match line.split_once(": ").or_else(|| line.strip_suffix(':').map(|key| (key, ""))) {
                Some((key, value)) if !key.contains(":=") => fields.add(&key.to_ascii_lowercase(), value),
                _ => {}
            }
        }
        let axes = nrrd_axes::axes(&fields)?;
        let voxel_type = voxel_type(&fields)?;
        let encoding = encoding(&fields)?;
        let byte_order = match fields.get(&["endian"]) {
            Some(order) if order.eq_ignore_ascii_case("little") => ByteOrder::Little,
            Some(order) if order.eq_ignore_ascii_case("big") => ByteOrder::Big,
            Some(_) => return Err(fields.error(&["endian"], "it must be little or big; correct the header")),
            None if voxel_type.size() == 1 || encoding == Encoding::Text => ByteOrder::Little,
            None => {
                let message =
                    "lacks the field \"endian\", which numbers of several bytes need; add endian: little";
                return Err(Error::file(path, message));
            }
        };
        let header = Header {
            format: Format::Nrrd,
            shape: axes.shape,
            voxel_type,
            byte_order,
            scaling: None,
            spacing: axes.spacing,
            spacing_known: true,
            affine: axes.affine,
            place_known: axes.place_known,
            unit: axes.unit,
            notes: axes.notes,
            nifti: None,
        };
        let left = file_bytes - lines.bytes.min(file_bytes);
        Ok(Self { path, fields, header, lengths: axes.lengths, order: axes.order, encoding, reader, left })
    }

    fn read(mut self) -> Result<Stored> {
        let detached = self.data_file()?;
        let path = detached.as_deref().unwrap_or(self.path);
        if detached.is_some() {
            (self.reader, self.left) = stream::open(path)?;
        } else if self.left == 0 {
            let message = "ends behind its header: it holds no voxels and names no \"data file\"; copy or export it again";
            return Err(Error::file(path, message));
        }
        let line_skip: u64 = self.fields.number(LINE_SKIP, 0)?;
        for _ in 0..line_skip {
            let read = skip_line(&mut self.reader).map_err(Error::io(path))?;
            self.left -= read.min(self.left);
            if read == 0 {
                return Err(self.fields.error(LINE_SKIP, "the file has fewer lines; correct the header"));
            }
        }
        let kind = self.header.voxel_type;
        let byte_skip = self.byte_skip(path)?;
        let compression = if self.encoding == Encoding::Gzip { Compression::Gzip } else { Compression::None };
        let mut stream = Stream::new(path, self.reader, self.left, compression);
        stream.skip(byte_skip)?;
        let (raw, order) = match self.encoding {
            Encoding::Text => (stream.text(&self.lengths, kind)?, ByteOrder::Little),
            _ => (stream.numbers(&self.lengths, kind)?, self.header.byte_order),
        };
        let raw = layout::permute(raw, kind.size(), &self.lengths, &self.order);
        Ok(Stored::new(self.path, self.header, raw, order))
    }

    /// The file of the voxels, if it is one of its own.
    fn data_file(&self) -> Result<Option<PathBuf>> {
        match self.fields.get(DATA_FILE) {
            None => Ok(None),
            Some(name) if name.is_empty() || name.starts_with("LIST") || name.contains('%') => {
                let why = "voxels in several files are not supported; join them, or save it as one .nrrd";
                Err(self.fields.error(DATA_FILE, why))
            }
            Some(name) => self.fields.file(DATA_FILE, name).map(Some),
        }
    }

    /// Bytes before the voxels; for −1 the voxels are what the file ends with.
    fn byte_skip(&mut self, path: &Path) -> Result<u64> {
        match self.fields.number::<i64>(BYTE_SKIP, 0)? {
            -1 if self.encoding == Encoding::Raw => {
                let size = self.header.voxel_type.size();
                let wanted = layout::bytes(&self.lengths, size).map_err(|m| Error::file(path, m))?;
                // Where the file is too short nothing is left out, and reading says so.
                let ahead = self.left.saturating_sub(wanted);
                self.reader.seek(SeekFrom::Current(ahead as i64)).map_err(Error::io(path))?;
                self.left -= ahead;
                Ok(0)
            }
            skip => u64::try_from(skip).map_err(|_| {
                self.fields.error(
                    BYTE_SKIP,
                    "it must be 0 or more (or -1 with the encoding raw); correct the header",
                )
            }),
        }
    }
}

/// Leaves out one line, however long; gives its bytes.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<u64> {
    reader.skip_until(b'\n').map(|read| read as u64)
}

fn encoding(fields: &Fields) -> Result<Encoding> {
    match fields.needed(&["encoding"])?.to_ascii_lowercase().as_str() {
        "raw" => Ok(Encoding::Raw),
        "gzip" | "gz" => Ok(Encoding::Gzip),
        "text" | "txt" | "ascii" => Ok(Encoding::Text),
        _ => Err(fields.error(&["encoding"], "raw, gzip and text are supported; save it with gzip")),
    }
}

fn voxel_type(fields: &Fields) -> Result<VoxelType> {
    let kind = match fields.needed(&["type"])?.to_ascii_lowercase().as_str() {
        "signed char" | "int8" | "int8_t" => VoxelType::I8,
        "uchar" | "unsigned char" | "uint8" | "uint8_t" => VoxelType::U8,
        "short" | "short int" | "signed short" | "signed short int" | "int16" | "int16_t" => VoxelType::I16,
        "ushort" | "unsigned short" | "unsigned short int" | "uint16" | "uint16_t" => VoxelType::U16,
        "int" | "signed int" | "int32" | "int32_t" => VoxelType::I32,
        "uint" | "unsigned int" | "uint32" | "uint32_t" => VoxelType::U32,
        "longlong"
        | "long long"
        | "long long int"
        | "signed long long"
        | "signed long long int"
        | "int64"
        | "int64_t" => VoxelType::I64,
        "ulonglong" | "unsigned long long" | "unsigned long long int" | "uint64" | "uint64_t" => {
            VoxelType::U64
        }
        "float" => VoxelType::F32,
        "double" => VoxelType::F64,
        _ => {
            let why = "it must be a plain number such as uint8, short or float; save it as one of these";
            return Err(fields.error(&["type"], why));
        }
    };
    Ok(kind)
}
