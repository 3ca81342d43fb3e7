//! The grids between a file and the network.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use volumes::Grid;

use super::resample::{self, Interpolation, Tap, size_at};

/// Three grids are told apart: the file's (x, y, z); the whole volume's (d, h, w), the same voxels in another order; the
/// case's, which is what a network sees: a part of the volume, resampled. These are the latter two.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Grids {
    /// Of the whole volume.
    whole: Grid,
    /// What of it is looked at.
    crop: [Range<usize>; 3],
    /// Of the case.
    grid: Grid,
}

impl Grids {
    /// A case that is its whole volume, with its voxels.
    pub fn of_whole(whole: Grid) -> Self {
        Self { whole, crop: whole.size.map(|n| 0..n), grid: whole }
    }

    /// A case that is a part of the volume, with voxels of about `spacing` mm.
    #[must_use]
    pub fn cropped(&self, crop: [Range<usize>; 3], spacing: Option<[f64; 3]>) -> Self {
        let from = crop.clone().map(|range| range.len());
        let size = spacing.map_or(from, |spacing| size_at(from, self.whole.spacing, spacing));
        let spacing = std::array::from_fn(|a| self.whole.spacing[a] * from[a] as f64 / size[a] as f64);
        Self { whole: self.whole, crop, grid: Grid { size, spacing } }
    }

    /// Millimetres along d, h, w as the file has them.
    pub fn spacing_of_file(&self) -> [f64; 3] {
        self.whole.spacing
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

    /// What of the whole volume the case is, along d, h, w.
    pub fn crop(&self) -> &[Range<usize>; 3] {
        &self.crop
    }

    /// Whether the case's voxels are those of its file, all of them.
    pub fn is_whole(&self) -> bool {
        self.part_shape() == self.whole.size && self.grid.size == self.whole.size
    }

    /// Whether the parts fit together; those of a file may be anything.
    pub(crate) fn is_sound(&self) -> bool {
        let is_grid = |grid: &Grid| {
            grid.size.iter().all(|&n| n > 0) && grid.spacing.iter().all(|s| s.is_finite() && *s > 0.0)
        };
        let inside =
            |a: usize| self.crop[a].start < self.crop[a].end && self.crop[a].end <= self.whole.size[a];
        is_grid(&self.whole) && is_grid(&self.grid) && (0..3).all(inside)
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

    /// The part `[d, h, w]` that the case is, from the whole volume.
    ///
    /// # Panics
    /// If the volume has another number of voxels.
    #[track_caller]
    pub fn part_of<T: Copy>(&self, whole: &[T]) -> Vec<T> {
        let size = self.whole.size;
        assert_eq!(whole.len(), size.iter().product::<usize>(), "the whole volume's voxels");
        let mut part = memory::with_capacity(self.part_shape().iter().product());
        for d in self.crop[0].clone() {
            for h in self.crop[1].clone() {
                let row = (d * size[1] + h) * size[2];
                part.extend_from_slice(&whole[row + self.crop[2].start..row + self.crop[2].end]);
            }
        }
        part
    }
}
