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
//! Each entry writes its whole output. The same input gives the same bits for any number of threads.
//!
//! ```
//! use nn::kernels::conv_transpose3d::{self, ConvTranspose3dShape, ConvTranspose3dSpec};
//!
//! let spec = ConvTranspose3dSpec { stride: [2; 3], ..ConvTranspose3dSpec::new([2; 3]) };
//! let shape = ConvTranspose3dShape::new(1, [4, 5, 6], 8, 2, spec)?;
//! let (x, weight) = (vec![1.0f32; shape.x_len()], vec![0.5; shape.weight_len()]);
//! let mut y = vec![0.0; shape.y_len()];
//! conv_transpose3d::forward(&shape, &x, &weight, Some(&[1.0, 2.0]), &mut y);
//! assert_eq!((shape.output(), y[0], y[1]), ([8, 10, 12], 5.0, 6.0));
//! # Ok::<(), nn::kernels::conv3d::SpecError>(())
//! ```

use autograd::Real;
use autograd::simd::{self, Isa};

pub use super::conv3d::backward_bias;
use super::conv3d::direct::{self, Weight};
use super::conv3d::geometry::Axis;
use super::conv3d::memory::bytes;
use super::conv3d::plan::Plan;
use super::conv3d::{Conv3dSpec, Epilogue, Source, adjoint_axes, engines, grad_weight};
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
    x: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
) {
    forward_on(simd::active(), shape, Source::plain(x, shape.ci()), weight, bias, y);
}

/// As [`forward`], from a tensor that is activated as it is read.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn forward_fused<T: Real>(
    shape: &ConvTranspose3dShape,
    x: Source<'_, T>,
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
) {
    forward_on(simd::active(), shape, x, weight, bias, y);
}

/// dx = the gradient of the input: the convolution of dy.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_input<T: Real>(shape: &ConvTranspose3dShape, weight: &[T], dy: &[T], dx: &mut [T]) {
    backward_input_on(simd::active(), shape, weight, dy, dx);
}

/// dw = the gradient of the weight.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_weight<T: Real>(shape: &ConvTranspose3dShape, x: &[T], dy: &[T], dw: &mut [T]) {
    backward_weight_on(simd::active(), shape, Source::plain(x, shape.ci()), dy, dw);
}

/// As [`backward_weight`], of a tensor that is activated as it is read.
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_weight_fused<T: Real>(
    shape: &ConvTranspose3dShape,
    x: Source<'_, T>,
    dy: &[T],
    dw: &mut [T],
) {
    backward_weight_on(simd::active(), shape, x, dy, dw);
}

pub(crate) fn forward_on<T: Real>(
    isa: Isa,
    shape: &ConvTranspose3dShape,
    x: Source<'_, T>,
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
) {
    let spec = shape.spec().convolution();
    if shape.tiles() {
        return tile(isa, shape, x, weight, bias, y);
    }
    let weight = Weight { data: weight, kernel: spec.kernel, k_stride: shape.co(), column_stride: 1 };
    let (n, k_channels, columns) = (shape.n(), shape.ci(), shape.co());
    for axes in adjoint_axes(&spec, shape.input(), shape.output()) {
        let plan = Plan { n, axes, k_channels, columns };
        (engines::<T>().correlate)(isa, &plan, &[x], weight, bias, y, Epilogue::Nothing);
    }
}

/// The tasks of one part of the forward pass (a position modulo the stride), of the gradient of the input and of the
/// gradient of the weight.
pub fn tasks<T: Real>(shape: &ConvTranspose3dShape) -> [Tasks; 3] {
    let spec = shape.spec().convolution();
    let axes = adjoint_axes(&spec, shape.input(), shape.output()).next().expect("a stride has remainders");
    let forward = Plan { n: shape.n(), axes, k_channels: shape.ci(), columns: shape.co() };
    let backward = adjoint_plan(shape);
    let lanes = simd::active().lanes::<T>();
    [direct::tasks(&forward), direct::tasks(&backward), grad_weight::tasks(&backward, lanes)]
}

