//! Transposed convolution of volumes.

use autograd::{Backward, Real, Shape, Tensor, Var, tape_of};

use super::conv3d::backward_bias;
use super::input::{IntoInput, SavedInput};
use super::{check_per_channel, value};
pub use crate::kernels::conv_transpose3d::ConvTranspose3dSpec;
use crate::kernels::conv_transpose3d::{self as kernel, ConvTranspose3dShape};

/// The transposed convolution of `x` with `weight`, plus `bias` unless absent:
/// y\[od, oh, ow, co\] = b\[co\] + Σ x\[d, h, w, ci\]·w\[kd, kh, kw, ci, co\] over od = d·sd + kd·dd − pd and so on.
///
/// | tensor | shape |
/// |---|---|
/// | x | `[n, d, h, w, ci]` |
/// | weight | `[kd, kh, kw, ci, co]` |
/// | bias | `[co]`, or absent |
/// | y | `[n, od, oh, ow, co]`, see [`ConvTranspose3dSpec::output`] |
///
/// It is the gradient of a convolution's input as an operation of its own. Saved: x as it was given and the weight. dx is
/// the convolution of dy with the weight, dw the correlation of dy with x, db the sum of dy over samples and voxels.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn conv_transpose3d<'t, T: Real>(
    x: impl IntoInput<'t, T>,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    spec: ConvTranspose3dSpec,
) -> Var<'t, T> {
    let part = x.into_input().part();
    let shape = shape_of(spec, part.saved.shape(), weight.value(), value(&bias));
    let [od, oh, ow] = shape.output();
    let mut y = Tensor::scratch([shape.n(), od, oh, ow, shape.co()]);
    let of_bias = value(&bias).map(Tensor::data);
    kernel::forward(&shape, part.read().source(), weight.value().data(), of_bias, y.data_mut());
    let saved = (part.saved.clone(), weight.value().clone());
    let inputs = [Some(&part.place), Some(&weight), bias.as_ref()];
    tape_of(inputs).record(ConvTranspose3d { shape }, inputs, y, saved)
}

/// The sizes, after making sure that the inputs fit each other.
#[track_caller]
fn shape_of<T: Real>(
    spec: ConvTranspose3dSpec,
    x: Shape,
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
) -> ConvTranspose3dShape {
    let [n, d, h, w, ci] = x.dims5();
    let [kd, kh, kw, weight_ci, co] = weight.dims5();
    assert!(
        [kd, kh, kw] == spec.kernel,
        "conv_transpose3d: the weight {} has another kernel than the settings, {:?}",
        weight.shape(),
        spec.kernel
    );
    assert!(
        ci == weight_ci,
        "conv_transpose3d: x {x} has ci = {ci} channels, the weight {} expects {weight_ci}",
        weight.shape()
    );
    check_per_channel("conv_transpose3d", "bias", bias, co);
    match ConvTranspose3dShape::new(n, [d, h, w], ci, co, spec) {
        Ok(shape) => shape,
        Err(error) => panic!("conv_transpose3d: {error}"),
    }
}

/// The derivative of [`conv_transpose3d()`].
struct ConvTranspose3d {
    shape: ConvTranspose3dShape,
}

impl<T: Real> Backward<T, 3> for ConvTranspose3d {
    type Saved = (SavedInput<T>, Tensor<T>);

    fn backward(
        &self,
        (x, weight): Self::Saved,
        dy: Tensor<T>,
        [wants_x, wants_weight, wants_bias]: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let dw = wants_weight.then(|| {
            let mut dw = Tensor::scratch(weight.shape());
            kernel::backward_weight(&self.shape, x.read().source(), dy.data(), dw.data_mut());
            dw
        });
        let db = wants_bias.then(|| backward_bias(&dy));
        let dx = wants_x.then(|| {
            let mut dx = Tensor::scratch(x.shape());
            kernel::backward_input(&self.shape, weight.data(), dy.data(), dx.data_mut());
            dx
        });
        [dx, dw, db]
    }
}
