//! From logits to masks and probabilities: the operating point that a model carries.

use std::fmt;

use losses::LossConfig;
use metrics::{Aim, OperatingPoint, ScoreHistogram};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::calibration::{Basis, ClassReading};
use super::{Calibration, ClassSample};
use crate::config::{Auto, Inference};

/// So many cases are enough to choose on. On fewer, what is chosen must gain more: [`FEW_GAIN`], [`FEW_LIKELIHOOD`].
pub const ENOUGH_CASES: usize = 3;
/// On fewer cases than enough, a threshold or a treatment is taken where it raises F1 (Dice) by this much.
pub const FEW_GAIN: f64 = 0.02;
/// On fewer cases than enough, a fitted calibration is taken where it lowers the mean negative log-likelihood by this share.
pub const FEW_LIKELIHOOD: f64 = 0.05;
/// A calibration of several classes is not taken where the mean Dice of its mask is lower by this much.
pub const MASK_COST: f64 = 0.01;

/// How a network's logits are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What makes probabilities of them.
    pub calibration: Calibration,
    /// What makes a mask of them.
    pub rule: MaskRule,
}

/// Which class a voxel of the mask has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskRule {
    /// Of one channel: foreground where its logit, as the network gives it, is above this.
    Above {
        /// The threshold.
        logit: f32,
        /// Where it comes from.
        origin: Threshold,
    },
    /// Of several channels: background where it is at least as probable as all other classes together, else the most
    /// probable of these; all by calibrated probabilities.
    Foreground,
    /// Of several channels: the class of the largest calibrated probability. Models of format 5 say so.
    MostProbable,
    /// Of several channels: the class of the largest logit, whatever the calibration. Checkpoints of version 4 are read so.
    LargestLogit,
}

/// Where a threshold comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// Logit 0, as trained: there was nothing to choose it on, or what was chosen was not worth it on few cases.
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
        let rule = match channels {
            1 => MaskRule::Above { logit: 0.0, origin: Threshold::Untouched },
            _ => MaskRule::Foreground,
        };
        Self { calibration: Calibration::known(loss, channels), rule }
    }

    /// Fitted on validation cases; few of them move it only by a margin.
    pub fn fitted(loss: &LossConfig, channels: usize, evidence: Evidence<'_>, aim: Aim) -> Self {
        let start = Self::untouched(loss, channels);
        let scaled = !Calibration::is_shift_enough(loss);
        let Evidence { histogram, sample, cases } = evidence;
        let least = if cases.len() < ENOUGH_CASES { FEW_LIKELIHOOD } else { 0.0 };
        if channels > 1 {
            let calibration = start.calibration.fitted_to_classes(sample, scaled, cases, least);
            // Likely probabilities and a mask of high Dice are two things, and the mask is of these probabilities.
            let [before, after] = [&start.calibration, &calibration].map(|read| sample.mean_dice(read));
            return if before - after < MASK_COST { Self { calibration, ..start } } else { start };
        }
        Self::threshold(&start.calibration.fitted(histogram, scaled, cases, least), evidence, aim)
    }

    /// As [`fitted`](Self::fitted), where the configuration does not give the threshold.
    pub(crate) fn configured(
        inference: &Inference,
        loss: &LossConfig,
        channels: usize,
        evidence: Evidence<'_>,
    ) -> Self {
        let decision = Self::fitted(loss, channels, evidence, inference.aim);
        match inference.threshold {
            Auto::Value(probability) if channels == 1 => decision.at(probability),
            Auto::Value(_) | Auto::Word(_) => decision,
        }
    }

    /// Of one channel, with this calibration, and the threshold for an aim. Few cases move it only by a margin, unless the aim
    /// is not the default one and so was asked for.
    pub fn threshold(calibration: &Calibration, evidence: Evidence<'_>, aim: Aim) -> Self {
        let Evidence { histogram, cases, .. } = evidence;
        let is_few = cases.len() < ENOUGH_CASES;
        let f1 = |counts: metrics::BinaryCounts| counts.f1().unwrap_or(0.0);
        let as_trained = f1(histogram.counts_above(0.0));
        let is_worth_it = |point: &OperatingPoint| {
            !is_few || aim != Aim::MaxF1 || f1(point.counts) >= as_trained + FEW_GAIN
        };
        let rule = match OperatingPoint::find(histogram, aim).filter(is_worth_it) {
            Some(point) => MaskRule::Above { logit: point.logit, origin: Threshold::Chosen(aim, point) },
            None => MaskRule::Above { logit: 0.0, origin: Threshold::Untouched },
        };
        Self { calibration: calibration.clone(), rule }
    }

    /// With a threshold on the calibrated probability; for one channel.
    #[must_use]
    pub fn at(mut self, probability: f64) -> Self {
        let logit = self.calibration.logit(probability) as f32;
        self.rule = MaskRule::Above { logit, origin: Threshold::Given(probability) };
        self
    }

    /// Of one channel the threshold, on its logit as the network gives it.
    pub fn logit(&self) -> Option<f32> {
        match self.rule {
            MaskRule::Above { logit, .. } => Some(logit),
            MaskRule::Foreground | MaskRule::MostProbable | MaskRule::LargestLogit => None,
        }
    }

    /// Of one channel the calibrated probability at the threshold.
    pub fn probability(&self) -> Option<f64> {
        self.logit().map(|logit| self.calibration.probability(f64::from(logit)))
    }

    /// The class of each voxel, from its logits `[…, c]`.
    pub fn classes(&self, logits: &[f32]) -> Vec<u8> {
        let Calibration { scale, shift, .. } = &self.calibration;
        let reading = match self.rule {
            MaskRule::Above { logit, .. } => {
                return memory::in_parallel(logits.par_iter().map(|&z| u8::from(z > logit)));
            }
            MaskRule::Foreground => ClassReading::new(*scale, shift),
            MaskRule::MostProbable => ClassReading::new(*scale, shift).each_class_alone(),
            MaskRule::LargestLogit => ClassReading::new(1.0, &vec![0.0; shift.len()]).each_class_alone(),
        };
        memory::in_parallel(logits.par_chunks_exact(shift.len()).map(|z| reading.class(z) as u8))
    }
}

