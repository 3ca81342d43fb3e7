//! How far the surfaces of two masks lie from each other, in millimetres.
//!
//! A surface is a set of voxels: those of the mask that its erosion takes away, because a neighbour is not in
//! the mask. What lies outside the volume is not in the mask either.
//! For A the surface voxels of the truth, B those of the prediction and d(a, B) = min over b of |a − b|:
//!
//! | value | formula |
//! |---|---|
//! | hd | max(max d(a, B), max d(b, A)) |
//! | hd95 | the 95th percentile of all d(a, B) and d(b, A) together |
//! | asd | the mean of d(b, A), or the other way round of d(a, B) |
//! | assd | the mean of all d(a, B) and d(b, A) together |
//! | surface Dice at τ | (#{a: d(a, B) ≤ τ} + #{b: d(b, A) ≤ τ}) / (#A + #B) |
//!
//! It is not google-deepmind's surface-distance: that weighs each surface element by its area and places
//! surfaces between voxels, so its Hausdorff distances, averages and surface Dice are other definitions with
//! other values.
//!
//! # Source
//! The distances: MedPy 0.5.2, `medpy.metric.binary.{hd, hd95, asd, assd}`. Other programs take
//! for hd95 the larger of two percentiles, and for assd, as MedPy did before 0.5, the mean of both asd.
//! Surface Dice: S. Nikolov et al., "Deep learning to achieve clinically applicable segmentation of head and
//! neck anatomy for radiotherapy", 2018, with the count of surface voxels in place of the surfaces' area.

mod distance_transform;

pub use distance_transform::distance_transform;

use rayon::prelude::*;

use super::grid::{self, BoundingBox, Connectivity};
use crate::{Error, Result};

/// From each surface voxel of one mask to the nearest surface voxel of the other, in mm.
///
/// A distance to a mask without voxels is infinite, and every value that would be made of such distances is
/// `None`; the counting ones, [`Self::surface_dice`], are not.
///
/// ```
/// use metrics::{Connectivity, SurfaceDistances};
/// let (truth, prediction) = ([true, false, false], [false, false, true]);
/// let spacing = [3.0, 1.0, 0.5];
/// let distances = SurfaceDistances::new(&truth, &prediction, [1, 1, 3], spacing, Connectivity::Six)?;
/// assert_eq!((distances.hd(), distances.surface_dice(1.0)), (Some(1.0), Some(1.0)));
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SurfaceDistances {
    /// From the truth's surface voxels, in the order of memory.
    pub truth_to_prediction: Vec<f64>,
    /// From the prediction's surface voxels, in the order of memory.
    pub prediction_to_truth: Vec<f64>,
}

impl SurfaceDistances {
    /// Measures two masks `[d, h, w]` whose voxels are `spacing` (d, h, w) mm apart.
    ///
    /// `connectivity` says which neighbours the erosion looks at: fewer of them, a thinner surface.
    ///
    /// # Errors
    /// When a spacing is not a positive number whose square can be written.
    ///
    /// # Panics
    /// When a mask does not have the shape's number of voxels.
    #[track_caller]
    pub fn new(
        truth: &[bool],
        prediction: &[bool],
        shape: [usize; 3],
        spacing: [f64; 3],
        connectivity: Connectivity,
    ) -> Result<Self> {
        grid::check(truth, shape);
        grid::check(prediction, shape);
        if !is_usable(spacing) {
            return Err(Error(format!(
                "voxels are {spacing:?} mm apart along d, h and w, which measures nothing; \
                 give positive distances"
            )));
        }
        // Outside the box both masks are empty, as they are outside the volume: no border changes by the cut.
        let bounds = BoundingBox::of(truth, prediction, shape);
        let surface = |mask: &[bool]| {
            let mut cut = memory::with_capacity(bounds.shape().iter().product());
            cut.extend(bounds.indices(shape).map(|index| mask[index]));
            border(&cut, bounds.shape(), connectivity)
        };
        let (truth, prediction) = (surface(truth), surface(prediction));
        let between = |from: &[bool], to: &[bool]| -> Vec<f64> {
            let to = distance_transform(to, bounds.shape(), spacing);
            let mut found = memory::with_capacity(from.iter().filter(|&&from| from).count());
            found.extend(from.iter().zip(to).filter_map(|(&from, distance)| from.then_some(distance)));
            found
        };
        Ok(Self {
            truth_to_prediction: between(&truth, &prediction),
            prediction_to_truth: between(&prediction, &truth),
        })
    }

