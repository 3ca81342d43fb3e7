//! From logits to probabilities that are shares.
//!
//! Weights move what a network says: trained with `pos_weight` p, its logit is too high by log p, which is known before
//! a voxel is looked at ([`Calibration::known`]). What else is off (patches that were drawn for their foreground, the
//! training itself) is fitted on validation cases: a shift, and after losses that are no proper scores (Dice, focal) a
//! scale, the inverse of what the field calls a temperature.
//!
//! # Source
//! J. Platt, "Probabilistic outputs for support vector machines", 1999 (the fit and its targets); Guo et al., "On
//! calibration of modern neural networks", ICML 2017 (temperature).

use losses::{LossConfig, WeightConfig};
use metrics::ScoreHistogram;
use serde::{Deserialize, Serialize};

mod fit;
mod reading;
mod sample;

pub(super) use reading::ClassReading;
pub use sample::ClassSample;

/// z ↦ scale·z + shift, for each channel of logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Above 0: the order of the voxels stays.
    pub scale: f64,
    /// One number per channel.
    pub shift: Vec<f64>,
    /// Where the numbers come from.
    pub source: Basis,
}

/// Where a calibration comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Basis {
    /// The loss's weights alone.
    Known,
    /// Fitted on the voxels of these cases.
    Fitted(Vec<String>),
}

impl Calibration {
    /// Nothing is moved.
    pub fn identity(channels: usize) -> Self {
        Self { scale: 1.0, shift: vec![0.0; channels], source: Basis::Known }
    }

    /// What follows from a loss's weights: −log p for `pos_weight` p, and −log w of each class for class weights w (up to a
    /// constant, which softmax does not see). Exact for voxel by voxel cross-entropy; for other losses a start.
    pub fn known(loss: &LossConfig, channels: usize) -> Self {
        let log = |weight: f64| weight.max(f64::MIN_POSITIVE).ln();
        let shift = match loss {
            LossConfig::Bce { pos_weight: WeightConfig::Scalar(p) }
            | LossConfig::Focal { pos_weight: WeightConfig::Scalar(p), .. }
            | LossConfig::DiceBce { pos_weight: WeightConfig::Scalar(p), .. } => vec![-log(*p)],
            LossConfig::CrossEntropy { class_weights: Some(w), .. }
            | LossConfig::DiceCe { class_weights: Some(w), .. } => {
                w.iter().map(|weight| log(w[0]) - log(*weight)).collect()
            }
            _ => vec![0.0; channels],
        };
        Self { shift, ..Self::identity(channels) }
    }

    /// Whether a loss is a proper score, whose logits need a shift at most.
    pub fn is_shift_enough(loss: &LossConfig) -> bool {
        matches!(loss, LossConfig::Bce { .. } | LossConfig::CrossEntropy { label_smoothing: 0.0, .. })
    }

    /// The calibration under which a histogram's voxels are most likely, from this one on: with another shift, and with
    /// `scaled` another scale. This one, where a class is missing or the mean negative log-likelihood falls by less than the
    /// share `least`.
    #[must_use]
    pub fn fitted(&self, histogram: &ScoreHistogram, scaled: bool, cases: &[String], least: f64) -> Self {
        let fit = fit::binary(histogram, [self.scale, self.shift[0]], scaled);
        match fit.filter(|fit| fit.gain() >= least) {
            Some(fit) => Self { scale: fit.scale, shift: fit.shift, source: Basis::Fitted(cases.to_vec()) },
            None => self.clone(),
        }
    }

    /// As [`fitted`](Self::fitted), for several classes.
    #[must_use]
    pub fn fitted_to_classes(
        &self,
        sample: &ClassSample,
        scaled: bool,
        cases: &[String],
        least: f64,
    ) -> Self {
        match fit::classes(sample, self, scaled).filter(|fit| fit.gain() >= least) {
            Some(fit) => Self { scale: fit.scale, shift: fit.shift, source: Basis::Fitted(cases.to_vec()) },
            None => self.clone(),
        }
    }

    /// Logits `[…, c]` as they are once calibrated.
    pub fn applied(&self, logits: &[f32]) -> Vec<f32> {
        let calibrated = |(z, shift): (&f32, &f64)| (self.scale * f64::from(*z) + shift) as f32;
        let mut out = memory::with_capacity(logits.len());
        out.extend(logits.iter().zip(self.shift.iter().cycle()).map(calibrated));
        out
    }

    /// The probability of a single channel's logit.
    pub fn probability(&self, logit: f64) -> f64 {
        autograd::Real::sigmoid(self.scale * logit + self.shift[0])
    }

    /// The logit whose calibrated probability this is; infinite for 0 and 1.
    pub fn logit(&self, probability: f64) -> f64 {
        ((probability / (1.0 - probability)).ln() - self.shift[0]) / self.scale
    }
}

#[cfg(test)]
mod tests;
