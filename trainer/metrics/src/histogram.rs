//! Average precision of more voxels than one cares to sort: counts in 65 536 bins of the logit.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::BinaryCounts;
use super::average_precision::PrecisionEstimate;
use super::curve::{PositiveClass, Split, check};
use crate::Result;

/// The number of bins.
const BINS: usize = 1 << 16;
/// The logit at which a bin is four times as wide as at zero.
const SCALE: f64 = 8.0;
/// Voxels that one task counts; below it a histogram of its own would cost more than the counting.
const CHUNK: usize = 1 << 20;

/// How many positive and negative voxels have a logit in each of 2¹⁶ bins.
///
/// A logit x goes to bin ⌊2¹⁵ (1 + x / (8 + |x|))⌋. The map rises everywhere, has no end at which scores pile
/// up, and needs no exponential; bins are 2.4e-4 wide at 0 and less than 1e-3 within |x| ≤ 8.
/// Voxels of one bin are taken as tied. What that can change is bounded from the counts themselves: see
/// [`PrecisionEstimate::error`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreHistogram {
    positives: Vec<u64>,
    negatives: Vec<u64>,
}

/// The voxels of one bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// In the middle.
    pub logit: f64,
    /// Positive voxels.
    pub positives: u64,
    /// Negative voxels.
    pub negatives: u64,
}

impl Default for ScoreHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl ScoreHistogram {
    /// An empty histogram; it takes 1 MiB whatever is added.
    pub fn new() -> Self {
        Self { positives: vec![0; BINS], negatives: vec![0; BINS] }
    }

    /// Adds voxels.
    ///
    /// # Errors
    /// When a logit is NaN. The histogram is unchanged then.
    ///
    /// # Panics
    /// When the lengths differ.
    #[track_caller]
    pub fn update<L>(&mut self, logits: &[f32], truth: &[L], positive: PositiveClass) -> Result<()>
    where
        L: Copy + Into<i64> + Sync,
    {
        check(logits, truth)?;
        if logits.len() <= CHUNK {
            self.count(logits, truth, positive);
            return Ok(());
        }
        // Sums of integers do not depend on the order of the work.
        let part = logits
            .par_chunks(CHUNK)
            .zip(truth.par_chunks(CHUNK))
            .fold(Self::new, |mut part, (logits, truth)| {
                part.count(logits, truth, positive);
                part
            })
            .reduce(Self::new, |mut a, b| {
                a.merge(&b);
                a
            });
        self.merge(&part);
        Ok(())
    }

    /// Adds the counts of another histogram. Merging parts gives the histogram of the whole, in any order.
    pub fn merge(&mut self, other: &Self) {
        self.positives.iter_mut().zip(&other.positives).for_each(|(sum, n)| *sum += n);
        self.negatives.iter_mut().zip(&other.negatives).for_each(|(sum, n)| *sum += n);
    }

    /// Average precision with each bin's voxels tied, and how far the exact value can be from it.
    pub fn average_precision(&self) -> PrecisionEstimate {
        let total: u64 = self.positives.iter().sum();
        let (mut tp, mut fp) = (0u64, 0u64);
        let (mut value, mut least, mut most) = (0.0, 0.0, 0.0);
        for (&p, &n) in self.positives.iter().zip(&self.negatives).rev() {
            if p > 0 {
                let (tp, fp, p, n) = (tp as f64, fp as f64, p as f64, n as f64);
                value += p * (tp + p) / (tp + p + fp + n);
                // All positives of the bin stand, tied, above all its negatives.
                most += p * (tp + p) / (tp + p + fp);
                // All positives stand below all negatives, no two tied: Σⱼ 1 − F / (tp + F + j) with
                // F = fp + n; and Σⱼ 1 / (A + j) ≤ ln((A + p + ½) / (A + ½)), since 1/x is convex.
                least += p - (fp + n) * (p / (tp + fp + n + 0.5)).ln_1p();
            }
            tp += p;
            fp += n;
        }
        let per_positive = |sum: f64| sum / total as f64;
        PrecisionEstimate {
            value: (total > 0).then(|| per_positive(value)),
            error: if total > 0 { per_positive((value - least).max(most - value).max(0.0)) } else { 0.0 },
            positives: total,
            negatives: fp,
        }
    }

