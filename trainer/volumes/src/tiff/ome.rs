//! OME-XML, which the first page of an OME-TIFF has for its description: how many slices, channels and times there are, in
//! which order, and how large voxels are.
//!
//! Of XML only what is needed is read: names and attributes of elements, from the start on. A file must hold all planes of
//! one image, in the order that `DimensionOrder` names; sets of files are refused.
//!
//! # Source
//! The OME data model 2016-06, `Pixels` and `TiffData`; the OME-TIFF specification.

use std::path::Path;

use super::spacing::{SIDECAR, in_range};
use super::stack::{Axis, Planes, Stack};
use crate::units::unit_in_mm;
use crate::{Error, Result};

/// How pages are slices and channels; `None` where the description is not OME-XML.
pub(super) fn stack(path: &Path, description: &str, planes: Planes) -> Result<Option<Stack>> {
    let Some(pixels) = pixels(path, description)? else { return Ok(None) };
    let [slices, channels, times] = ["SizeZ", "SizeC", "SizeT"].map(|field| count(path, pixels, field));
    let (slices, channels, times) = (slices?, channels?, times?);
    if times > 1 {
        let message = format!(
            "is an OME-TIFF of SizeT={times} times; save each time as a file of its own, or name them slices if they are"
        );
        return Err(Error::file(path, message));
    }
    if slices.checked_mul(channels) != Some(planes.inside) {
        let images = match elements(description).filter(|(name, _)| *name == "Pixels").count() {
            1 => String::new(),
            images => format!(" in the first of {images} images"),
        };
        let message = format!(
            "its OME-XML names SizeZ={slices} x SizeC={channels} planes{images}, but it has {}: it is one of several files, or holds several images; save it as one OME-TIFF of one image",
            planes.told()
        );
        return Err(Error::file(path, message));
    }
    let order = attribute(pixels, "DimensionOrder").unwrap_or_default();
    let (z, c) = (order.find('Z'), order.find('C'));
    if slices > 1 && channels > 1 && (z.is_none() || c.is_none()) {
        let message = format!(
            "its OME-XML's \"DimensionOrder\" is \"{}\", which does not say whether slices or channels come first; save it again with XYZCT or XYCZT",
            order.escape_debug()
        );
        return Err(Error::file(path, message));
    }
    let (slice, channel) = ((Axis::Slice, slices), (Axis::Channel, channels));
    let [first, second] = if z <= c { [slice, channel] } else { [channel, slice] };
    let stack = Stack([first, second, (Axis::Time, 1)]);
    in_order(path, description, &stack)?;
    Ok(Some(stack))
}

/// Voxel sizes along x, y, z in mm of `depth` slices; `None` where a size that matters is missing, or of no unit of
/// length. Sizes in one unit that is not known count as millimetres, so that their ratios are right.
pub(super) fn spacing(path: &Path, description: &str, depth: usize) -> Result<Option<[f64; 3]>> {
    let Some(pixels) = pixels(path, description)? else { return Ok(None) };
    let (x, y, z) =
        (Size::of(path, pixels, 'X')?, Size::of(path, pixels, 'Y')?, Size::of(path, pixels, 'Z')?);
    let (Some(x), Some(y)) = (x, y) else { return Ok(None) };
    // A single slice is as thick as its pixels are wide, unless it is said.
    let z = z.filter(|z| depth > 1 || z.unit_in_mm.is_some());
    if z.is_none() && depth > 1 {
        return Ok(None);
    }
    let given: Vec<Size> = [Some(x), Some(y), z].into_iter().flatten().collect();
    let known = given.iter().all(|size| size.unit_in_mm.is_some());
    if !known && given.iter().any(|size| size.unit != given[0].unit) {
        return Ok(None);
    }
    let in_mm = |size: &Size| size.value * size.unit_in_mm.filter(|_| known).unwrap_or(1.0);
    let (x, y) = (in_mm(&given[0]), in_mm(&given[1]));
    let spacing = [x, y, given.get(2).map_or(x.max(y), in_mm)];
    for (letter, size) in ['X', 'Y', 'Z'].into_iter().zip(spacing) {
        in_range(path, &format!("PhysicalSize{letter}"), size)?;
    }
    Ok(Some(spacing))
}

/// The unit of voxel sizes along x, where there are some.
pub(super) fn unit(description: &str) -> Option<String> {
    let pixels = elements(description).find(|(name, _)| *name == "Pixels")?.1;
    attribute(pixels, "PhysicalSizeX")?;
    attribute(pixels, "PhysicalSizeXUnit").map(with_micro_sign)
}

/// A voxel's size along one axis.
struct Size {
    value: f64,
    unit: String,
    /// `None` where the unit is none of length, such as `pixel`.
    unit_in_mm: Option<f64>,
}

