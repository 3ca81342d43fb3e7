//! One case in memory.

use volumes::{AxisOrder, Header};

use super::{Geometry, LostForeground, PackedLabels, Preprocessing};
use crate::dataset::IGNORE;
use crate::dataset::survey::label_counts;

/// The images of one patient or specimen, and its labels where they are known.
#[derive(Clone, PartialEq, Debug)]
pub struct Case {
    /// The file's name without channel and ending.
    pub name: String,
    /// Intensities, `[d, h, w, c]`: channels run fastest. As in the file until a normalisation is applied.
    pub image: Vec<f32>,
    /// Voxels along d, h, w.
    pub shape: [usize; 3],
    /// Images per case.
    pub channels: usize,
    /// Millimetres along d, h, w.
    pub spacing: [f32; 3],
    /// The class of each voxel, `[d, h, w]`; [`IGNORE`] where it takes no part.
    pub labels: Option<Vec<u8>>,
    /// The labels of the whole file, where those above are of a part of it or on another grid.
    pub file_labels: Option<PackedLabels>,
    /// What the channels hold in empty voxels, such as 0; none where the case has no empty border, and once intensities are
    /// normalised.
    pub background: Option<Vec<f32>>,
    /// Foreground that is in the file and not among the labels.
    pub lost: LostForeground,
    /// Where it lies, for writing, and the grid that it comes to: until it is resampled it has the voxels of its file.
    pub geometry: Geometry,
}

impl Case {
    /// Of voxels that come from elsewhere than files: intensities `[d, h, w, c]`, as the network is to see them, the
    /// millimetres along d, h, w, and the class of each voxel.
    ///
    /// # Panics
    /// If there are no voxels, or not as many intensities and labels as the shape says.
    #[track_caller]
    pub fn from_voxels(
        name: impl Into<String>,
        shape: [usize; 3],
        spacing: [f64; 3],
        image: Vec<f32>,
        labels: Option<Vec<u8>>,
    ) -> Self {
        let voxels: usize = shape.iter().product();
        assert!(
            voxels > 0 && image.len().is_multiple_of(voxels) && !image.is_empty(),
            "intensities of {shape:?} voxels"
        );
        assert!(labels.as_ref().is_none_or(|labels| labels.len() == voxels), "labels of {shape:?} voxels");
        let ([d, h, w], [sd, sh, sw]) = (shape, spacing);
        let header = Header::new(&[w, h, d], volumes::diagonal([sw, sh, sd]));
        Self {
            name: name.into(),
            channels: image.len() / voxels,
            image,
            shape,
            spacing: spacing.map(|mm| mm as f32),
            labels,
            file_labels: None,
            background: None,
            lost: LostForeground::default(),
            geometry: Geometry::new(header, AxisOrder::ZYX, Preprocessing::NATIVE),
        }
    }

    /// Voxels of one channel.
    pub fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Voxels of each class, for classes 0 to `classes` − 1, and of those that are ignored.
    /// All zero where the labels are unknown.
    pub fn class_counts(&self, classes: usize) -> (Vec<u64>, u64) {
        let counts = label_counts(self.labels.as_deref().unwrap_or_default());
        (counts[..classes.min(255)].to_vec(), counts[usize::from(IGNORE)])
    }
}
