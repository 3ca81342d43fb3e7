//! The unit a network is made of: normalisation, activation, convolution, and the statistics that the next
//! normalisation needs.
//!
//! What a network spends is the pass over memory. The unit reads a *raw* tensor (the previous convolution's output),
//! and saves it with a few numbers per channel; the activated tensor exists in registers only, once in the forward pass
//! and once more for the weight's gradient. The statistics are summed up as the result is written, and so are, in the
//! backward pass, the two sums that the gradient of the normalisation needs. It equals the composition of
//! [`norm_act`](super::norm_act) and [`conv3d`](super::conv3d), value and gradients.

use std::sync::Arc;

use autograd::{Backward, Real, Tensor, Var};

use super::conv3d::{backward_bias, backward_weight, forward_with_stats, shape_of};
use super::deferred::{Reader, Reading};
use super::norm_act::Normalised;
use super::{Activation, ChannelStats, Conv3dSettings, Moments, NormAct, value};
use crate::kernels::conv3d::{self, Conv3dShape, Epilogue, Target};

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
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    settings: NormAct,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    conv: impl Into<Conv3dSettings>,
) -> (Var<'t, T>, ChannelStats<T>) {
    let moments = stats.moments(settings.kind, settings.eps);
    norm_act_conv3d_with(raw, moments, gamma, beta, settings.activation, weight, bias, conv)
}

/// As [`norm_act_conv3d`], with moments that may be constant: running statistics.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn norm_act_conv3d_with<'t, T: Real>(
    raw: Var<'t, T>,
    moments: Moments<T>,
    gamma: Option<Var<'t, T>>,
    beta: Option<Var<'t, T>>,
    activation: Activation,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    settings: impl Into<Conv3dSettings>,
) -> (Var<'t, T>, ChannelStats<T>) {
    let shape = shape_of(settings.into(), &[raw.shape()], weight.value(), value(&bias));
    let unit = Normalised::new(raw.value(), moments, value(&gamma), value(&beta), activation);
    let reader = Reader::of_unit(Arc::new(unit));
    let (y, stats) = forward_with_stats(&shape, std::slice::from_ref(&reader), weight.value(), value(&bias));
    let saved = Saved { reader, weight: weight.value().clone(), shape };
    let inputs = [Some(&raw), gamma.as_ref(), beta.as_ref(), Some(&weight), bias.as_ref()];
    (raw.tape().record(NormActConv3d, inputs, y, saved), stats)
}

struct NormActConv3d;

struct Saved<T: Real> {
    reader: Reader<T>,
    weight: Tensor<T>,
    shape: Conv3dShape,
}

impl<T: Real> Backward<T, 5> for NormActConv3d {
    type Saved = Saved<T>;

    fn backward(&self, saved: Saved<T>, dy: Tensor<T>, needs: [bool; 5]) -> [Option<Tensor<T>>; 5] {
        let Saved { reader, weight, shape } = saved;
        let [wants_raw, wants_gamma, wants_beta, wants_weight, wants_bias] = needs;
        let dw = wants_weight.then(|| backward_weight(&shape, std::slice::from_ref(&reader), &dy));
        let db = wants_bias.then(|| backward_bias(&dy));
        if !(wants_raw || wants_gamma || wants_beta) {
            return [None, None, None, dw, db];
        }
        let mut da = Tensor::scratch(reader.shape());
        let targets = &mut [Target { channels: da.channels(), y: da.data_mut() }];
        let reading = reader.read();
        let epilogue = match &reading {
            Reading { x, affine: Some(affine) } => Epilogue::Gradient { x: x.data(), affine },
            _ => Epilogue::Nothing,
        };
        let takes = matches!(epilogue, Epilogue::Gradient { .. });
        let sums = conv3d::backward_input_fused(&shape, weight.data(), dy.data(), targets, epilogue);
        drop((dy, reading));
        let unit = reader.into_unit().expect("a unit's reader normalises");
        let needs = [wants_raw, wants_gamma, wants_beta];
        let [draw, dgamma, dbeta] = match sums.filter(|_| takes) {
            Some(sums) => unit.backward_from(da, &sums, needs),
            None => unit.backward(da, needs),
        };
        [draw, dgamma, dbeta, dw, db]
    }
}