/// A sentence on the probabilities and another on the mask.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calibration { scale, shift, source } = &self.calibration;
        let shifts: Vec<String> = shift.iter().map(|shift| format!("{:+.3}", shift + 0.0)).collect();
        let formula = format!("{scale:.3}·logit {}", shifts.join(", "));
        let function = if shift.len() == 1 { "sigmoid" } else { "softmax" };
        match source {
            Basis::Known => write!(
                f,
                "calibrated probabilities are {function}({formula}), by the loss's weights alone: no validation cases that hold every class, each of them learnt, or too few, to fit them on, or a fit makes a worse mask"
            )?,
            Basis::Fitted(cases) => {
                let (names, count) = (cases.join(", "), cases.len());
                let cases = if count == 1 { "case" } else { "cases" };
                write!(
                    f,
                    "calibrated probabilities are {function}({formula}), fitted on {count} {cases}: {names}"
                )?;
            }
        }
        let (logit, origin) = match self.rule {
            MaskRule::Foreground => {
                return write!(
                    f,
                    "\na voxel is background where that is as probable as all other classes together, else of the most probable of them"
                );
            }
            MaskRule::MostProbable => return write!(f, "\na voxel has the class of its largest probability"),
            MaskRule::LargestLogit => return write!(f, "\na voxel has the class of its largest logit"),
            MaskRule::Above { logit, origin } => (logit, origin),
        };
        let probability = self.calibration.probability(f64::from(logit));
        let raw = autograd::Real::sigmoid(f64::from(logit));
        write!(
            f,
            "\na voxel is foreground above calibrated probability {probability:.4} (raw {raw:.4}, logit {logit:.3}), "
        )?;
        match origin {
            Threshold::Untouched if matches!(source, Basis::Fitted(cases) if cases.len() < ENOUGH_CASES) => {
                write!(f, "the cut of training: no other raises f1 by {FEW_GAIN} on these cases")
            }
            Threshold::Untouched => write!(
                f,
                "the cut of training: no validation case holds foreground to choose another on, or they are fewer than {ENOUGH_CASES} and no other raises f1 by {FEW_GAIN}"
            ),
            Threshold::Given(_) => write!(f, "as given"),
            Threshold::Chosen(aim, point) => {
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
