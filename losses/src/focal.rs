//! The focal loss: binary cross-entropy whose easy voxels count less.

use autograd::{Real, Var};

use crate::elementwise::{Elementwise, Formula, Settings};
use crate::extents::Extents;
use crate::loss::{self, Loss};
use crate::truth::{Channels, Truth};
use crate::{EmptyPolicy, Error, Reduction, Report, Target, Weight};

/// The focal loss on logits, each channel a yes or no of its own.
///
/// l = −w·\[α·p·y·(1−σ)^γ·log σ + (1−α)·(1−y)·σ^γ·log(1−σ)\], σ = σ(x)
///
/// γ = 2 and no α (both factors 1) by default; γ = 0 is [`BceWithLogits`](crate::BceWithLogits). Shapes and mean are
/// those of that loss. The probabilities that come out are not calibrated.
///
/// # Source
/// Lin et al. 2017, "Focal Loss for Dense Object Detection", eq. 5, with soft targets as in `torchvision`.
#[derive(Clone, Debug, PartialEq)]
pub struct Focal<T: Real = f32> {
    gamma: f64,
    alpha: Option<f64>,
    weight: Option<Weight<T>>,
    pos_weight: Option<Weight<T>>,
    ignore_index: Option<i32>,
    reduction: Reduction,
    empty: EmptyPolicy,
}

impl<T: Real> Default for Focal<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Focal<T> {
    /// γ = 2, no α, mean.
    pub fn new() -> Self {
        Self {
            gamma: 2.0,
            alpha: None,
            weight: None,
            pos_weight: None,
            ignore_index: None,
            reduction: Reduction::default(),
            empty: EmptyPolicy::default(),
        }
    }

    /// The exponent, at least 0.
    pub fn gamma(mut self, gamma: f64) -> Self {
        self.gamma = gamma;
        self
    }

    /// α for positives and 1 − α for negatives, in \[0, 1\].
    pub fn alpha(mut self, alpha: impl Into<Option<f64>>) -> Self {
        self.alpha = alpha.into();
        self
    }

    /// Weighs the loss of every element.
    pub fn weight(mut self, weight: impl Into<Weight<T>>) -> Self {
        self.weight = Some(weight.into());
        self
    }

    /// Weighs the positive term.
    pub fn pos_weight(mut self, pos_weight: impl Into<Weight<T>>) -> Self {
        self.pos_weight = Some(pos_weight.into());
        self
    }

    /// The label of voxels that take no part; none by default.
    pub fn ignore_index(mut self, label: impl Into<Option<i32>>) -> Self {
        self.ignore_index = label.into();
        self
    }

    /// How the result is reduced; the mean by default.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// What the mean is if every voxel is ignored.
    pub fn empty(mut self, policy: EmptyPolicy) -> Self {
        self.empty = policy;
        self
    }

    fn formula(&self) -> Result<Formula, Error> {
        if !(self.gamma.is_finite() && self.gamma >= 0.0) {
            let range = "finite and at least 0";
            return Err(Error::Setting { name: "gamma of the focal loss", value: self.gamma, range });
        }
        let (positive, negative) = match self.alpha {
            None => (1.0, 1.0),
            Some(alpha) if (0.0..=1.0).contains(&alpha) => (alpha, 1.0 - alpha),
            Some(value) => {
                return Err(Error::Setting { name: "alpha of the focal loss", value, range: "in [0, 1]" });
            }
        };
        Ok(Formula::Focal { gamma: self.gamma, positive, negative })
    }
}

impl<T: Real> Loss<T> for Focal<T> {
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        let extents = Extents::of(logits.shape())?;
        let truth = Truth::new(target, &extents, Channels::Independent, self.ignore_index)?;
        let truth = truth.of_batch(logits.tape())?;
        let settings = Settings {
            formula: self.formula()?,
            weight: self.weight.as_ref(),
            pos_weight: self.pos_weight.as_ref(),
            reduction: self.reduction,
            empty: self.empty,
        };
        let (kernel, tally) = Elementwise::new(settings, extents, truth)?;
        Ok(tally.report(loss::apply(logits, kernel)?))
    }
}