    /// The Hausdorff distance: the largest distance of all, lower is better; `None` where a mask is empty.
    pub fn hd(&self) -> Option<f64> {
        self.both().then(|| self.all().fold(0.0, f64::max))
    }

    /// The 95th percentile of the distances of both directions together, interpolated between the two nearest
    /// as numpy does by default; lower is better, `None` where a mask is empty.
    pub fn hd95(&self) -> Option<f64> {
        self.both().then(|| percentile(self.all().collect(), 0.95))
    }

    /// The mean distance from the prediction's surface to the truth's, MedPy's `asd(prediction, truth)`; it
    /// does not see what the prediction missed. Lower is better, `None` where a mask is empty.
    pub fn asd_to_truth(&self) -> Option<f64> {
        self.both().then(|| mean(self.prediction_to_truth.iter().copied()))
    }

    /// The mean distance from the truth's surface to the prediction's, MedPy's `asd(truth, prediction)`; it
    /// does not see what the prediction invented. Lower is better, `None` where a mask is empty.
    pub fn asd_to_prediction(&self) -> Option<f64> {
        self.both().then(|| mean(self.truth_to_prediction.iter().copied()))
    }

    /// The average symmetric surface distance: the mean of the distances of both directions together, lower is
    /// better; `None` where a mask is empty.
    ///
    /// # Source
    /// T. Heimann et al., "Comparison and evaluation of methods for liver segmentation from CT datasets", IEEE
    /// Transactions on Medical Imaging 28, 2009.
    pub fn assd(&self) -> Option<f64> {
        self.both().then(|| mean(self.all()))
    }

    /// The share of surface voxels, of both masks together, that lie within `tolerance` mm of the other
    /// surface, in 0 to 1, higher is better.
    ///
    /// As with Dice, one empty mask gives 0 (nothing lies near a surface that is not there), and only two give
    /// `None`.
    ///
    /// # Panics
    /// When the tolerance is negative or not finite.
    #[track_caller]
    pub fn surface_dice(&self, tolerance: f64) -> Option<f64> {
        assert!(tolerance >= 0.0 && tolerance.is_finite(), "a tolerance of {tolerance} mm is no length");
        let near = self.all().filter(|&distance| distance <= tolerance).count();
        super::binary::ratio(near as u64, self.all().count() as u64)
    }

    /// Whether both masks have a surface.
    fn both(&self) -> bool {
        !self.truth_to_prediction.is_empty() && !self.prediction_to_truth.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = f64> + '_ {
        self.truth_to_prediction.iter().chain(&self.prediction_to_truth).copied()
    }
}

/// Whether distances can be measured with such voxels.
fn is_usable(spacing: [f64; 3]) -> bool {
    spacing.iter().all(|&s| s > 0.0 && (s * s).is_normal())
}

/// The voxels of a mask that have a neighbour outside the mask: the mask without its binary erosion.
fn border(mask: &[bool], shape: [usize; 3], connectivity: Connectivity) -> Vec<bool> {
    let steps = connectivity.steps();
    let is_border = |index: usize| {
        let from = grid::place(index, shape);
        let inside = |&by: &[isize; 3]| grid::step(from, by, shape).is_some_and(|neighbour| mask[neighbour]);
        mask[index] && !steps.iter().all(inside)
    };
    memory::in_parallel((0..mask.len()).into_par_iter().map(is_border))
}

/// The mean of at least one value.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
    sum / n as f64
}

/// `numpy.percentile(values, 100·share)`: linear between the two values around (n − 1)·share.
fn percentile(mut values: Vec<f64>, share: f64) -> f64 {
    let at = (values.len() - 1) as f64 * share;
    let (_, &mut low, above) = values.select_nth_unstable_by(at as usize, f64::total_cmp);
    let high = above.iter().copied().reduce(f64::min).unwrap_or(low);
    low + (high - low) * at.fract()
}
