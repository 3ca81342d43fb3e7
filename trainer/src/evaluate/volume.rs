//! A volume of labels and where it lies.

use std::path::Path;

use volumes::{Alignment, Header, Role, Stored, nifti, whole_number};

use crate::dataset::folder::planes_of_one_slice;
use crate::{Error, Result};

/// Labels on a grid, x running fastest.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelVolume {
    /// Voxels along x, y, z.
    pub shape: [usize; 3],
    /// From voxel indices (x, y, z, 1) to millimetres.
    pub affine: [[f64; 4]; 4],
    /// Whether the file says where its voxels lie.
    pub place_known: bool,
    /// One label a voxel.
    pub labels: Vec<i32>,
}

impl LabelVolume {
    /// The same voxels on the grid of another volume, where the affines say that they are the other's in another order, or
    /// some of them: then the others are background, which the second value says.
    pub(super) fn on_grid_of(self, other: &Self) -> (Self, bool) {
        let header = |volume: &Self| Header {
            place_known: volume.place_known,
            ..Header::new(&volume.shape, volume.affine)
        };
        match Alignment::of(&header(other), &header(&self)) {
            Alignment::Same | Alignment::Apart => (self, false),
            placed @ (Alignment::Turned(_) | Alignment::Part(_)) => {
                let labels = placed.in_order(self.labels);
                let is_part = matches!(placed, Alignment::Part(_));
                let Self { shape, affine, place_known, .. } = *other;
                (Self { shape, affine, place_known, labels }, is_part)
            }
        }
    }
}

/// Reads the labels of a volume.
///
/// # Errors
/// When the file cannot be read, is not three-dimensional, or a voxel is no whole number that fits 32 bits.
pub fn read_labels(path: impl AsRef<Path>) -> Result<LabelVolume> {
    let path = path.as_ref();
    let image = Stored::read_as(path, Role::Mask)?;
    let header = &image.header;
    if header.channels() != 1 {
        planes_of_one_slice(path)?;
        let message = format!("shape {:?} is no single volume; save its labels in 3-D", header.shape);
        return Err(Error::file(path, message));
    }
    let (shape, affine, place_known) = (header.size(), header.affine, header.place_known);
    let bytes = image.stored::<u8>().filter(|_| header.scaling.is_none());
    let labels = match bytes {
        Some(bytes) => memory::collected(bytes.into_iter().map(i32::from)),
        None => {
            let mut labels = memory::with_capacity(header.len());
            for (voxel, value) in image.to_f64().into_iter().enumerate() {
                labels.push(label(path, voxel, value)?);
            }
            labels
        }
    };
    Ok(LabelVolume { shape, affine, place_known, labels })
}

fn label(path: &Path, voxel: usize, value: f64) -> Result<i32> {
    if let Some(label) = whole_number(value).and_then(|label| i32::try_from(label).ok()) {
        return Ok(label);
    }
    let message = format!(
        "voxel {voxel} is {value}, no label; labels are whole numbers: save them as integers, \
         and resample them by the nearest neighbour"
    );
    Err(Error::file(path, message))
}

impl LabelVolume {
    /// How far, at most, another affine moves a corner of this volume, in millimetres.
    pub(super) fn farthest_corner(&self, affine: &[[f64; 4]; 4]) -> f64 {
        nifti::farthest_corner(self.shape, &self.affine, affine)
    }

    /// The edges of a voxel along x, y and z, in millimetres: the lengths of the affine's columns.
    pub(super) fn spacing(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| (0..3).map(|row| self.affine[row][axis].powi(2)).sum::<f64>().sqrt())
    }
}
