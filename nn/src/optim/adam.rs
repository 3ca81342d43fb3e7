//! Adam, AdamW and AMSGrad.

use std::collections::BTreeMap;

use autograd::{Gradients, Real, Tensor};

use super::state::{Slab, State};
use super::{AdamConfig, AdamWConfig, Optimizer, assert_lr};
use crate::{Error, Module};

/// Where weight decay enters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Decay {
    /// g ← g + λw
    Gradient,
    /// w ← w − lr·λ·w
    Weight,
}

/// Adam, with PyTorch's place for ε.
///
/// At a parameter's step t, with Adam g ← g + λw, with AdamW w ← (1 − lr·λ)·w, then
///
/// m ← β₁m + (1 − β₁)g; v ← β₂v + (1 − β₂)g²;
/// w ← w − lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).
///
/// AMSGrad takes the largest v so far in the last line.
///
/// # Source
/// `torch.optim.Adam`, `torch.optim.AdamW`; Kingma & Ba 2015, <https://arxiv.org/abs/1412.6980>, algorithm 1;
/// Loshchilov & Hutter 2019, <https://arxiv.org/abs/1711.05101>, algorithm 2; Reddi et al. 2018,
/// <https://arxiv.org/abs/1904.09237>, algorithm 2.
pub struct Adam<T: Real> {
    config: AdamConfig,
    decay: Decay,
    state: State<T>,
}

impl<T: Real> Adam<T> {
    /// Adam with these settings and nothing remembered.
    ///
    /// # Errors
    /// As [`AdamConfig::validate`].
    pub fn new(config: AdamConfig) -> Result<Self, Error> {
        Self::with_decay(config, Decay::Gradient)
    }

    /// AdamW with these settings and nothing remembered.
    ///
    /// # Errors
    /// As [`AdamWConfig::validate`].
    pub fn decoupled(config: AdamWConfig) -> Result<Self, Error> {
        Self::with_decay(config.as_adam(), Decay::Weight)
    }

    fn with_decay(config: AdamConfig, decay: Decay) -> Result<Self, Error> {
        config.validate()?;
        let names = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
        let slots = if config.amsgrad { &names[..] } else { &names[..2] };
        Ok(Self { config, decay, state: State::new(slots, true) })
    }
}

/// What depends on a parameter's step and rank; the numbers are computed in `f64` and rounded once.
#[derive(Clone, Copy)]
struct Setting<T> {
    /// 1 − lr·λ (AdamW), else 1
    shrink: T,
    /// λ (Adam), else 0
    l2: T,
    /// lr / (1 − β₁ᵗ)
    step_size: T,
    /// √(1 − β₂ᵗ)
    correction2: T,
}

impl<T: Real> Optimizer<T> for Adam<T> {
    fn step(&mut self, module: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let AdamConfig { lr, betas: [beta1, beta2], eps, weight_decay, decay_scope, amsgrad } = self.config;
        let adam_or_w = self.decay;
        let prepare = |steps: u64, rank| {
            let t = i32::try_from(steps).unwrap_or(i32::MAX);
            let decay = decay_scope.decay(weight_decay, rank);
            let (shrink, l2) = match adam_or_w {
                Decay::Gradient => (1.0, decay),
                Decay::Weight => (1.0 - lr * decay, 0.0),
            };
            let numbers = [shrink, l2, lr / (1.0 - beta1.powi(t)), (1.0 - beta2.powi(t)).sqrt()];
            let [shrink, l2, step_size, correction2] = numbers.map(T::from_f64);
            Setting { shrink, l2, step_size, correction2 }
        };
        let [keep1, new1, keep2, new2, eps] = [beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps].map(T::from_f64);
        self.state.step(
            module,
            gradients,
            prepare,
            |s: Setting<T>, Slab { w, g, slots: [m, v, largest] }| {
                // Without AMSGrad the third slot is empty and `v` itself is the largest.
                let mut largest = largest.iter_mut();
                for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                    let g = g + s.l2 * *w;
                    *m = keep1 * *m + new1 * g;
                    *v = keep2 * *v + new2 * (g * g);
                    let mut second = *v;
                    if amsgrad && let Some(largest) = largest.next() {
                        second = largest.max(second);
                        *largest = second;
                    }
                    *w = s.shrink * *w - s.step_size * (*m / (second.sqrt() / s.correction2 + eps));
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
