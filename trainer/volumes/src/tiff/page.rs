//! What the tags of a page say of its voxels, and which of them cannot be read.

use std::path::Path;

use super::codec;
use super::directory::{Directory, Entry, Tags};
use crate::{Error, Result, VoxelType};

/// LZW's longest string per 12 bits of code: (4096 − 258) · 8/12, rounded up. Deflate's bound is lower.
const MOST_EXPANSION: u64 = 2600;
/// Descriptions of more bytes are not read; OME-XML of a hundred thousand planes is shorter.
const LONGEST: u64 = 32 << 20;

/// The tags that matter to a page's voxels.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Where it stands in the file, from 0.
    pub(super) index: usize,
    pub(super) width: u64,
    pub(super) height: u64,
    /// Slices in this page, by SGI's ImageDepth.
    pub(super) depth: u64,
    pub(super) bits: u64,
    pub(super) format: u64,
    pub(super) samples: u64,
    pub(super) compression: u64,
    pub(super) predictor: u64,
    pub(super) photometric: u64,
    pub(super) fill_order: u64,
    /// Width, length and depth of tiles; `None` where there are strips.
    pub(super) tile: Option<[u64; 3]>,
    pub(super) rows_per_strip: u64,
    /// Of the strips or tiles, and their bytes.
    pub(super) offsets: Option<Entry>,
    pub(super) counts: Option<Entry>,
    /// A smaller copy of another page, or one that says which of its pixels are to be shown.
    pub(super) is_copy: bool,
    pub(super) has_sub_pages: bool,
    pub(super) description: Option<Entry>,
    pub(super) resolution: [Option<Entry>; 2],
    pub(super) resolution_unit: Option<Entry>,
}

impl Page {
    /// # Errors
    /// A page or tile larger than the file can hold.
    pub(super) fn read(file: &mut Directory<'_>, index: usize, tags: &Tags) -> Result<Self> {
        let mut number = |tag, default| file.first(tags.get(tag), default);
        let tile = [number(322, 0)?, number(323, 0)?, number(32998, 1)?];
        let has_tiles = tags.get(322).is_some() || tags.get(324).is_some();
        let height = number(257, 0)?;
        let strips = number(278, height)?;
        let [offsets, counts] = if has_tiles { [324, 325] } else { [273, 279] };
        let page = Self {
            index,
            width: number(256, 0)?,
            height,
            depth: number(32997, 1)?.max(1),
            bits: number(258, 1)?,
            format: number(339, 1)?,
            samples: number(277, 1)?,
            compression: number(259, 1)?,
            predictor: number(317, 1)?,
            // Without it numbers can only be what they are.
            photometric: number(262, 1)?,
            fill_order: number(266, 1)?,
            tile: has_tiles.then_some(tile),
            rows_per_strip: strips.min(height),
            offsets: tags.get(offsets),
            counts: tags.get(counts),
            is_copy: number(254, 0)? & 0b101 != 0 || number(255, 0)? == 2,
            has_sub_pages: tags.get(330).is_some(),
            description: tags.get(270),
            resolution: [tags.get(282), tags.get(283)],
            resolution_unit: tags.get(296),
        };
        page.fits(file).map(|()| page)
    }

    /// How far its voxels may expand.
    pub(super) fn expansion(&self) -> u64 {
        if self.compression == 1 { 1 } else { MOST_EXPANSION }
    }

    pub(super) fn is_palette(&self) -> bool {
        self.photometric == 3
    }

    /// Bytes of `width` voxels, packed.
    pub(super) fn row_bytes(&self, width: u64) -> u64 {
        width.saturating_mul(self.bits).div_ceil(8)
    }

    /// Bytes of a slice, packed.
    pub(super) fn slice_bytes(&self) -> u64 {
        self.row_bytes(self.width).saturating_mul(self.height)
    }

    /// The strips or tiles of one slice, or of one slice of tiles.
    pub(super) fn chunks(&self) -> u64 {
        match self.tile {
            Some([width, length, _]) => {
                self.width.div_ceil(width).saturating_mul(self.height.div_ceil(length))
            }
            None => self.height.div_ceil(self.rows_per_strip),
        }
    }

    fn fits(&self, file: &Directory<'_>) -> Result<()> {
        let [tile_width, tile_length, tile_depth] = self.tile.unwrap_or([0; 3]);
        for (what, a, b, c) in
            [("page", self.width, self.height, self.depth), ("tile", tile_width, tile_length, tile_depth)]
        {
            // Saturating: what is too large stays too large.
            let row = a.saturating_mul(self.bits.saturating_mul(self.samples)).div_ceil(8);
            let wanted = row.saturating_mul(b.max(1)).saturating_mul(c.max(1));
            if wanted > file.bytes.saturating_mul(MOST_EXPANSION) {
                let message =
                    format!("a {what} of {a} x {b} voxels takes {wanted} bytes, the file has {}", file.bytes);
                return Err(file.damaged(&message));
            }
        }
        Ok(())
    }

