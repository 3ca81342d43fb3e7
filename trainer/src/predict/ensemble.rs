//! Several networks' answers as one: the mean of their calibrated probabilities.
//!
//! p = (p₁ + … + pₙ) / n is kept as its logit (one channel) or as the logarithm of each class's share (several), so that
//! probabilities near 0 and 1 lose nothing; it is updated member by member, in f64, voxel by voxel:
//! log(k·eᵃ + eᵇ) = the log-sum-exp of log k + a and b.
//!
//! # Source
//! B. Lakshminarayanan et al., "Simple and scalable predictive uncertainty estimation using deep ensembles", NeurIPS
//! 2017, section 2.4 (a uniform mixture: probabilities are averaged, not logits).

use std::fmt;

use rayon::prelude::*;

use super::calibration::Basis;
use super::{Calibration, Decision, Logits, MaskRule};

/// How the answers of several networks are read together.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    members: Vec<Decision>,
    /// A threshold on the mean probability, and what it was chosen on where it was not given by hand.
    threshold: Option<(f64, Option<String>)>,
}

/// The mean of the probabilities so far.
#[derive(Clone, Debug, Default)]
pub struct ProbabilityMean {
    members: usize,
    /// The mean's logit, or the logarithm of each class's mean probability.
    mean: Option<Logits>,
}

impl Ensemble {
    /// Of networks whose own logits are read so.
    ///
    /// # Panics
    /// Without members, or where they have different numbers of channels.
    #[track_caller]
    pub fn new(members: Vec<Decision>) -> Self {
        assert!(!members.is_empty(), "an ensemble needs a member");
        let channels = |decision: &Decision| decision.calibration.shift.len();
        let same = members.iter().all(|member| channels(member) == channels(&members[0]));
        assert!(same, "the members of an ensemble have the same channels");
        Self { members, threshold: None }
    }

    /// With a threshold on the mean probability, given by hand, instead of the mean of the members' thresholds.
    #[must_use]
    pub fn at(self, probability: f64) -> Self {
        Self { threshold: Some((probability, None)), ..self }
    }

    /// With a threshold that was chosen on what no member was trained on; `on` says in words what that was.
    #[must_use]
    pub fn chosen(self, probability: f64, on: String) -> Self {
        Self { threshold: Some((probability, Some(on))), ..self }
    }

    /// Above this mean probability a voxel is foreground (one channel).
    pub fn threshold(&self) -> f64 {
        let of_members = || self.members.iter().filter_map(Decision::probability);
        let mean = || of_members().sum::<f64>() / self.members.len() as f64;
        self.threshold.as_ref().map_or_else(mean, |(probability, _)| *probability)
    }

    /// How the logits of [`ProbabilityMean::logits`] are read: nothing is left to calibrate, and of several classes masks are
    /// made as the members', or those of the newest of them, are.
    pub fn decision(&self) -> Decision {
        let channels = self.channels();
        let calibration = Calibration {
            source: self.members[0].calibration.source.clone(),
            ..Calibration::identity(channels)
        };
        let is_newest = self.members.iter().any(|member| member.rule == MaskRule::Foreground);
        let rule = if is_newest { MaskRule::Foreground } else { MaskRule::MostProbable };
        let read = Decision { calibration, rule };
        if channels == 1 { read.at(self.threshold()) } else { read }
    }

    fn channels(&self) -> usize {
        self.members[0].calibration.shift.len()
    }
}

impl ProbabilityMean {
    /// The logits whose probabilities, by [`Ensemble::decision`], are the mean.
    ///
    /// # Panics
    /// Where nothing was added.
    #[track_caller]
    pub fn logits(self) -> Logits {
        self.mean.expect("the mean of no probabilities")
    }

    /// Adds a network's probabilities.
    ///
    /// # Panics
    /// Where shape or channels are not those of before.
    #[track_caller]
    pub fn add(&mut self, mut logits: Logits, calibration: &Calibration) {
        calibrate(&mut logits, calibration);
        let log_members = (self.members as f64).ln();
        self.members += 1;
        let log_total = (self.members as f64).ln();
        let Some(mean) = &mut self.mean else {
            self.mean = Some(logits);
            return;
        };
        let (before, now) = ((mean.shape, mean.channels), (logits.shape, logits.channels));
        assert_eq!(before, now, "members answer with the same shape and channels");
        let one_channel = mean.channels == 1;
        mean.values.par_iter_mut().zip(&logits.values).for_each(|(mean, &z)| {
            let (a, b) = (f64::from(*mean), f64::from(z));
            let log_sum = |a: f64, b: f64| log_sum_exp(log_members + a, b);
            let both = match one_channel {
                // log Σ p − log Σ (1 − p)
                true => log_sum(log_sigmoid(a), log_sigmoid(b)) - log_sum(log_sigmoid(-a), log_sigmoid(-b)),
                false => log_sum(a, b) - log_total,
            };
            *mean = both as f32;
        });
    }
}

/// Logits as they are after calibration: of one channel the probability's logit, of several its logarithm.
fn calibrate(logits: &mut Logits, Calibration { scale, shift, .. }: &Calibration) {
    let channels = logits.channels;
    assert_eq!(channels, shift.len(), "a calibration has a shift for each channel");
    logits.values.par_chunks_exact_mut(channels).for_each(|voxel| {
        let mut total = f64::NEG_INFINITY;
        for (z, shift) in voxel.iter().zip(shift) {
            total = log_sum_exp(total, scale * f64::from(*z) + shift);
        }
        let total = if channels == 1 { 0.0 } else { total };
        for (z, shift) in voxel.iter_mut().zip(shift) {
            *z = (scale * f64::from(*z) + shift - total) as f32;
        }
    });
}

/// log(eᵃ + eᵇ)
fn log_sum_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// log(1 / (1 + e⁻ᶻ))
fn log_sigmoid(z: f64) -> f64 {
    -log_sum_exp(0.0, -z)
}

/// A sentence on the probabilities and another on the mask.
impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members.len();
        write!(f, "probabilities are the mean of {members} runs', each ")?;
        let fitted = |member: &Decision| matches!(member.calibration.source, Basis::Fitted(_));
        match self.members.iter().filter(|member| fitted(member)).count() {
            count if count == members => write!(f, "calibrated on its own validation cases"),
            0 => write!(f, "calibrated by its loss's weights alone"),
            count => {
                write!(f, "calibrated: {count} on validation cases, the others by the loss's weights alone")
            }
        }?;
        if self.channels() > 1 {
            return write!(f, "\na voxel has the class of its largest mean probability");
        }
        write!(f, "\na voxel is foreground above calibrated probability {:.4}, ", self.threshold())?;
        match &self.threshold {
            Some((_, None)) => return write!(f, "as given"),
            Some((_, Some(on))) => return write!(f, "chosen on {on}"),
            None => {}
        }
        let thresholds =
            self.members.iter().map(|member| format!("{:.4}", member.probability().unwrap_or(0.5)));
        write!(f, "the mean of the runs' {}", thresholds.collect::<Vec<_>>().join(", "))
    }
}
