//! How good a model is, over whole cases.

use std::fmt;

use metrics::{Aim, BinaryCounts, ClassificationReport, Mean, OperatingPoint, Reliability, ScoreHistogram};
use serde::Serialize;

use super::objects::CaseObjects;
use crate::predict::{Choice, Decision};
use crate::preprocess::PackedLabels;

/// The figures of one validation: of the masks that `trainer predict` would write, in the voxels of their files.
#[derive(Clone, Debug, Serialize)]
pub struct ValidationFigures {
    /// Whether the model was trained on these very cases, so that the figures flatter it.
    pub on_training_cases: bool,
    /// The cases.
    pub cases: Vec<String>,
    /// Precision, recall, f1 and support of each class, over the voxels of all cases together.
    pub report: ClassificationReport,
    /// What the report does not hold, for each foreground class.
    pub classes: Vec<ClassFigures>,
    /// Each case by itself.
    pub by_case: Vec<CaseCounts>,
    /// What else is known of each.
    #[serde(skip)]
    pub details: Vec<CaseDetail>,
    /// How logits were read, as it was chosen on these cases.
    #[serde(skip)]
    pub decision: Decision,
    /// What was done to masks, where that was chosen.
    #[serde(rename = "postprocessing", skip_serializing_if = "Option::is_none")]
    pub postprocess: Option<Choice>,
}

/// The voxels of one case, found, missed and invented.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CaseCounts {
    /// The case.
    pub name: String,
    /// Of each foreground class.
    pub classes: Vec<BinaryCounts>,
}

/// What is known of a case beside its counts.
#[derive(Clone, Debug)]
pub struct CaseDetail {
    /// The mask of its whole file.
    pub mask: PackedLabels,
    /// Its objects.
    pub objects: CaseObjects,
}

/// A class over the voxels of all cases together.
#[derive(Clone, Debug, Serialize)]
pub struct ClassFigures {
    /// The class.
    pub name: String,
    /// Whether the network was trained on a voxel of it; else its figures say nothing.
    pub learnt: bool,
    /// Its voxels, found, missed and invented.
    pub counts: BinaryCounts,
    /// 2·tp / (2·tp + fp + fn), from 0 to 1, higher is better; undefined if the class occurs nowhere.
    pub dice: Option<f64>,
    /// Above raw probability 1/2, as the network gives it, before calibration and post-processing.
    pub at_half: BinaryCounts,
    /// The area under the precision-recall curve, from the share of the class to 1, higher is better.
    pub average_precision: Option<f64>,
    /// Where f1 is largest on these very voxels; of raw logits.
    pub best_f1: Option<OperatingPoint>,
    /// Brier score of the raw probabilities, from 0 to 1, lower is better.
    pub brier: Option<f64>,
    /// Their expected calibration error over 15 groups of equal mass, from 0 to 1, lower is better.
    pub calibration_error: Option<f64>,
    /// The mean raw probability, which a calibrated model has equal to the share.
    pub mean_probability: f64,
    /// The class's share of the voxels.
    pub share: f64,
    /// Its logits against the rest.
    #[serde(skip)]
    pub histogram: ScoreHistogram,
}

impl ClassFigures {
    pub(super) fn new(name: &str, learnt: bool, counts: BinaryCounts, histogram: &ScoreHistogram) -> Self {
        let reliability = Reliability::new(histogram, autograd::Real::sigmoid);
        Self {
            name: name.to_owned(),
            learnt,
            counts,
            dice: counts.dice(),
            at_half: histogram.counts_above(0.0),
            average_precision: histogram.average_precision().value,
            best_f1: OperatingPoint::find(histogram, Aim::MaxF1),
            brier: reliability.brier,
            calibration_error: reliability.calibration_error,
            mean_probability: reliability.mean_probability.unwrap_or(0.0),
            share: reliability.share.unwrap_or(0.0),
            histogram: histogram.clone(),
        }
    }
}

impl ValidationFigures {
    /// The mean over the foreground classes that were learnt, and occur or are predicted, of their Dice over all cases
    /// together.
    pub fn mean_dice(&self) -> Option<f64> {
        Mean::of(self.classes.iter().filter(|c| c.learnt).map(|c| c.dice)).value
    }

    /// What "best" is judged by: where a threshold is chosen for an aim, how well the aim is served, from 0 to 1, or below 0
    /// by how far it is missed; else the mean Dice.
    pub fn metric(&self, aim: Option<Aim>) -> Option<f64> {
        let (Some(aim), [class]) = (aim, self.classes.as_slice()) else { return self.mean_dice() };
        let OperatingPoint { counts, reached, .. } = OperatingPoint::find(&class.histogram, aim)?;
        let (sought, bound, wanted) = match aim {
            Aim::MaxF1 => return counts.f1(),
            Aim::Recall(wanted) => (counts.precision(), counts.recall(), wanted),
            Aim::Precision(wanted) => (counts.recall(), counts.precision(), wanted),
        };
        if reached { sought } else { bound.map(|bound| bound - wanted) }
    }
}

/// `case NAME: class C: Dice 0.1234 tp T fp F fn N`, a line for each foreground class.
impl fmt::Display for CaseCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, counts) in self.classes.iter().enumerate() {
            let BinaryCounts { true_positives, false_positives, false_negatives, .. } = counts;
            let end = if index > 0 { "\n" } else { "" };
            write!(
                f,
                "{end}case {}: class {}: Dice {} tp {true_positives} fp {false_positives} fn {false_negatives}",
                self.name,
                index + 1,
                digits(counts.dice())
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ValidationFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.cases.len() == 1 { "" } else { "s" };
        if self.on_training_cases {
            writeln!(f, "on the TRAINING case{plural} {} (there are no others):", self.cases.join(", "))?;
        } else {
            writeln!(f, "on the validation case{plural} {}:", self.cases.join(", "))?;
        }
        writeln!(f, "{}", self.report)?;
        let width = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0);
        for class in &self.classes {
            if !class.learnt {
                writeln!(
                    f,
                    "{:>width$}  no training case holds it: it could not be learnt, and its Dice says nothing",
                    class.name
                )?;
                continue;
            }
            let ClassFigures { name, dice, average_precision, mean_probability, share, at_half, .. } = class;
            writeln!(
                f,
                "{name:>width$}  Dice {}  average precision {}  mean raw probability {mean_probability:.4} (share {share:.4})",
                digits(*dice),
                digits(*average_precision),
            )?;
            let ratios = |counts: &BinaryCounts| {
                let [precision, recall, f1] = [counts.precision(), counts.recall(), counts.f1()].map(digits);
                format!("precision {precision}  recall {recall}  f1 {f1}")
            };
            writeln!(f, "{:>width$}  above raw probability 0.5000, as trained: {}", "", ratios(at_half))?;
            if let Some(OperatingPoint { logit, counts, .. }) = &class.best_f1 {
                let probability = autograd::Real::sigmoid(f64::from(*logit));
                writeln!(
                    f,
                    "{:>width$}  above raw probability {probability:.4}, of the best f1: {}",
                    "",
                    ratios(counts)
                )?;
            }
        }
        self.by_case.iter().try_for_each(|case| writeln!(f, "{case}"))
    }
}

fn digits(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.4}"))
}
