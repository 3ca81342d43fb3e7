//! NumPy's `.npy`: `[h, w]`, `[d, h, w]` or `[c, d, h, w]`, in C or Fortran order. There is no geometry in it: voxels
//! are taken as 1 mm wide.
//!
//! # Source
//! `numpy/lib/format.py`, versions 1 to 3.

use std::io::{BufRead, Read};
use std::path::Path;

use super::stream::{self, Compression, Stream};
use super::{Format, Header, Stored, layout};
use crate::{ByteOrder, Error, Result, VoxelType};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// NumPy itself reads no header beyond 10,000 bytes.
const LONGEST: u32 = 1 << 16;

pub(super) fn header(path: &Path) -> Result<Header> {
    let (mut reader, _) = stream::open(path)?;
    Ok(parse_start(path, &mut reader)?.header(Format::Npy))
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    let (reader, file_bytes) = stream::open(path)?;
    read_array(path, Format::Npy, reader, file_bytes)
}

/// Reads an array of at most `left` bytes.
pub(super) fn read_array(path: &Path, format: Format, mut reader: impl BufRead, left: u64) -> Result<Stored> {
    let array = parse_start(path, &mut reader)?;
    let header = array.header(format);
    let left = left.saturating_sub(array.start);
    let raw = Stream::new(path, reader, left, Compression::None).numbers(&array.shape, array.voxel_type)?;
    let lengths: Vec<usize> =
        if array.fortran { array.shape.clone() } else { array.shape.iter().rev().copied().collect() };
    let axes = 0..lengths.len();
    let order: Vec<usize> = if array.fortran { axes.rev().collect() } else { axes.collect() };
    let raw = layout::permute(raw, array.voxel_type.size(), &lengths, &order);
    Ok(Stored::new(path, header, raw, array.byte_order))
}

/// What an array's header says.
pub(super) struct Array {
    /// As NumPy counts.
    shape: Vec<usize>,
    voxel_type: VoxelType,
    byte_order: ByteOrder,
    fortran: bool,
    /// Bytes before the numbers.
    start: u64,
}

impl Array {
    /// The axes become x, y, z, c: NumPy's reversed.
    pub(super) fn header(&self, format: Format) -> Header {
        let shape = self.shape.iter().rev().copied().collect();
        Header::without_place(format, shape, self.voxel_type, self.byte_order)
    }
}

/// Reads and checks what comes before the numbers.
pub(super) fn parse_start(path: &Path, reader: &mut impl Read) -> Result<Array> {
    let mut fill = |bytes: &mut [u8]| {
        reader.read_exact(bytes).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::file(path, "ends inside the header; copy or export it again")
            }
            _ => Error::io(path)(e),
        })
    };
    let mut start = [0; 8];
    fill(&mut start)?;
    if &start[..6] != MAGIC {
        return Err(Error::file(path, "is not an .npy array: its magic is damaged; save it with numpy.save"));
    }
    let (length, prefix) = match start[6] {
        1 => {
            let mut bytes = [0; 2];
            fill(&mut bytes)?;
            (u32::from(u16::from_le_bytes(bytes)), 10)
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            fill(&mut bytes)?;
            (u32::from_le_bytes(bytes), 12)
        }
        other => {
            let message = format!(
                "has version {other} of the .npy format, where 1 to 3 are known; save it with numpy.save"
            );
            return Err(Error::file(path, message));
        }
    };
    if length > LONGEST {
        let message =
            format!("claims a header of {length} bytes, of at most {LONGEST}; save it with numpy.save");
        return Err(Error::file(path, message));
    }
    let mut text = vec![0; length as usize];
    fill(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let mut array = parse_dict(&text).map_err(|m| Error::file(path, m))?;
    array.start = prefix + u64::from(length);
    Ok(array)
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }`
fn parse_dict(text: &str) -> Result<Array, String> {
    let field = |key: &str| {
        let at = text.find(&format!("'{key}'")).or_else(|| text.find(&format!("\"{key}\"")));
        let rest = at.and_then(|at| text[at + key.len() + 2..].trim_start().strip_prefix(':'));
        rest.map(str::trim_start)
            .ok_or_else(|| format!("lacks the field \"{key}\" in its header; save it with numpy.save"))
    };
    let descr = field("descr")?;
    let quote = descr.chars().next().filter(|c| matches!(c, '\'' | '"'));
    let descr = quote
        .and_then(|q| descr[1..].split_once(q))
        .map(|(descr, _)| descr)
        .ok_or("has a field \"descr\" of several parts: records are not supported; save one plain array")?;
    let (voxel_type, byte_order) = parse_descr(descr)?;
    let order = field("fortran_order")?;
    let fortran = match (order.starts_with("True"), order.starts_with("False")) {
        (true, _) => true,
        (_, true) => false,
        _ => {
            return Err(
                "has a field \"fortran_order\" that is neither True nor False; save it with numpy.save"
                    .into(),
            );
        }
    };
    let shape_text = field("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let lengths = shape_text.and_then(|(inner, _)| {
        let words = inner.split(',').map(str::trim).filter(|word| !word.is_empty()).take(33);
        words.map(|word| word.trim_end_matches('L').parse().ok()).collect::<Option<Vec<usize>>>()
    });
    let shape =
        lengths.ok_or("has a field \"shape\" that is no tuple of lengths; save it with numpy.save")?;
    if !(2..=4).contains(&shape.len()) {
        return Err(format!(
            "has the field \"shape\" {shape:?}: [d, h, w] or [c, d, h, w] is needed; reshape the array"
        ));
    }
    layout::bytes(&shape, voxel_type.size())
        .map_err(|m| format!("has a field \"shape\" that cannot be: {m}"))?;
    Ok(Array { shape, voxel_type, byte_order, fortran, start: 0 })
}

/// Truth values are read as 0 and 1.
fn parse_descr(descr: &str) -> Result<(VoxelType, ByteOrder), String> {
    let order = match descr.as_bytes().first() {
        Some(b'>') => ByteOrder::Big,
        _ => ByteOrder::Little,
    };
    let kind = match descr.trim_start_matches(['<', '>', '|', '=']) {
        "u1" | "b1" => VoxelType::U8,
        "i1" => VoxelType::I8,
        "u2" => VoxelType::U16,
        "i2" => VoxelType::I16,
        "u4" => VoxelType::U32,
        "i4" => VoxelType::I32,
        "u8" => VoxelType::U64,
        "i8" => VoxelType::I64,
        "f4" => VoxelType::F32,
        "f8" => VoxelType::F64,
        _ => {
            return Err(format!(
                "has the field \"descr\" '{}', which is no plain number of 1 to 8 bytes; save it with .astype('float32')",
                descr.escape_debug()
            ));
        }
    };
    Ok((kind, order))
}
