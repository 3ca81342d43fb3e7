//! Writing: to a temporary file beside the target, which is then renamed, so that no half-written volume is ever seen.

use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::{Naming, NiftiHeader, Version, pair_paths};
use crate::files::rename_into_place;
use crate::write::put;
use crate::{Error, Result, Voxel};

/// Writes `data` (x fastest, stored as it is) where and how `header` says; the voxel type is `V`'s.
/// The name decides: `.nii`, `.nii.gz`, or `.hdr`/`.img` for a pair. Use [`NiftiHeader::like`] for a volume that lies where
/// another one does.
///
/// # Errors
/// A name that is none of these, data of another length than the shape says, a length NIfTI-1 cannot hold, or a
/// system error.
pub fn write<V: Voxel>(path: impl AsRef<Path>, header: &NiftiHeader, data: &[V]) -> Result<()> {
    let path = path.as_ref();
    let naming = Naming::of(path).ok_or_else(|| {
        Error::file(path, "cannot be written: name it .nii.gz (or .nii, or .hdr/.img for a pair)")
    })?;
    if header.len() != data.len() {
        return Err(Error::file(
            path,
            format!("cannot be written: {} values for shape {:?}", data.len(), header.shape),
        ));
    }
    let header = NiftiHeader { pair: naming.pair, ..header.clone() };
    let longest = header.shape.iter().copied().max().unwrap_or(0);
    if header.shape.is_empty()
        || header.shape.len() > 7
        || header.version == Version::One && longest > i16::MAX as usize
    {
        return Err(Error::file(
            path,
            format!("cannot be written as NIfTI-1: shape {:?}; set version two", header.shape),
        ));
    }
    let start = header.encode(V::TYPE);
    let voxels = |out: &mut dyn Write| put(out, header.byte_order, data);
    if naming.pair {
        let (header_path, image_path) = pair_paths(path);
        rename_into_place(&image_path, |out| compressed(out, naming.gzip, voxels))?;
        rename_into_place(&header_path, |out| compressed(out, naming.gzip, |out| out.write_all(&start)))
    } else {
        rename_into_place(path, |out| {
            compressed(out, naming.gzip, |out| {
                out.write_all(&start)?;
                voxels(out)
            })
        })
    }
}

fn compressed(
    out: &mut dyn Write,
    gzip: bool,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if !gzip {
        return fill(out);
    }
    // No name and no time in the stream: the same volume gives the same bytes.
    let mut encoder = GzBuilder::new().write(out, Compression::new(4));
    fill(&mut encoder)?;
    encoder.finish().map(drop)
}
