//! The confusion matrix: how often each true class was predicted as each class.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::binary::{BinaryCounts, Mean, ratio};
use crate::{Error, Result};

/// Voxels that one task counts.
const CHUNK: usize = 1 << 16;

/// Counts of (true class, predicted class), in voxels. Rows are the truth.
///
/// ```
/// use metrics::ConfusionMatrix;
/// let mut matrix = ConfusionMatrix::new(2).ignore_label(255);
/// matrix.update(&[0u8, 1, 1, 255], &[0u8, 1, 0, 1])?;
/// assert_eq!(matrix.get(1, 0), 1);
/// assert_eq!(matrix.binary(1).dice(), Some(2.0 / 3.0));
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    classes: usize,
    ignore_label: Option<i64>,
    ignored: u64,
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// An empty matrix over the classes `0..classes`.
    ///
    /// # Panics
    /// When `classes` is 0.
    #[track_caller]
    pub fn new(classes: usize) -> Self {
        assert!(classes > 0, "a confusion matrix needs at least one class, got 0");
        Self { classes, ignore_label: None, ignored: 0, counts: vec![0; classes * classes] }
    }

    /// Voxels whose truth is `label` are left out, whatever was predicted there.
    #[must_use]
    pub fn ignore_label(mut self, label: impl Into<i64>) -> Self {
        self.ignore_label = Some(label.into());
        self
    }

    /// Adds the voxels of one volume, or of a part of it.
    ///
    /// # Errors
    /// When a label lies outside `0..classes` and is not the ignore label. The matrix is unchanged then.
    ///
    /// # Panics
    /// When the lengths differ.
    #[track_caller]
    pub fn update<T, P>(&mut self, truth: &[T], prediction: &[P]) -> Result<()>
    where
        T: Copy + Into<i64> + Sync,
        P: Copy + Into<i64> + Sync,
    {
        let (t, p) = (truth.len(), prediction.len());
        assert_eq!(t, p, "truth has {t} voxels, the prediction {p}");
        let empty = || Part { counts: vec![0; self.counts.len()], ignored: 0, invalid: None };
        let chunks = truth.par_chunks(CHUNK).zip(prediction.par_chunks(CHUNK)).enumerate();
        // Sums of integers and the first of several errors do not depend on the order of the work.
        let part = chunks
            .fold(empty, |part, (chunk, (t, p))| part.count(self, chunk * CHUNK, t, p))
            .reduce(empty, Part::merge);
        if let Some(Invalid { voxel, side, label }) = part.invalid {
            let last = self.classes - 1;
            return Err(Error(format!(
                "voxel {voxel} of the {side} is labelled {label}, outside 0 to {last}; \
                 correct the labels, or name {label} as the ignore label"
            )));
        }
        self.add(&part.counts, part.ignored);
        Ok(())
    }

    /// Adds the counts of another matrix. Merging parts gives the matrix of the whole, in any order.
    ///
    /// # Panics
    /// When the classes or the ignore labels differ.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        let (a, b) = ((self.classes, self.ignore_label), (other.classes, other.ignore_label));
        assert_eq!(a, b, "only matrices with the same classes and ignore label can be merged");
        self.add(&other.counts, other.ignored);
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Voxels of class `truth` that were predicted as class `prediction`.
    ///
    /// # Panics
    /// When a class is out of range.
    #[track_caller]
    pub fn get(&self, truth: usize, prediction: usize) -> u64 {
        let classes = self.classes;
        assert!(
            truth < classes && prediction < classes,
            "class ({truth}, {prediction}) of {classes} classes"
        );
        self.counts[truth * classes + prediction]
    }

    /// Voxels counted, without the ignored ones.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Voxels left out because their truth is the ignore label.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Class `class` against the rest.
    ///
    /// # Panics
    /// When the class is out of range.
    #[track_caller]
    pub fn binary(&self, class: usize) -> BinaryCounts {
        let true_positives = self.get(class, class);
        let support: u64 = (0..self.classes).map(|p| self.get(class, p)).sum();
        let predicted: u64 = (0..self.classes).map(|t| self.get(t, class)).sum();
        BinaryCounts {
            true_positives,
            false_positives: predicted - true_positives,
            false_negatives: support - true_positives,
            true_negatives: self.total() + true_positives - support - predicted,
        }
    }

    /// Dice of each class in order; `None` where a class is absent from truth and prediction.
    pub fn dice(&self) -> Vec<Option<f64>> {
        (0..self.classes).map(|class| self.binary(class).dice()).collect()
    }

    /// Intersection over union of each class in order; `None` where a class is absent from both.
    pub fn iou(&self) -> Vec<Option<f64>> {
        (0..self.classes).map(|class| self.binary(class).iou()).collect()
    }

    /// The share of voxels predicted right, in 0 to 1; `None` for an empty matrix.
    pub fn accuracy(&self) -> Option<f64> {
        ratio((0..self.classes).map(|class| self.get(class, class)).sum(), self.total())
    }

    /// The mean recall of the classes that occur in the truth, and their number.
    pub fn balanced_accuracy(&self) -> Mean {
        Mean::of((0..self.classes).map(|class| self.binary(class).recall()))
    }

    /// Matthews' correlation coefficient, (c·s − Σ p t) / √((s² − Σ p²)(s² − Σ t²)), in −1 to 1, higher is
    /// better; `None` where truth or prediction holds a single class (scikit-learn gives 0 there).
    ///
    /// # Source
    /// J. Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", 2004.
    pub fn matthews(&self) -> Option<f64> {
        let total = self.total() as f64;
        let (mut right, mut pt, mut pp, mut tt) = (0.0, 0.0, 0.0, 0.0);
        let (mut classes_true, mut classes_predicted) = (0, 0);
        for class in 0..self.classes {
            let counts = self.binary(class);
            let (t, p) = (counts.support(), counts.true_positives + counts.false_positives);
            classes_true += u64::from(t > 0);
            classes_predicted += u64::from(p > 0);
            let (t, p) = (t as f64, p as f64);
            right += counts.true_positives as f64;
            pt += p * t;
            pp += p * p;
            tt += t * t;
        }
        let spread = (total * total - pp).sqrt() * (total * total - tt).sqrt();
        (classes_true > 1 && classes_predicted > 1).then(|| (right * total - pt) / spread)
    }

    /// The same counts over `classes` classes, where class c is now called `to[c]`. Nothing is ignored any more.
    pub fn relabelled(&self, classes: usize, to: &[usize]) -> Self {
        let mut wide = Self { ignored: self.ignored, ..Self::new(classes) };
        for (t, &wide_t) in to.iter().enumerate() {
            for (p, &wide_p) in to.iter().enumerate() {
                wide.counts[wide_t * classes + wide_p] += self.get(t, p);
            }
        }
        wide
    }

    fn add(&mut self, counts: &[u64], ignored: u64) {
        self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        self.ignored += ignored;
    }

    fn class(&self, label: i64) -> Option<usize> {
        usize::try_from(label).ok().filter(|&class| class < self.classes)
    }
}

