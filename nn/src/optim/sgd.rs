//! Stochastic gradient descent.

use std::collections::BTreeMap;

use autograd::{Gradients, Real, Tensor};

use super::state::{Slab, State};
use super::{Group, Optimizer, SgdConfig, assert_lr};
use crate::{Error, Module};

/// Gradient descent with momentum.
///
/// g ← g + λw; b ← μb + g; w ← w − lr·b, with Nesterov w ← w − lr·(g + μb). Without momentum b is g and nothing is
/// remembered. The dampening of PyTorch's form is 0.
///
/// # Source
/// `torch.optim.SGD`; Sutskever et al. 2013, <https://proceedings.mlr.press/v28/sutskever13.html>.
pub struct Sgd<T: Real> {
    config: SgdConfig,
    state: State<T>,
}

impl<T: Real> Sgd<T> {
    /// With these settings and nothing remembered.
    ///
    /// # Errors
    /// As [`SgdConfig::validate`].
    pub fn new(config: SgdConfig) -> Result<Self, Error> {
        config.validate()?;
        let slots: &[_] = if config.momentum > 0.0 { &["momentum_buffer"] } else { &[] };
        Ok(Self { config, state: State::new(slots, false) })
    }

    /// With parameter groups.
    #[must_use]
    pub fn with_groups(mut self, groups: impl Into<Vec<Group>>) -> Self {
        self.state.groups = groups.into();
        self
    }
}

impl<T: Real> Optimizer<T> for Sgd<T> {
    fn step(&mut self, module: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let SgdConfig { lr, momentum, nesterov, weight_decay, decay_scope } = self.config;
        let momentum = T::from_f64(momentum);
        let prepare = |_, rank, group: Option<&Group>| {
            let (lr, weight_decay) = Group::apply(group, lr, weight_decay);
            [lr, decay_scope.decay(weight_decay, rank)].map(T::from_f64)
        };
        self.state.step(
            module,
            gradients,
            prepare,
            |[lr, decay]: [T; 2], Slab { w, g, slots: [buffer, ..] }| {
                if buffer.is_empty() {
                    w.iter_mut().zip(g).for_each(|(w, &g)| *w -= lr * (g + decay * *w));
                    return;
                }
                for ((w, &g), b) in w.iter_mut().zip(g).zip(buffer) {
                    let g = g + decay * *w;
                    *b = momentum * *b + g;
                    *w -= lr * if nesterov { g + momentum * *b } else { *b };
                }
            },
        );
    }

    fn lr(&self) -> f64 {
        self.config.lr
    }

    fn set_lr(&mut self, lr: f64) {
        assert_lr(lr);
        self.config.lr = lr;
    }

    fn state(&self, module: &dyn Module<T>) -> Vec<(String, Tensor<T>)> {
        self.state.save(module)
    }

    fn load_state(
        &mut self,
        module: &dyn Module<T>,
        state: BTreeMap<String, Tensor<T>>,
    ) -> Result<(), Error> {
        self.state.load(module, state)
    }
}
