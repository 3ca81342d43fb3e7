//! Writing, by the ending of the name.

use std::io::Write;
use std::path::Path;

use super::{Format, Header, nrrd_write};
use crate::files::rename_into_place;
use crate::nifti::{self, NiftiHeader};
use crate::{ByteOrder, Error, Result, Voxel, VoxelType};

/// Writes `data` (x fastest, channels slowest, stored as it is) where `header` says: `.nrrd` (compressed by gzip), `.npy`
/// (C order, which has no place for the geometry), or a NIfTI ending. The voxel type is `V`'s; shape, affine and byte
/// order are the header's, its scaling is not used. The file appears whole or not at all.
///
/// # Errors
/// Another ending, data of another length than the shape says, a shape the format cannot hold, or a system error.
pub fn write<V: Voxel>(path: impl AsRef<Path>, header: &Header, data: &[V]) -> Result<()> {
    let path = path.as_ref();
    if header.is_empty() || header.len() != data.len() {
        let message = format!("cannot be written: {} values for shape {:?}", data.len(), header.shape);
        return Err(Error::file(path, message));
    }
    match Format::of(path) {
        Ok(Format::Nifti) => nifti::write(path, &nifti_header(header), data),
        Ok(Format::Nrrd) if !path.to_string_lossy().to_ascii_lowercase().ends_with(".nhdr") => {
            nrrd_write::write(path, header, data)
        }
        Ok(Format::Npy) => write_npy(path, header, data),
        _ => Err(Error::file(path, "cannot be written: name it .nii.gz, .nrrd or .npy")),
    }
}

/// Where a volume lies, as NIfTI says it; the scaling is left out.
pub fn nifti_header(header: &Header) -> NiftiHeader {
    let a = header.affine;
    let mut new = NiftiHeader::new(header.size(), header.spacing);
    new.byte_order = header.byte_order;
    new.srow = [a[0], a[1], a[2]];
    // The sform says all; a qform may not be able to.
    new.qform_code = 0;
    new.shape.clone_from(&header.shape);
    if header.shape.iter().any(|&n| n > i16::MAX as usize) {
        new.version = nifti::Version::Two;
    }
    new
}

fn write_npy<V: Voxel>(path: &Path, header: &Header, data: &[V]) -> Result<()> {
    let mut axes: Vec<usize> = header.shape.clone();
    // Axes that NumPy's readers count as d, h, w and c.
    if axes.len() > 4 {
        axes = vec![axes[0], axes[1], axes[2], header.channels()];
    }
    axes.resize(axes.len().max(2), 1);
    let shape: Vec<String> = axes.iter().rev().map(usize::to_string).collect();
    let order = match (V::TYPE.size(), header.byte_order) {
        (1, _) => '|',
        (_, ByteOrder::Little) => '<',
        (_, ByteOrder::Big) => '>',
    };
    let kind = match V::TYPE {
        VoxelType::F32 | VoxelType::F64 => 'f',
        VoxelType::I8 | VoxelType::I16 | VoxelType::I32 | VoxelType::I64 => 'i',
        _ => 'u',
    };
    let mut dict = format!(
        "{{'descr': '{order}{kind}{}', 'fortran_order': False, 'shape': ({}), }}",
        V::TYPE.size(),
        shape.join(", ")
    );
    // The numbers begin at a multiple of 64 bytes, behind ten of magic and length and a line's end.
    while (10 + dict.len() + 1) % 64 != 0 {
        dict.push(' ');
    }
    dict.push('\n');
    let start =
        [b"\x93NUMPY\x01\x00", (dict.len() as u16).to_le_bytes().as_slice(), dict.as_bytes()].concat();
    rename_into_place(path, |out| {
        out.write_all(&start)?;
        put(out, header.byte_order, data)
    })
}

/// The numbers' bytes.
pub(super) fn put<V: Voxel>(out: &mut dyn Write, order: ByteOrder, data: &[V]) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for piece in data.chunks(1 << 13) {
        bytes.clear();
        for &value in piece {
            value.append_bytes(order, &mut bytes);
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}