/// A label that is no class.
struct Invalid {
    voxel: usize,
    side: &'static str,
    label: i64,
}

/// What one task has counted.
struct Part {
    counts: Vec<u64>,
    ignored: u64,
    invalid: Option<Invalid>,
}

impl Part {
    fn count<T, P>(mut self, matrix: &ConfusionMatrix, start: usize, truth: &[T], prediction: &[P]) -> Self
    where
        T: Copy + Into<i64>,
        P: Copy + Into<i64>,
    {
        for (i, (&t, &p)) in truth.iter().zip(prediction).enumerate() {
            let (t, p): (i64, i64) = (t.into(), p.into());
            if Some(t) == matrix.ignore_label {
                self.ignored += 1;
                continue;
            }
            match (matrix.class(t), matrix.class(p)) {
                (Some(t), Some(p)) => self.counts[t * matrix.classes + p] += 1,
                (None, _) => self.refuse(Invalid { voxel: start + i, side: "truth", label: t }),
                (_, None) => self.refuse(Invalid { voxel: start + i, side: "prediction", label: p }),
            }
        }
        self
    }

    fn refuse(&mut self, invalid: Invalid) {
        if self.invalid.as_ref().is_none_or(|first| invalid.voxel < first.voxel) {
            self.invalid = Some(invalid);
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        self.ignored += other.ignored;
        if let Some(invalid) = other.invalid {
            self.refuse(invalid);
        }
        self
    }
}
