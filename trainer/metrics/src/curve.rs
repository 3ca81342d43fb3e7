//! The precision-recall curve and average precision, exact, by sorting.
//!
//! Positives and negatives are sorted apart and walked together from the highest score down; the voxels that
//! share a score are one threshold. No pair of score and label is ever stored: a volume costs its scores once.

use std::mem::take;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which voxels count as positive: those of one class. Voxels with the ignore label do not count at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PositiveClass {
    class: i64,
    ignore_label: Option<i64>,
}

impl PositiveClass {
    /// The class whose voxels are positive.
    pub fn new(class: impl Into<i64>) -> Self {
        Self { class: class.into(), ignore_label: None }
    }

    /// Leaves out the voxels labelled `label`.
    #[must_use]
    pub fn ignore_label(mut self, label: impl Into<i64>) -> Self {
        self.ignore_label = Some(label.into());
        self
    }

    /// Whether a label is positive; `None` where it is to be ignored.
    pub(super) fn is_positive(&self, label: impl Into<i64>) -> Option<bool> {
        let label = label.into();
        (Some(label) != self.ignore_label).then_some(label == self.class)
    }
}

/// Precision and recall at every distinct score, as scikit-learn gives them.
///
/// `precision[i]` and `recall[i]` belong to the rule "positive where score ≥ `thresholds[i]`"; thresholds
/// ascend. One last point without a threshold closes the curve: precision 1, recall 0.
///
/// # Source
/// scikit-learn, `sklearn.metrics.precision_recall_curve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallCurve {
    /// tp / (tp + fp) at each threshold, then 1.
    pub precision: Vec<f64>,
    /// tp / (tp + fn) at each threshold, then 0; all 1 where there are no positives, as in scikit-learn.
    pub recall: Vec<f64>,
    /// The distinct scores, ascending.
    pub thresholds: Vec<f64>,
}

impl PrecisionRecallCurve {
    /// The curve of some scores, higher meaning more likely positive.
    ///
    /// # Errors
    /// When a score is NaN.
    ///
    /// # Panics
    /// When the lengths differ.
    #[track_caller]
    pub fn new<S, L>(scores: &[S], truth: &[L], positive: PositiveClass) -> Result<Self>
    where
        S: Score,
        L: Copy + Into<i64>,
    {
        let split = Split::of(scores, truth, positive)?;
        let positives = split.positives.len() as f64;
        let mut curve = Self { precision: vec![1.0], recall: vec![0.0], thresholds: Vec::new() };
        split.for_each_threshold(|score, tp, fp| {
            curve.precision.push(tp as f64 / (tp + fp) as f64);
            curve.recall.push(if positives > 0.0 { tp as f64 / positives } else { 1.0 });
            curve.thresholds.push(score.into());
        });
        curve.precision.reverse();
        curve.recall.reverse();
        curve.thresholds.reverse();
        Ok(curve)
    }
}

/// Average precision, Σ (Rᵢ − Rᵢ₋₁) Pᵢ over falling thresholds: in 0 to 1, higher is better, `None` where
/// nothing is positive (scikit-learn warns and gives 0). Exact; [`super::AveragePrecision`] is for streams.
///
/// # Errors
/// When a score is NaN.
///
/// # Panics
/// When the lengths differ.
///
/// # Source
/// scikit-learn, `sklearn.metrics.average_precision_score`.
///
/// ```
/// use metrics::{PositiveClass, average_precision};
/// let ap = average_precision(&[0.1f32, 0.4, 0.35, 0.8], &[0u8, 0, 1, 1], PositiveClass::new(1))?;
/// assert!((ap.unwrap() - 5.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), metrics::Error>(())
/// ```
#[track_caller]
pub fn average_precision<S, L>(scores: &[S], truth: &[L], positive: PositiveClass) -> Result<Option<f64>>
where
    S: Score,
    L: Copy + Into<i64>,
{
    Ok(Split::of(scores, truth, positive)?.average_precision())
}

/// A type of scores: `f32` or `f64`.
pub trait Score: Copy + PartialOrd + Into<f64> + Send + Sync {}

impl Score for f32 {}
impl Score for f64 {}

