//! Where a case lies in its file, and the way back there.

use std::ops::Range;
use std::path::Path;

use volumes::{AxisOrder, Format, Frame, Grid, Header, Voxel, nifti};

use super::Preprocessing;
use super::resample::{self, Interpolation, Tap, size_at};
use crate::{Error, Result};

/// How a case came from its file: turned, cropped, resampled. Enough to write what was found where the file's voxels lie.
///
/// Three grids are told apart: the file's (x, y, z); the whole volume's (d, h, w), the same voxels in another order; the
/// case's, which is what a network sees.
#[derive(Clone, PartialEq, Debug)]
pub struct Geometry {
    header: Header,
    frame: Frame,
    /// Of the whole volume.
    whole: Grid,
    /// What of it is looked at.
    crop: [Range<usize>; 3],
    /// Of the case.
    grid: Grid,
}

impl Geometry {
    /// A case that is its whole file, with the file's voxels.
    pub fn new(header: Header, order: AxisOrder, preprocessing: Preprocessing) -> Self {
        let frame = preprocessing.frame(&header, order);
        let whole = frame.grid(&header);
        Self { header, frame, whole, crop: whole.size.map(|n| 0..n), grid: whole }
    }

    /// A case that is a part of the volume, with voxels of about `spacing`.
    pub(crate) fn looked_at(self, crop: [Range<usize>; 3], spacing: Option<[f64; 3]>) -> Self {
        let from = crop.clone().map(|range| range.len());
        let size = spacing.map_or(from, |spacing| size_at(from, self.whole.spacing, spacing));
        let spacing = std::array::from_fn(|a| self.whole.spacing[a] * from[a] as f64 / size[a] as f64);
        Self { crop, grid: Grid { size, spacing }, ..self }
    }

    /// Millimetres along d, h, w as the file has them.
    pub(super) fn spacing_of_file(&self) -> [f64; 3] {
        self.whole.spacing
    }

    /// What the file says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn frame(&self) -> Frame {
        self.frame
    }

    /// Voxels of the case along d, h, w.
    pub fn shape(&self) -> [usize; 3] {
        self.grid.size
    }

    /// Their size in millimetres.
    pub fn spacing(&self) -> [f32; 3] {
        self.grid.spacing.map(|s| s as f32)
    }

    /// Voxels of the whole file along d, h, w.
    pub fn whole_shape(&self) -> [usize; 3] {
        self.whole.size
    }

    /// Voxels of the file along d, h, w in the part that the case is.
    pub fn part_shape(&self) -> [usize; 3] {
        self.crop.clone().map(|range| range.len())
    }

    /// Voxels of the file for each voxel of the case: above 1 where cases are resampled to larger ones.
    pub fn file_voxels_per_voxel(&self) -> f64 {
        let voxels = |size: [usize; 3]| size.iter().product::<usize>() as f64;
        voxels(self.part_shape()) / voxels(self.shape())
    }

    /// The part's grid.
    pub(super) fn part(&self) -> Grid {
        Grid { size: self.part_shape(), spacing: self.whole.spacing }
    }

    /// Where each voxel of the part comes from among the case's, axis by axis.
    pub(crate) fn taps_back(&self) -> [Vec<Tap>; 3] {
        let (from, to) = (self.grid.size, self.part_shape());
        let interpolation = resample::per_axis(self.whole.spacing, Interpolation::Linear);
        std::array::from_fn(|a| {
            let tap =
                if interpolation[a] == Interpolation::Nearest { resample::nearest } else { resample::linear };
            (0..to[a]).map(|i| tap(i, from[a], to[a])).collect()
        })
    }

    /// The whole volume `[d, h, w, c]` from the part that the case is; `outside` lies around it.
    ///
    /// # Panics
    /// If the part has another number of voxels.
    #[track_caller]
    pub fn uncropped<T: Copy>(&self, part: Vec<T>, outside: &[T]) -> Vec<T> {
        let (size, of, channels) = (self.whole.size, self.part_shape(), outside.len());
        assert_eq!(part.len(), of.iter().product::<usize>() * channels, "the part's voxels");
        if of == size {
            return part;
        }
        let voxels = size.iter().product::<usize>() * channels;
        let mut whole = memory::with_capacity(voxels);
        whole.extend(outside.iter().copied().cycle().take(voxels));
        for (row, voxels) in part.chunks_exact(of[2] * channels).enumerate() {
            let (d, h) = (self.crop[0].start + row / of[1], self.crop[1].start + row % of[1]);
            let start = ((d * size[1] + h) * size[2] + self.crop[2].start) * channels;
            whole[start..start + voxels.len()].copy_from_slice(voxels);
        }
        whole
    }

    /// Writes a whole volume `[d, h, w]` (a mask in u8, a probability in f32, …) where the file lies: same shape, voxel
    /// size and transformation. The name's ending decides the format, see [`volumes::write`]. The file appears whole or not
    /// at all.
    ///
    /// # Errors
    /// A name with another ending, a length that is not the file's, or a system error.
    pub fn write<V: Voxel>(&self, path: impl AsRef<Path>, volume: Vec<V>) -> Result<()> {
        let path = path.as_ref();
        let size = self.whole.size;
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
