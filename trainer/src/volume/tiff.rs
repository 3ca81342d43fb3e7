//! TIFF stacks: grey pages of one size, a page a slice along z; whole numbers of 8 to 64 bits and floats of 32 and 64,
//! raw, deflated, LZW or PackBits. Pages that are marked as smaller copies are left out.
//!
//! ImageJ's stacks say in the first page's description how pages are channels, slices and times, the channel fastest.
//!
//! Geometry is not read: TIFF's resolution is one of print. Voxels are taken as 1 mm wide.

use super::stream;
use super::tiff_guard;
use super::{Format, Header, Stored, geometry, layout};
use crate::nifti::{ByteOrder, Voxel, VoxelType};
use crate::{Error, Result};
use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::Path;

type Pages = Decoder<BufReader<File>>;

pub(super) fn header(path: &Path) -> Result<Header> {
    Ok(Opened::new(path)?.header)
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    let Opened { mut pages, header, slices, stack } = Opened::new(path)?;
    let size = header.voxel_type.size();
    let mut raw = Vec::with_capacity(header.len() * size);
    for index in &slices {
        pages.seek_to_image(*index).map_err(|e| damaged(path, &e))?;
        append(&pages.read_image().map_err(|e| damaged(path, &e))?, &mut raw);
    }
    if raw.len() != header.len() * size {
        return Err(Error::file(path, "holds fewer voxels than its pages name; export it again"));
    }
    let lengths = [&header.shape[..2], &stack].concat();
    let raw = layout::permute(raw, size, &lengths, &[0, 1, 3, 4, 2]);
    Ok(Stored::new(path, header, raw, ByteOrder::Little))
}

/// A file whose pages have been looked at.
struct Opened {
    pages: Pages,
    header: Header,
    /// The pages that are slices.
    slices: Vec<usize>,
    /// Channels, slices and times; multiplied they are all pages.
    stack: [usize; 3],
}

impl Opened {
    fn new(path: &Path) -> Result<Self> {
        let (mut file, file_bytes) = stream::open(path)?;
        let most = tiff_guard::check(path, &mut file, file_bytes)?;
        file.seek(SeekFrom::Start(0)).map_err(Error::io(path))?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut limits = Limits::default();
        limits.decoding_buffer_size = most;
        limits.intermediate_buffer_size = most;
        let mut pages = Decoder::new(file).map_err(|e| damaged(path, &e))?.with_limits(limits);
        let description = pages.get_tag_ascii_string(Tag::ImageDescription).unwrap_or_default();
        let (page, slices) = walk(path, &mut pages)?;
        let stack = stack(path, &description, slices.len())?;
        let [channels, depth, times] = stack;
        let mut shape = vec![page.width, page.height, depth];
        shape.extend([times, channels].into_iter().filter(|&n| n > 1));
        let wanted = layout::bytes(&shape, page.kind.size()).map_err(|m| Error::file(path, m))?;
        if wanted > most as u64 {
            let message = format!(
                "is too short: shape {shape:?} of {} takes {wanted} bytes, the file has {most} at most; copy or export it again",
                page.kind.name()
            );
            return Err(Error::file(path, message));
        }
        let byte_order = match pages.byte_order() {
            ::tiff::tags::ByteOrder::LittleEndian => ByteOrder::Little,
            ::tiff::tags::ByteOrder::BigEndian => ByteOrder::Big,
        };
        let header = Header {
            format: Format::Tiff,
            shape,
            voxel_type: page.kind,
            byte_order,
            scaling: None,
            spacing: [1.0; 3],
            affine: geometry::IDENTITY,
        };
        Ok(Self { pages, header, slices, stack })
    }
}

/// What all pages are, and which of them are slices.
fn walk(path: &Path, pages: &mut Pages) -> Result<(Page, Vec<usize>)> {
    let (mut first, mut slices) = (None, Vec::new());
    for index in 0.. {
        if let Some(page) = facts(path, index, pages)? {
            let first = first.get_or_insert(page);
            if *first != page {
                let message =
                    format!("page {index} is {page}, but the first is {first}; all pages must be alike");
                return Err(Error::file(path, message));
            }
            slices.push(index);
        }
        if !pages.more_images() {
            break;
        }
        pages.next_image().map_err(|e| damaged(path, &e))?;
    }
    match first {
        Some(page) => Ok((page, slices)),
        None => Err(Error::file(path, "holds smaller copies of an image alone; export it again")),
    }
}

