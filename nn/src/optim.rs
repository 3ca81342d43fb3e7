//! How gradients change parameters.
//!
//! Formulas and defaults are PyTorch's. A step is one pass over all parameters, in place, cut into slabs that run in
//! parallel; every element is computed by itself, so the bits do not depend on the number of threads. What an
//! optimiser remembers is allocated when a parameter gets its first gradient.
//!
//! | configuration | slots per parameter |
//! |---|---|
//! | [`SgdConfig`] | `momentum_buffer`, if there is momentum |
//! | [`AdamConfig`], [`AdamWConfig`] | `exp_avg`, `exp_avg_sq`, with AMSGrad `max_exp_avg_sq`; and `step` |

use std::collections::BTreeMap;

use autograd::{Gradients, Real, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Error, Module};

mod adam;
mod config;
mod group;
mod sgd;
mod state;

pub use adam::Adam;
pub use config::{AdamConfig, AdamWConfig, DecayScope, SgdConfig};
pub use group::Group;
pub use sgd::Sgd;

/// Changes parameters along their gradients, and remembers what it needs for that.
pub trait Optimizer<T: Real>: Send {
    /// One step. Parameters without a gradient stay as they are, and so does what is remembered of them; buffers
    /// (running statistics) move as the forward passes announced, in their order.
    ///
    /// # Panics
    /// If a gradient's shape is not its parameter's, the module visits a parameter twice, or a [`Group`] holds none.
    fn step(&mut self, module: &mut dyn Module<T>, gradients: &Gradients<T>);

    /// The learning rate of the next step.
    fn lr(&self) -> f64;

    /// Sets the learning rate of the next step.
    ///
    /// # Panics
    /// If it is negative or not finite.
    fn set_lr(&mut self, lr: f64);

    /// What is remembered, as `<parameter>.<slot>` in PyTorch's layouts, in the module's order.
    ///
    /// Adam's count of steps is a scalar, `<parameter>.step`; an `f32` holds it exactly up to 2²⁴, where the
    /// correction that it serves has long become 1.
    fn state(&self, module: &dyn Module<T>) -> Vec<(String, Tensor<T>)>;

    /// Restores what [`state`](Self::state) gave; training then continues with the same bits. Parameters of which
    /// nothing is given start afresh.
    ///
    /// # Errors
    /// If a slot is missing, superfluous, or has another shape; nothing is changed then.
    fn load_state(&mut self, module: &dyn Module<T>, state: BTreeMap<String, Tensor<T>>)
    -> Result<(), Error>;
}

/// Which optimiser, with its settings.
///
/// ```
/// use nn::optim::{AdamWConfig, Optimizer, OptimizerConfig};
///
/// let config = OptimizerConfig::AdamW(AdamWConfig { lr: 3e-4, ..Default::default() });
/// let optimizer: Box<dyn Optimizer<f32>> = config.build()?;
/// assert_eq!(optimizer.lr(), 3e-4);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OptimizerConfig {
    /// Gradient descent with momentum.
    Sgd(SgdConfig),
    /// Adam; weight decay is added to the gradient.
    Adam(AdamConfig),
    /// Adam; weight decay shrinks the weight itself.
    AdamW(AdamWConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Adam(AdamConfig::default())
    }
}

impl OptimizerConfig {
    /// The learning rate that a schedule scales.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(config) => config.lr,
            Self::Adam(config) => config.lr,
            Self::AdamW(config) => config.lr,
        }
    }

    /// Whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first that does not.
    pub fn validate(&self) -> Result<(), Error> {
        match self {
            Self::Sgd(config) => config.validate(),
            Self::Adam(config) => config.validate(),
            Self::AdamW(config) => config.validate(),
        }
    }

    /// The optimiser, with nothing remembered.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn build<T: Real>(&self) -> Result<Box<dyn Optimizer<T>>, Error> {
        Ok(match *self {
            Self::Sgd(config) => Box::new(Sgd::new(config)?),
            Self::Adam(config) => Box::new(Adam::new(config)?),
            Self::AdamW(config) => Box::new(Adam::decoupled(config)?),
        })
    }
}

/// What every `set_lr` asserts.
#[track_caller]
fn assert_lr(lr: f64) {
    assert!(lr.is_finite() && lr >= 0.0, "a learning rate is finite and not negative, not {lr}");
}
