//! TIFF stacks: grey pages of one size, a page a slice along z; whole numbers of 8 to 64 bits and floats of 32 and 64,
//! raw, deflated, LZW or PackBits. Pages that are marked as smaller copies are left out.
//!
//! ImageJ's stacks and OME-TIFF say in the first page's description how pages are channels, slices and times; where nothing
//! does, every page is a slice. Of a place and directions nothing is known: voxels lie along the axes of space, as large
//! as a text beside the file or the description says ([`mod@spacing`]), or else 1 mm.

mod imagej;
mod ome;
mod page;
mod spacing;
mod stack;

pub(crate) use spacing::sidecars;

use super::stream;
use super::tiff_guard;
use super::{Format, Header, Stored, geometry, layout};
use crate::nifti::{ByteOrder, Voxel, VoxelType};
use crate::{Error, Result};
use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::Tag;
use ::tiff::{ColorType, TiffError};
use page::FirstPage;
use stack::{Axis, Stack};
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
    let lengths = [&header.shape[..2], &stack.lengths()].concat();
    let [slices, times, channels] = stack.order().map(|axis| 2 + axis);
    let raw = layout::permute(raw, size, &lengths, &[0, 1, slices, times, channels]);
    Ok(Stored::new(path, header, raw, ByteOrder::Little))
}

/// A file whose pages have been looked at.
struct Opened {
    pages: Pages,
    header: Header,
    /// The pages that are slices.
    slices: Vec<usize>,
    stack: Stack,
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
        let first = FirstPage::read(path, &mut pages)?;
        let (page, slices) = walk(path, &mut pages)?;
        let stack = Stack::of(path, &first.description, slices.len())?;
        let size = [page.width, page.height, stack.length(Axis::Slice)];
        let further = [Axis::Time, Axis::Channel].map(|axis| stack.length(axis));
        let shape: Vec<usize> = size.into_iter().chain(further.into_iter().filter(|&n| n > 1)).collect();
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
        let said = spacing::of(path, &first, size[2])?;
        let spacing = said.unwrap_or([1.0; 3]);
        let mut affine = geometry::IDENTITY;
        (0..3).for_each(|axis| affine[axis][axis] = spacing[axis]);
        let header = Header {
            format: Format::Tiff,
            shape,
            voxel_type: page.kind,
            byte_order,
            scaling: None,
            spacing,
            spacing_known: said.is_some(),
            affine,
            place_known: false,
            notes: Vec::new(),
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
