//! Settings of the optimisers. Names and defaults are PyTorch's.

use serde::{Deserialize, Serialize};

use crate::Error;

/// What weight decay applies to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecayScope {
    /// Every parameter, as in PyTorch.
    #[default]
    All,
    /// Parameters of two axes and more: not biases, nor a norm's scale and shift.
    Weights,
}

impl DecayScope {
    /// `weight_decay` for a parameter of this many axes.
    pub(super) fn decay(self, weight_decay: f64, rank: usize) -> f64 {
        match self {
            Self::All => weight_decay,
            Self::Weights if rank > 1 => weight_decay,
            Self::Weights => 0.0,
        }
    }
}

/// Stochastic gradient descent.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SgdConfig {
    /// The learning rate, 1e-3.
    pub lr: f64,
    /// How much of the last direction is kept, 0.
    pub momentum: f64,
    /// Whether the gradient is taken as if the momentum had been applied already, no.
    pub nesterov: bool,
    /// λ of the term λw that is added to the gradient, 0.
    pub weight_decay: f64,
    /// What that applies to, everything.
    pub decay_scope: DecayScope,
}

impl Default for SgdConfig {
    fn default() -> Self {
        Self { lr: 1e-3, momentum: 0.0, nesterov: false, weight_decay: 0.0, decay_scope: DecayScope::All }
    }
}

impl SgdConfig {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        not_negative("lr", self.lr)?;
        fraction("momentum", self.momentum)?;
        not_negative("weight_decay", self.weight_decay)?;
        if self.nesterov && self.momentum == 0.0 {
            return Err(setting("nesterov", "it wants momentum, which is 0; set momentum, 0.9 for example"));
        }
        Ok(())
    }
}

/// Adam, whose weight decay is a term of the gradient (L2).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamConfig {
    /// The learning rate, 1e-3.
    pub lr: f64,
    /// How much is kept of the mean of the gradient and of its square, 0.9 and 0.999.
    pub betas: [f64; 2],
    /// Added to the denominator, 1e-8.
    pub eps: f64,
    /// λ of the term λw that is added to the gradient, 0.
    pub weight_decay: f64,
    /// What that applies to, everything.
    pub decay_scope: DecayScope,
    /// Whether the denominator never shrinks (AMSGrad), no.
    pub amsgrad: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            betas: [0.9, 0.999],
            eps: 1e-8,
            weight_decay: 0.0,
            decay_scope: DecayScope::All,
            amsgrad: false,
        }
    }
}

impl AdamConfig {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        not_negative("lr", self.lr)?;
        fraction("betas[0]", self.betas[0])?;
        fraction("betas[1]", self.betas[1])?;
        not_negative("eps", self.eps)?;
        not_negative("weight_decay", self.weight_decay)
    }
}

/// AdamW: Adam, whose weight decay shrinks the weight by 1 − lr·λ before the step.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWConfig {
    /// The learning rate, 1e-3.
    pub lr: f64,
    /// How much is kept of the mean of the gradient and of its square, 0.9 and 0.999.
    pub betas: [f64; 2],
    /// Added to the denominator, 1e-8.
    pub eps: f64,
    /// λ of the factor 1 − lr·λ on the weight, 0.01.
    pub weight_decay: f64,
    /// What that applies to, everything.
    pub decay_scope: DecayScope,
    /// Whether the denominator never shrinks (AMSGrad), no.
    pub amsgrad: bool,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        let AdamConfig { lr, betas, eps, decay_scope, amsgrad, .. } = AdamConfig::default();
        Self { lr, betas, eps, weight_decay: 1e-2, decay_scope, amsgrad }
    }
}

impl AdamWConfig {
    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        self.as_adam().validate()
    }

    /// The same numbers as Adam's settings.
    pub(super) fn as_adam(&self) -> AdamConfig {
        let Self { lr, betas, eps, weight_decay, decay_scope, amsgrad } = *self;
        AdamConfig { lr, betas, eps, weight_decay, decay_scope, amsgrad }
    }
}

pub(super) fn not_negative(name: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(setting(name, &format!("{value} is not possible; it is a finite number, 0 or more")))
}

fn fraction(name: &'static str, value: f64) -> Result<(), Error> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(setting(name, &format!("{value} is not possible; it is at least 0 and below 1")))
}

fn setting(name: &'static str, message: &str) -> Error {
    Error::Setting { name, message: message.to_owned() }
}
