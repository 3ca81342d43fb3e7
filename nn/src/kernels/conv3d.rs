//! Convolution of volumes, channels last, in the field's sense (a correlation):
//!
//! ```text
//! y[n, od, oh, ow, co] = bias[co] + Σ_{kd, kh, kw, ci} x[n, od·sd + kd·dd − pd, …, ci] · weight[kd, kh, kw, ci, co]
//! ```
//!
//! where x is 0 outside its volume.
//!
//! | slice | shape |
//! |---|---|
//! | `x`, `dx` | `[n, d, h, w, ci]` |
//! | `weight`, `dw` | `[kd, kh, kw, ci, co]` |
//! | `bias`, `db` | `[co]` |
//! | `y`, `dy` | `[n, od, oh, ow, co]`, o = (i + 2·padding − dilation·(kernel − 1) − 1) / stride + 1, rounded down |
//!
//! Each entry writes its whole output, whatever was there. The gradient of the input is again a correlation; the gradient of
//! the weight has a tile of its own. Each pass goes one of four ways, which [`ConvAlgorithm::Auto`] leaves to the cost model
//! of `choice.rs`:
//!
//! | algorithm | file | where |
//! |---|---|---|
//! | direct | `direct.rs`, `grad_weight.rs` | every kernel, stride, padding and dilation |
//! | Winograd's in the plane | `winograd.rs` | windows of 3x3 in the plane, stride 1 there: a quarter of the multiplications |
//! | Winograd's along h | `winograd/single.rs` | the same for a single channel (a network's first layer): half of them |
//! | pointwise | `pointwise.rs` | kernels of one voxel with few outputs (a network's head), whatever is asked for |
//!
//! All are fastest for ci and co that are multiples of the lanes.
//!
//! Some words: a *register tile* is what `tile.rs` keeps in registers, rows of it are voxels and columns output channels; a
//! *Winograd tile*, or tile, is 4x4 outputs in a plane, and a voxel to the register tile; a *strip* is a few rows of Winograd
//! tiles over all planes (in `direct.rs` a few rows of outputs); *k* are the channels and taps that a sum runs over.
//!
//! The input may be several tensors side by side, as if concatenated, each read through a normalisation and an activation
//! ([`Source`]); what is written may be summed up on the way ([`Epilogue`]).
//!
//! The same input gives the same bits for any number of threads. Each sample is computed as if it were alone, and the
//! gradients of weight and bias are the samples' own, added in their order: so a batch has the bits of its parts.
//!
//! ```
//! use nn::kernels::conv3d::{self, Conv3dShape, Conv3dSpec, Epilogue, Source};
//!
//! let spec = Conv3dSpec { padding: [1; 3], ..Conv3dSpec::new([3; 3]) };
//! let shape = Conv3dShape::new(1, [4, 5, 6], 2, 8, spec)?;
//! let (x, weight) = (vec![1.0f32; shape.x_len()], vec![0.5; shape.weight_len()]);
//! let mut y = vec![0.0; shape.y_len()];
//! conv3d::forward(&shape, &[Source::plain(&x, 2)], &weight, None, &mut y, Epilogue::Nothing);
//! assert_eq!((shape.output(), y[0]), ([4, 5, 6], 8.0));
//! # Ok::<(), conv3d::SpecError>(())
//! ```

use std::slice::from_ref;

use autograd::Real;
use autograd::parallel::{for_each_slab, slab_of_rows};
use autograd::simd;

use self::choice::Algorithm;
use self::engines::engines;
use self::operands::{Correlation, Weight, WeightGradient};
use self::plan::Plan;
use self::winograd::schedule::Schedule;
use super::Pairs;
use super::scratch::Scratch;

mod bias;
mod choice;
mod direct;
pub(crate) mod engines;
mod geometry;
mod grad_weight;
mod lines;
pub(crate) mod operands;
mod pack;
pub(crate) mod plan;
mod pointwise;
pub mod reference;
pub(crate) mod samples;
pub(crate) mod shape;
mod sums;
pub(crate) mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod tile;
mod winograd;

pub use operands::{Epilogue, Source, Target};
pub use shape::{Conv3dShape, Conv3dSpec, ConvAlgorithm, SpecError};
pub use tasks::{backward_input_tasks, backward_weight_tasks, forward_tasks};

