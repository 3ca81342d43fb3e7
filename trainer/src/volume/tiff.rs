//! TIFF stacks: grey pages of one size, a page a slice along z; whole numbers of 8 to 64 bits and floats of 32 and 64,
//! raw, deflated, LZW or PackBits. Pages that are marked as smaller copies are left out.
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
    Ok(open(path)?.1)
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    let (mut pages, header, indices) = open(path)?;
    let page_bytes = header.len() / indices.len() * header.voxel_type.size();
    let mut raw = Vec::with_capacity(header.len() * header.voxel_type.size());
    for index in indices {
        pages.seek_to_image(index).map_err(|e| damaged(path, &e))?;
        let page = pages.read_image().map_err(|e| damaged(path, &e))?;
        append(&page, &mut raw);
        if raw.len() % page_bytes != 0 {
            return Err(Error::file(
                path,
                format!("page {index} does not hold the voxels it names; export it again"),
            ));
        }
    }
    if raw.len() != header.len() * header.voxel_type.size() {
        return Err(Error::file(path, "holds fewer voxels than it names; export it again"));
    }
    Ok(Stored::new(path, header, raw, ByteOrder::Little))
}

/// The file, its header and which pages are its slices.
fn open(path: &Path) -> Result<(Pages, Header, Vec<usize>)> {
    let (mut file, file_bytes) = stream::open(path)?;
    let most = tiff_guard::check(path, &mut file, file_bytes)?;
    file.seek(SeekFrom::Start(0)).map_err(Error::io(path))?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most;
    let mut pages = Decoder::new(file).map_err(|e| damaged(path, &e))?.with_limits(limits);
    let (mut first, mut indices) = (None, Vec::new());
    for index in 0.. {
        let page = facts(path, index, &mut pages)?;
        if let Some(page) = page {
            let first = first.get_or_insert(page);
            if *first != page {
                let message =
                    format!("page {index} is {page}, but the first is {first}; all pages must be alike");
                return Err(Error::file(path, message));
            }
            indices.push(index);
        }
        if !pages.more_images() {
            break;
        }
        pages.next_image().map_err(|e| damaged(path, &e))?;
    }
    let Some(page) = first else {
        return Err(Error::file(path, "holds smaller copies of an image alone; export it again"));
    };
    let shape = vec![page.width, page.height, indices.len()];
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
    Ok((pages, header, indices))
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