    /// The bins that hold a voxel, from the lowest logit up.
    pub fn bins(&self) -> impl Iterator<Item = Bin> + '_ {
        let counts = self.positives.iter().zip(&self.negatives).enumerate();
        counts.filter(|(_, (p, n))| **p + **n > 0).map(|(i, (&positives, &negatives))| Bin {
            logit: middle(i),
            positives,
            negatives,
        })
    }

    /// Calls `visit(logit, counts)` for the rule "positive where the logit is above `logit`", once for each bin that holds a
    /// voxel, from the highest down: the counts are exact, since the logit is the largest number below the bin.
    pub fn for_each_threshold(&self, mut visit: impl FnMut(f32, BinaryCounts)) {
        let (p, n): (u64, u64) = (self.positives.iter().sum(), self.negatives.iter().sum());
        let (mut tp, mut fp) = (0, 0);
        for (bin, (&positives, &negatives)) in self.positives.iter().zip(&self.negatives).enumerate().rev() {
            if positives + negatives > 0 {
                tp += positives;
                fp += negatives;
                let counts = BinaryCounts {
                    true_positives: tp,
                    false_positives: fp,
                    false_negatives: p - tp,
                    true_negatives: n - fp,
                };
                visit(below(bin), counts);
            }
        }
    }

    /// About `points` of [these thresholds](Self::for_each_threshold), evenly spaced by recall, with their counts; the last is
    /// the highest under which every positive voxel is found. None where no voxel is positive.
    pub fn curve(&self, points: usize) -> Vec<(f32, BinaryCounts)> {
        let mut curve: Vec<(f32, BinaryCounts)> = Vec::new();
        self.for_each_threshold(|logit, counts| {
            let Some(recall) = counts.recall() else { return };
            let last = curve.last().and_then(|(_, last)| last.recall());
            let far = last.is_none_or(|last| recall - last >= 1.0 / points as f64);
            if far || counts.false_negatives == 0 && last < Some(1.0) {
                curve.push((logit, counts));
            }
        });
        curve
    }

    /// The counts of the rule "positive where the logit is above `logit`", with the voxels of its bin on the negative side.
    pub fn counts_above(&self, logit: f32) -> BinaryCounts {
        self.counts_from(bin(logit) + 1)
    }

    /// The counts of the highest threshold under which a voxel of this logit is positive, and with it all voxels of its bin.
    pub fn counts_with(&self, logit: f32) -> BinaryCounts {
        self.counts_from(bin(logit))
    }

    /// The counts with all voxels from this bin up on the positive side.
    fn counts_from(&self, first: usize) -> BinaryCounts {
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        BinaryCounts {
            true_positives: sum(&self.positives[first..]),
            false_positives: sum(&self.negatives[first..]),
            false_negatives: sum(&self.positives[..first]),
            true_negatives: sum(&self.negatives[..first]),
        }
    }

    /// Adds voxels that were kept until now.
    pub(super) fn add_split(&mut self, split: &Split<f32>) {
        split.positives.iter().for_each(|&logit| self.positives[bin(logit)] += 1);
        split.negatives.iter().for_each(|&logit| self.negatives[bin(logit)] += 1);
    }

    fn count<L: Copy + Into<i64>>(&mut self, logits: &[f32], truth: &[L], positive: PositiveClass) {
        for (&logit, &label) in logits.iter().zip(truth) {
            if let Some(positive) = positive.is_positive(label) {
                let counts = if positive { &mut self.positives } else { &mut self.negatives };
                counts[bin(logit)] += 1;
            }
        }
    }
}

/// The bin of a logit; never falls as the logit rises.
fn bin(logit: f32) -> usize {
    let x = f64::from(logit);
    // x / (8 + |x|), written so that each rounded step is monotone by itself; infinities give ±1.
    let y = (1.0 - SCALE / (SCALE + x.abs())).copysign(x);
    (((1.0 + y) * (BINS / 2) as f64) as usize).min(BINS - 1)
}

