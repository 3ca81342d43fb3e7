//! Lesions as objects: how many of the truth's were found, and how many of the prediction's are none.
//!
//! A lesion is a connected component. Voxel counts let one large lesion hide ten small ones; these do not.

use serde::{Deserialize, Serialize};

use super::binary::ratio;
use super::components::Components;
use super::grid::{self, Connectivity};

/// Components of truth and prediction, and how many of each meet one of the other.
///
/// One common voxel is enough to meet. Found lesions and true predictions need not be equally many: one
/// predicted component can cover two lesions.
///
/// # Source
/// The lesion-wise true positive and false positive rates of M. Styner et al., "3D segmentation in the clinic:
/// a grand challenge II: MS lesion segmentation", 2008, with any overlap counting as found.
///
/// ```
/// use metrics::{Connectivity, LesionCounts};
/// let truth = [true, true, false, true, false, false];
/// let prediction = [false, true, false, false, false, true];
/// let counts = LesionCounts::new(&truth, &prediction, [1, 1, 6], Connectivity::TwentySix);
/// assert_eq!((counts.recall(), counts.false_positives), (Some(0.5), 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LesionCounts {
    /// Components of the truth.
    pub lesions: u64,
    /// Components of the truth with at least one predicted voxel.
    pub found: u64,
    /// Components of the prediction.
    pub predicted: u64,
    /// Components of the prediction without any voxel of the truth.
    pub false_positives: u64,
}

impl LesionCounts {
    /// Counts the components of two masks `[d, h, w]`.
    ///
    /// # Panics
    /// When a mask does not have the shape's number of voxels, or has 2³² − 1 of them or more.
    #[track_caller]
    pub fn new(truth: &[bool], prediction: &[bool], shape: [usize; 3], connectivity: Connectivity) -> Self {
        grid::check(truth, shape);
        grid::check(prediction, shape);
        let (lesions, found) = count(&Components::new(truth, shape, connectivity), prediction);
        let (predicted, right) = count(&Components::new(prediction, shape, connectivity), truth);
        Self { lesions, found, predicted, false_positives: predicted - right }
    }

    /// Adds the counts of another volume.
    pub fn merge(&mut self, other: &Self) {
        self.lesions += other.lesions;
        self.found += other.found;
        self.predicted += other.predicted;
        self.false_positives += other.false_positives;
    }

    /// found / lesions, in 0 to 1, higher is better; `None` where there was no lesion to find.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.found, self.lesions)
    }

    /// (predicted − false positives) / predicted, in 0 to 1, higher is better; `None` where none was predicted.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.predicted - self.false_positives, self.predicted)
    }
}

/// The number of components, and of those with a voxel in the mask.
fn count(components: &Components, mask: &[bool]) -> (u64, u64) {
    let mut met = vec![false; components.count as usize + 1];
    components.labels.iter().zip(mask).for_each(|(&label, &set)| met[label as usize] |= set);
    (components.count.into(), met.iter().skip(1).filter(|&&met| met).count() as u64)
}
