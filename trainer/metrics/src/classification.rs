//! The table of precision, recall and f1-score that scikit-learn prints, from a confusion matrix.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::confusion::ConfusionMatrix;

/// Precision, recall and f1-score of each class, with their averages.
///
/// The values are those of `classification_report(truth, prediction, labels=range(classes))`: a ratio whose
/// denominator is zero counts as 0.0, in the averages too. [`ConfusionMatrix::dice`] keeps such classes apart.
/// `Display` gives the text of `digits=4`, to the letter.
///
/// # Source
/// scikit-learn, `sklearn.metrics.classification_report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// One row for each class, in order.
    pub classes: Vec<ClassScores>,
    /// The share of voxels predicted right.
    pub accuracy: f64,
    /// The plain mean over the classes.
    #[serde(rename = "macro avg")]
    pub macro_avg: AverageScores,
    /// The mean over the classes, weighted by their support.
    #[serde(rename = "weighted avg")]
    pub weighted_avg: AverageScores,
    /// All voxels counted.
    pub support: u64,
}

/// A class's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// The class's name, or its number.
    pub name: String,
    /// tp / (tp + fp).
    pub precision: f64,
    /// tp / (tp + fn).
    pub recall: f64,
    /// 2 tp / (2 tp + fp + fn).
    #[serde(rename = "f1-score")]
    pub f1_score: f64,
    /// Voxels of the class in the truth.
    pub support: u64,
}

/// An average's row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AverageScores {
    /// Averaged precision.
    pub precision: f64,
    /// Averaged recall.
    pub recall: f64,
    /// Averaged f1-score.
    #[serde(rename = "f1-score")]
    pub f1_score: f64,
}

impl ClassificationReport {
    /// The report of a matrix; classes are named by their numbers.
    pub fn new(matrix: &ConfusionMatrix) -> Self {
        let row = |class: usize| {
            let counts = matrix.binary(class);
            ClassScores {
                name: class.to_string(),
                precision: counts.precision().unwrap_or(0.0),
                recall: counts.recall().unwrap_or(0.0),
                f1_score: counts.f1().unwrap_or(0.0),
                support: counts.support(),
            }
        };
        let classes: Vec<_> = (0..matrix.classes()).map(row).collect();
        let support = matrix.total();
        Self {
            accuracy: matrix.accuracy().unwrap_or(0.0),
            macro_avg: average(&classes, |_| 1.0),
            weighted_avg: average(&classes, |row| row.support as f64),
            support,
            classes,
        }
    }

    /// Names the classes, in order.
    ///
    /// # Panics
    /// When there are not as many names as classes.
    #[must_use]
    #[track_caller]
    pub fn with_names(mut self, names: &[impl AsRef<str>]) -> Self {
        let (n, classes) = (names.len(), self.classes.len());
        assert_eq!(n, classes, "{n} names for {classes} classes");
        self.classes.iter_mut().zip(names).for_each(|(row, name)| row.name = name.as_ref().to_owned());
        self
    }
}

/// The weighted mean of the rows; zero where all weights are.
fn average(rows: &[ClassScores], weight: impl Fn(&ClassScores) -> f64) -> AverageScores {
    let total: f64 = rows.iter().map(&weight).sum();
    let mean = |value: fn(&ClassScores) -> f64| {
        let sum: f64 = rows.iter().map(|row| weight(row) * value(row)).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    };
    AverageScores {
        precision: mean(|row| row.precision),
        recall: mean(|row| row.recall),
        f1_score: mean(|row| row.f1_score),
    }
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.classes.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let width = longest.max("weighted avg".len());
        writeln!(
            f,
            "{:>width$}  {:>9} {:>9} {:>9} {:>9}\n",
            "", "precision", "recall", "f1-score", "support"
        )?;
        for ClassScores { name, precision, recall, f1_score, support } in &self.classes {
            writeln!(f, "{name:>width$}  {precision:>9.4} {recall:>9.4} {f1_score:>9.4} {support:>9}")?;
        }
        let support = self.support;
        writeln!(f, "\n{:>width$}  {:>9} {:>9} {:>9.4} {support:>9}", "accuracy", "", "", self.accuracy)?;
        for (name, row) in [("macro avg", self.macro_avg), ("weighted avg", self.weighted_avg)] {
            let AverageScores { precision, recall, f1_score } = row;
            writeln!(f, "{name:>width$}  {precision:>9.4} {recall:>9.4} {f1_score:>9.4} {support:>9}")?;
        }
        Ok(())
    }
}
