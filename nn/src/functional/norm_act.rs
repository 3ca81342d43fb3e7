//! Normalisation and activation in one pass over memory.
//!
//! z = γ·(x − mean)·rstd + β, y = act(z), with γ and β per channel.
//!
//! Derivative, with g = dy·act′(z), x̂ = (x − mean)·rstd and averages ⟨·⟩ over the numbers that share mean and
//! variance: dβ = Σ g, dγ = Σ g·x̂, dx = rstd·(γ·g − ⟨γ·g⟩ − x̂·⟨γ·g·x̂⟩); the averages are absent where mean and
//! variance are constants. Saved are x, γ, β, and the mean and rstd of each sample and channel: z, x̂ and y never.

use std::ops::Range;

use autograd::parallel::for_each_slab;
use autograd::{Backward, Real, Tensor, Var};

use super::norm::{Extents, sets};
use super::{Activation, ChannelStats, Moments, NormKind, check_per_channel, value};
use crate::kernels::{Affine, Pairs, norm};

/// A normalisation by the input's own mean and variance, followed by an activation.
///
/// Inputs x `[n, ..., c]`, γ `[c]`, β `[c]`; either or both of γ and β may be absent (1 and 0 then).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NormAct {
    /// Over what mean and variance are taken.
    pub kind: NormKind,
    /// Added to the variance.
    pub eps: f64,
    /// Applied to the result.
    pub activation: Activation,
}

impl NormAct {
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

/// act(γ·(x − mean)/√(var + ε) + β), mean and (biased) variance being those of x.
///
/// x is `[n, ..., c]`; γ and β are `[c]` or absent. One voxel alone has variance 0, so it yields act(β).
///
/// # Panics
/// If a shape does not fit, or the channels do not divide into the groups.
#[track_caller]
pub fn norm_act<'t, T: Real>(
    x: Var<'t, T>,
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    settings: NormAct,
) -> Var<'t, T> {
    let moments = ChannelStats::of(x.value()).moments(settings.kind, settings.eps);
    norm_act_with(x, moments, gamma, beta, settings.activation)
}

/// As [`norm_act`], with moments that the caller has: from [`ChannelStats::moments`] of x, or constant ones.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn norm_act_with<'t, T: Real>(
    x: Var<'t, T>,
    moments: Moments<T>,
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    activation: Activation,
) -> Var<'t, T> {
    let unit = Normalised::new(x.value(), moments, value(&gamma), value(&beta), activation);
    let inputs = [Some(&x), gamma.as_ref(), beta.as_ref()];
    x.tape().record(NormActBackward, inputs, unit.activated(), unit)
}

/// Instance normalisation: [`norm_act`] over each channel of each sample, without activation.
#[track_caller]
pub fn instance_norm<'t, T: Real>(
    x: Var<'t, T>,
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    eps: f64,
) -> Var<'t, T> {
    norm_act(x, gamma, beta, NormAct::new(NormKind::Instance).with_eps(eps))
}

/// Group normalisation: [`norm_act`] over each group of channels of each sample, without activation.
#[track_caller]
pub fn group_norm<'t, T: Real>(
    x: Var<'t, T>,
    groups: usize,
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    eps: f64,
) -> Var<'t, T> {
    norm_act(x, gamma, beta, NormAct::new(NormKind::Group(groups)).with_eps(eps))
}

/// Batch normalisation by the batch's own statistics: [`norm_act`] over each channel, without activation.
///
/// The running statistics are the business of [`layers::NormAct`](crate::layers::NormAct).
#[track_caller]
pub fn batch_norm<'t, T: Real>(
    x: Var<'t, T>,
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    eps: f64,
) -> Var<'t, T> {
    norm_act(x, gamma, beta, NormAct::new(NormKind::Batch).with_eps(eps))
}

#[track_caller]
fn check_affine<T: Real>(x: &Tensor<T>, gamma: Option<&Tensor<T>>, beta: Option<&Tensor<T>>) {
    check_per_channel("normalisation", "gamma", gamma, x.channels());
    check_per_channel("normalisation", "beta", beta, x.channels());
}

/// The derivative of [`norm_act`].
struct NormActBackward;

impl<T: Real> Backward<T, 3> for NormActBackward {
    type Saved = Normalised<T>;

    fn backward(&self, unit: Normalised<T>, dy: Tensor<T>, needs: [bool; 3]) -> [Option<Tensor<T>>; 3] {
        unit.backward(dy, needs)
    }

    fn name(&self) -> &'static str {
        "NormAct"
    }
}

/// What a normalisation with activation saves; enough to compute its value again.
#[derive(Clone, Debug)]
pub(super) struct Normalised<T: Real> {
    x: Tensor<T>,
    gamma: Option<Tensor<T>>,
    beta: Option<Tensor<T>>,
    moments: Moments<T>,
    activation: Activation,
}

impl<T: Real> Normalised<T> {
    #[track_caller]
    pub(super) fn new(
        x: &Tensor<T>,
        moments: Moments<T>,
        gamma: Option<&Tensor<T>>,
        beta: Option<&Tensor<T>>,
        activation: Activation,
    ) -> Self {
        check_affine(x, gamma, beta);
        assert!(moments.fits(x.shape()), "the moments are of another shape than x, {}", x.shape());
        Self { x: x.clone(), gamma: gamma.cloned(), beta: beta.cloned(), moments, activation }
    }