/// The logit in the middle of a bin.
fn middle(bin: usize) -> f64 {
    let y = (bin as f64 + 0.5) / (BINS / 2) as f64 - 1.0;
    SCALE * y / (1.0 - y.abs())
}

/// The largest number that lies in a lower bin; −∞ for the lowest.
fn below(target: usize) -> f32 {
    if target == 0 {
        return f32::NEG_INFINITY;
    }
    // Floats in the order of the reals, as integers: halved until the two sides of the edge are neighbours.
    let float = |key: u32| f32::from_bits(if key >> 31 == 0 { !key } else { key & 0x7fff_ffff });
    let key = |x: f32| if x.is_sign_negative() { !x.to_bits() } else { x.to_bits() | 0x8000_0000 };
    let (mut low, mut high) = (key(f32::NEG_INFINITY), key(f32::INFINITY));
    while high - low > 1 {
        let centre = low + (high - low) / 2;
        if bin(float(centre)) < target { low = centre } else { high = centre }
    }
    float(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_never_fall_as_the_logit_rises_and_reach_both_ends() {
        let mut before = bin(f32::NEG_INFINITY);
        assert_eq!(before, 0);
        // Every 251st float in the order of the reals.
        for key in (0..=u32::MAX).step_by(251) {
            let bits = if key >> 31 == 0 { !key } else { key & 0x7fff_ffff };
            let logit = f32::from_bits(bits);
            if !logit.is_nan() {
                let bin = bin(logit);
                assert!(bin >= before, "bin {bin} at {logit} after {before}");
                before = bin;
            }
        }
        assert_eq!(bin(f32::INFINITY), BINS - 1);
        assert_eq!(bin(0.0), BINS / 2);
        assert_eq!(bin(-0.0), BINS / 2);
    }

    #[test]
    fn bins_are_narrower_than_a_thousandth_within_eight() {
        for step in -8000..8000 {
            let logit = step as f32 / 1000.0;
            assert!(bin(logit + 1.0 / 1000.0) > bin(logit), "a bin is wider than 0.001 at {logit}");
        }
    }

    #[test]
    fn a_voxel_is_on_either_side_of_its_own_logit_and_a_curve_ends_where_all_are_found() {
        let logits = [-3.0, -0.5, 0.0, 1.25, 4.0];
        let truth = [1u8, 0, 1, 0, 1];
        let mut histogram = ScoreHistogram::new();
        histogram.update(&logits, &truth, PositiveClass::new(1)).unwrap();
        for (i, &logit) in logits.iter().enumerate() {
            let count = |from: usize, class: u8| truth[from..].iter().filter(|&&t| t == class).count() as u64;
            for (counts, from) in [(histogram.counts_with(logit), i), (histogram.counts_above(logit), i + 1)]
            {
                let found = (counts.true_positives, counts.false_positives);
                assert_eq!(found, (count(from, 1), count(from, 0)), "{logit}");
                assert_eq!((counts.support(), counts.true_negatives + found.1), (3, 2));
            }
        }
        let curve = histogram.curve(2);
        let recalls: Vec<u64> = curve.iter().map(|(_, counts)| counts.true_positives).collect();
        assert_eq!(recalls, [1, 3]);
        assert_eq!(curve[1].1, histogram.counts_above(curve[1].0));
        assert!(ScoreHistogram::new().curve(2).is_empty());
    }

    #[test]
    fn a_threshold_lies_just_below_its_bin() {
        for target in (1..BINS).step_by(97) {
            let logit = below(target);
            assert!(bin(logit) < target && bin(logit.next_up()) == target, "bin {target} at {logit}");
        }
    }

    #[test]
    fn the_middle_of_a_bin_is_in_it() {
        assert!((0..BINS).all(|i| bin(middle(i) as f32) == i || middle(i).abs() > 1e4));
    }
}