/// Bytes of each block of scratch memory that a pass holds at once in a pool of so many threads: the forward pass of an x
/// that is activated as it is read or not, the gradient of the input, the gradient of the weight.
pub fn scratch<T: Real>(shape: &ConvTranspose3dShape, activated: bool, threads: usize) -> [Vec<usize>; 3] {
    let isa = simd::active();
    let spec = shape.spec().convolution();
    let [kd, kh, kw] = shape.spec().kernel;
    let ([d, h, w], [od, oh, _]) = (shape.input(), shape.output());
    let (mut forward, plan_axes, columns) = if shape.tiles() {
        let spec = Conv3dSpec { stride: [kd, kh, 1], ..Conv3dSpec::new([kd, kh, 1]) };
        (vec![shape.weight_len()], adjoint_axes(&spec, [d, h, w], [od, oh, w]).next(), kw * shape.co())
    } else {
        (Vec::new(), adjoint_axes(&spec, shape.input(), shape.output()).next(), shape.co())
    };
    let axes = plan_axes.expect("a stride has remainders");
    let plan = Plan { n: shape.n(), axes, k_channels: shape.ci(), columns };
    forward.extend(direct::scratch::<T>(isa, &plan, !activated, threads));
    let adjoint = adjoint_plan(shape);
    let input = direct::scratch::<T>(isa, &adjoint, true, threads);
    let weight = grad_weight::scratch::<T>(isa, &adjoint, true, threads);
    [forward, input, weight].map(bytes::<T>)
}

/// The forward pass where windows tile the output: what an input voxel yields along w lies side by side, so kw·co columns
/// are written at once, and only the positions along d and h are passes of their own.
fn tile<T: Real>(
    isa: Isa,
    shape: &ConvTranspose3dShape,
    x: Source<'_, T>,
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
) {
    let [kd, kh, kw] = shape.spec().kernel;
    let (ci, co) = (shape.ci(), shape.co());
    assert_eq!(weight.len(), shape.weight_len(), "length of the weight");
    // [kd, kh, kw, ci, co] to [kd, kh, ci, kw, co]
    let mut packed = Scratch::new(weight.len());
    for (i, row) in packed.chunks_exact_mut(co).enumerate() {
        let (d_h, c, w) = (i / (ci * kw), i / kw % ci, i % kw);
        row.copy_from_slice(&weight[((d_h * kw + w) * ci + c) * co..][..co]);
    }
    let bias = bias.map(|bias| bias.repeat(kw));
    let [d, h, w] = shape.input();
    let [od, oh, _] = shape.output();
    let spec = Conv3dSpec { stride: [kd, kh, 1], ..Conv3dSpec::new([kd, kh, 1]) };
    let weight = Weight { data: &packed, kernel: spec.kernel, k_stride: kw * co, column_stride: 1 };
    for axes in adjoint_axes(&spec, [d, h, w], [od, oh, w]) {
        let plan = Plan { n: shape.n(), axes, k_channels: ci, columns: kw * co };
        (engines::<T>().correlate)(isa, &plan, &[x], weight, bias.as_deref(), y, Epilogue::Nothing);
    }
}

pub(crate) fn backward_input_on<T: Real>(
    isa: Isa,
    shape: &ConvTranspose3dShape,
    weight: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    let plan = adjoint_plan(shape);
    let weight = Weight { data: weight, kernel: shape.spec().kernel, k_stride: 1, column_stride: shape.co() };
    (engines::<T>().correlate)(
        isa,
        &plan,
        &[Source::plain(dy, shape.co())],
        weight,
        None,
        dx,
        Epilogue::Nothing,
    );
}

pub(crate) fn backward_weight_on<T: Real>(
    isa: Isa,
    shape: &ConvTranspose3dShape,
    x: Source<'_, T>,
    dy: &[T],
    dw: &mut [T],
) {
    // The adjoint convolution reads dy and writes x: its k is our co, its column our ci.
    (engines::<T>().grad_weight)(
        isa,
        &adjoint_plan(shape),
        &[Source::plain(dy, shape.co())],
        x,
        [1, shape.co()],
        dw,
    );
}

/// The convolution from our output to our input.
fn adjoint_plan(shape: &ConvTranspose3dShape) -> Plan {
    let spec = shape.spec().convolution();
    let axes = [0, 1, 2].map(|i| Axis::strided(spec.axis(i), shape.output()[i], shape.input()[i]));
    Plan { n: shape.n(), axes, k_channels: shape.co(), columns: shape.ci() }
}
