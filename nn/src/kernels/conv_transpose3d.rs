//! Transposed convolution of volumes, channels last: the adjoint of a convolution, plus a bias.
//!
//! ```text
//! y[n, id·sd + kd·dd − pd, …, co] += x[n, id, …, ci] · weight[kd, kh, kw, ci, co],   from y = bias[co]
//! ```
//!
//! where what falls outside y is dropped.
//!
//! | slice | shape |
//! |---|---|
//! | `x`, `dx` | `[n, d, h, w, ci]` |
//! | `weight`, `dw` | `[kd, kh, kw, ci, co]` |
//! | `bias`, `db` | `[co]` |
//! | `y`, `dy` | `[n, od, oh, ow, co]`, o = (i − 1)·stride − 2·padding + dilation·(kernel − 1) + 1 + output_padding |
//!
//! The output voxels with the same position modulo the stride see the same taps, so each remainder is one
//! dense correlation ([`super::conv3d`] has the loops) and no zeros are inserted. With kernel = stride and
//! padding 0, a decoder's upsampling, each remainder sees one tap: a matrix product of pixels × ci with ci ×
//! kw·co.
//!
//! Each entry writes its whole output. The same input gives the same bits for any number of threads, and a batch has those
//! of its samples, as of [`super::conv3d`].
//!
//! ```
//! use nn::kernels::conv3d::Source;
//! use nn::kernels::conv_transpose3d::{self, ConvTranspose3dShape, ConvTranspose3dSpec};
//!
//! let spec = ConvTranspose3dSpec { stride: [2; 3], ..ConvTranspose3dSpec::new([2; 3]) };
//! let shape = ConvTranspose3dShape::new(1, [4, 5, 6], 8, 2, spec)?;
//! let (x, weight) = (vec![1.0f32; shape.x_len()], vec![0.5; shape.weight_len()]);
//! let mut y = vec![0.0; shape.y_len()];
//! conv_transpose3d::forward(&shape, Source::plain(&x, 8), &weight, Some(&[1.0, 2.0]), &mut y);
//! assert_eq!((shape.output(), y[0], y[1]), ([8, 10, 12], 5.0, 6.0));
//! # Ok::<(), nn::kernels::conv3d::SpecError>(())
//! ```

use autograd::Real;

pub use super::conv3d::backward_bias;
use super::conv3d::engines::engines;
use super::conv3d::operands::{Correlation, Weight, WeightGradient};
use super::conv3d::plan::Plan;
use super::conv3d::samples::sum_over_samples;
use super::conv3d::tasks::{direct_tasks, grad_weight_tasks};
use super::conv3d::{Conv3dSpec, Epilogue, Source, Target};
use super::scratch::Scratch;
use super::tasks::Tasks;

pub mod reference;
mod shape;
#[cfg(test)]
mod tests;

pub use shape::{ConvTranspose3dShape, ConvTranspose3dSpec};

/// y = bias + the adjoint of the convolution, applied to x
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn forward<T: Real>(
    shape: &ConvTranspose3dShape,
    x: Source<'_, T>,
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
) {
    let (plans, sources) = (&forward_plans(shape), &[x]);
    if shape.tiles() {
        let bias = bias.map(|bias| bias.repeat(shape.spec().kernel[2]));
        let packed = pack(shape, weight);
        let [kd, kh, kw] = shape.spec().kernel;
        let k_stride = kw * shape.co();
        let weight = Weight { data: &packed, kernel: [kd, kh, 1], k_stride, column_stride: 1 };
        correlate(plans, sources, weight, bias.as_deref(), y);
    } else {
        let kernel = shape.spec().kernel;
        let weight = Weight { data: weight, kernel, k_stride: shape.co(), column_stride: 1 };
        correlate(plans, sources, weight, bias, y);
    }
}

/// dx = the gradient of the input: the convolution of dy.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_input<T: Real>(shape: &ConvTranspose3dShape, weight: &[T], dy: &[T], dx: &mut [T]) {
    let kernel = shape.spec().kernel;
    let weight = Weight { data: weight, kernel, k_stride: 1, column_stride: shape.co() };
    correlate(&[backward_plan(shape)], &[Source::plain(dy, shape.co())], weight, None, dx);
}

/// dw = the gradient of the weight.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_weight<T: Real>(shape: &ConvTranspose3dShape, x: Source<'_, T>, dy: &[T], dw: &mut [T]) {
    // The adjoint convolution reads dy and writes x: its k is our co, its column our ci.
    let sources = &[Source::plain(dy, shape.co())];
    let plan = &backward_plan(shape);
    let gradient = &WeightGradient { plan, sources, dy: x, strides: [1, shape.co()] };
    sum_over_samples(gradient, dw, engines::<T>().grad_weight);
}

/// The tasks of one part of the forward pass (a position modulo the stride), of the gradient of the input and of the
/// gradient of the weight.
pub fn tasks<T: Real>(shape: &ConvTranspose3dShape) -> [Tasks; 3] {
    let backward = backward_plan(shape);
    [
        direct_tasks(&forward_plans(shape)[0]),
        direct_tasks(&backward),
        grad_weight_tasks::<T>(&backward.of_sample()),
    ]
}

/// What the plans write together.
fn correlate<T: Real>(
    plans: &[Plan],
    sources: &[Source<'_, T>],
    weight: Weight<'_, T>,
    bias: Option<&[T]>,
    y: &mut [T],
) {
    let targets = &mut [Target { y, channels: plans[0].columns }];
    for plan in plans {
        let correlation = Correlation { plan, sources, weight, bias, epilogue: Epilogue::Nothing };
        (engines::<T>().direct)(&correlation, targets);
    }
}

/// The correlations that together are the forward pass. Where windows tile the output, what an input voxel yields along w
/// lies side by side, so kw·co columns are written at once, and only the positions along d and h are passes of their own.
fn forward_plans(shape: &ConvTranspose3dShape) -> Vec<Plan> {
    let (spec, mut output, mut columns) = (shape.spec().convolution(), shape.output(), shape.co());
    let [kd, kh, kw] = spec.kernel;
    let tiled = Conv3dSpec { stride: [kd, kh, 1], ..Conv3dSpec::new([kd, kh, 1]) };
    if shape.tiles() {
        output[2] = shape.input()[2];
        columns *= kw;
    }
    let spec = if shape.tiles() { tiled } else { spec };
    Plan::adjoint(shape.isa(), shape.n(), &spec, [shape.input(), output], [shape.ci(), columns])
}

/// The convolution from our output to our input.
fn backward_plan(shape: &ConvTranspose3dShape) -> Plan {
    let sizes = [shape.output(), shape.input()];
    Plan::strided(shape.isa(), shape.n(), &shape.spec().convolution(), sizes, [shape.co(), shape.ci()])
}

/// The weight, `[kd, kh, kw, ci, co]`, as `[kd, kh, ci, kw, co]`.
fn pack<T: Real>(shape: &ConvTranspose3dShape, weight: &[T]) -> Scratch<T> {
    assert_eq!(weight.len(), shape.weight_len(), "length of the weight");
    let (kw, ci, co) = (shape.spec().kernel[2], shape.ci(), shape.co());
    let mut packed = Scratch::new(weight.len());
    for (i, row) in packed.chunks_exact_mut(co).enumerate() {
        let (d_h, c, w) = (i / (ci * kw), i / kw % ci, i % kw);
        row.copy_from_slice(&weight[((d_h * kw + w) * ci + c) * co..][..co]);
    }
    packed
}
