//! On which grid cases are looked at.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use volumes::{AxisOrder, Frame, Grid, Header};

use super::Vanished;
use super::resample::{self, Interpolation, resample, resample_labels};
use super::vanished::vanished;

/// Along an axis this many times as coarse as the others, the finer cases decide the common spacing.
const ANISOTROPIC: f64 = 3.0;

/// What is done to a case before it is normalised.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Turns every case to right, front and head by its header; else axes are as in the file.
    pub reorient: bool,
    /// Cuts off borders in which all channels are 0.
    pub crop: bool,
    /// Resamples to these millimetres along d, h, w.
    pub spacing: Option<[f64; 3]>,
}

impl Preprocessing {
    /// Cases as they lie in their files, but turned.
    pub const NATIVE: Self = Self { reorient: true, crop: false, spacing: None };

    /// How the axes of a file lie to those of its case.
    pub fn frame(self, header: &Header, order: AxisOrder) -> Frame {
        if self.reorient { Frame::turned(header, order) } else { Frame::kept(order) }
    }
}

/// In a sentence after "cases are".
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", if self.reorient { "turned to right, front and head" } else { "taken as they lie" })?;
        if self.crop {
            write!(f, ", without empty borders")?;
        }
        match self.spacing {
            Some(spacing) => {
                let [d, h, w] = spacing.map(|s| (s * 1e3).round() / 1e3);
                write!(f, ", with voxels of {d} x {h} x {w} mm (d, h, w)")
            }
            None => write!(f, ", with their own voxels"),
        }
    }
}

