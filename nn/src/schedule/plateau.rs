//! Less learning rate when a metric stops getting better.

use serde::{Deserialize, Serialize};

use super::within;
use crate::Error;

/// Which metrics are better.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricMode {
    /// Lower ones (a loss).
    #[default]
    Min,
    /// Higher ones (Dice).
    Max,
}

/// Settings of [`Schedule::Plateau`](super::Schedule::Plateau).
///
/// A metric is better than the best so far where it is below best · (1 − threshold), or above best · (1 + threshold)
/// for [`MetricMode::Max`]; NaN never is. After more than `patience` observations in a row that are not, the learning
/// rate is multiplied by `factor` (not below `min_lr`), and `cooldown` observations pass before they count again.
///
/// # Source
/// `torch.optim.lr_scheduler.ReduceLROnPlateau` with its relative threshold.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plateau {
    /// Which metrics are better; lower ones.
    pub mode: MetricMode,
    /// What the learning rate is multiplied by; 0.1.
    pub factor: f64,
    /// Observations without a better one that are borne; 10.
    pub patience: u32,
    /// How much better counts, as a share of the best; 1e-4.
    pub threshold: f64,
    /// Observations after a reduction that do not count; 0.
    pub cooldown: u32,
    /// The learning rate below which it is not reduced; 0.
    pub min_lr: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { mode: MetricMode::Min, factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, min_lr: 0.0 }
    }
}

/// What a plateau has seen.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PlateauState {
    best: Option<f64>,
    bad: u32,
    cooling: u32,
    reductions: u32,
}

impl PlateauState {
    /// The best metric so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// How often the learning rate was reduced.
    pub fn reductions(&self) -> u32 {
        self.reductions
    }
}

impl Plateau {
    /// base · factor^reductions, not below the smaller of `min_lr` and the base.
    pub(super) fn lr(&self, state: &PlateauState, base_lr: f64) -> f64 {
        let reduced = base_lr * self.factor.powf(f64::from(state.reductions));
        reduced.max(self.min_lr.min(base_lr))
    }

    pub(super) fn observe(&self, state: &mut PlateauState, metric: f64) {
        if self.is_better(state.best, metric) {
            state.best = Some(metric);
            state.bad = 0;
        } else {
            state.bad += 1;
        }
        if state.cooling > 0 {
            state.cooling -= 1;
            state.bad = 0;
        }
        if state.bad > self.patience {
            state.reductions += 1;
            state.cooling = self.cooldown;
            state.bad = 0;
        }
    }

    fn is_better(&self, best: Option<f64>, metric: f64) -> bool {
        let Some(best) = best else { return !metric.is_nan() };
        match self.mode {
            MetricMode::Min => metric < best * (1.0 - self.threshold),
            MetricMode::Max => metric > best * (1.0 + self.threshold),
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let Self { factor, threshold, min_lr, .. } = *self;
        within("factor", factor, factor > 0.0 && factor < 1.0, "above 0 and below 1")?;
        within("threshold", threshold, (0.0..1.0).contains(&threshold), "at least 0 and below 1")?;
        within("min_lr", min_lr, min_lr >= 0.0 && min_lr.is_finite(), "a finite number, 0 or more")
    }
}
