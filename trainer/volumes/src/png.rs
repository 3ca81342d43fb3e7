//! Slices as PNG, grey of 1 to 16 bits or with a palette: one, or a folder of them in natural order (2 before 10). Slices
//! lie along z, rows along y. There is no geometry in them: voxels are taken as 1 mm wide.
//!
//! Numbers are taken as they are stored: neither gamma nor transparency alters them, and of a palette the indices count,
//! which are the classes of a mask.

use std::cmp::Ordering;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use ::png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Reader, Transformations};

use super::stream::{self, MOST_EXPANSION};
use super::{Format, Header, PALETTE, Stored, dicom_instead, layout};
use crate::{ByteOrder, Error, Result, VoxelType};

/// What a decoder needs beside the rows.
const ROOM: usize = 1 << 20;

pub(super) fn header(path: &Path) -> Result<Header> {
    let slices = slices(path)?;
    let first = open(&slices[0])?;
    let kind = voxel_type(&first);
    for slice in &slices[1..] {
        check_alike(&slices[0], &first, slice)?;
    }
    let (width, height) = first.info().size();
    let shape = vec![width as usize, height as usize, slices.len()];
    layout::bytes(&shape, kind.size()).map_err(|m| Error::file(path, m))?;
    let is_palette = first.info().color_type == ColorType::Indexed;
    let mut notes: Vec<String> = is_palette.then(|| PALETTE.to_owned()).into_iter().collect();
    notes.extend(uneven(&slices));
    let byte_order = if kind == VoxelType::U16 { ByteOrder::Big } else { ByteOrder::Little };
    Ok(Header { notes, ..Header::without_place(Format::Png, shape, kind, byte_order) })
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    // Every slice's size is checked before memory is taken for all of them.
    let header = header(path)?;
    let mut raw = memory::with_capacity(header.len() * header.voxel_type.size());
    for slice in slices(path)? {
        append(&slice, &header, &mut raw)?;
    }
    let wanted = header.len() * header.voxel_type.size();
    if raw.len() != wanted {
        return Err(Error::file(path, "changed while it was read; read it again"));
    }
    Ok(Stored::new(path, header, raw, ByteOrder::Big))
}

/// The number of each slice, the last in its name; `None` where one has none, or there is no folder of slices.
fn numbers(slices: &[PathBuf]) -> Option<Vec<u64>> {
    let number = |path: &PathBuf| {
        let stem = path.file_stem()?.to_str()?;
        let end = stem.rfind(|c: char| c.is_ascii_digit())? + 1;
        let start = stem[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
        // A separator of several bytes ends behind its first.
        stem.get(start..end).and_then(|digits| digits.parse().ok())
    };
    slices.iter().map(number).collect()
}

/// Says of slices whose numbers leave some out, or occur twice, that they are taken as neighbours.
fn uneven(slices: &[PathBuf]) -> Option<String> {
    let numbers = numbers(slices)?;
    let step = |pair: &[u64]| pair[1].wrapping_sub(pair[0]);
    let usual = numbers.windows(2).map(step).min()?;
    let odd = numbers.windows(2).find(|pair| step(pair) != usual || usual == 0)?;
    Some(format!("slice {} follows slice {}: they are taken as neighbours", odd[1], odd[0]))
}

/// The numbers of the slices of two folders, where they differ though there are equally many: then the slices that are
/// missing are not the same ones. Whether they are counted from 0 or from 1 does not matter.
pub fn other_slices(a: &Path, b: &Path) -> Option<[Vec<u64>; 2]> {
    let of = |path: &Path| numbers(&slices(path).ok().filter(|_| path.is_dir())?);
    let [a, b] = [of(a)?, of(b)?];
    let from_first = |all: &[u64]| all.iter().map(|n| n.wrapping_sub(all[0])).collect::<Vec<u64>>();
    (a.len() == b.len() && from_first(&a) != from_first(&b)).then_some([a, b])
}

/// The files, in order.
fn slices(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
        let name = entry.map_err(Error::io(path))?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name.to_ascii_lowercase().ends_with(".png") {
            names.push(name);
        }
    }
    if names.is_empty() {
        let message = dicom_instead(path)
            .unwrap_or("holds no PNG slices; name a volume's file, or a folder of .png files".into());
        return Err(Error::file(path, message));
    }
    names.sort_by(|a, b| natural(a, b));
    Ok(names.into_iter().map(|name| path.join(name)).collect())
}

type Slice = Reader<BufReader<File>>;

