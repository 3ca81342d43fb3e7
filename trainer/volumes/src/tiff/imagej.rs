//! ImageJ's description of a stack: lines of `key=value`, the first of which names ImageJ's version.
//!
//! `unit` is the unit of all sizes, `yunit` and `zunit` where they differ; a pixel's width and height are one unit by the
//! resolution, a slice's thickness is `spacing`, 1 unit where it is missing.
//!
//! Where the unit is none of length, such as `pixel`, or missing, the numbers count as millimetres, so that their ratios
//! are right, but only where there is a `spacing`: a resolution alone is often one of print. One per inch or centimetre
//! is taken for that, too, and pixels count as 1 wide.
//!
//! # Source
//! ImageJ 1.54, `ij.io.FileSaver.getDescriptionString` and `ij.io.FileOpener.decodeDescriptionString`: channels are the
//! fastest, then slices, then frames; a negative spacing means its size.

use std::path::Path;

use super::page::FirstPage;
use super::spacing::{SIDECAR, in_range};
use super::stack::{Axis, Planes, Stack};
use crate::units::unit_in_mm;
use crate::{Error, Result};

/// The value of a key; `None` where the description is not ImageJ's or lacks it.
fn get<'a>(description: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = description.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.map(str::trim).filter(|_| description.starts_with("ImageJ="))
}

/// Channels, slices and times of a file of such planes; `None` where ImageJ does not say.
pub(super) fn stack(path: &Path, description: &str, planes: Planes) -> Result<Option<Stack>> {
    if !description.starts_with("ImageJ=") {
        return Ok(None);
    }
    let number = |key: &str| get(description, key).and_then(|value| value.parse::<usize>().ok());
    let images = number("images").unwrap_or(1);
    // Beyond 4 GiB ImageJ writes one page, and all other voxels behind its own.
    if !planes.hold(images) {
        let message = format!(
            "is an ImageJ stack of images={images}, but has {}; save it as an image sequence, or by Bio-Formats as OME-TIFF",
            planes.told()
        );
        return Err(Error::file(path, message));
    }
    let keys = ["channels", "slices", "frames"];
    if keys.iter().all(|key| number(key).is_none()) {
        return Ok(Some(Stack::slices(images)));
    }
    let [channels, slices, frames] = keys.map(|key| number(key).unwrap_or(1));
    let all = channels.checked_mul(slices).and_then(|n| n.checked_mul(frames));
    if all != Some(images) {
        let message = format!(
            "is an ImageJ stack of images={images}, but channels={channels} x slices={slices} x frames={frames}; correct them in ImageJ by Image > Properties, and save it again"
        );
        return Err(Error::file(path, message));
    }
    Ok(Some(Stack([(Axis::Channel, channels), (Axis::Slice, slices), (Axis::Time, frames)])))
}

/// What ImageJ's calibration would make of the numbers, which stay as they are stored, as in tifffile and Bio-Formats:
/// it is there for what ImageJ shows, and copied to masks, too, whose classes it would change.
pub(super) fn calibration(description: &str) -> Option<String> {
    // Functions from 20 on mean none.
    let function = get(description, "cf").filter(|cf| cf.parse::<u32>().is_ok_and(|cf| cf < 20))?;
    let terms = (0..9).map_while(|i| Some(format!("c{i}={}", get(description, &format!("c{i}"))?)));
    let terms: Vec<String> = std::iter::once(format!("cf={function}")).chain(terms).collect();
    Some(format!("ImageJ's calibration ({}) is not applied: values are as stored", terms.join(", ")))
}

/// The unit of voxel sizes.
pub(super) fn unit(description: &str) -> Option<String> {
    get(description, "unit").map(str::to_owned)
}

/// Voxel sizes along x, y, z in mm of a stack of `depth` slices; `None` where the file does not say.
pub(super) fn spacing(path: &Path, page: &FirstPage, depth: usize) -> Result<Option<[f64; 3]>> {
    let get = |key: &str| get(&page.description, key);
    let thickness = match get("spacing").filter(|_| depth > 1) {
        None => None,
        Some(text) => match text.parse::<f64>() {
            Ok(value) if value != 0.0 && value.is_finite() => Some(value.abs()),
            _ => {
                let message = format!(
                    "ImageJ's \"spacing\" is \"{}\", which is no thickness of slices; {SIDECAR}",
                    text.escape_debug()
                );
                return Err(Error::file(path, message));
            }
        },
    };
    let [x, y] = page.pixels_per_unit;
    let unit = get("unit");
    let units = [unit, get("yunit").or(unit), get("zunit").or(unit)].map(|unit| unit_in_mm(unit?));
    let [width, height] = [x, y.or(x)].map(|pixels| 1.0 / pixels.unwrap_or(1.0));
    let sizes = match (units, thickness) {
        ([Some(a), Some(b), Some(_)], _) if depth == 1 && x.is_some() => {
            // A single slice is as thick as its pixels are wide.
            let (width, height) = (width * a, height * b);
            [width, height, width.max(height)]
        }
        ([Some(a), Some(b), Some(c)], _) if depth > 1 && (x.is_some() || thickness.is_some()) => {
            [width * a, height * b, thickness.unwrap_or(1.0) * c]
        }
        (_, Some(thickness)) if page.is_of_print => [1.0, 1.0, thickness],
        (_, Some(thickness)) => [width, height, thickness],
        _ => return Ok(None),
    };
    for (field, size) in ["XResolution", "YResolution", "spacing"].into_iter().zip(sizes) {
        in_range(path, field, size)?;
    }
    Ok(Some(sizes))
}
