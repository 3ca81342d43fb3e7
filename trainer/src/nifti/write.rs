//! Writing: to a temporary file beside the target, which is then renamed, so that no half-written volume is ever seen.

use super::{Header, Naming, Version, Voxel, pair_paths};
use crate::{Error, Result};
use flate2::{Compression, GzBuilder};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes `data` (x fastest, stored as it is) where and how `header` says; the voxel type is `V`'s.
/// The name decides: `.nii`, `.nii.gz`, or `.hdr`/`.img` for a pair. Use [`Header::like`] for a volume that lies where
/// another one does.
///
/// # Errors
/// A name that is none of these, data of another length than the shape says, a length NIfTI-1 cannot hold, or a
/// system error.
pub fn write<V: Voxel>(path: impl AsRef<Path>, header: &Header, data: &[V]) -> Result<()> {
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
    let header = Header { pair: naming.pair, ..header.clone() };
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
    let voxels = |out: &mut dyn Write| put_voxels(out, &header, data);
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

/// Writes a file beside `path` with `fill` and renames it to `path` once it is whole and on disk.
pub(crate) fn rename_into_place(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        // The umask decides, as for any other file; the default would be readable by its owner alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.prefix(".writing-").tempfile_in(folder)?;
        let mut out = BufWriter::with_capacity(1 << 16, temporary);
        fill(&mut out)?;
        let temporary = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        File::sync_all(temporary.as_file())?;
        temporary.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    work().map_err(Error::io(path))
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

fn put_voxels<V: Voxel>(out: &mut dyn Write, header: &Header, data: &[V]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for piece in data.chunks(1 << 13) {
        bytes.clear();
        for &value in piece {
            value.append_bytes(header.byte_order, &mut bytes);
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}
