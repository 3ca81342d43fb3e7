//! From logits to masks and probabilities: the operating point that a checkpoint carries.

use std::fmt;

use losses::LossConfig;
use metrics::{Aim, OperatingPoint, ScoreHistogram};
use serde::{Deserialize, Serialize};

use super::calibration::Source;
use super::{Calibration, ClassSample};

/// How a network's logits are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What makes probabilities of them.
    pub calibration: Calibration,
    /// With one channel, a voxel is foreground where its logit (as the network gives it) is above this. Of several classes
    /// the largest logit wins, uncalibrated: weights given to classes are meant to move the mask.
    pub logit: f32,
    /// Where the threshold comes from.
    pub rule: Rule,
}

/// Where a threshold comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// Logit 0, as trained: there was nothing to choose it on.
    Untouched,
    /// A calibrated probability, given by hand.
    Given(f64),
    /// The best for an aim on the calibration's cases.
    Chosen(Aim, OperatingPoint),
}

/// What a decision is fitted on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Logits of a single channel.
    pub histogram: &'a ScoreHistogram,
    /// Logits of several.
    pub sample: &'a ClassSample,
    /// The cases that they are of.
    pub cases: &'a [String],
}

impl Decision {
    /// Without validation cases: the loss's known shift, and the threshold as trained.
    pub fn untouched(loss: &LossConfig, channels: usize) -> Self {
        Self { calibration: Calibration::known(loss, channels), logit: 0.0, rule: Rule::Untouched }
    }

    /// Fitted on validation cases.
    pub fn fitted(loss: &LossConfig, channels: usize, evidence: Evidence<'_>, aim: Aim) -> Self {
        let start = Self::untouched(loss, channels);
        let scaled = !Calibration::is_shift_enough(loss);
        let Evidence { histogram, sample, cases } = evidence;
        if channels > 1 {
            return Self { calibration: start.calibration.fitted_to_classes(sample, scaled, cases), ..start };
        }
        let calibration = start.calibration.fitted(histogram, scaled, cases);
        match OperatingPoint::find(histogram, aim) {
            Some(point) => Self { calibration, logit: point.logit, rule: Rule::Chosen(aim, point) },
            None => Self { calibration, ..start },
        }
    }

    /// With a threshold on the calibrated probability.
    #[must_use]
    pub fn at(mut self, probability: f64) -> Self {
        self.logit = self.calibration.logit(probability) as f32;
        self.rule = Rule::Given(probability);
        self
    }

    /// The calibrated probability at the threshold.
    pub fn probability(&self) -> f64 {
        self.calibration.probability(f64::from(self.logit))
    }
}

/// A sentence on the probabilities and, for one channel, another on the threshold.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calibration { scale, shift, source } = &self.calibration;
        let shifts: Vec<String> = shift.iter().map(|shift| format!("{shift:+.3}")).collect();
        let formula = format!("{scale:.3}·logit {}", shifts.join(", "));
        let function = if shift.len() == 1 { "sigmoid" } else { "softmax" };
        match source {
            Source::Known => write!(
                f,
                "probabilities are {function}({formula}), by the loss's weights alone: no validation cases that hold every class to fit them on"
            )?,
            Source::Fitted(cases) => {
                write!(f, "probabilities are {function}({formula}), fitted on {}", cases.join(", "))?;
            }
        }
        if shift.len() > 1 {
            return write!(f, "\na voxel has the class of its largest logit");
        }
        let (probability, logit) = (self.probability(), self.logit);
        write!(f, "\na voxel is foreground above probability {probability:.4} (logit {logit:.3}), ")?;
        match self.rule {
            Rule::Untouched => {
                write!(f, "the cut of training: no validation case holds foreground to choose another on")
            }
            Rule::Given(_) => write!(f, "as given"),
            Rule::Chosen(aim, point) => {
                let percent =
                    |v: Option<f64>| v.map_or_else(|| "undefined".to_owned(), |v| format!("{v:.4}"));
                let counts = point.counts;
                let verb = if point.reached { "chosen for" } else { "the nearest to the unreachable" };
                let (precision, recall, f1) =
                    (percent(counts.precision()), percent(counts.recall()), percent(counts.f1()));
                write!(f, "{verb} {aim}: precision {precision}, recall {recall}, f1 {f1} on these cases")
            }
        }
    }
}
