//! What a cross-validation says: the figures of each fold, and their mean and spread over the folds.
//!
//! Every case is predicted by a network that was not trained on it, the best of its fold, and read as the model of all folds
//! reads: by the threshold and with the post-processing that were chosen on all of them. Which weights of a fold are best,
//! and what was chosen, follows from these very cases: the figures are a little better for it.

use std::collections::BTreeSet;

use metrics::{BinaryCounts, Mean};
use serde::{Deserialize, Serialize};

use crate::dataset::Fold;
use crate::{Error, Result};

mod table;

/// The figures of one fold, over the voxels of the cases that it held out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldFigures {
    /// Which fold.
    pub fold: Fold,
    /// The cases that it held out.
    pub cases: Vec<String>,
    /// The foreground classes.
    pub classes: Vec<FoldClass>,
}

/// One class in one fold. Ratios are `None` where their denominator is 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldClass {
    /// The class.
    pub name: String,
    /// Its voxels, found, missed and invented.
    pub counts: BinaryCounts,
    /// 2·tp / (2·tp + fp + fn).
    pub dice: Option<f64>,
    /// tp / (tp + fp).
    pub precision: Option<f64>,
    /// tp / (tp + fn).
    pub recall: Option<f64>,
}

/// A mean and how far the values lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean of the defined values, with their number.
    #[serde(flatten)]
    pub mean: Mean,
    /// Their standard deviation, √(Σ (x − mean)² / (n − 1)); `None` with fewer than two.
    pub deviation: Option<f64>,
}

/// One class over all folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassSummary {
    /// The class.
    pub name: String,
    /// Over the folds, as the following ones.
    pub dice: Spread,
    /// See [`FoldClass`].
    pub precision: Spread,
    /// See [`FoldClass`].
    pub recall: Spread,
    /// The voxels of all cases together.
    pub all_cases: FoldClass,
}

/// A whole cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many folds there are.
    pub folds: usize,
    /// How many cases are held out; of folds of a file, a case may be held out by several.
    pub cases: usize,
    /// Above this calibrated probability a voxel is foreground (one foreground class).
    pub threshold: Option<f64>,
    /// The foreground classes.
    pub classes: Vec<ClassSummary>,
    /// Each fold by itself.
    pub by_fold: Vec<FoldFigures>,
}

impl FoldClass {
    /// The ratios of counts.
    pub fn new(name: String, counts: BinaryCounts) -> Self {
        let (dice, precision, recall) = (counts.dice(), counts.precision(), counts.recall());
        Self { name, counts, dice, precision, recall }
    }
}

impl Spread {
    /// Of the values that are defined, summed in the order given.
    ///
    /// ```
    /// let dice = trainer::evaluate::folds::Spread::of(&[Some(0.5), None, Some(1.0)]);
    /// assert_eq!((dice.mean.value, dice.mean.n, dice.mean.undefined), (Some(0.75), 2, 1));
    /// assert_eq!(dice.deviation, Some(0.125f64.sqrt()));
    /// ```
    pub fn of(values: &[Option<f64>]) -> Self {
        let mean = Mean::of(values.iter().copied());
        let squares = |centre: f64| values.iter().flatten().map(|x| (x - centre).powi(2)).sum::<f64>();
        let deviation = mean.value.filter(|_| mean.n > 1).map(|m| (squares(m) / (mean.n - 1) as f64).sqrt());
        Self { mean, deviation }
    }
}

impl Summary {
    /// Of the folds in their order, each with the cases that it holds out.
    ///
    /// # Errors
    /// If a fold was measured on other cases, or the folds have other classes or are not all there.
    pub fn new(by_fold: Vec<FoldFigures>, held_out: &[Vec<String>], threshold: Option<f64>) -> Result<Self> {
        let folds = by_fold.len();
        let all_there = folds == held_out.len();
        let in_order = by_fold.iter().enumerate().all(|(index, f)| f.fold == Fold { index, of: folds });
        let names = |figures: &FoldFigures| -> Vec<String> {
            figures.classes.iter().map(|class| class.name.clone()).collect()
        };
        let first = by_fold.first().map(names).unwrap_or_default();
        if !all_there || !in_order || by_fold.iter().any(|figures| names(figures) != first) {
            let message = "the folds are not of one cross-validation: train them all with --all-folds";
            return Err(Error::Usage(message.into()));
        }
        if let Some((figures, cases)) = by_fold.iter().zip(held_out).find(|(f, cases)| f.cases != **cases) {
            let message = format!(
                "{} was measured on {} and now holds out {}: the data set or its folds have changed since it was trained; train all folds into a new --out",
                figures.fold,
                figures.cases.join(", "),
                cases.join(", ")
            );
            return Err(Error::Usage(message));
        }
        let cases: BTreeSet<&String> = held_out.iter().flatten().collect();
        let cases = cases.len();
        let classes = (0..first.len()).map(|class| of_class(&by_fold, class)).collect();
        Ok(Self { folds, cases, threshold, classes, by_fold })
    }
}

fn of_class(by_fold: &[FoldFigures], class: usize) -> ClassSummary {
    let spread = |value: fn(&FoldClass) -> Option<f64>| {
        Spread::of(&by_fold.iter().map(|figures| value(&figures.classes[class])).collect::<Vec<_>>())
    };
    let mut counts = BinaryCounts::default();
    for figures in by_fold {
        counts.add(&figures.classes[class].counts);
    }
    let name = by_fold[0].classes[class].name.clone();
    ClassSummary {
        name: name.clone(),
        dice: spread(|class| class.dice),
        precision: spread(|class| class.precision),
        recall: spread(|class| class.recall),
        all_cases: FoldClass::new(name, counts),
    }
}
