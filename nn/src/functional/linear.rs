//! A matrix applied to the last axis.

use autograd::{Function, Real, Shape, Tensor, Var};

use super::conv3d::backward_bias;
use super::{check_per_channel, optional};
use crate::kernels::linear::{self as kernel, LinearShape};

/// ```text
/// y[…, o] = b[o] + Σ x[…, i]·w[i, o]
/// ```
///
/// x `[..., in]`, weight `[in, out]`, bias `[out]` or absent, y `[..., out]`. It is a convolution whose kernel is one
/// voxel, and runs as one: see [`kernels::linear`](crate::kernels::linear). Saved: x and the weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Linear;

/// x·weight + bias, unless the bias is absent: see [`Linear`].
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn linear<'t, T: Real>(x: Var<'t, T>, weight: Var<'t, T>, bias: Var<'t, T>) -> Var<'t, T> {
    shape_of(x.value(), weight.value(), bias.value());
    x.tape().apply(Linear, [x, weight, bias])
}

#[track_caller]
fn shape_of<T: Real>(x: &Tensor<T>, weight: &Tensor<T>, bias: &Tensor<T>) -> LinearShape {
    let [inputs, outputs] = weight.dims() else {
        panic!("linear: the weight is [in, out], got {}", weight.shape());
    };
    assert_eq!(
        x.channels(),
        *inputs,
        "linear: x {} has in = {} channels, the weight {} expects {inputs}",
        x.shape(),
        x.channels(),
        weight.shape()
    );
    check_per_channel("linear", "bias", bias, *outputs);
    LinearShape::new(x.shape().rows(), *inputs, *outputs).unwrap_or_else(|error| panic!("linear: {error}"))
}

impl<T: Real> Function<T, 3> for Linear {
    type Saved = (LinearShape, Shape, Tensor<T>, Tensor<T>);

    fn forward(&self, [x, weight, bias]: [&Tensor<T>; 3]) -> (Tensor<T>, Self::Saved) {
        let shape = shape_of(x, weight, bias);
        let mut y = Tensor::scratch(x.shape().with_channels(shape.outputs()));
        kernel::forward(&shape, x.data(), weight.data(), optional(bias), y.data_mut());
        (y, (shape, x.shape(), x.clone(), weight.clone()))
    }

    fn backward(
        &self,
        (shape, x_shape, x, weight): Self::Saved,
        dy: Tensor<T>,
        [wants_x, wants_weight, wants_bias]: [bool; 3],
    ) -> [Option<Tensor<T>>; 3] {
        let dx = wants_x.then(|| {
            let mut dx = Tensor::scratch(x_shape);
            kernel::backward_input(&shape, weight.data(), dy.data(), dx.data_mut());
            dx
        });
        let dw = wants_weight.then(|| {
            let mut dw = Tensor::scratch(weight.shape());
            kernel::backward_weight(&shape, x.data(), dy.data(), dw.data_mut());
            dw
        });
        [dx, dw, wants_bias.then(|| backward_bias(&dy))]
    }
}