/// Channels, slices and times of a file of so many pages.
fn stack(path: &Path, description: &str, pages: usize) -> Result<[usize; 3]> {
    if !description.starts_with("ImageJ=") {
        return Ok([1, pages, 1]);
    }
    let number = |key: &str| {
        let line = description.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.and_then(|value| value.trim().parse::<usize>().ok())
    };
    let images = number("images").unwrap_or(1);
    if images != pages {
        // Beyond 4 GiB ImageJ writes one page, and all other voxels behind its own.
        let message = format!(
            "is an ImageJ stack of images={images}, but has {pages} page(s); save it as an image sequence, or by Bio-Formats as OME-TIFF"
        );
        return Err(Error::file(path, message));
    }
    let [channels, slices, frames] = ["channels", "slices", "frames"].map(|key| number(key).unwrap_or(1));
    match channels.checked_mul(slices).and_then(|n| n.checked_mul(frames)) {
        Some(all) if all == pages => Ok([channels, slices, frames]),
        _ => Ok([1, pages, 1]),
    }
}

/// What a page is.
#[derive(Clone, Copy, PartialEq)]
struct Page {
    width: usize,
    height: usize,
    kind: VoxelType,
}

impl std::fmt::Display for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} x {} {}", self.width, self.height, self.kind.name())
    }
}

/// The current page; `None` where it is a smaller copy of another one.
fn facts(path: &Path, index: usize, pages: &mut Pages) -> Result<Option<Page>> {
    let mut tag = |tag, default: u64| -> Result<u64> {
        Ok(pages.find_tag_unsigned(tag).map_err(|e| damaged(path, &e))?.unwrap_or(default))
    };
    if tag(Tag::NewSubfileType, 0)? & 1 != 0 {
        return Ok(None);
    }
    let format = tag(Tag::SampleFormat, 1)?;
    let bits = match pages.colortype().map_err(|e| damaged(path, &e))? {
        ColorType::Gray(bits) => bits,
        other => {
            let message =
                format!("page {index} has colours ({other:?}), where grey is needed; save it as grey");
            return Err(Error::file(path, message));
        }
    };
    let kind = match (format, bits) {
        (1, 8) => VoxelType::U8,
        (1, 16) => VoxelType::U16,
        (1, 32) => VoxelType::U32,
        (1, 64) => VoxelType::U64,
        (2, 8) => VoxelType::I8,
        (2, 16) => VoxelType::I16,
        (2, 32) => VoxelType::I32,
        (2, 64) => VoxelType::I64,
        (3, 32) => VoxelType::F32,
        (3, 64) => VoxelType::F64,
        _ => {
            let message = format!(
                "page {index} has {bits} bits a voxel of sample format {format}, which are not supported; save it with 8, 16 or 32 bits"
            );
            return Err(Error::file(path, message));
        }
    };
    let (width, height) = pages.dimensions().map_err(|e| damaged(path, &e))?;
    Ok(Some(Page { width: width as usize, height: height as usize, kind }))
}

/// Appends a page's numbers, little-endian.
fn append(page: &DecodingResult, raw: &mut Vec<u8>) {
    fn put<V: Voxel>(values: &[V], raw: &mut Vec<u8>) {
        for value in values {
            value.append_bytes(ByteOrder::Little, raw);
        }
    }
    match page {
        DecodingResult::U8(values) => put(values, raw),
        DecodingResult::U16(values) => put(values, raw),
        DecodingResult::U32(values) => put(values, raw),
        DecodingResult::U64(values) => put(values, raw),
        DecodingResult::I8(values) => put(values, raw),
        DecodingResult::I16(values) => put(values, raw),
        DecodingResult::I32(values) => put(values, raw),
        DecodingResult::I64(values) => put(values, raw),
        DecodingResult::F32(values) => put(values, raw),
        DecodingResult::F64(values) => put(values, raw),
        // Refused by `facts`.
        DecodingResult::F16(_) => {}
    }
}

fn damaged(path: &Path, error: &TiffError) -> Error {
    Error::file(path, format!("is no TIFF file or is damaged ({error}); copy or export it again"))
}
