//! The voxels of a page, as they are stored: by a decoder that is shown a directory made for it.
//!
//! The decoder turns values over where white is 0, refuses palettes, and knows nothing of pages of several slices or of
//! voxels behind the last page. So each part of a page is put before it as a file of one grey page: a header and a
//! directory of that part alone, and behind them the whole file, of which it reads the strips or tiles.
//! Voxels whose bits are no whole bytes are put before it as bytes, and unpacked here, the first in the highest bits.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use ::tiff::TiffError;
use ::tiff::decoder::{Decoder, Limits};

use super::directory::Directory;
use super::page::Page;
use crate::{ByteOrder, Error, Result};

/// Bytes of BigTIFF's header.
const HEADER: u64 = 16;

/// The order of bytes of what is appended: this machine's.
pub(super) const NATIVE: ByteOrder =
    if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little };

/// Appends the slices of a page to `raw`, in the order [`NATIVE`]; a strip or tile takes `most` bytes at most.
pub(super) fn append(file: &mut Directory<'_>, page: &Page, most: u64, raw: &mut Vec<u8>) -> Result<()> {
    let [offsets, counts] = [page.offsets, page.counts].map(|entry| file.numbers(entry));
    let (Some(offsets), Some(counts)) = (offsets?, counts?) else {
        return Err(file.damaged("it does not say where a page's strips or tiles lie"));
    };
    let tile_depth = page.tile.map_or(1, |[.., depth]| depth);
    let (chunks, slabs) = (page.chunks(), page.depth.div_ceil(tile_depth));
    if offsets.len() as u64 != chunks.saturating_mul(slabs) || offsets.len() != counts.len() {
        let message = format!(
            "a page of {} slice(s) names {} strips or tiles with {} lengths, where {chunks} a slice are needed",
            page.depth,
            offsets.len(),
            counts.len()
        );
        return Err(file.damaged(&message));
    }
    for slab in 0..slabs {
        let part = (slab * chunks) as usize..((slab + 1) * chunks) as usize;
        let (offsets, counts) = (&offsets[part.clone()], &counts[part]);
        let voxels = match page.tile {
            Some(tile) => {
                let slices = tile_depth.min(page.depth - slab * tile_depth);
                tiles(file, page, tile, slices, (offsets, counts), most)?
            }
            None => {
                let strips = [page.width, page.height, page.rows_per_strip];
                Part::new(page, strips, offsets, counts).decode(file, most)?
            }
        };
        unpack(&voxels, page, raw);
    }
    Ok(())
}

/// Appends a slice whose bytes lie one behind the other from `at` on.
pub(super) fn append_raw(file: &mut Directory<'_>, page: &Page, at: u64, raw: &mut Vec<u8>) -> Result<()> {
    let bytes = page.slice_bytes();
    let strip = [page.width, page.height, page.height];
    let voxels = Part::new(page, strip, &[at], &[bytes]).decode(file, bytes)?;
    unpack(&voxels, page, raw);
    Ok(())
}

/// The voxels, packed, of a layer of tiles that has so many slices of the page.
fn tiles(
    file: &mut Directory<'_>,
    page: &Page,
    [width, length, depth]: [u64; 3],
    slices: u64,
    (offsets, counts): (&[u64], &[u64]),
    most: u64,
) -> Result<Vec<u8>> {
    if !(width * page.bits).is_multiple_of(8) {
        let message = format!(
            "has tiles of {width} voxels of {} bits, which end within a byte; save it in strips",
            page.bits
        );
        return Err(Error::file(file.path, message));
    }
    let [row, tile_row] = [page.width, width].map(|width| page.row_bytes(width) as usize);
    let (length, height) = (length as usize, page.height as usize);
    let mut voxels = memory::filled(0, slices as usize * height * row);
    for (index, (offset, count)) in offsets.iter().zip(counts).enumerate() {
        let (x, y) = (index % row.div_ceil(tile_row) * tile_row, index / row.div_ceil(tile_row) * length);
        // Each as a strip: row by row, the decoder loses the end of what LZW packs.
        let rows = length as u64 * depth;
        let part =
            Part::new(page, [width, rows, rows], std::slice::from_ref(offset), std::slice::from_ref(count));
        let tile = part.decode(file, most)?;
        let wide = tile_row.min(row - x);
        for z in 0..slices as usize {
            for line in 0..length.min(height - y) {
                let to = ((z * height) + y + line) * row + x;
                let from = (z * length + line) * tile_row;
                voxels[to..to + wide].copy_from_slice(&tile[from..from + wide]);
            }
        }
    }
    Ok(voxels)
}