/// The scores of the positive and of the negative voxels.
#[derive(Clone, Debug)]
pub(super) struct Split<S> {
    pub(super) positives: Vec<S>,
    pub(super) negatives: Vec<S>,
}

impl<S> Default for Split<S> {
    fn default() -> Self {
        Self { positives: Vec::new(), negatives: Vec::new() }
    }
}

impl<S: Score> Split<S> {
    /// Of these voxels.
    #[track_caller]
    pub(super) fn of<L>(scores: &[S], truth: &[L], positive: PositiveClass) -> Result<Self>
    where
        L: Copy + Into<i64>,
    {
        let mut split = Self::default();
        split.extend(scores, truth, positive)?;
        Ok(split)
    }

    /// Adds voxels; unchanged on error.
    #[track_caller]
    pub(super) fn extend<L>(&mut self, scores: &[S], truth: &[L], positive: PositiveClass) -> Result<()>
    where
        L: Copy + Into<i64>,
    {
        check(scores, truth)?;
        let are = |wanted| truth.iter().filter(|&&label| positive.is_positive(label) == Some(wanted)).count();
        self.positives = memory::with_room(take(&mut self.positives), are(true));
        self.negatives = memory::with_room(take(&mut self.negatives), are(false));
        for (&score, &label) in scores.iter().zip(truth) {
            match positive.is_positive(label) {
                Some(true) => self.positives.push(score),
                Some(false) => self.negatives.push(score),
                None => {}
            }
        }
        Ok(())
    }

    /// Adds another's scores.
    pub(super) fn append(&mut self, other: &Self) {
        for (all, more) in [(&mut self.positives, &other.positives), (&mut self.negatives, &other.negatives)]
        {
            *all = memory::with_room(take(all), more.len());
            all.extend_from_slice(more);
        }
    }

    /// The same scores once more.
    pub(super) fn copied(&self) -> Self {
        let [positives, negatives] =
            [&self.positives, &self.negatives].map(|all| memory::collected(all.iter().copied()));
        Self { positives, negatives }
    }

    pub(super) fn len(&self) -> usize {
        self.positives.len() + self.negatives.len()
    }

    pub(super) fn average_precision(self) -> Option<f64> {
        let positives = self.positives.len() as u64;
        let (mut sum, mut before) = (0.0, 0);
        self.for_each_threshold(|_, tp, fp| {
            sum += (tp - before) as f64 * (tp as f64 / (tp + fp) as f64);
            before = tp;
        });
        (positives > 0).then(|| sum / positives as f64)
    }

    /// Calls `visit(score, tp, fp)` for each distinct score, from the highest down.
    pub(super) fn for_each_threshold(mut self, mut visit: impl FnMut(S, u64, u64)) {
        sort_descending(&mut self.positives);
        sort_descending(&mut self.negatives);
        let (mut p, mut n) = (self.positives.as_slice(), self.negatives.as_slice());
        let (mut tp, mut fp) = (0, 0);
        while let Some(&score) = match (p.first(), n.first()) {
            (Some(a), Some(b)) => Some(if a >= b { a } else { b }),
            (a, b) => a.or(b),
        } {
            tp += take_equal(&mut p, score);
            fp += take_equal(&mut n, score);
            visit(score, tp, fp);
        }
    }
}

/// Refuses NaN, which has no place in an order.
#[track_caller]
pub(super) fn check<S: Score, L>(scores: &[S], truth: &[L]) -> Result<()> {
    let (s, t) = (scores.len(), truth.len());
    assert_eq!(s, t, "{s} scores for {t} labels");
    match scores.iter().position(|&score| score.into().is_nan()) {
        None => Ok(()),
        Some(voxel) => Err(Error(format!(
            "the score of voxel {voxel} is NaN, which cannot be ranked; \
             the network has diverged or the input holds NaN"
        ))),
    }
}

fn sort_descending<S: Score>(scores: &mut [S]) {
    scores.par_sort_unstable_by(|a, b| b.partial_cmp(a).expect("NaN was refused when the score came in"));
}

/// Drops the leading scores that equal `score` (−0 equals 0), and counts them.
fn take_equal<S: Score>(scores: &mut &[S], score: S) -> u64 {
    let equal = scores.iter().take_while(|&&other| other == score).count();
    *scores = &scores[equal..];
    equal as u64
}
