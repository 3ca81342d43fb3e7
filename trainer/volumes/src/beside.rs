//! The files that are read together with a volume's own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{Format, metaimage, nifti, nrrd, tiff};

/// The files beside volumes that their voxels or sizes are read from: the other half of a `.hdr`/`.img` pair, the voxels that
/// an NRRD or MetaImage header names, and the JSON file with the voxel sizes of a TIFF file.
pub fn files_beside<'a>(volumes: impl IntoIterator<Item = &'a PathBuf>) -> BTreeSet<PathBuf> {
    volumes.into_iter().filter_map(|path| beside(path)).filter(|path| path.is_file()).collect()
}

fn beside(path: &Path) -> Option<PathBuf> {
    match Format::of(path).ok()? {
        Format::Nifti => nifti::other_half(path),
        Format::Nrrd => nrrd::detached(path),
        Format::MetaImage => metaimage::detached(path),
        Format::Tiff => tiff::sidecar(path),
        Format::Npy | Format::Npz | Format::Png => None,
    }
}
