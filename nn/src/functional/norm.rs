//! Normalisation and activation.
//!
//! z = γ·(x − mean)·rstd + β, y = act(z), with γ and β per channel.
//!
//! Derivative, with g = dy·act′(z), x̂ = (x − mean)·rstd and averages ⟨·⟩ over the numbers that share mean and
//! variance: dβ = Σ g, dγ = Σ g·x̂, dx = rstd·(γ·g − ⟨γ·g⟩ − x̂·⟨γ·g·x̂⟩); the averages are absent where mean and
//! variance are constants. Saved are x, γ, β, and the mean and rstd of each sample and channel: z, x̂ and y never.

use std::ops::Range;
use std::sync::Arc;

use autograd::{Backward, Real, Shape, Tensor, Var, tape_of};

use super::input::{Deferred, Formula, Input};
use super::statistics::{Extents, IntoStats, sets};
use super::{Activation, NormKind, check_per_channel, value};
use crate::kernels::norm;
use crate::kernels::{Affine, Pairs};

/// How a tensor is normalised, and what follows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NormSettings {
    /// Over what mean and variance are taken.
    pub kind: NormKind,
    /// Added to the variance.
    pub eps: f64,
    /// Applied to the result.
    pub activation: Activation,
}

impl NormSettings {
    /// Without an activation, ε = 1e-5.
    pub fn new(kind: NormKind) -> Self {
        Self { kind, eps: 1e-5, activation: Activation::Identity }
    }

    /// With this activation.
    pub fn with_activation(self, activation: Activation) -> Self {
        Self { activation, ..self }
    }

    /// With this ε.
    pub fn with_eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }
}

/// act(γ·(x − mean)/√(var + ε) + β), mean and (biased) variance being those of x, left to whoever reads it.
///
/// x is `[n, ..., c]`, a convolution's [`WithStats`](super::WithStats) result or any [`Var`]; γ and β are `[c]` or absent (1 and 0 then). One
/// voxel alone has variance 0, so it yields act(β).
///
/// # Panics
/// If a shape does not fit, or the channels do not divide into the groups.
#[track_caller]
pub fn norm_act<'t, T: Real>(
    x: impl IntoStats<'t, T>,
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    settings: NormSettings,
) -> Input<'t, T> {
    let NormSettings { kind, eps, activation } = settings;
    let x = x.into_stats();
    let moments = x.stats().mean_and_rstd(kind, eps);
    defer(x.into_var(), Some(kind), moments, gamma, beta, activation)
}

/// As [`norm_act`], by a mean and a variance that are constants, `[c]` each: running statistics. Only ε and the activation
/// of the settings matter.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn norm_act_by<'t, T: Real>(
    x: Var<'t, T>,
    mean: &Tensor<T>,
    variance: &Tensor<T>,
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    settings: NormSettings,
) -> Input<'t, T> {
    let Extents { samples, channels, .. } = Extents::of(x.shape());
    assert!(
        mean.dims() == [channels] && variance.dims() == [channels],
        "running mean {} and variance {}, expected [c = {channels}]",
        mean.shape(),
        variance.shape()
    );
    let rstd = |variance: &T| T::from_f64(1.0 / (variance.to_f64() + settings.eps).sqrt());
    let rstd: Vec<T> = variance.data().iter().map(rstd).collect();
    let moments = (mean.data().repeat(samples), rstd.repeat(samples));
    defer(x, None, moments, gamma, beta, settings.activation)
}

#[track_caller]
fn defer<'t, T: Real>(
    x: Var<'t, T>,
    over: Option<NormKind>,
    (mean, rstd): (Vec<T>, Vec<T>),
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    activation: Activation,
) -> Input<'t, T> {
    let extents = Extents::of(x.shape());
    let [of_gamma, of_beta] = [value(&gamma), value(&beta)];
    check_per_channel("normalisation", "gamma", of_gamma, extents.channels);
    check_per_channel("normalisation", "beta", of_beta, extents.channels);
    let gamma_of = |i: usize| of_gamma.map_or(T::ONE, |gamma| gamma.data()[i % extents.channels]);
    let scale: Vec<T> = rstd.iter().enumerate().map(|(i, &rstd)| gamma_of(i) * rstd).collect();
    let shift =
        of_beta.map_or_else(|| vec![T::ZERO; scale.len()], |beta| beta.data().repeat(extents.samples));
    let affine = Affine::new(extents.channels, &mean, &scale, &shift, activation);
    let x_value = x.value().clone();
    let normalised = Normalised { x: x_value.clone(), extents, gamma: of_gamma.cloned(), affine, rstd, over };
    let inputs = [Some(&x), gamma.as_ref(), beta.as_ref()];
    Input::deferred(tape_of(inputs), NormAct, inputs, x_value, normalised)
}

/// A normalisation with activation of x; enough to compute its value and its derivative.
struct Normalised<T: Real> {
    x: Tensor<T>,
    extents: Extents,
    gamma: Option<Tensor<T>>,
    /// By mean, γ·rstd and β.
    affine: Affine<T>,
    rstd: Vec<T>,
    /// What mean and rstd are functions of; `None` for constants.
    over: Option<NormKind>,
}

