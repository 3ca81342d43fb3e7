//! A look at a TIFF file's directories before its decoder takes memory for what they claim.
//!
//! The decoder believes the length of a tag's values and the width of a tile; here both are held against the file's
//! length, and so is what all pages' voxels can take together.
//!
//! # Source
//! TIFF 6.0, section 2; the BigTIFF proposal for 64-bit offsets.

use crate::nifti::{ByteOrder, Voxel};
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

/// LZW's longest string per 12 bits of code: (4096 − 258) · 8/12, rounded up. Deflate's bound is lower.
const MOST_EXPANSION: u64 = 2600;

const WIDTH: u16 = 256;
const LENGTH: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const SAMPLES: u16 = 277;
const TILE_WIDTH: u16 = 322;
const TILE_LENGTH: u16 = 323;
/// A page with more tags than this is none.
const MOST_TAGS: u64 = 4096;
/// Each page costs a search in the file, so their number is limited, too.
const MOST_PAGES: usize = 1 << 18;

/// Bytes that the voxels of all pages can take at most.
///
/// # Errors
/// A cycle of directories, or some that lie over each other; too many pages; a tag whose values are longer than the file, a
/// page or tile larger than the file can hold.
pub(super) fn check(path: &Path, file: &mut BufReader<File>, file_bytes: u64) -> Result<u64> {
    let mut reader = Walker { path, file, order: ByteOrder::Little };
    let start: [u8; 4] = reader.bytes()?;
    let (order, big) = match start {
        [b'I', b'I', 42, 0] => (ByteOrder::Little, false),
        [b'M', b'M', 0, 42] => (ByteOrder::Big, false),
        [b'I', b'I', 43, 0] => (ByteOrder::Little, true),
        [b'M', b'M', 0, 43] => (ByteOrder::Big, true),
        _ => {
            let message = format!("is not a TIFF file: it begins with {start:?}; export it as TIFF again");
            return Err(Error::file(path, message));
        }
    };
    reader.order = order;
    let mut next = if big {
        let _sizes: u32 = reader.number()?;
        reader.number::<u64>()?
    } else {
        u64::from(reader.number::<u32>()?)
    };
    let mut seen = BTreeSet::new();
    let (mut most, mut listed) = (file_bytes, 0);
    while next != 0 {
        if !seen.insert(next) {
            return Err(Error::file(path, "names the same page twice, in a circle; export it again"));
        }
        if seen.len() > MOST_PAGES {
            return Err(Error::file(path, format!("has more than {MOST_PAGES} pages; save it in parts")));
        }
        reader.seek(next)?;
        let (expansion, after, bytes) = reader.directory(big, file_bytes)?;
        listed += bytes;
        if listed > file_bytes {
            return Err(reader.error("its pages' lists of tags lie over each other".into()));
        }
        most = most.max(file_bytes.saturating_mul(expansion));
        next = after;
    }
    Ok(most)
}

struct Walker<'a> {
    path: &'a Path,
    file: &'a mut BufReader<File>,
    order: ByteOrder,
}

impl Walker<'_> {
    /// How far the page's voxels may expand, where the next directory is, and the bytes of this one.
    fn directory(&mut self, big: bool, file_bytes: u64) -> Result<(u64, u64, u64)> {
        let tags = if big { self.number::<u64>()? } else { u64::from(self.number::<u16>()?) };
        if tags > MOST_TAGS {
            return Err(self.error(format!("a page has {tags} tags, of {MOST_TAGS} at most")));
        }
        // Of width, length, bits, samples, tile width and tile length.
        let mut page = [0, 0, 1, 1, 0, 0];
        let mut expansion = MOST_EXPANSION;
        for _ in 0..tags {
            let (tag, kind): (u16, u16) = (self.number()?, self.number()?);
            let count = if big { self.number::<u64>()? } else { u64::from(self.number::<u32>()?) };
            let bytes = count.saturating_mul(size(kind));
            if bytes > file_bytes {
                let message = format!(
                    "tag {tag} claims {count} values ({bytes} bytes), the file has {file_bytes} bytes"
                );
                return Err(self.error(message));
            }
            let value = self.value(kind, big)?;
            match tag {
                WIDTH => page[0] = value,
                LENGTH => page[1] = value,
                // Several values are not in the tag itself; 64 is the most that is supported.
                BITS => page[2] = if count > 1 { 64 } else { value },
                SAMPLES => page[3] = value,
                TILE_WIDTH => page[4] = value,
                TILE_LENGTH => page[5] = value,
                COMPRESSION if value == 1 => expansion = 1,
                _ => {}
            }
        }
        let [width, length, bits, samples, tile_width, tile_length] = page;
        for (what, a, b) in [("page", width, length), ("tile", tile_width, tile_length)] {
            // Saturating: what is too large stays too large.
            let row = a.saturating_mul(bits).saturating_mul(samples).div_ceil(8);
            let wanted = row.saturating_mul(b.max(1));
            // Tiles at the border are as large as the others.
            if wanted > file_bytes.saturating_mul(MOST_EXPANSION) {
                let message =
                    format!("a {what} of {a} x {b} voxels takes {wanted} bytes, the file has {file_bytes}");
                return Err(self.error(message));
            }
        }
        let next = if big { self.number::<u64>()? } else { u64::from(self.number::<u32>()?) };
        let bytes = if big { 8 + 20 * tags + 8 } else { 2 + 12 * tags + 4 };
        Ok((expansion, next, bytes))
    }

    /// The tag's value, where it is one number; other values are of no use here.
    fn value(&mut self, kind: u16, big: bool) -> Result<u64> {
        let field: [u8; 8] = if big {
            self.bytes()?
        } else {
            let [a, b, c, d] = self.bytes()?;
            [a, b, c, d, 0, 0, 0, 0]
        };
        Ok(match kind {
            1 | 2 | 6 | 7 => u64::from(field[0]),
            3 | 8 => u64::from(u16::from_bytes(&field[..2], self.order)),
            16..=18 => u64::from_bytes(&field, self.order),
            _ => u64::from(u32::from_bytes(&field[..4], self.order)),
        })
    }

    fn number<V: Voxel>(&mut self) -> Result<V> {
        let field: [u8; 8] = match V::TYPE.size() {
            2 => self.bytes().map(|[a, b]| [a, b, 0, 0, 0, 0, 0, 0])?,
            4 => self.bytes().map(|[a, b, c, d]| [a, b, c, d, 0, 0, 0, 0])?,
            _ => self.bytes()?,
        };
        Ok(V::from_bytes(&field[..V::TYPE.size()], self.order))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => self.error("it ends inside a page's list of tags".into()),
            _ => Error::io(self.path)(e),
        })?;
        Ok(bytes)
    }

    fn seek(&mut self, at: u64) -> Result<()> {
        self.file.seek(SeekFrom::Start(at)).map(drop).map_err(Error::io(self.path))
    }

    fn error(&self, why: String) -> Error {
        Error::file(self.path, format!("is cut or damaged: {why}; copy or export it again"))
    }
}

/// Bytes of a value of a tag's type.
fn size(kind: u16) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}
