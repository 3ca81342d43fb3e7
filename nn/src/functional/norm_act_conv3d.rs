//! The unit a network is made of: normalisation, activation, convolution, and the statistics that the next
//! normalisation needs.
//!
//! What a network spends is the pass over memory. The unit reads a *raw* tensor (the previous convolution's output),
//! and saves it with a few numbers per channel; the activated tensor lives only while the convolution reads it, and
//! is computed again in the backward pass for the weight's gradient. It equals the composition of
//! [`norm_act`](super::norm_act) and [`conv3d`](super::conv3d), value and gradients.

use autograd::{Function, Real, Tensor, Var};

use super::conv3d::{backward_bias, backward_input, backward_weight, forward, shape_of};
use super::norm_act::Normalised;
use super::{Activation, ChannelStats, Conv3dSpec, Moments, NormAct};
use crate::kernels::conv3d::Conv3dShape;

/// conv3d(act(γ·(raw − mean)·rstd + β)), and the statistics of the result.
///
/// `stats` are those of `raw`: what the operation that made it returned, or [`ChannelStats::of`]. Zero padding comes
/// after the activation. The gradient of `raw` includes its influence on mean and variance.
///
/// | tensor | shape |
/// |---|---|
/// | raw | `[n, d, h, w, ci]` |
/// | gamma, beta | `[ci]`, or absent |
/// | weight | `[kd, kh, kw, ci, co]` |
/// | bias | `[co]`, or absent |
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn norm_act_conv3d<'t, T: Real>(
    raw: Var<'t, T>,
    stats: &ChannelStats<T>,
    gamma: Var<'t, T>,
    beta: Var<'t, T>,
    settings: NormAct,
    weight: Var<'t, T>,
    bias: Var<'t, T>,
    spec: Conv3dSpec,
) -> (Var<'t, T>, ChannelStats<T>) {
    let moments = stats.moments(settings.kind, settings.eps);
    norm_act_conv3d_with(raw, moments, gamma, beta, settings.activation, weight, bias, spec)
}

/// As [`norm_act_conv3d`], with moments that may be constant: running statistics.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn norm_act_conv3d_with<'t, T: Real>(
    raw: Var<'t, T>,
    moments: Moments<T>,
    gamma: Var<'t, T>,
    beta: Var<'t, T>,
    activation: Activation,
    weight: Var<'t, T>,
    bias: Var<'t, T>,
    spec: Conv3dSpec,
) -> (Var<'t, T>, ChannelStats<T>) {
    shape_of(spec, raw.value(), weight.value(), bias.value());
    let unit = NormActConv3d { moments, activation, spec };
    let y = raw.tape().apply(unit, [raw, gamma, beta, weight, bias]);
    let stats = ChannelStats::of(y.value());
    (y, stats)
}

struct NormActConv3d<T: Real> {
    moments: Moments<T>,
    activation: Activation,
    spec: Conv3dSpec,
}

struct Saved<T: Real> {
    normalised: Normalised<T>,
    weight: Tensor<T>,
    shape: Conv3dShape,
}

impl<T: Real> Function<T, 5> for NormActConv3d<T> {
    type Saved = Saved<T>;

    fn forward(&self, [raw, gamma, beta, weight, bias]: [&Tensor<T>; 5]) -> (Tensor<T>, Saved<T>) {
        let shape = shape_of(self.spec, raw, weight, bias);
        let normalised = Normalised::new(raw, self.moments.clone(), gamma, beta, self.activation);
        let y = forward(&shape, &normalised.activated(), weight, bias);
        (y, Saved { normalised, weight: weight.clone(), shape })
    }

    fn backward(&self, saved: Saved<T>, dy: Tensor<T>, needs: [bool; 5]) -> [Option<Tensor<T>>; 5] {
        let Saved { normalised, weight, shape } = saved;
        let [wants_raw, wants_gamma, wants_beta, wants_weight, wants_bias] = needs;
        let dw = wants_weight.then(|| backward_weight(&shape, &normalised.activated(), &dy));
        let db = wants_bias.then(|| backward_bias(&dy));
        if !(wants_raw || wants_gamma || wants_beta) {
            return [None, None, None, dw, db];
        }
        let da = backward_input(&shape, &weight, &dy);
        drop(dy);
        let [draw, dgamma, dbeta] = normalised.backward(da, [wants_raw, wants_gamma, wants_beta]);
        [draw, dgamma, dbeta, dw, db]
    }
}
