//! Whether probabilities are what they say: Brier score, calibration error and the reliability table.
//!
//! All from a [`ScoreHistogram`], whose bins are so narrow that a voxel's probability is known to 2.5e-4.

use serde::{Deserialize, Serialize};

use super::ScoreHistogram;

/// Groups of equal mass.
pub const GROUPS: usize = 15;

/// How well calibrated some probabilities are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Σ (p − y)² / n, from 0 to 1, lower is better; `None` without voxels.
    ///
    /// # Source
    /// G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.
    pub brier: Option<f64>,
    /// Expected calibration error: Σ over groups of (share of the voxels)·|mean p − share of positives|, over 15 groups
    /// of equal mass in the order of p; from 0 to 1, lower is better.
    ///
    /// # Source
    /// Nixon et al., "Measuring calibration in deep learning", 2019, with equal mass instead of equal width.
    pub calibration_error: Option<f64>,
    /// Σ p / n.
    pub mean_probability: Option<f64>,
    /// Σ y / n.
    pub share: Option<f64>,
    /// The groups, from the lowest probability up; fewer than 15 where many voxels share a bin.
    pub groups: Vec<Group>,
}

/// Voxels of about the same probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// How many.
    pub voxels: u64,
    /// Their mean probability.
    pub probability: f64,
    /// The share of them that is positive.
    pub positives: f64,
}

impl Reliability {
    /// Of the voxels of a histogram, whose logits `probability` makes probabilities of; it must not fall.
    pub fn new(histogram: &ScoreHistogram, probability: impl Fn(f64) -> f64) -> Self {
        let total: u64 = histogram.bins().map(|bin| bin.positives + bin.negatives).sum();
        let (mut squares, mut probabilities, mut positives) = (0.0, 0.0, 0u64);
        let mut groups: Vec<Group> = Vec::new();
        let mut group = Group::default();
        let mut before = 0;
        // A rising map keeps the order of the bins.
        for bin in histogram.bins() {
            let p = probability(bin.logit);
            let (yes, no) = (bin.positives as f64, bin.negatives as f64);
            squares += yes * (1.0 - p) * (1.0 - p) + no * p * p;
            probabilities += (yes + no) * p;
            positives += bin.positives;
            group.voxels += bin.positives + bin.negatives;
            group.probability += (yes + no) * p;
            group.positives += yes;
            // The bin that reaches or crosses a fifteenth ends its group.
            let fifteenth = |voxels: u64| u128::from(voxels) * GROUPS as u128 / u128::from(total);
            if fifteenth(before + group.voxels) > fifteenth(before) {
                before += group.voxels;
                groups.push(std::mem::take(&mut group));
            }
        }
        for group in &mut groups {
            group.probability /= group.voxels as f64;
            group.positives /= group.voxels as f64;
        }
        let mean = |sum: f64| (total > 0).then(|| sum / total as f64);
        let gap = |g: &Group| g.voxels as f64 * (g.probability - g.positives).abs();
        Self {
            brier: mean(squares),
            calibration_error: mean(groups.iter().map(gap).sum()),
            mean_probability: mean(probabilities),
            share: mean(positives as f64),
            groups,
        }
    }
}
