//! How the learning rate goes over a run.
//!
//! A [`Schedule`] is a function of the step; a [`Scheduler`] is one together with what it has seen, which only
//! [`Schedule::Plateau`] needs. Steps are the optimiser's: the first has number 0.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::Error;

mod plateau;

pub use plateau::{MetricMode, Plateau, PlateauState};

/// The learning rate as a function of the step.
///
/// With s the step, S the number of steps of the run, W the steps of warm-up, and for s < W
///
/// lr = base · (s + 1) / (W + 1),
///
/// else, with t = (s − W) / (S − W), held within 0 and 1 (and 1 where W ≥ S):
///
/// | schedule | lr | PyTorch's |
/// |---|---|---|
/// | `constant` | base | `ConstantLR` |
/// | `linear` | base · (1 + (f − 1)·t), f = `end_factor` | `LinearLR` |
/// | `poly` | base · (1 − t)^p, p = `power` | `PolynomialLR` |
/// | `cosine` | base · (f + (1 − f)·(1 + cos πt)/2), f = `end_factor` | `CosineAnnealingLR` |
/// | `step` | base · γ^⌊s / `step_size`⌋, no warm-up | `StepLR` |
/// | `plateau` | base, reduced by what a [`Scheduler`] observes, see [`Plateau`] | `ReduceLROnPlateau` |
///
/// ```
/// use nn::schedule::Schedule;
/// let poly = Schedule::Poly { power: 0.9, warmup_steps: 0 };
/// assert_eq!(poly.lr(0, 100, 0.01), 0.01);
/// assert_eq!(poly.lr(100, 100, 0.01), 0.0);
/// ```
///
/// # Source
/// `torch.optim.lr_scheduler`; poly with power 0.9: Chen et al. 2017, <https://arxiv.org/abs/1606.00915>,
/// section 4.1; cosine: Loshchilov & Hutter 2017, <https://arxiv.org/abs/1608.03983>, eq. 5; warm-up: Goyal et al.
/// 2017, <https://arxiv.org/abs/1706.02677>, section 2.2.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// The same in every step.
    #[default]
    Constant,
    /// Down a straight line.
    Linear {
        /// What is left at the end, as a share of the base; 0.
        #[serde(default)]
        end_factor: f64,
        /// Steps of warm-up; 0.
        #[serde(default)]
        warmup_steps: u64,
    },
    /// Down to 0 along a power.
    Poly {
        /// The power; 0.9.
        #[serde(default = "default_power")]
        power: f64,
        /// Steps of warm-up; 0.
        #[serde(default)]
        warmup_steps: u64,
    },
    /// Down half a wave of the cosine.
    Cosine {
        /// What is left at the end, as a share of the base; 0.
        #[serde(default)]
        end_factor: f64,
        /// Steps of warm-up; 0.
        #[serde(default)]
        warmup_steps: u64,
    },
    /// Down a staircase.
    Step {
        /// Steps between two reductions.
        step_size: u64,
        /// The factor of each; 0.1.
        #[serde(default = "default_gamma")]
        gamma: f64,
    },
    /// Down when a metric stops getting better.
    Plateau(Plateau),
}

fn default_power() -> f64 {
    0.9
}

fn default_gamma() -> f64 {
    0.1
}

impl Schedule {
    /// The learning rate of step `step` (from 0) in a run of `total_steps`. Never negative; from `total_steps` on it
    /// is what the schedule ends with.
    ///
    /// A plateau's is the base: use a [`Scheduler`] for it.
    pub fn lr(&self, step: u64, total_steps: u64, base_lr: f64) -> f64 {
        let warmup_steps = self.warmup_steps();
        if step < warmup_steps {
            return base_lr * (step + 1) as f64 / (warmup_steps + 1) as f64;
        }
        let left = total_steps.saturating_sub(warmup_steps);
        let t = if left == 0 { 1.0 } else { ((step - warmup_steps) as f64 / left as f64).min(1.0) };
        let factor = match *self {
            Self::Constant | Self::Plateau(_) => 1.0,
            Self::Linear { end_factor, .. } => 1.0 + (end_factor - 1.0) * t,
            Self::Poly { power, .. } => (1.0 - t).powf(power),
            Self::Cosine { end_factor, .. } => {
                end_factor + (1.0 - end_factor) * (0.5 * (1.0 + (PI * t).cos()))
            }
            Self::Step { step_size, gamma } => gamma.powf((step / step_size.max(1)) as f64),
        };
        base_lr * factor
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        match *self {
            Self::Constant => Ok(()),
            Self::Linear { end_factor, .. } | Self::Cosine { end_factor, .. } => {
                within("end_factor", end_factor, (0.0..=1.0).contains(&end_factor), "from 0 to 1")
            }
            Self::Poly { power, .. } => {
                within("power", power, power > 0.0 && power.is_finite(), "above 0 and finite")
            }
            Self::Step { step_size: 0, .. } => within("step_size", 0.0, false, "at least 1"),
            Self::Step { gamma, .. } => {
                within("gamma", gamma, gamma > 0.0 && gamma <= 1.0, "above 0 and at most 1")
            }
            Self::Plateau(plateau) => plateau.validate(),
        }
    }

    fn warmup_steps(&self) -> u64 {
        match *self {
            Self::Linear { warmup_steps, .. }
            | Self::Poly { warmup_steps, .. }
            | Self::Cosine { warmup_steps, .. } => warmup_steps,
            Self::Constant | Self::Step { .. } | Self::Plateau(_) => 0,
        }
    }
}

fn within(name: &'static str, value: f64, holds: bool, range: &str) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    Err(Error::Setting { name, message: format!("{value} is not possible; it is {range}") })
}

/// A schedule and what it has seen.
#[derive(Clone, PartialEq, Debug)]
pub struct Scheduler {
    schedule: Schedule,
    state: PlateauState,
}

impl Scheduler {
    /// At the start of a run.
    ///
    /// # Errors
    /// As [`Schedule::validate`].
    pub fn new(schedule: Schedule) -> Result<Self, Error> {
        schedule.validate()?;
        Ok(Self { schedule, state: PlateauState::default() })
    }

    /// The learning rate of step `step` (from 0) in a run of `total_steps`.
    pub fn lr(&self, step: u64, total_steps: u64, base_lr: f64) -> f64 {
        match self.schedule {
            Schedule::Plateau(plateau) => plateau.lr(&self.state, base_lr),
            schedule => schedule.lr(step, total_steps, base_lr),
        }
    }

    /// Takes note of the metric of a validation; only a plateau heeds it.
    pub fn observe(&mut self, metric: f64) {
        if let Schedule::Plateau(plateau) = self.schedule {
            plateau.observe(&mut self.state, metric);
        }
    }

    /// What was seen, for a checkpoint.
    pub fn state(&self) -> &PlateauState {
        &self.state
    }

    /// Continues from a checkpoint.
    pub fn restore(&mut self, state: PlateauState) {
        self.state = state;
    }
}

#[cfg(test)]
mod tests;