/// Where the slices of a page that is not compressed lie one behind the other, as far as the file goes: the first one's
/// place, and how many there are.
pub(super) fn run(file: &mut Directory<'_>, page: &Page) -> Result<Option<(u64, u64)>> {
    if page.compression != 1 || page.predictor != 1 || page.tile.is_some() || page.depth != 1 {
        return Ok(None);
    }
    let [offsets, counts] = [page.offsets, page.counts].map(|entry| file.numbers(entry));
    let (Some(offsets), Some(counts)) = (offsets?, counts?) else { return Ok(None) };
    let ends = offsets.iter().zip(&counts).map(|(at, bytes)| at.saturating_add(*bytes));
    let follow = ends.zip(offsets.iter().skip(1)).all(|(end, next)| end == *next);
    let is_one_slice =
        counts.iter().fold(0u64, |sum, bytes| sum.saturating_add(*bytes)) == page.slice_bytes();
    let Some(&start) = offsets.first() else { return Ok(None) };
    let slices = file.bytes.saturating_sub(start) / page.slice_bytes().max(1);
    Ok((follow && is_one_slice).then_some((start, slices)))
}

/// Strips as they are put before the decoder.
struct Part<'a> {
    offsets: &'a [u64],
    counts: &'a [u64],
    /// Numbers of `bits` bits.
    bits: u64,
    width: u64,
    height: u64,
    rows_per_strip: u64,
    format: u64,
    compression: u64,
    predictor: u64,
}

impl<'a> Part<'a> {
    fn new(
        page: &Page,
        [width, height, rows_per_strip]: [u64; 3],
        offsets: &'a [u64],
        counts: &'a [u64],
    ) -> Self {
        let is_packed = !matches!(page.bits, 8 | 16 | 32 | 64);
        let bits = if is_packed { 8 } else { page.bits };
        Self {
            offsets,
            counts,
            bits,
            width: page.row_bytes(width) * 8 / bits,
            height,
            rows_per_strip,
            format: if is_packed { 1 } else { page.format },
            compression: page.compression,
            predictor: page.predictor,
        }
    }

    fn row_bytes(&self) -> u64 {
        self.width * self.bits / 8
    }

    /// The numbers of all rows, in this machine's order of bytes.
    fn decode(&self, file: &mut Directory<'_>, most: u64) -> Result<Vec<u8>> {
        if let Some(at) = self.offsets.iter().find(|&&at| at >= file.bytes) {
            return Err(file.damaged(&format!("voxels lie at byte {at}, the file has {} bytes", file.bytes)));
        }
        let wanted = self.row_bytes().saturating_mul(self.height);
        if wanted > most {
            return Err(file.damaged(&format!("a page takes {wanted} bytes, the file has {most} at most")));
        }
        let front = self.directory(file);
        let path = file.path;
        let error = |e: TiffError| match e {
            TiffError::IoError(e)
                if e.kind() != io::ErrorKind::UnexpectedEof && e.raw_os_error().is_some() =>
            {
                Error::io(path)(e)
            }
            TiffError::UnsupportedError(e) => {
                let message = format!("cannot be decoded ({e}); save it as grey, with Deflate, LZW or none");
                Error::file(path, message)
            }
            e => {
                let message = format!("is no TIFF file or is damaged ({e}); copy or export it again");
                Error::file(path, message)
            }
        };
        let mut limits = Limits::default();
        let limit = usize::try_from(most.max(front.len() as u64)).unwrap_or(usize::MAX);
        (limits.decoding_buffer_size, limits.intermediate_buffer_size) = (limit, limit);
        limits.ifd_value_size = limit;
        let place = file.file.stream_position().map_err(Error::io(path))?;
        let view = View { front, file: &mut file.file, at: 0, place };
        let mut decoder = Decoder::new(view).map_err(error)?.with_limits(limits);
        let mut voxels = memory::filled(0, wanted as usize);
        decoder.read_image_bytes(&mut voxels).map_err(error)?;
        Ok(voxels)
    }

