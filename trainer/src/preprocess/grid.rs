//! On which grid cases are looked at.

use std::fmt;

use serde::{Deserialize, Serialize};
use volumes::{AxisOrder, Frame, Grid, Header};

use super::Case;
use super::lost::vanished;
use super::resample::{self, Interpolation, resample, resample_labels};

/// Along an axis this many times as coarse as the others, the finer cases decide the common spacing.
const ANISOTROPIC: f64 = 3.0;

/// What is done to a case before it is normalised.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Turns every case to right, front and head by its header; else axes are as in the file.
    pub reorient: bool,
    /// Cuts off borders in which every channel has one constant value.
    pub crop: bool,
    /// Resamples to these millimetres along d, h, w.
    pub spacing: Option<[f64; 3]>,
    /// In which way.
    pub revision: Revision,
}

/// How cases are preprocessed changes at times; a model goes on with cases as it was trained on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revision {
    /// Only borders in which all channels are 0 are empty; intensities are normalised after they were resampled.
    First,
    /// Borders of any constant are empty; intensities are normalised before they are resampled, as nnU-Net does.
    #[default]
    Second,
}

impl Preprocessing {
    /// Cases as they lie in their files, but turned.
    pub const NATIVE: Self = Self { reorient: true, crop: false, spacing: None, revision: Revision::Second };

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
            let what = if self.revision == Revision::First { "borders of 0" } else { "empty borders" };
            write!(f, ", without {what}")?;
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

impl Case {
    /// On the voxels that its geometry says, over the same box. The image may have been taken out before, where it is not
    /// wanted.
    pub(super) fn resampled(mut self) -> Self {
        let grids = &self.geometry.grids;
        let (from, to) = (Grid { size: self.shape, ..grids.part() }, grids.shape());
        if from.size == to {
            return self;
        }
        if let Some(labels) = self.labels.take() {
            let interpolation = resample::per_axis(from.spacing, Interpolation::Linear);
            let resampled = resample_labels(&labels, from.size, to, interpolation);
            self.lost.vanished = vanished(&labels, from.size, &resampled, to);
            self.labels = Some(resampled);
        }
        if !self.image.is_empty() {
            let interpolation = resample::per_axis(from.spacing, Interpolation::Cubic);
            self.image = resample(self.image, from.size, self.channels, to, interpolation);
        }
        Self { shape: to, spacing: grids.spacing(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