impl Size {
    fn of(path: &Path, pixels: &str, letter: char) -> Result<Option<Self>> {
        let field = format!("PhysicalSize{letter}");
        let Some(text) = attribute(pixels, &field) else { return Ok(None) };
        let value = text.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
        let Some(value) = value else {
            let message = format!(
                "its OME-XML's \"{field}\" is \"{}\", which is no size; {SIDECAR}",
                text.escape_debug()
            );
            return Err(Error::file(path, message));
        };
        let unit = attribute(pixels, &format!("{field}Unit")).map_or("µm".into(), with_micro_sign);
        Ok(Some(Self { value, unit_in_mm: unit_in_mm(&unit), unit }))
    }
}

/// The attributes of the first `Pixels`; `None` where the description is not OME-XML, or has none.
///
/// # Errors
/// OME-XML that is in another file.
fn pixels<'a>(path: &Path, description: &'a str) -> Result<Option<&'a str>> {
    if elements(description).next().is_none_or(|(name, _)| name != "OME") {
        return Ok(None);
    }
    let found = elements(description).find(|(name, _)| matches!(*name, "Pixels" | "BinaryOnly"));
    match found {
        Some(("BinaryOnly", attributes)) => {
            let message = format!(
                "is one of several files, whose OME-XML is in {}; save it as one OME-TIFF of one image",
                attribute(attributes, "MetadataFile").unwrap_or("another one").escape_debug()
            );
            Err(Error::file(path, message))
        }
        found => Ok(found.map(|(_, attributes)| attributes)),
    }
}

/// How many slices, channels or times `Pixels` has.
fn count(path: &Path, pixels: &str, field: &str) -> Result<usize> {
    let text = attribute(pixels, field).unwrap_or_default();
    text.trim().parse().ok().filter(|&n| n > 0).ok_or_else(|| {
        let message = format!(
            "its OME-XML's \"{field}\" is \"{}\", which is no whole number from 1 on; export it again",
            text.escape_debug()
        );
        Error::file(path, message)
    })
}

/// Checks that each `TiffData` of the first image names the page that its plane has by the order of axes.
fn in_order(path: &Path, description: &str, stack: &Stack) -> Result<()> {
    let of_first = elements(description).skip_while(|(name, _)| *name != "Pixels").skip(1);
    let of_first = of_first.take_while(|(name, _)| !matches!(*name, "Pixels" | "Image"));
    for (_, attributes) in of_first.filter(|(name, _)| *name == "TiffData") {
        let number =
            |key: &str| attribute(attributes, key).map_or(Some(0), |n| n.trim().parse::<usize>().ok());
        let [page, z, c] = ["IFD", "FirstZ", "FirstC"].map(number);
        let [(first, length), (second, _), _] = stack.0;
        let along = |axis| if axis == Axis::Slice { z } else { c };
        let wanted = match (along(first), along(second)) {
            (Some(a), Some(b)) => b.checked_mul(length).and_then(|n| n.checked_add(a)),
            _ => None,
        };
        if page.is_none() || page != wanted {
            let message = format!(
                "its OME-XML says \"TiffData{}\", which is not where the plane is by DimensionOrder; save it again with its planes in order",
                attributes.trim_end_matches('/').escape_debug()
            );
            return Err(Error::file(path, message));
        }
    }
    Ok(())
}

/// The elements' names, without prefixes, and the text of their attributes; comments and quoted text are left out.
fn elements(xml: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let (_, tag) = rest.split_once('<')?;
            let skipped = [("!--", "-->"), ("![CDATA[", "]]>")];
            if let Some((start, end)) = skipped.into_iter().find(|(start, _)| tag.starts_with(start)) {
                rest = tag[start.len()..].split_once(end)?.1;
                continue;
            }
            let mut quote = None;
            let end = tag.bytes().position(|byte| {
                match quote {
                    Some(open) if open == byte => quote = None,
                    None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
                    _ => {}
                }
                byte == b'>' && quote.is_none()
            })?;
            rest = &tag[end + 1..];
            let tag = &tag[..end];
            if tag.starts_with(['/', '!', '?']) {
                continue;
            }
            let (name, attributes) =
                tag.split_at(tag.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(end));
            let local = name.rsplit_once(':').map_or(name, |(_, local)| local);
            return Some((local, attributes));
        }
    })
}

/// An attribute's value among an element's.
fn attribute<'a>(attributes: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = attributes;
    loop {
        let (name, after) = rest.split_once('=')?;
        let quoted = after.trim_start();
        let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, after) = quoted[1..].split_once(quote)?;
        if name.trim() == wanted {
            return Some(value);
        }
        rest = after;
    }
}

/// A unit whose micro sign may be written as a number.
fn with_micro_sign(unit: &str) -> String {
    ["&#181;", "&#xB5;", "&#xb5;"].into_iter().fold(unit.to_owned(), |unit, code| unit.replace(code, "µ"))
}
