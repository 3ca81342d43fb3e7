//! Reads and writes NIfTI volumes: NIfTI-1 and NIfTI-2, `.nii`, `.nii.gz` and `.hdr`/`.img` pairs, both byte orders,
//! every integer and float voxel type.
//!
//! A stored number v means slope·v + inter; a slope that is 0 or not finite means no scaling.
//! Voxel (i, j, k) lies at `affine`·(i, j, k, 1) millimetres; i (x) runs fastest in memory.
//!
//! It is not an image library: nothing is resampled or reoriented, and complex and colour voxels are refused by name.
//! A header is never trusted: no memory is taken for voxels that the file cannot hold.
//!
//! # Source
//! <https://nifti.nimh.nih.gov/nifti-1> and `nifti2.h`; where the text leaves room (no transformation at all, zero or
//! negative `pixdim`) the reading is nibabel's.

mod affine;
mod encode;
mod header;
mod read;
mod write;

pub use affine::farthest_corner;
pub(crate) use affine::{apart, tolerance};
pub use header::{NiftiHeader, Version};
pub use read::read_header;
pub(crate) use read::{header, read};
pub use write::write;

use std::path::{Path, PathBuf};

/// What a file's name says of its layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Naming {
    gzip: bool,
    pair: bool,
}

impl Naming {
    /// `None` where the name is not one of `.nii`, `.hdr`, `.img`, each with or without `.gz`.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let (stem, gzip) = match name.strip_suffix(".gz") {
            Some(stem) => (stem, true),
            None => (name.as_str(), false),
        };
        let pair = stem.ends_with(".hdr") || stem.ends_with(".img");
        (pair || stem.ends_with(".nii")).then_some(Self { gzip, pair })
    }
}

/// The other file of a pair.
pub(crate) fn other_half(path: &Path) -> Option<PathBuf> {
    let (header, voxels) = {
        Naming::of(path).filter(|naming| naming.pair)?;
        pair_paths(path)
    };
    Some(if path == header { voxels } else { header })
}

/// The two files of a pair, header first, given the name of either (one that [`Naming::of`] accepts as a pair).
fn pair_paths(path: &Path) -> (PathBuf, PathBuf) {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let gz_at = if name.to_ascii_lowercase().ends_with(".gz") { name.len() - 3 } else { name.len() };
    let (stem, gz) = name.split_at(gz_at);
    let (base, extension) = stem.split_at(stem.len() - ".hdr".len());
    // Upper case stays upper case.
    let upper = extension == ".HDR" || extension == ".IMG";
    let other = |lower: &str| {
        let extension = if upper { lower.to_ascii_uppercase() } else { lower.to_owned() };
        path.with_file_name(format!("{base}{extension}{gz}"))
    };
    (other(".hdr"), other(".img"))
}
