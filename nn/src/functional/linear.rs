//! A matrix applied to the last axis.

use autograd::{Backward, Real, Shape, Tensor, Var, tape_of};

use super::{check_per_channel, value};
use crate::kernels::linear::{self as kernel, LinearShape};

/// ```text
/// y[…, o] = b[o] + Σ x[…, i]·w[i, o]
/// ```
///
/// x `[..., in]`, weight `[in, out]`, bias `[out]` or absent, y `[..., out]`. It is a convolution whose kernel is one
/// voxel, and runs as one: see [`kernels::linear`](crate::kernels::linear). Saved: x and the weight.
struct Linear;

/// x·weight + bias, unless the bias is absent: y\[…, o\] = b\[o\] + Σ x\[…, i\]·w\[i, o\].
///
/// x `[..., in]`, weight `[in, out]`, bias `[out]`, y `[..., out]`.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn linear<'t, T: Real>(x: Var<'t, T>, weight: Var<'t, T>, bias: Option<Var<'t, T>>) -> Var<'t, T> {
    let shape = shape_of(x.value(), weight.value(), value(&bias));
    let mut y = Tensor::scratch(x.shape().with_channels(shape.outputs()));
    let of_bias = value(&bias).map(Tensor::data);
    kernel::forward(&shape, x.value().data(), weight.value().data(), of_bias, y.data_mut());
    let saved = (shape, x.shape(), x.value().clone(), weight.value().clone());
    let inputs = [Some(&x), Some(&weight), bias.as_ref()];
    tape_of(inputs).record(Linear, inputs, y, saved)
}

#[track_caller]
fn shape_of<T: Real>(x: &Tensor<T>, weight: &Tensor<T>, bias: Option<&Tensor<T>>) -> LinearShape {
    let [inputs, outputs] = weight.dims() else {
        panic!("linear: the weight is [in, out], got {}", weight.shape());
    };
    assert!(
        x.channels() == *inputs,
        "linear: x {} has in = {} channels, the weight {} expects {inputs}",
        x.shape(),
        x.channels(),
        weight.shape()
    );
    check_per_channel("linear", "bias", bias, *outputs);
    match LinearShape::new(x.shape().rows(), *inputs, *outputs) {
        Ok(shape) => shape,
        Err(error) => panic!("linear: {error}"),
    }
}

impl<T: Real> Backward<T, 3> for Linear {
    type Saved = (LinearShape, Shape, Tensor<T>, Tensor<T>);

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
        let db = wants_bias.then(|| {
            let mut db = Tensor::scratch([shape.outputs()]);
            kernel::backward_bias(dy.data(), shape.outputs(), db.data_mut());
            db
        });
        [dx, dw, db]
    }
}
