//! What the tags of a file's first page say of the whole file.

use super::{Pages, damaged};
use crate::{Error, Result};
use ::tiff::decoder::ifd::Value;
use ::tiff::tags::Tag;
use std::path::Path;

/// Descriptions of more bytes are not read; OME-XML of a hundred thousand planes is shorter.
const LONGEST: u64 = 32 << 20;

/// The first page's tags.
pub(super) struct FirstPage {
    /// What programs write for each other; empty where there is none.
    pub(super) description: String,
    /// Along x and y; `None` where it is missing, 0 or infinite.
    pub(super) pixels_per_unit: [Option<f64>; 2],
    /// The resolution is one per inch or centimetre, as printers have it.
    pub(super) is_of_print: bool,
}

impl FirstPage {
    /// `pages` stands at the first one.
    pub(super) fn read(path: &Path, pages: &mut Pages) -> Result<Self> {
        let mut resolution = |tag| {
            let value = number(pages, tag)?;
            (value.is_finite() && value > 0.0).then_some(value)
        };
        let pixels_per_unit = [resolution(Tag::XResolution), resolution(Tag::YResolution)];
        let is_of_print = number(pages, Tag::ResolutionUnit).is_some_and(|unit| unit == 2.0 || unit == 3.0);
        Ok(Self { description: description(path, pages)?, pixels_per_unit, is_of_print })
    }
}

/// A tag of one number.
fn number(pages: &mut Pages, tag: Tag) -> Option<f64> {
    let mut tags = pages.image_ifd();
    // More values would take memory for nothing.
    if tags.find_entry(tag)?.count() != 1 {
        return None;
    }
    match tags.find_tag(tag).ok()?? {
        Value::Rational(above, below) => Some(f64::from(above) / f64::from(below)),
        Value::Float(value) => Some(f64::from(value)),
        Value::Double(value) => Some(value),
        other => other.into_u32().ok().map(f64::from),
    }
}

/// The description up to its first zero; what is no UTF-8 in it is replaced, as ImageJ's µ in Latin-1.
fn description(path: &Path, pages: &mut Pages) -> Result<String> {
    let mut tags = pages.image_ifd();
    let Some(entry) = tags.find_entry(Tag::ImageDescription) else { return Ok(String::new()) };
    let length = entry.count();
    if length > LONGEST {
        let message = format!("has a description of {length} bytes, of {LONGEST} at most; save it without");
        return Err(Error::file(path, message));
    }
    // The guard has compared the length with the file's.
    let mut bytes = vec![0; length as usize];
    let read = tags.find_tag_bytes(Tag::ImageDescription, &mut bytes, 0).map_err(|e| damaged(path, &e))?;
    bytes.truncate(read.unwrap_or(0));
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}
