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
//! Each entry writes its whole output, whatever was there. Every kernel, stride, padding and dilation takes
//! the same path, which is fastest for ci and co that are multiples of the lanes. The gradient of the input
//! is again a correlation (`direct.rs`); the gradient of the weight has a tile of its own (`grad_weight.rs`).
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

use self::direct::{Plan, Weight};
use self::geometry::{Axis, AxisSpec};
use crate::kernels::{Table, table};

mod bias;
pub(crate) mod direct;
pub(crate) mod geometry;
pub(crate) mod grad_weight;
pub mod reference;
mod shape;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tile;

pub(crate) use shape::check_channels;
pub use shape::{Conv3dShape, Conv3dSpec, SpecError};

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
    let plan = Plan { n: shape.n(), axes: shape.axes(), k_channels: shape.ci(), columns: shape.co() };
    let (k_stride, column_stride) = (shape.co(), 1);
    let weight = Weight { data: weight, kernel: shape.spec().kernel, k_stride, column_stride };
    (engines::<T>().correlate)(isa, &plan, x, weight, bias, y);
}

pub(crate) fn backward_input_on<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    weight: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    let (k_stride, column_stride) = (1, shape.co());
    let weight = Weight { data: weight, kernel: shape.spec().kernel, k_stride, column_stride };
    let (n, k_channels, columns) = (shape.n(), shape.co(), shape.ci());
    for axes in adjoint_axes(shape.spec(), shape.output(), shape.input()) {
        let plan = Plan { n, axes, k_channels, columns };
        (engines::<T>().correlate)(isa, &plan, dy, weight, None, dx);
    }
}

pub(crate) fn backward_weight_on<T: Real>(isa: Isa, shape: &Conv3dShape, x: &[T], dy: &[T], dw: &mut [T]) {
    let plan = Plan { n: shape.n(), axes: shape.axes(), k_channels: shape.ci(), columns: shape.co() };
    (engines::<T>().grad_weight)(isa, &plan, x, dy, [shape.co(), 1], dw);
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
    pub(crate) sum_channels: fn(Isa, &[T], usize, &mut [T]),
}

type Correlate<T> = fn(Isa, &Plan, &[T], Weight<'_, T>, Option<&[T]>, &mut [T]);
type GradWeight<T> = fn(Isa, &Plan, &[T], &[T], [usize; 2], &mut [T]);

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
        sum_channels: bias::sum_channels,
    }
}

pub(crate) fn engines<T: Real>() -> &'static Engines<T> {
    table::<EnginesTable, T>()
}