/// Opens a slice whose voxels the file can hold.
fn open(path: &Path) -> Result<Slice> {
    let (file, file_bytes) = stream::open(path)?;
    let most = file_bytes.saturating_mul(MOST_EXPANSION);
    let limits = Limits { bytes: ROOM.saturating_add(usize::try_from(most).unwrap_or(usize::MAX)) };
    let mut decoder = Decoder::new_with_limits(file, limits);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let reader = decoder.read_info().map_err(|e| damaged(path, &e))?;
    let info = reader.info();
    if !matches!(info.color_type, ColorType::Grayscale | ColorType::Indexed) {
        let message =
            format!("has colours ({:?}), where grey is needed; save it as 8 or 16 bit grey", info.color_type);
        return Err(Error::file(path, message));
    }
    let wanted = reader.output_buffer_size().map_or(u64::MAX, |bytes| bytes as u64);
    if wanted > most {
        let message = format!(
            "is too short: {} x {} pixels take {wanted} bytes, the file has {most} at most once expanded; copy or export it again",
            info.width, info.height
        );
        return Err(Error::file(path, message));
    }
    Ok(reader)
}

fn voxel_type(slice: &Slice) -> VoxelType {
    if slice.info().bit_depth == BitDepth::Sixteen { VoxelType::U16 } else { VoxelType::U8 }
}

fn check_alike(first_path: &Path, first: &Slice, path: &Path) -> Result<()> {
    let other = open(path)?;
    let facts = |slice: &Slice| {
        let info = slice.info();
        (info.width, info.height, info.bit_depth, info.color_type)
    };
    let (this, that) = (facts(&other), facts(first));
    if this == that {
        return Ok(());
    }
    let told = |(w, h, bits, colour): (u32, u32, BitDepth, ColorType)| {
        let palette = if colour == ColorType::Indexed { " with a palette" } else { "" };
        (format!("{w} x {h}"), format!("{} bit{palette}", bits as u8))
    };
    let ((size, bits), (size0, bits0)) = (told(this), told(that));
    let message = format!(
        "has {size} pixels of {bits}, but {} has {size0} of {bits0}; all slices of a folder must be alike",
        first_path.display()
    );
    Err(Error::file(path, message))
}

/// Appends a slice's numbers: big-endian, a byte or two each.
fn append(path: &Path, header: &Header, raw: &mut Vec<u8>) -> Result<()> {
    let mut reader = open(path)?;
    let (width, height) = reader.info().size();
    if [width as usize, height as usize] != header.shape[..2] || voxel_type(&reader) != header.voxel_type {
        return Err(Error::file(path, "changed while it was read; read it again"));
    }
    let bits = reader.info().bit_depth as usize;
    let mut bytes = memory::filled(0, reader.output_buffer_size().unwrap_or(0));
    let frame = reader.next_frame(&mut bytes).map_err(|e| damaged(path, &e))?;
    if bits >= 8 {
        raw.extend_from_slice(&bytes);
        return Ok(());
    }
    // Several pixels a byte, the first in the highest bits; each row begins a byte.
    for row in bytes.chunks_exact(frame.line_size.max(1)) {
        let pixels = (0..width as usize).map(|x| {
            let shift = 8 - bits - x * bits % 8;
            row[x * bits / 8] >> shift & ((1 << bits) - 1)
        });
        raw.extend(pixels);
    }
    Ok(())
}

fn damaged(path: &Path, error: &DecodingError) -> Error {
    Error::file(path, format!("is no PNG file or is damaged ({error}); copy or export it again"))
}

/// Compares names with the numbers in them as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (digits, others) = (digits(left), digits(right));
        if digits > 0 && others > 0 {
            let (x, y) = (left[..digits].trim_start_matches('0'), right[..others].trim_start_matches('0'));
            match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                Ordering::Equal => (left, right) = (&left[digits..], &right[others..]),
                other => return other,
            }
            continue;
        }
        match (left.chars().next(), right.chars().next()) {
            (Some(x), Some(y)) if x == y => {
                (left, right) = (&left[x.len_utf8()..], &right[y.len_utf8()..]);
            }
            (None, None) => return a.cmp(b),
            (x, y) => return x.cmp(&y),
        }
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_ordered_as_numbers() {
        let mut names = ["s10.png", "s9.png", "a.png", "s009b.png", "s1.png", "s.png"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["a.png", "s.png", "s1.png", "s9.png", "s009b.png", "s10.png"]);
    }
}