    /// What its voxels are.
    ///
    /// # Errors
    /// Voxels, or ways to store them, that are not supported.
    pub(super) fn kind(&self, file: &Directory<'_>) -> Result<VoxelType> {
        let index = self.index;
        if self.width == 0 || self.height == 0 || self.rows_per_strip == 0 {
            let (width, height, rows) = (self.width, self.height, self.rows_per_strip);
            let why = format!("page {index} is {width} x {height} pixels large, in strips of {rows} rows");
            return Err(file.damaged(&why));
        }
        if self.tile.is_some_and(|tile| tile.contains(&0)) {
            return Err(file.damaged(&format!("page {index} has tiles of no size")));
        }
        if let Some(message) = codec::refusal(self.compression) {
            return Err(Error::file(file.path, message));
        }
        let refuse = |what: String| Error::file(file.path, format!("page {index} {what}"));
        self.is_grey().map_err(refuse)?;
        let kind = self.number().map_err(refuse)?;
        let is_plain = matches!(self.bits, 8 | 16 | 32 | 64);
        match (self.predictor, self.format) {
            (1, _) => Ok(kind),
            (2, _) | (3, 3) if is_plain => Ok(kind),
            (predictor, format) => Err(refuse(format!(
                "is packed by predictor {predictor} of {} bits in sample format {format}, which is not supported; save it without predictor",
                self.bits
            ))),
        }
    }

    /// Whether a pixel is one number, whose bits are in their order.
    fn is_grey(&self) -> Result<(), String> {
        if let Some(colours) = colours(self.photometric) {
            return Err(format!("has colours ({colours}), where grey is needed; save it as grey"));
        }
        if self.samples != 1 {
            return Err(format!(
                "has {} values a pixel (SamplesPerPixel), where grey has 1; save each channel as a page of its own",
                self.samples
            ));
        }
        if self.fill_order != 1 {
            return Err(format!(
                "has bits in reverse order (FillOrder {}), which is not supported; save it again by another program",
                self.fill_order
            ));
        }
        Ok(())
    }

    /// What holds a pixel's number.
    fn number(&self) -> Result<VoxelType, String> {
        Ok(match (self.format, self.bits) {
            // Format 4 is "undefined", which readers take for whole numbers.
            (1 | 4, 1..=8) => VoxelType::U8,
            (1 | 4, 9..=16) => VoxelType::U16,
            (1 | 4, 32) => VoxelType::U32,
            (1 | 4, 64) => VoxelType::U64,
            (2, 8) => VoxelType::I8,
            (2, 16) => VoxelType::I16,
            (2, 32) => VoxelType::I32,
            (2, 64) => VoxelType::I64,
            // Read as 32 bits, which hold each of them.
            (3, 16 | 32) => VoxelType::F32,
            (3, 64) => VoxelType::F64,
            (5 | 6, _) => {
                return Err("has complex numbers, which are not supported; save the magnitude".into());
            }
            (format, bits) => {
                return Err(format!(
                    "has {bits} bits a voxel of sample format {format}, which are not supported; save it with 8, 16 or 32 bits"
                ));
            }
        })
    }
}

/// The name of a way to store colours; `None` where a pixel's one number is what it is.
fn colours(photometric: u64) -> Option<&'static str> {
    Some(match photometric {
        2 => "RGB",
        5 => "CMYK",
        6 => "YCbCr",
        8..=10 => "Lab",
        32844 | 32845 => "LogLuv",
        _ => return None,
    })
}

/// What the first page says of the whole file.
pub(super) struct FirstPage {
    /// What programs write for each other; empty where there is none.
    pub(super) description: String,
    /// Along x and y; `None` where it is missing, 0 or infinite.
    pub(super) pixels_per_unit: [Option<f64>; 2],
    /// The resolution is one per inch or centimetre, as printers have it.
    pub(super) is_of_print: bool,
}

impl FirstPage {
    pub(super) fn read(file: &mut Directory<'_>, page: &Page) -> Result<Self> {
        let mut resolution = [None; 2];
        for (found, entry) in resolution.iter_mut().zip(page.resolution) {
            *found = file.real(entry)?.filter(|value| value.is_finite() && *value > 0.0);
        }
        let is_of_print = file.real(page.resolution_unit)?.is_some_and(|unit| unit == 2.0 || unit == 3.0);
        let description = match page.description {
            Some(entry) => description(file.path, file, entry)?,
            None => String::new(),
        };
        Ok(Self { description, pixels_per_unit: resolution, is_of_print })
    }
}

/// The description up to its first zero; what is no UTF-8 in it is replaced, as ImageJ's µ in Latin-1.
fn description(path: &Path, file: &mut Directory<'_>, entry: Entry) -> Result<String> {
    if entry.count > LONGEST {
        let message =
            format!("has a description of {} bytes, of {LONGEST} at most; save it without", entry.count);
        return Err(Error::file(path, message));
    }
    let bytes = file.of(entry)?;
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}
