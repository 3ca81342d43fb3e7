//! How large the voxels of a TIFF file are: by a text beside it, by OME-XML, or by ImageJ's description.
//!
//! nnU-Net keeps the voxel sizes of TIFF files in JSON beside them: `CASE.json` holds `{"spacing": [z, y, x]}`, in the
//! order of the array's axes, for the images `CASE_0000.tif`, `CASE_0001.tif`, … and the label map `CASE.tif`. It goes
//! before what the file itself says. An object without `spacing` is something else, and left alone.
//!
//! TIFF's resolution alone is one of print, and not used.
//!
//! # Source
//! nnU-Net v2, `Tiff3DIO` in `nnunetv2/imageio/tif_reader_writer.py`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::page::FirstPage;
use super::{imagej, ome};
use crate::files::read_text;
use crate::units::unit_in_mm;
use crate::{Error, Result, split_ending};

/// What to do where a file's own words are of no use.
pub(super) const SIDECAR: &str =
    r#"correct it, or write {"spacing": [z, y, x]} in mm into CASE.json beside it"#;
/// From a picometre to a kilometre; other sizes are a mistake.
const LEAST: f64 = 1e-9;
const MOST: f64 = 1e6;

#[derive(Deserialize)]
struct Sidecar {
    /// Along z, y, x in mm.
    spacing: Option<[f64; 3]>,
}

/// Voxel sizes along x, y, z in mm of a volume of `depth` slices; `None` where nothing says.
pub(super) fn of(path: &Path, page: &FirstPage, depth: usize) -> Result<Option<[f64; 3]>> {
    if let Some(beside) = sidecar(path)
        && let Some(spacing) = read(&beside)?
    {
        return Ok(Some(spacing));
    }
    match ome::spacing(path, &page.description, depth)? {
        Some(spacing) => Ok(Some(spacing)),
        None => imagej::spacing(path, page, depth),
    }
}

/// Says of sizes in a unit that is none of length that they count as mm.
pub(super) fn unknown_unit(page: &FirstPage) -> Option<String> {
    let unit = ome::unit(&page.description).or_else(|| imagej::unit(&page.description))?;
    unit_in_mm(&unit).is_none().then(|| {
        format!("its voxel sizes are in \"{}\", which is no unit of length: taken as mm", unit.escape_debug())
    })
}

/// The JSON file beside a TIFF file, where there is one: named as the file, or as it without a channel's number.
pub(crate) fn sidecar(path: &Path) -> Option<PathBuf> {
    let (stem, ending) = split_ending(path.file_name()?.to_str()?)?;
    if !matches!(ending.to_ascii_lowercase().as_str(), ".tif" | ".tiff") {
        return None;
    }
    let names = std::iter::once(stem).chain(split_channel(stem).map(|(case, _)| case));
    names.map(|name| path.with_file_name(format!("{name}.json"))).find(|beside| beside.is_file())
}

/// Voxel sizes along x, y, z by a file beside the volume.
fn read(path: &Path) -> Result<Option<[f64; 3]>> {
    let text = read_text(path)?;
    // A list would be taken for an object's values in their order.
    if !text.trim_start().starts_with('{') {
        let message = r#"is no JSON object; write {"spacing": [z, y, x]} in mm, or rename it"#;
        return Err(Error::file(path, message));
    }
    let sidecar: Sidecar = serde_json::from_str(&text).map_err(|e| {
        let message = format!(
            r#"cannot be read as {{"spacing": [z, y, x]}}, three numbers in mm ({e}); correct it, or rename it"#
        );
        Error::file(path, message)
    })?;
    let Some(sizes) = sidecar.spacing else { return Ok(None) };
    if let Some(size) = sizes.iter().find(|size| !(LEAST..=MOST).contains(*size)) {
        let message = format!(
            "the field \"spacing\" is {sizes:?}, but {size} is no size of voxels in mm ({LEAST:e} to {MOST:e}); write {{\"spacing\": [z, y, x]}} in mm"
        );
        return Err(Error::file(path, message));
    }
    let [z, y, x] = sizes;
    Ok(Some([x, y, z]))
}

/// Refuses a size, in mm, that no voxel has; `field` is where it comes from.
pub(super) fn in_range(path: &Path, field: &str, size: f64) -> Result<()> {
    if (LEAST..=MOST).contains(&size) {
        return Ok(());
    }
    let message = format!(
        "by \"{field}\" its voxels are {size:e} mm large, which cannot be ({LEAST:e} to {MOST:e}); {SIDECAR}"
    );
    Err(Error::file(path, message))
}

/// nnU-Net's name of a channel's file, without its ending: `CASE_0003` to (`CASE`, 3).
pub fn split_channel(stem: &str) -> Option<(&str, usize)> {
    let (case, digits) = stem.rsplit_once('_')?;
    (digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| (case, digits.parse().unwrap_or(0)))
}
