//! Where a case lies in its file, and the way back there.

use std::ops::Range;
use std::path::Path;

use volumes::{AxisOrder, Format, Frame, Header, Voxel, nifti};

use super::{Grids, Preprocessing};
use crate::{Error, Result};

/// How a case came from its file: turned, cropped, resampled. Enough to write what was found where the file's voxels lie.
#[derive(Clone, PartialEq, Debug)]
pub struct Geometry {
    header: Header,
    frame: Frame,
    /// The volume's and the case's.
    pub grids: Grids,
}

impl Geometry {
    /// A case that is its whole file, with the file's voxels.
    pub fn new(header: Header, order: AxisOrder, preprocessing: Preprocessing) -> Self {
        let frame = preprocessing.frame(&header, order);
        let grids = Grids::of_whole(frame.grid(&header));
        Self { header, frame, grids }
    }

    /// A case that is a part of the volume, with voxels of about `spacing`.
    pub(crate) fn cropped(self, crop: [Range<usize>; 3], spacing: Option<[f64; 3]>) -> Self {
        Self { grids: self.grids.cropped(crop, spacing), ..self }
    }

    /// What the file says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn frame(&self) -> Frame {
        self.frame
    }

    /// Writes a whole volume `[d, h, w]` (a mask in u8, a probability in f32, …) where the file lies: same shape, voxel
    /// size and transformation. The name's ending decides the format, see [`volumes::write`]. The file appears whole or not
    /// at all.
    ///
    /// # Errors
    /// A name with another ending, a length that is not the file's, or a system error.
    pub fn write<V: Voxel>(&self, path: impl AsRef<Path>, volume: Vec<V>) -> Result<()> {
        let path = path.as_ref();
        let size = self.grids.whole_shape();
        if volume.len() != size.iter().product::<usize>() {
            let message = format!("cannot be written: {} voxels for the case's shape {size:?}", volume.len());
            return Err(Error::file(path, message));
        }
        let voxels = self.frame.to_file(volume, size);
        match &self.header.nifti {
            Some(header) if Format::of(path).is_ok_and(|format| format == Format::Nifti) => {
                Ok(nifti::write(path, &header.like(), &voxels)?)
            }
            _ => {
                let (shape, byte_order) = (self.header.size().to_vec(), volumes::ByteOrder::Little);
                Ok(volumes::write(path, &Header { shape, byte_order, ..self.header.clone() }, &voxels)?)
            }
        }
    }

    /// The ending of files that are written for this case: that of its own format where that is written, else NIfTI's.
    pub fn ending(&self) -> &'static str {
        match self.header.format {
            Format::Nrrd => ".nrrd",
            Format::Npy | Format::Npz => ".npy",
            _ => ".nii.gz",
        }
    }
}
