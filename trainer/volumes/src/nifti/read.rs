//! Reading: the header, then exactly the voxels that it promises.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::{Naming, NiftiHeader, pair_paths};
use crate::stream::{self, Compression, Stream};
use crate::{Error, Format, Header, Result, Stored, dicom_instead};

/// Reads a header alone, with all that it says: `.nii`, `.nii.gz`, or either file of a `.hdr`/`.img` pair.
///
/// # Errors
/// A file that cannot be read or is no NIfTI file; its voxels are not looked at.
pub fn read_header(path: impl AsRef<Path>) -> Result<NiftiHeader> {
    let path = path.as_ref();
    let pair = naming(path)?.pair;
    let header_path = if pair { pair_paths(path).0 } else { path.to_path_buf() };
    let (file, length) = open(&header_path)?;
    Ok(header_of(&mut stream(&header_path, file, length)?, &header_path, pair)?.0)
}

pub(crate) fn header(path: &Path) -> Result<Header> {
    described(path, read_header(path)?)
}

pub(crate) fn read(path: &Path) -> Result<Stored> {
    let pair = naming(path)?.pair;
    let (header_path, image_path) = if pair { pair_paths(path) } else { (path.into(), path.into()) };
    let (file, length) = open(&header_path)?;
    let mut stream_of_header = stream(&header_path, file, length)?;
    let (header, position) = header_of(&mut stream_of_header, &header_path, pair)?;
    let (shape, kind, order) = (header.shape.clone(), header.voxel_type, header.byte_order);
    let raw = if pair {
        let (file, length) = open(&image_path)?;
        let mut voxels = stream(&image_path, file, length)?;
        voxels.skip(header.vox_offset)?;
        voxels.numbers(&shape, kind)?
    } else {
        stream_of_header.skip(header.vox_offset - position)?;
        stream_of_header.numbers(&shape, kind)?
    };
    Ok(Stored::new(path, described(path, header)?, raw, order))
}

fn naming(path: &Path) -> Result<Naming> {
    Naming::of(path).ok_or_else(|| {
        Error::file(path, "is not named as a NIfTI file (.nii, .nii.gz, .hdr, .img); convert it to .nii.gz")
    })
}

/// An open file, which must be compressed where its name says so.
fn open(path: &Path) -> Result<(BufReader<File>, u64)> {
    let (mut file, length) = stream::open(path)?;
    if naming(path)?.gzip {
        let start = file.fill_buf().map_err(Error::io(path))?;
        if let (true, Some(message)) = (start.len() > 132, dicom_instead(path)) {
            return Err(Error::file(path, message));
        }
        if !start.starts_with(&[0x1f, 0x8b]) {
            let message = "is named .gz but is not gzip-compressed; rename it to .nii, or export it again";
            return Err(Error::file(path, message));
        }
    }
    Ok((file, length))
}

fn stream(path: &Path, file: BufReader<File>, length: u64) -> Result<Stream<'_>> {
    let compression = if naming(path)?.gzip { Compression::Gzip } else { Compression::None };
    Ok(Stream::new(path, file, length, compression))
}

/// The header and how many bytes were read for it.
fn header_of(from: &mut Stream<'_>, path: &Path, pair: bool) -> Result<(NiftiHeader, u64)> {
    const SHORT: &str =
        "ends inside the header (348 bytes in NIfTI-1, 540 in NIfTI-2); copy or export it again";
    let fault = |message: String| Error::file(path, message);
    let mut start = [0; 4];
    from.fill(&mut start, SHORT)?;
    let (version, order) = NiftiHeader::probe(start, naming(path)?.gzip).map_err(fault)?;
    let size = NiftiHeader::size(version);
    let mut bytes = vec![0; size];
    bytes[..4].copy_from_slice(&start);
    from.fill(&mut bytes[4..], SHORT)?;
    let header = NiftiHeader::parse(&bytes, version, order, pair).map_err(fault)?;
    Ok((header, size as u64))
}

/// What a header says, in the form of all formats.
fn described(path: &Path, header: NiftiHeader) -> Result<Header> {
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
        nifti: Some(Box::new(header)),
    })
}