/// y = bias + sources ∗ weight; and the epilogue's sums, where the algorithm takes them as it writes.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn forward<T: Real>(
    shape: &Conv3dShape,
    sources: &[Source<'_, T>],
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
    epilogue: Epilogue<'_, T>,
) -> Option<Pairs> {
    let plan = &Plan::forward(shape);
    let weight = Weight { data: weight, kernel: shape.spec().kernel, k_stride: shape.co(), column_stride: 1 };
    let correlation = &Correlation { plan, sources, weight, bias, epilogue };
    let targets = &mut [Target { y, channels: shape.co() }];
    let engines = engines::<T>();
    Some(match Algorithm::of_pass::<T>(shape, from_ref(plan), sources.len()) {
        Algorithm::Pointwise => {
            (engines.pointwise_forward)(correlation, targets);
            return None;
        }
        Algorithm::SingleChannel => (engines.single_channel)(correlation, targets),
        Algorithm::Winograd => (engines.winograd)(Schedule::of::<T>(plan), correlation, targets),
        Algorithm::Direct => (engines.direct)(correlation, targets),
    })
}

/// The targets = the gradient of the input, whose channels they share among them: the adjoint of x ↦ x ∗ weight, applied to
/// dy; and the epilogue's sums, where the algorithm takes them. Where it does not, the targets hold the plain gradient.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_input<T: Real>(
    shape: &Conv3dShape,
    weight: &[T],
    dy: &[T],
    targets: &mut [Target<'_, T>],
    epilogue: Epilogue<'_, T>,
) -> Option<Pairs> {
    let plans = Plan::backward_input(shape);
    let sources = &[Source::plain(dy, shape.co())];
    let weight = Weight { data: weight, kernel: shape.spec().kernel, k_stride: 1, column_stride: shape.co() };
    let algorithm = Algorithm::of_pass::<T>(shape, &plans, targets.len());
    // With a stride several plans write the gradient; sums over all of it are not theirs to take.
    let takes_sums = plans.len() == 1;
    let epilogue = if takes_sums { epilogue } else { Epilogue::Nothing };
    let engines = engines::<T>();
    let write = |targets: &mut [Target<'_, T>]| {
        let mut sums = Pairs::new();
        for plan in &plans {
            let correlation = &Correlation { plan, sources, weight, bias: None, epilogue };
            sums = match algorithm {
                Algorithm::Pointwise => (engines.pointwise_backward_input)(correlation, targets),
                Algorithm::SingleChannel => (engines.single_channel)(correlation, targets),
                Algorithm::Winograd => (engines.winograd)(Schedule::of::<T>(plan), correlation, targets),
                Algorithm::Direct => (engines.direct)(correlation, targets),
            };
        }
        sums
    };
    if targets.len() > 1 && algorithm == Algorithm::Direct {
        let mut dx = Scratch::new(shape.x_len());
        write(&mut [Target { y: &mut dx, channels: shape.ci() }]);
        split(&dx, shape.ci(), targets);
        return None;
    }
    let sums = write(targets);
    takes_sums.then_some(sums)
}

/// dw = the gradient of the weight: the adjoint of weight ↦ sources ∗ weight, applied to dy.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_weight<T: Real>(shape: &Conv3dShape, sources: &[Source<'_, T>], dy: &[T], dw: &mut [T]) {
    let plan = &Plan::forward(shape);
    let gradient =
        &WeightGradient { plan, sources, dy: Source::plain(dy, shape.co()), strides: [shape.co(), 1] };
    let engines = engines::<T>();
    let algorithm = Algorithm::of_weight_gradient::<T>(shape, plan, sources.len());
    samples::sum_over_samples(gradient, dw, |gradient, dw| match algorithm {
        Algorithm::Pointwise => (engines.pointwise_grad_weight)(gradient, dw),
        Algorithm::Winograd => {
            (engines.winograd_grad_weight)(Schedule::of_grad_weight::<T>(plan), gradient, dw);
        }
        _ => (engines.grad_weight)(gradient, dw),
    });
}

/// db\[co\] = Σ dy\[…, co\], for any dy whose last axis has `co` channels.
///
/// # Panics
///
/// If dy is not a whole number of pixels, or db not of length `co`.
pub fn backward_bias<T: Real>(dy: &[T], co: usize, db: &mut [T]) {
    (engines::<T>().sum_channels)(simd::active(), dy, co, db);
}

/// Deals the channels of `x` out.
fn split<T: Real>(x: &[T], channels: usize, targets: &mut [Target<'_, T>]) {
    assert_eq!(
        targets.iter().map(|target| target.channels).sum::<usize>(),
        channels,
        "columns of the targets"
    );
    let pixels = x.len() / channels;
    let mut column = 0;
    for target in targets {
        let own = target.channels;
        assert_eq!(target.y.len(), pixels * own, "length of a target");
        for_each_slab(target.y, slab_of_rows(own), |start, slab| {
            for (i, pixel) in slab.chunks_exact_mut(own).enumerate() {
                pixel.copy_from_slice(&x[(start / own + i) * channels + column..][..own]);
            }
        });
        column += own;
    }
}
