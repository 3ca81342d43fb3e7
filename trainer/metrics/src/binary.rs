//! One class against the rest: true and false positives and negatives, and the ratios made of them.

use serde::{Deserialize, Serialize};

/// How often one class was found, missed and invented, in voxels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryCounts {
    /// Of the class, and predicted as it.
    #[serde(rename = "tp")]
    pub true_positives: u64,
    /// Not of the class, but predicted as it.
    #[serde(rename = "fp")]
    pub false_positives: u64,
    /// Of the class, but predicted as another.
    #[serde(rename = "fn")]
    pub false_negatives: u64,
    /// Neither of the class nor predicted as it.
    #[serde(rename = "tn")]
    pub true_negatives: u64,
}

impl BinaryCounts {
    /// Adds the counts of other voxels.
    pub fn add(&mut self, other: &Self) {
        self.true_positives += other.true_positives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.true_negatives += other.true_negatives;
    }

    /// tp / (tp + fp), in 0 to 1, higher is better; `None` where nothing was predicted.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// tp / (tp + fn), in 0 to 1, higher is better; `None` where there was nothing to find.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// 2 tp / (2 tp + fp + fn), the harmonic mean of precision and recall; `None` where the class is absent
    /// from truth and prediction. For hard labels this is [`Self::dice`].
    pub fn f1(&self) -> Option<f64> {
        self.dice()
    }

    /// 2 |T ∩ P| / (|T| + |P|), in 0 to 1, higher is better; `None` where the class is absent from both.
    ///
    /// # Source
    /// L. R. Dice, "Measures of the amount of ecologic association between species", Ecology 26, 1945.
    pub fn dice(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives)
    }

    /// |T ∩ P| / |T ∪ P| (Jaccard), in 0 to 1, higher is better; `None` where the class is absent from both.
    pub fn iou(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives + self.false_negatives)
    }

    /// Voxels of the class, tp + fn.
    pub fn support(&self) -> u64 {
        self.true_positives + self.false_negatives
    }
}

/// The ratio of two counts; `None` for n / 0.
pub(super) fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

/// A mean that says how many values stand behind it, and how many could not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean of the defined values; `None` where there were none.
    pub value: Option<f64>,
    /// How many values were defined.
    pub n: u64,
    /// How many were not, and are in no mean.
    pub undefined: u64,
}

impl Mean {
    /// The mean of the values that are defined, summed in the order given.
    ///
    /// ```
    /// use metrics::Mean;
    /// let dice = Mean::of([Some(0.5), None, Some(1.0)]);
    /// assert_eq!((dice.value, dice.n, dice.undefined), (Some(0.75), 2, 1));
    /// ```
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let (mut sum, mut n, mut undefined) = (0.0, 0, 0);
        for value in values {
            match value {
                Some(value) => (sum, n) = (sum + value, n + 1),
                None => undefined += 1,
            }
        }
        Self { value: (n > 0).then(|| sum / n as f64), n, undefined }
    }
}
