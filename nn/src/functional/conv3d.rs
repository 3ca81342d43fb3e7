//! Convolution of volumes.

use autograd::{Function, Real, Tensor, Var};

use super::{ChannelStats, check_per_channel, optional};
pub use crate::kernels::conv3d::Conv3dSpec;
use crate::kernels::conv3d::{self, Conv3dShape};

/// ```text
/// y[n, od, oh, ow, co] = b[co] + Σ x[n, od·sd + kd·dd − pd, …, ci] · w[kd, kh, kw, ci, co], x being 0 outside
/// ```
///
/// | tensor | shape |
/// |---|---|
/// | x | `[n, d, h, w, ci]` |
/// | weight | `[kd, kh, kw, ci, co]` |
/// | bias | `[co]`, or absent |
/// | y | `[n, od, oh, ow, co]`, od = ⌊(d + 2·padding − dilation·(kd − 1) − 1) / stride⌋ + 1 |
///
/// Saved: x and the weight. With dy the gradient of y: dx is the transposed convolution of dy with the weight, dw the
/// correlation of x with dy, db the sum of dy over samples and voxels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conv3d(
    /// Kernel, stride, padding, dilation.
    pub Conv3dSpec,
);

/// The convolution of `x` with `weight`, plus `bias` unless absent: see [`Conv3d`].
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn conv3d<'t, T: Real>(
    x: Var<'t, T>,
    weight: Var<'t, T>,
    bias: Var<'t, T>,
    spec: Conv3dSpec,
) -> Var<'t, T> {
    shape_of(spec, x.value(), weight.value(), bias.value());
    x.tape().apply(Conv3d(spec), [x, weight, bias])
}

/// As [`conv3d()`], together with what a normalisation of the result needs to know of it.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn conv3d_with_stats<'t, T: Real>(
    x: Var<'t, T>,
    weight: Var<'t, T>,
    bias: Var<'t, T>,
    spec: Conv3dSpec,
) -> (Var<'t, T>, ChannelStats<T>) {
    let y = conv3d(x, weight, bias, spec);
    let stats = ChannelStats::of(y.value());
    (y, stats)
}

/// The sizes, after making sure that the inputs fit each other.
#[track_caller]
pub(super) fn shape_of<T: Real>(
    spec: Conv3dSpec,
    x: &Tensor<T>,
    weight: &Tensor<T>,
    bias: &Tensor<T>,
) -> Conv3dShape {
    let [n, d, h, w, ci] = x.dims5();
    let [kd, kh, kw, weight_ci, co] = weight.dims5();
    assert_eq!(
        [kd, kh, kw],
        spec.kernel,
        "conv3d: the weight {} has another kernel than the settings",
        weight.shape()
    );
    assert_eq!(
        ci,
        weight_ci,
        "conv3d: x {} has ci = {ci} channels, the weight {} expects {weight_ci}",
        x.shape(),
        weight.shape()
    );
    check_per_channel("conv3d", "bias", bias, co);
    Conv3dShape::new(n, [d, h, w], ci, co, spec).unwrap_or_else(|error| panic!("conv3d: {error}"))
}

/// y
pub(super) fn forward<T: Real>(
    shape: &Conv3dShape,
    x: &Tensor<T>,
    weight: &Tensor<T>,
    bias: &Tensor<T>,
) -> Tensor<T> {
    let [od, oh, ow] = shape.output();
    let mut y = Tensor::scratch([shape.n(), od, oh, ow, shape.co()]);
    conv3d::forward(shape, x.data(), weight.data(), optional(bias), y.data_mut());
    y
}

/// dx
pub(super) fn backward_input<T: Real>(shape: &Conv3dShape, weight: &Tensor<T>, dy: &Tensor<T>) -> Tensor<T> {
    let [d, h, w] = shape.input();
    let mut dx = Tensor::scratch([shape.n(), d, h, w, shape.ci()]);
    conv3d::backward_input(shape, weight.data(), dy.data(), dx.data_mut());
    dx
}

/// dw
pub(super) fn backward_weight<T: Real>(shape: &Conv3dShape, x: &Tensor<T>, dy: &Tensor<T>) -> Tensor<T> {
    let [kd, kh, kw] = shape.spec().kernel;
    let mut dw = Tensor::scratch([kd, kh, kw, shape.ci(), shape.co()]);
    conv3d::backward_weight(shape, x.data(), dy.data(), dw.data_mut());
    dw
}

/// db
pub(super) fn backward_bias<T: Real>(dy: &Tensor<T>) -> Tensor<T> {
    let mut db = Tensor::scratch([dy.channels()]);
    conv3d::backward_bias(dy.data(), dy.channels(), db.data_mut());
    db
}

impl<T: Real> Function<T, 3> for Conv3d {
    type Saved = (Conv3dShape, Tensor<T>, Tensor<T>);

    fn forward(&self, [x, weight, bias]: [&Tensor<T>; 3]) -> (Tensor<T>, Self::Saved) {
        let shape = shape_of(self.0, x, weight, bias);
        (forward(&shape, x, weight, bias), (shape, x.clone(), weight.clone()))
    }

    fn backward(
        &self,
        (shape, x, weight): Self::Saved,
        dy: Tensor<T>,
        [wants_x, wants_weight, wants_bias]: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let dw = wants_weight.then(|| backward_weight(&shape, &x, &dy));
        drop(x);
        let db = wants_bias.then(|| backward_bias(&dy));
        let dx = wants_x.then(|| backward_input(&shape, &weight, &dy));
        [dx, dw, db]
    }
}