    /// y
    pub(super) fn activated(&self) -> Tensor<T> {
        let extents = self.moments.extents;
        let mut y = Tensor::scratch(self.x.shape());
        let samples = self.x.data().chunks_exact(extents.sample());
        let affine = self.affine();
        for (n, (x, y)) in samples.zip(y.data_mut().chunks_exact_mut(extents.sample())).enumerate() {
            for_each_slab(y, extents.slab(), |start, y| {
                norm::apply(&affine, n, &x[start..][..y.len()], y);
            });
        }
        y
    }

    /// The tensor that is normalised.
    pub(super) fn x(&self) -> &Tensor<T> {
        &self.x
    }

    /// How y is computed from x.
    pub(super) fn affine(&self) -> Affine<T> {
        let Extents { samples, channels, .. } = self.moments.extents;
        let rstd = self.moments.rstd.iter().enumerate();
        let scale: Vec<T> = rstd.map(|(i, &rstd)| self.gamma(i % channels) * rstd).collect();
        let shift =
            self.beta.as_ref().map_or_else(|| vec![T::ZERO; scale.len()], |b| b.data().repeat(samples));
        Affine::new(channels, &self.moments.mean, &scale, &shift, self.activation)
    }

    /// dx, dγ, dβ
    pub(super) fn backward(&self, dy: Tensor<T>, needs: [bool; 3]) -> [Option<Tensor<T>>; 3] {
        let extents = self.moments.extents;
        let sums = if needs[1] || needs[2] || self.moments.over.is_some() {
            self.sums(&dy)
        } else {
            vec![(0.0, 0.0); extents.samples * extents.channels]
        };
        self.finish(dy, &self.affine(), &sums, needs)
    }

    /// As [`backward`](Self::backward), from g = dy·act′(z) and its sums, Σ g and Σ g·(x − mean) per sample and channel.
    pub(super) fn backward_from(
        &self,
        g: Tensor<T>,
        sums: &[(f64, f64)],
        needs: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        self.finish(g, &self.affine().with_activation(Activation::Identity), sums, needs)
    }

    /// dx, dγ, dβ; the activation of `affine` is what dy is yet to be led back through.
    fn finish(
        &self,
        dy: Tensor<T>,
        affine: &Affine<T>,
        sums: &[(f64, f64)],
        [wants_x, wants_gamma, wants_beta]: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let extents = self.moments.extents;
        let over_samples = |f: &dyn Fn(usize) -> f64| {
            Tensor::from_fn([extents.channels], |c| {
                T::from_f64((0..extents.samples).map(|n| f(n * extents.channels + c)).sum())
            })
        };
        let dgamma = wants_gamma.then(|| over_samples(&|i| sums[i].1 * self.moments.rstd[i].to_f64()));
        let dbeta = wants_beta.then(|| over_samples(&|i| sums[i].0));
        [wants_x.then(|| self.input_gradient(dy, affine, sums)), dgamma, dbeta]
    }

    /// Σ g and Σ g·(x − mean) per sample and channel.
    fn sums(&self, dy: &Tensor<T>) -> Pairs {
        let extents = self.moments.extents;
        let affine = self.affine();
        let of_sample = |n: usize| {
            let of_slab =
                |r: Range<usize>| norm::backward_sums(&affine, n, &self.x.data()[r.clone()], &dy.data()[r]);
            extents.reduce(n, of_slab, |a, _, b, _| (a.0 + b.0, a.1 + b.1))
        };
        (0..extents.samples).flat_map(of_sample).collect()
    }

    /// dx, in the memory of dy where that is not shared.
    fn input_gradient(&self, mut dy: Tensor<T>, affine: &Affine<T>, sums: &[(f64, f64)]) -> Tensor<T> {
        let extents = self.moments.extents;
        let back = self.averages(sums);
        let samples = self.x.data().chunks_exact(extents.sample());
        for (n, (x, dy)) in samples.zip(dy.data_mut().chunks_exact_mut(extents.sample())).enumerate() {
            let back = &back[n * extents.channels..][..extents.channels];
            for_each_slab(dy, extents.slab(), |start, dy| {
                norm::backward_apply(affine, n, back, &x[start..][..dy.len()], dy);
            });
        }
        dy
    }

    fn gamma(&self, c: usize) -> T {
        self.gamma.as_ref().map_or(T::ONE, |gamma| gamma.data()[c])
    }

    /// Per sample and channel, −rstd²·⟨γ·g·x̂⟩ and −rstd·⟨γ·g⟩: what dx has beside g·γ·rstd.
    fn averages(&self, sums: &[(f64, f64)]) -> Pairs {
        let mut back = vec![(0.0, 0.0); sums.len()];
        let Some(kind) = self.moments.over else { return back };
        let extents = self.moments.extents;
        for set in sets(extents, kind) {
            let count = (set.len() * extents.voxels) as f64;
            let rstd = self.moments.rstd[set[0]].to_f64();
            let average = |of: &dyn Fn(usize) -> f64| {
                set.iter().map(|&i| self.gamma(i % extents.channels).to_f64() * of(i)).sum::<f64>() / count
            };
            let pull = -rstd * rstd * rstd * average(&|i| sums[i].1);
            let push = -rstd * average(&|i| sums[i].0);
            set.iter().for_each(|&i| back[i] = (pull, push));
        }
        back
    }
}