impl<T: Real> Formula<T> for Normalised<T> {
    fn shape(&self) -> Shape {
        self.x.shape()
    }

    fn compute(&self) -> Tensor<T> {
        let mut y = Tensor::scratch(self.x.shape());
        self.extents
            .for_each_slab(y.data_mut(), |n, r, y| norm::apply(&self.affine, n, &self.x.data()[r], y));
        y
    }

    fn affine(&self) -> Option<(&Tensor<T>, &Affine<T>)> {
        self.affine.is_fusible().then_some((&self.x, &self.affine))
    }
}

/// The derivative of [`norm_act`] and [`norm_act_by`].
struct NormAct;

impl<T: Real> Backward<T, 3> for NormAct {
    type Saved = (Arc<Normalised<T>>, Arc<Deferred<T>>);

    fn backward(
        &self,
        (normalised, deferred): Self::Saved,
        mut dy: Tensor<T>,
        needs: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let plain = normalised.affine.with_activation(Activation::Identity);
        let (affine, sums) = match deferred.take_sums() {
            // A convolution has led dy back through the activation, and taken the sums.
            Some(sums) => (&plain, sums),
            // As cheap to lead back twice as to write in between.
            None if normalised.affine.is_fusible() => {
                (&normalised.affine, normalised.sums(&normalised.affine, &dy, needs))
            }
            None => {
                normalised.lead_back(&mut dy);
                (&plain, normalised.sums(&plain, &dy, needs))
            }
        };
        normalised.backward(affine, dy, &sums, needs)
    }
}

impl<T: Real> Normalised<T> {
    /// g = dy·act′(z), over dy.
    fn lead_back(&self, dy: &mut Tensor<T>) {
        self.extents.for_each_slab(dy.data_mut(), |n, r, dy| {
            norm::lead_back(&self.affine, n, &self.x.data()[r], dy);
        });
    }

    /// Σ g and Σ g·(x − mean) per sample and channel, from dy as it comes after the activation of `affine`; zeros where nobody
    /// wants them.
    fn sums(&self, affine: &Affine<T>, dy: &Tensor<T>, [_, wants_gamma, wants_beta]: [bool; 3]) -> Pairs {
        let extents = self.extents;
        if !(wants_gamma || wants_beta || self.over.is_some()) {
            return vec![(0.0, 0.0); extents.samples * extents.channels];
        }
        let of_sample = |n: usize| {
            let of_slab =
                |r: Range<usize>| norm::backward_sums(affine, n, &self.x.data()[r.clone()], &dy.data()[r]);
            extents.reduce(n, of_slab, |a, _, b, _| (a.0 + b.0, a.1 + b.1))
        };
        (0..extents.samples).flat_map(of_sample).collect()
    }

    /// dx, dγ, dβ, from dy as it comes after the activation of `affine`. dx takes the memory of dy where that is not shared.
    fn backward(
        &self,
        affine: &Affine<T>,
        mut dy: Tensor<T>,
        sums: &[(f64, f64)],
        [wants_x, wants_gamma, wants_beta]: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let Extents { samples, channels, .. } = self.extents;
        // Each sample's own, rounded: a batch has the bits of its samples added up.
        let over_samples = |f: &dyn Fn(usize) -> f64| {
            Tensor::from_fn([channels], |c| (0..samples).map(|n| T::from_f64(f(n * channels + c))).sum())
        };
        let dgamma = wants_gamma.then(|| over_samples(&|i| sums[i].1 * self.rstd[i].to_f64()));
        let dbeta = wants_beta.then(|| over_samples(&|i| sums[i].0));
        let dx = wants_x.then(|| {
            let factors = self.pull_and_push(sums);
            self.extents.for_each_slab(dy.data_mut(), |n, r, dy| {
                let factors = &factors[n * channels..][..channels];
                norm::backward_apply(affine, n, factors, &self.x.data()[r], dy);
            });
            dy
        });
        [dx, dgamma, dbeta]
    }

    /// Per sample and channel, −rstd²·⟨γ·g·x̂⟩ and −rstd·⟨γ·g⟩: what dx has beside g·γ·rstd.
    fn pull_and_push(&self, sums: &[(f64, f64)]) -> Pairs {
        let mut factors = vec![(0.0, 0.0); sums.len()];
        let Some(kind) = self.over else { return factors };
        let gamma = |i: usize| {
            self.gamma.as_ref().map_or(1.0, |gamma| gamma.data()[i % self.extents.channels].to_f64())
        };
        for set in sets(self.extents, kind) {
            let count = (set.len() * self.extents.voxels) as f64;
            let rstd = self.rstd[set[0]].to_f64();
            let average =
                |of: &dyn Fn(usize) -> f64| set.iter().map(|&i| gamma(i) * of(i)).sum::<f64>() / count;
            let of_set = (-rstd * rstd * rstd * average(&|i| sums[i].1), -rstd * average(&|i| sums[i].0));
            for &i in &set {
                factors[i] = of_set;
            }
        }
        factors
    }
}