    /// A header and a directory that describes this part of the file, which follows.
    fn directory(&self, file: &Directory<'_>) -> Vec<u8> {
        let big = file.order == ByteOrder::Big;
        let u16s = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let u64s = |v: u64| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let one = |value: u64| vec![value];
        let tags: Vec<(u16, Vec<u64>)> = vec![
            (256, one(self.width)),
            (257, one(self.height)),
            (258, one(self.bits)),
            (259, one(self.compression)),
            (262, one(1)),
            (273, self.offsets.to_vec()),
            (277, one(1)),
            (278, one(self.rows_per_strip)),
            (279, self.counts.to_vec()),
            (317, one(self.predictor)),
            (339, one(self.format)),
        ];
        let lists = HEADER + 8 + 20 * tags.len() as u64 + 8;
        let length = lists + 8 * tags.iter().map(|(_, values)| values.len() as u64).sum::<u64>();
        let mut front = if big { b"MM".to_vec() } else { b"II".to_vec() };
        front.extend([43, 8, 0].map(u16s).concat());
        front.extend(u64s(HEADER));
        front.extend(u64s(tags.len() as u64));
        let mut listed: Vec<u8> = Vec::new();
        for (tag, values) in tags {
            // Places in the file are places behind this.
            let moved = if tag == 273 { length } else { 0 };
            front.extend([u16s(tag), u16s(16)].concat());
            front.extend(u64s(values.len() as u64));
            let bytes = values.iter().flat_map(|value| u64s(value + moved));
            if values.len() == 1 {
                front.extend(bytes);
            } else {
                front.extend(u64s(lists + listed.len() as u64));
                listed.extend(bytes);
            }
        }
        front.extend([0; 8]);
        front.extend(listed);
        front.resize(length as usize, 0);
        front
    }
}

/// Appends the numbers of rows, in this machine's order of bytes.
fn unpack(voxels: &[u8], page: &Page, raw: &mut Vec<u8>) {
    match (page.bits, page.format) {
        (16, 3) => {
            let halves = voxels.chunks_exact(2).map(|half| u16::from_ne_bytes([half[0], half[1]]));
            raw.extend(halves.flat_map(|half| widened(half).to_ne_bytes()));
        }
        (8 | 16 | 32 | 64, _) => raw.extend_from_slice(voxels),
        (bits, _) => {
            let rows = voxels.chunks_exact(page.row_bytes(page.width) as usize);
            rows.for_each(|row| unpack_bits(row, page.width as usize, bits as usize, raw));
        }
    }
}

/// Appends the numbers of a row that begins a byte, as bytes or pairs of them.
fn unpack_bits(row: &[u8], width: usize, bits: usize, raw: &mut Vec<u8>) {
    for x in 0..width {
        let value = (x * bits..(x + 1) * bits)
            .fold(0u16, |value, bit| value << 1 | u16::from(row[bit / 8] >> (7 - bit % 8) & 1));
        match bits {
            0..=8 => raw.push(value as u8),
            _ => raw.extend(value.to_ne_bytes()),
        }
    }
}

/// The number that 16 bits of IEEE 754 stand for.
fn widened(half: u16) -> f32 {
    let (exponent, fraction) = (half >> 10 & 31, f32::from(half & 1023) / 1024.0);
    let size = match exponent {
        0 => fraction * 2f32.powi(-14),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction) * 2f32.powi(i32::from(exponent) - 15),
    };
    if half >> 15 == 1 { -size } else { size }
}

/// A header and a directory, and then a file.
struct View<'a> {
    front: Vec<u8>,
    file: &'a mut BufReader<File>,
    at: u64,
    /// Where the file itself stands.
    place: u64,
}

impl Read for View<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.at.checked_sub(self.front.len() as u64) {
            None => (&self.front[self.at as usize..]).read(buffer)?,
            Some(at) => {
                self.file.seek_relative(at as i64 - self.place as i64)?;
                self.place = at;
                let read = self.file.read(buffer)?;
                self.place += read as u64;
                read
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for View<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            // The decoder has no need of the end.
            SeekFrom::End(_) => None,
        };
        self.at = to.filter(|&at| at <= i64::MAX as u64).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
