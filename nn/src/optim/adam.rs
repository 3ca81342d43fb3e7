//! Adam, AdamW and AMSGrad.

use std::collections::BTreeMap;

use autograd::simd::{Job, Simd, dispatch};
use autograd::{Gradients, Real, Tensor};

use super::state::{Slab, State};
use super::{AdamConfig, AdamWConfig, Group, Optimizer, assert_lr};
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

    /// With parameter groups.
    #[must_use]
    pub fn with_groups(mut self, groups: impl Into<Vec<Group>>) -> Self {
        self.state.groups = groups.into();
        self
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
    /// 1 / √(1 − β₂ᵗ)
    correction2: T,
}

/// What is the same for all parameters.
#[derive(Clone, Copy)]
struct Means<T> {
    keep1: T,
    new1: T,
    keep2: T,
    new2: T,
    eps: T,
}

/// The step of one slab. Four or five streams are read and three or four written, once: the arithmetic (a root and a
/// quotient) has to keep pace with memory, so it runs on vectors.
struct Step<'a, T, const AMSGRAD: bool> {
    setting: Setting<T>,
    means: Means<T>,
    slab: Slab<'a, T>,
}

impl<T: Real, const AMSGRAD: bool> Job<T> for Step<'_, T, AMSGRAD> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Slab { w, g, slots: [m, v, largest] } = self.slab;
        let Setting { shrink, l2, step_size, correction2 } = self.setting;
        let Means { keep1, new1, keep2, new2, eps } = self.means;
        let (shrink, l2, step_size) = (s.splat(shrink), s.splat(l2), s.splat(-step_size));
        let (correction2, eps) = (s.splat(correction2), s.splat(eps));
        let (keep1, new1, keep2, new2) = (s.splat(keep1), s.splat(new1), s.splat(keep2), s.splat(new2));
        let mut start = 0;
        while start < w.len() {
            let i = start..(start + S::LANES).min(w.len());
            start = i.end;
            let w_old = s.load_partial(&w[i.clone()]);
            let g_all = s.mul_add(l2, w_old, s.load_partial(&g[i.clone()]));
            let m_new = s.mul_add(keep1, s.load_partial(&m[i.clone()]), new1 * g_all);
            let v_new = s.mul_add(keep2, s.load_partial(&v[i.clone()]), new2 * (g_all * g_all));
            s.store_partial(m_new, &mut m[i.clone()]);
            s.store_partial(v_new, &mut v[i.clone()]);
            let mut second = v_new;
            if AMSGRAD {
                second = s.max(s.load_partial(&largest[i.clone()]), v_new);
                s.store_partial(second, &mut largest[i.clone()]);
            }
            let denominator = s.mul_add(s.sqrt(second), correction2, eps);
            let w_new = s.mul_add(step_size, m_new / denominator, shrink * w_old);
            s.store_partial(w_new, &mut w[i]);
        }
    }
}

impl<T: Real> Optimizer<T> for Adam<T> {
    fn step(&mut self, module: &mut dyn Module<T>, gradients: &Gradients<T>) {
        let AdamConfig { lr, betas: [beta1, beta2], eps, weight_decay, decay_scope, amsgrad } = self.config;
        let adam_or_w = self.decay;
        let prepare = |steps: u64, rank, group: Option<&Group>| {
            let (lr, weight_decay) = Group::apply(group, lr, weight_decay);
            let t = i32::try_from(steps).unwrap_or(i32::MAX);
            let decay = decay_scope.decay(weight_decay, rank);
            let (shrink, l2) = match adam_or_w {
                Decay::Gradient => (1.0, decay),
                Decay::Weight => (1.0 - lr * decay, 0.0),
            };
            let numbers = [shrink, l2, lr / (1.0 - beta1.powi(t)), 1.0 / (1.0 - beta2.powi(t)).sqrt()];
            let [shrink, l2, step_size, correction2] = numbers.map(T::from_f64);
            Setting { shrink, l2, step_size, correction2 }
        };
        let [keep1, new1, keep2, new2, eps] = [beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps].map(T::from_f64);
        let means = Means { keep1, new1, keep2, new2, eps };
        self.state.step(module, gradients, prepare, |setting, slab| {
            if amsgrad {
                dispatch(Step::<T, true> { setting, means, slab });
            } else {
                dispatch(Step::<T, false> { setting, means, slab });
            }
        });
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
