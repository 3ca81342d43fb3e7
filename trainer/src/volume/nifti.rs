//! NIfTI, by way of [`crate::nifti`].

use super::{Format, Header, Stored};
use crate::nifti;
use crate::{Error, Result};
use std::path::Path;

pub(super) fn header(path: &Path) -> Result<Header> {
    convert(path, &nifti::read_header(path)?)
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    let (header, raw) = nifti::read(path)?.into_parts();
    let order = header.byte_order;
    Ok(Stored::new(path, convert(path, &header)?, raw, order))
}

fn convert(path: &Path, header: &nifti::Header) -> Result<Header> {
    Ok(Header {
        format: Format::Nifti,
        shape: header.shape.clone(),
        voxel_type: header.voxel_type,
        byte_order: header.byte_order,
        scaling: header.scaling(),
        spacing: header.spacing(),
        spacing_known: true,
        affine: header.affine().map_err(|m| Error::file(path, m))?,
        place_known: header.place_known(),
        unit: None,
        notes: header.notes(),
    })
}
