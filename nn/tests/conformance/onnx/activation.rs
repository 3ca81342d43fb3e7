//! Functions of one number, and softmax.

use autograd::{Tape, Tensor};
use nn::functional::Activation;

use super::case::Case;

pub(crate) fn elementwise(case: &Case) -> Vec<Tensor<f32>> {
    let tape = Tape::no_grad();
    let x = tape.constant(case.input(0));
    let y = match case.operation() {
        "Relu" => Activation::Relu.forward(x),
        "LeakyRelu" => Activation::leaky_relu(case.number("alpha", 0.01)).forward(x),
        "Elu" => Activation::Elu { alpha: case.number("alpha", 1.0) }.forward(x),
        "Sigmoid" => x.sigmoid(),
        "Tanh" => x.tanh(),
        "Softplus" => x.softplus(),
        other => panic!("{other} is no activation that is known here"),
    };
    vec![y.into_value()]
}

/// max(x, 0) − slope·max(−x, 0), the slope being one number, one per channel, or one per element.
pub(crate) fn prelu(case: &Case) -> Vec<Tensor<f32>> {
    let (x, slope) = (case.input(0), case.input(1));
    // The old operator has its channels in second place, the new one broadcasts from the last axis.
    let channels_second = case.opset() < 7 && slope.numel() > 1;
    let tape = Tape::no_grad();
    let x = tape.constant(if channels_second { x.from_channels_first() } else { x });
    let y = x.clone().relu() - (-x).relu() * tape.constant(slope);
    let y = y.into_value();
    vec![if channels_second { y.to_channels_first() } else { y }]
}

/// Along the channels; another axis is brought there and back.
pub(crate) fn softmax(case: &Case) -> Vec<Tensor<f32>> {
    let x = case.input(0);
    let rank = x.shape().rank();
    let old = case.opset() < 13;
    let axis = case.integer("axis", if old { 1 } else { -1 });
    let axis = usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).expect("an axis");
    // The old operator runs along all axes from this one; in the cases it is the last.
    assert!(!old || axis == rank - 1, "softmax over several axes");
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(axis, rank - 1);
    let tape = Tape::no_grad();
    let x = tape.constant(x.permute(&axes));
    let y = if case.operation() == "Softmax" { x.softmax() } else { x.log_softmax() };
    vec![y.value().permute(&axes)]
}
