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
//! Each entry writes its whole output, whatever was there. There are two algorithms: *direct* (`direct.rs`,
//! `grad_weight.rs`) takes every kernel, stride, padding and dilation; *Winograd's* (`winograd.rs`) takes windows of 3x3
//! in the plane with stride 1 there, in a quarter of the multiplications, a half for a single channel. `passes.rs` chooses by a cost model, unless
//! [`Conv3dShape::with_algorithm`] insists. Both are fastest for ci and co that are multiples of the lanes. The gradient
//! of the input is again a correlation; the gradient of the weight has a tile of its own.
//!
//! The fused entries read raw tensors through a normalisation and an activation ([`Affine`](crate::kernels::Affine)), side by side as if
//! concatenated ([`Source`]), and sum up what they write ([`Epilogue`]).
//!
//! The same input gives the same bits for any number of threads.
//!
//! ```
//! use nn::kernels::conv3d::{self, Conv3dShape, Conv3dSpec};
//!
//! let spec = Conv3dSpec { padding: [1; 3], ..Conv3dSpec::new([3; 3]) };
//! let shape = Conv3dShape::new(1, [4, 5, 6], 2, 8, spec)?;
//! let (x, weight) = (vec![1.0f32; shape.x_len()], vec![0.5; shape.weight_len()]);
//! let mut y = vec![0.0; shape.y_len()];
//! conv3d::forward(&shape, &x, &weight, None, &mut y);
//! assert_eq!((shape.output(), y[0]), ([4, 5, 6], 8.0));
//! # Ok::<(), conv3d::SpecError>(())
//! ```

use autograd::Real;
use autograd::simd::{self, Isa};

use self::direct::Weight;
use self::geometry::{Axis, AxisSpec};
use self::plan::Plan;
use crate::kernels::{Pairs, Table, table};

mod bias;
pub(crate) mod direct;
mod fuse;
pub(crate) mod geometry;
pub(crate) mod grad_weight;
pub(crate) mod lines;
pub(crate) mod memory;
mod passes;
pub(crate) mod plan;
mod pointwise;
pub mod reference;
mod shape;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tile;
mod winograd;

pub use fuse::{Epilogue, Source, Target};
pub use memory::{Reading, backward_input_scratch, backward_weight_scratch, forward_scratch};
pub use shape::{Conv3dShape, Conv3dSpec, ConvAlgorithm, SpecError};
pub(crate) use shape::{check_channels, check_sizes};
pub use tasks::{backward_input_tasks, backward_weight_tasks, forward_tasks};

/// y = bias + x ∗ weight
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn forward<T: Real>(shape: &Conv3dShape, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T]) {
    forward_on(simd::active(), shape, x, weight, bias, y);
}

/// dx = the gradient of the input: the adjoint of x ↦ x ∗ weight, applied to dy.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_input<T: Real>(shape: &Conv3dShape, weight: &[T], dy: &[T], dx: &mut [T]) {
    backward_input_on(simd::active(), shape, weight, dy, dx);
}

/// dw = the gradient of the weight: the adjoint of weight ↦ x ∗ weight, applied to dy.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_weight<T: Real>(shape: &Conv3dShape, x: &[T], dy: &[T], dw: &mut [T]) {
    backward_weight_on(simd::active(), shape, x, dy, dw);
}

/// As [`forward`], from sources side by side, each activated as it is read; and the epilogue's sums, where the algorithm
/// takes them as it writes.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn forward_fused<T: Real>(
    shape: &Conv3dShape,
    sources: &[Source<'_, T>],
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
    epilogue: Epilogue<'_, T>,
) -> Option<Pairs> {
    passes::forward_on(simd::active(), shape, sources, weight, bias, y, epilogue)
}

/// As [`backward_input`], to targets side by side; and the epilogue's sums, where the algorithm takes them. Where it
/// does not, the targets hold the plain gradient.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_input_fused<T: Real>(
    shape: &Conv3dShape,
    weight: &[T],
    dy: &[T],
    targets: &mut [Target<'_, T>],
    epilogue: Epilogue<'_, T>,
) -> Option<Pairs> {
    passes::backward_input_on(simd::active(), shape, weight, dy, targets, epilogue)
}

/// As [`backward_weight`], from sources side by side, each activated as it is read.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_weight_fused<T: Real>(
    shape: &Conv3dShape,
    sources: &[Source<'_, T>],
    dy: &[T],
    dw: &mut [T],
) {
    passes::backward_weight_on(simd::active(), shape, sources, dy, dw);
}

/// db\[co\] = Σ dy\[…, co\], for any dy whose last axis has `co` channels.
///
/// # Panics
///
/// If dy is not a whole number of pixels, or db not of length `co`.
pub fn backward_bias<T: Real>(dy: &[T], co: usize, db: &mut [T]) {
    (engines::<T>().sum_channels)(simd::active(), dy, co, db);
}

