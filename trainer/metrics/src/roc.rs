//! The receiver operating characteristic and the area under it, exact, by sorting.

use super::curve::{PositiveClass, Score, Split};
use crate::Result;

/// False and true positive rates at every distinct score, as scikit-learn gives them.
///
/// `fpr[i]` and `tpr[i]` belong to the rule "positive where score ≥ `thresholds[i]`"; thresholds descend. The
/// first one is +∞, where nothing is positive. With rare lesions most of the curve says nothing: a false
/// positive rate of 1 % can be a hundred times the lesions' volume, which [`super::PrecisionRecallCurve`] shows.
///
/// # Source
/// scikit-learn, `sklearn.metrics.roc_curve(..., drop_intermediate=False)`.
#[derive(Clone, Debug, PartialEq)]
pub struct RocCurve {
    /// fp / (fp + tn) at each threshold; all NaN where there are no negatives, as in scikit-learn.
    pub fpr: Vec<f64>,
    /// tp / (tp + fn) at each threshold; all NaN where there are no positives, as in scikit-learn.
    pub tpr: Vec<f64>,
    /// +∞, then the distinct scores, descending.
    pub thresholds: Vec<f64>,
}

impl RocCurve {
    /// The curve of some scores, higher meaning more likely positive.
    ///
    /// # Errors
    /// When a score is NaN.
    ///
    /// # Panics
    /// When the lengths differ.
    ///
    /// ```
    /// use metrics::{PositiveClass, RocCurve};
    /// let curve = RocCurve::new(&[0.1f32, 0.4, 0.35, 0.8], &[0u8, 0, 1, 1], PositiveClass::new(1))?;
    /// assert_eq!(curve.auc(), Some(0.75));
    /// # Ok::<(), metrics::Error>(())
    /// ```
    #[track_caller]
    pub fn new<S, L>(scores: &[S], truth: &[L], positive: PositiveClass) -> Result<Self>
    where
        S: Score,
        L: Copy + Into<i64>,
    {
        let split = Split::of(scores, truth, positive)?;
        let (positives, negatives) = (split.positives.len() as f64, split.negatives.len() as f64);
        // 0 / 0 is the NaN of a class that is missing.
        let mut curve =
            Self { fpr: vec![0.0 / negatives], tpr: vec![0.0 / positives], thresholds: vec![f64::INFINITY] };
        split.for_each_threshold(|score, tp, fp| {
            curve.fpr.push(fp as f64 / negatives);
            curve.tpr.push(tp as f64 / positives);
            curve.thresholds.push(score.into());
        });
        Ok(curve)
    }

    /// The area under the curve, Σ (fprᵢ − fprᵢ₋₁)(tprᵢ + tprᵢ₋₁) / 2, in 0 to 1, higher is better: the chance
    /// that a positive has a higher score than a negative, a tie counting one half. `None` where one of the two
    /// is missing.
    ///
    /// # Source
    /// scikit-learn, `sklearn.metrics.roc_auc_score`.
    pub fn auc(&self) -> Option<f64> {
        let trapezoid = |i: usize| (self.fpr[i] - self.fpr[i - 1]) * (self.tpr[i] + self.tpr[i - 1]) / 2.0;
        let area: f64 = (1..self.thresholds.len()).map(trapezoid).sum();
        let missing = self.fpr.iter().chain(&self.tpr).any(|rate| rate.is_nan());
        (!missing).then_some(area)
    }
}