/// The spacing that nnU-Net would resample cases of these grids (d, h, w) to: the median along each axis; along one that is
/// more than three times as coarse and has less than a third of the voxels of the others, the 10 % quantile, but no finer
/// than the others.
///
/// # Source
/// Isensee et al. 2021, supplement, "target spacing".
pub fn common_spacing(grids: &[Grid]) -> [f64; 3] {
    let sorted = |of: &dyn Fn(&Grid) -> f64| {
        let mut all: Vec<f64> = grids.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    let at = |all: &[f64], q: f64| {
        let at = q * all.len().saturating_sub(1) as f64;
        let (low, high) = (all[at.floor() as usize], all[at.ceil() as usize]);
        low + (high - low) * at.fract()
    };
    if grids.is_empty() {
        return [1.0; 3];
    }
    let mut spacing: [f64; 3] = std::array::from_fn(|a| at(&sorted(&|grid| grid.spacing[a]), 0.5));
    let voxels: [f64; 3] =
        std::array::from_fn(|a| at(&sorted(&|grid| grid.size[a] as f64 * grid.spacing[a] / spacing[a]), 0.5));
    let coarsest = (0..3).fold(0, |best, a| if spacing[a] > spacing[best] { a } else { best });
    let others = || (0..3).filter(|&a| a != coarsest);
    let coarsest_other = others().map(|a| spacing[a]).fold(0.0, f64::max);
    let fewest_other = others().map(|a| voxels[a]).fold(f64::INFINITY, f64::min);
    if spacing[coarsest] > ANISOTROPIC * coarsest_other && voxels[coarsest] * ANISOTROPIC < fewest_other {
        let fine = at(&sorted(&|grid| grid.spacing[coarsest]), 0.1);
        spacing[coarsest] = fine.max(coarsest_other);
    }
    spacing
}

/// The smallest box around all voxels `[d, h, w, c]` that are not 0 in some channel, and around all that are foreground;
/// the whole volume where there are none.
pub(super) fn content(
    image: &[f32],
    channels: usize,
    labels: Option<&[u8]>,
    size: [usize; 3],
) -> [Range<usize>; 3] {
    let [depth, height, width] = size;
    let mut low = size;
    let mut high = [0; 3];
    for row in 0..depth * height {
        let line = &image[row * width * channels..][..width * channels];
        let first = line.iter().position(|&v| v != 0.0).map(|i| i / channels);
        let last = line.iter().rposition(|&v| v != 0.0).map(|i| i / channels);
        let line = labels.map_or(&[][..], |labels| &labels[row * width..][..width]);
        let ends = [first, last, line.iter().position(|&l| l != 0), line.iter().rposition(|&l| l != 0)];
        for w in ends.into_iter().flatten() {
            for (axis, i) in [row / height, row % height, w].into_iter().enumerate() {
                low[axis] = low[axis].min(i);
                high[axis] = high[axis].max(i + 1);
            }
        }
    }
    if high[0] == 0 { size.map(|n| 0..n) } else { std::array::from_fn(|a| low[a]..high[a]) }
}

/// A box of voxels `[d, h, w, c]`.
pub(super) fn cut<T: Copy>(
    voxels: Vec<T>,
    size: [usize; 3],
    channels: usize,
    of: &[Range<usize>; 3],
) -> Vec<T> {
    if (0..3).all(|a| of[a] == (0..size[a])) {
        return voxels;
    }
    let mut out = memory::with_capacity(of.iter().map(ExactSizeIterator::len).product::<usize>() * channels);
    for d in of[0].clone() {
        for h in of[1].clone() {
            let row = (d * size[1] + h) * size[2];
            out.extend_from_slice(&voxels[(row + of[2].start) * channels..(row + of[2].end) * channels]);
        }
    }
    out
}

/// An image from one grid to another of the same box.
pub(super) fn image_to_grid(image: Vec<f32>, channels: usize, from: Grid, to: [usize; 3]) -> Vec<f32> {
    if from.size == to {
        return image;
    }
    let interpolation = resample::per_axis(from.spacing, Interpolation::Cubic);
    resample(image, from.size, channels, to, interpolation)
}

/// Labels from one grid to another of the same box, and the lesions that are lost on the way.
pub(super) fn labels_to_grid(labels: Vec<u8>, from: Grid, to: [usize; 3]) -> (Vec<u8>, Vec<Vanished>) {
    if from.size == to {
        return (labels, Vec::new());
    }
    let interpolation = resample::per_axis(from.spacing, Interpolation::Linear);
    let resampled = resample_labels(&labels, from.size, to, interpolation);
    let lost = vanished(&labels, from.size, &resampled, to);
    (resampled, lost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(size: [usize; 3], spacing: [f64; 3]) -> Grid {
        Grid { size, spacing }
    }

    #[test]
    fn the_common_spacing_is_the_median_unless_one_axis_is_coarse() {
        let cube = |s: f64| grid([60, 60, 60], [s; 3]);
        assert_eq!(common_spacing(&[cube(1.0), cube(2.0), cube(1.2)]), [1.2; 3]);
        assert_eq!(common_spacing(&[cube(1.0), cube(2.0)]), [1.5; 3]);
        // Thick slices: the 10 % quantile of 3, 5, 6, but no finer than the plane.
        let slices = |s: f64| grid([20, 256, 256], [s, 0.8, 0.8]);
        let [d, h, w] = common_spacing(&[slices(6.0), slices(3.0), slices(5.0)]);
        assert!((d - 3.4).abs() < 1e-12 && h == 0.8 && w == 0.8, "{d} {h} {w}");
        let mixed = [slices(6.0), slices(6.0), grid([150, 256, 256], [0.5, 0.8, 0.8])];
        assert!((common_spacing(&mixed)[0] - 1.6).abs() < 1e-12);
        // As many slices as pixels are no reason.
        let long = |s: f64| grid([200, 256, 256], [s, 0.8, 0.8]);
        assert_eq!(common_spacing(&[long(6.0), long(3.0), long(5.0)]), [5.0, 0.8, 0.8]);
        assert_eq!(common_spacing(&[]), [1.0; 3]);
    }

    proptest! {
        #[test]
        fn a_box_holds_all_that_is_not_0_and_no_border_of_0(
            size in prop::array::uniform3(1usize..6),
            set in prop::collection::vec((0usize..1000, any::<bool>()), 0..4),
        ) {
            let voxels: usize = size.iter().product();
            let (mut image, mut labels) = (vec![0.0f32; voxels * 2], vec![0u8; voxels]);
            for (at, is_label) in set {
                let at = at % voxels;
                if is_label { labels[at] = 1 } else { image[at * 2 + at % 2] = -1.0 }
            }
            let found = content(&image, 2, Some(&labels), size);
            let place = |voxel: usize| [voxel / size[1] / size[2], voxel / size[2] % size[1], voxel % size[2]];
            let full: Vec<[usize; 3]> = (0..voxels)
                .filter(|&v| labels[v] != 0 || image[v * 2] != 0.0 || image[v * 2 + 1] != 0.0)
                .map(place)
                .collect();
            for a in 0..3 {
                let wanted = match (full.iter().map(|p| p[a]).min(), full.iter().map(|p| p[a]).max()) {
                    (Some(low), Some(high)) => low..high + 1,
                    _ => 0..size[a],
                };
                prop_assert_eq!(found[a].clone(), wanted);
            }
            let cut = cut((0..voxels * 2).collect(), size, 2, &found);
            let inside = (0..voxels).filter(|&v| (0..3).all(|a| found[a].contains(&place(v)[a])));
            prop_assert_eq!(cut, inside.flat_map(|v| [v * 2, v * 2 + 1]).collect::<Vec<_>>());
        }
    }
}