pub(crate) fn forward_on<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
) {
    let sources = [Source::plain(x, shape.ci())];
    passes::forward_on(isa, shape, &sources, weight, bias, y, Epilogue::Nothing);
}

pub(crate) fn backward_input_on<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    weight: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    let targets = &mut [Target { y: dx, channels: shape.ci() }];
    passes::backward_input_on(isa, shape, weight, dy, targets, Epilogue::Nothing);
}

pub(crate) fn backward_weight_on<T: Real>(isa: Isa, shape: &Conv3dShape, x: &[T], dy: &[T], dw: &mut [T]) {
    let sources = [Source::plain(x, shape.ci())];
    passes::backward_weight_on(isa, shape, &sources, dy, dw);
}

/// The correlations that together are the adjoint of a convolution from `output` to `input` positions.
pub(crate) fn adjoint_axes(
    spec: &Conv3dSpec,
    input: [usize; 3],
    output: [usize; 3],
) -> impl Iterator<Item = [Axis; 3]> {
    let [d, h, w] = [0, 1, 2].map(|i| Axis::adjoint(spec.axis(i), input[i], output[i]));
    let mut all = vec![];
    for d in &d {
        for h in &h {
            all.extend(w.iter().map(|w| [d.clone(), h.clone(), w.clone()]));
        }
    }
    all.into_iter()
}

impl Conv3dSpec {
    pub(crate) fn axis(&self, i: usize) -> AxisSpec {
        AxisSpec {
            kernel: self.kernel[i],
            stride: self.stride[i],
            padding: self.padding[i],
            dilation: self.dilation[i],
        }
    }
}

impl Conv3dShape {
    fn axes(&self) -> [Axis; 3] {
        [0, 1, 2].map(|i| Axis::strided(self.spec().axis(i), self.input()[i], self.output()[i]))
    }
}

/// The loops under both kinds of convolution.
pub(crate) struct Engines<T> {
    pub(crate) correlate: Correlate<T>,
    pub(crate) grad_weight: GradWeight<T>,
    winograd: Winograd<T>,
    winograd_single: Correlate<T>,
    winograd_grad_weight: WinogradGradWeight<T>,
    pointwise_forward: PointwiseForward<T>,
    pointwise_backward_input: PointwiseBackwardInput<T>,
    pointwise_backward_weight: PointwiseBackwardWeight<T>,
    pub(crate) sum_channels: fn(Isa, &[T], usize, &mut [T]),
}

type Correlate<T> =
    fn(Isa, &Plan, &[Source<'_, T>], Weight<'_, T>, Option<&[T]>, &mut [T], Epilogue<'_, T>) -> Pairs;
type GradWeight<T> = fn(Isa, &Plan, &[Source<'_, T>], Source<'_, T>, [usize; 2], &mut [T]);
type Winograd<T> = fn(
    Isa,
    winograd::Schedule,
    &Plan,
    &[Source<'_, T>],
    Weight<'_, T>,
    Option<&[T]>,
    &mut [Target<'_, T>],
    Epilogue<'_, T>,
) -> Pairs;
type PointwiseForward<T> = fn(Isa, &Conv3dShape, Source<'_, T>, &[T], Option<&[T]>, &mut [T]);
type PointwiseBackwardInput<T> = fn(Isa, &Conv3dShape, &[T], &[T], &mut [T], Epilogue<'_, T>) -> Pairs;
type PointwiseBackwardWeight<T> = fn(Isa, &Conv3dShape, Source<'_, T>, &[T], &mut [T]);
type WinogradGradWeight<T> = fn(Isa, winograd::Schedule, &Plan, &[Source<'_, T>], &[T], [usize; 2], &mut [T]);

struct EnginesTable;

impl Table for EnginesTable {
    type Of<T: Real> = Engines<T>;

    fn single() -> &'static Engines<f32> {
        &const { engines_of() }
    }

    fn double() -> &'static Engines<f64> {
        &const { engines_of() }
    }
}

const fn engines_of<T: Real>() -> Engines<T> {
    Engines {
        correlate: direct::correlate,
        grad_weight: grad_weight::grad_weight,
        winograd: winograd::correlate,
        winograd_single: winograd::single::correlate,
        winograd_grad_weight: winograd::grad_weight,
        pointwise_forward: pointwise::forward,
        pointwise_backward_input: pointwise::backward_input,
        pointwise_backward_weight: pointwise::backward_weight,
        sum_channels: bias::sum_channels,
    }
}

pub(crate) fn engines<T: Real>() -> &'static Engines<T> {
    table::<EnginesTable, T>()
}
