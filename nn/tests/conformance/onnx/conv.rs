//! Convolutions.

use autograd::{Tape, Tensor};
use nn::functional::{Conv3dSpec, ConvTranspose3dSpec, conv_transpose3d, conv3d};

use super::case::{Case, Plan, pads, symmetric, with_zeros};

pub(crate) fn conv(case: &Case) -> Result<Plan, String> {
    ungrouped(case)?;
    Ok(run_conv)
}

fn ungrouped(case: &Case) -> Result<(), String> {
    match case.integer("group", 1) {
        1 => Ok(()),
        groups => Err(format!("no groups of channels, here {groups}")),
    }
}

/// Padding that differs before and after is done beforehand.
fn run_conv(case: &Case) -> Vec<Tensor<f32>> {
    let tape = Tape::no_grad();
    let (mut x, weight) = (tape.constant(case.volume(0)), case.weight(1).from_oidhw());
    let [kernel, size] = [[0, 1, 2].map(|i| weight.dims()[i]), [1, 2, 3].map(|i| x.shape()[i])];
    let (stride, dilation) = (case.per_axis("strides", 1), case.per_axis("dilations", 1));
    let span = [0, 1, 2].map(|i| dilation[i] * (kernel[i] - 1) + 1);
    let pads = pads(case, size, span, stride);
    let padding = symmetric(pads).unwrap_or_else(|| {
        x = with_zeros(x.clone(), pads);
        [0; 3]
    });
    let bias = case.get(2).map(|bias| tape.constant(bias));
    let spec = Conv3dSpec { kernel, stride, padding, dilation };
    let y = conv3d(x, tape.constant(weight), bias, spec);
    vec![case.onnx_shaped(y.value())]
}

pub(crate) fn conv_transpose(case: &Case) -> Result<Plan, String> {
    ungrouped(case)?;
    transposed_spec(case)?;
    Ok(run_conv_transpose)
}

/// ONNX cuts `before` and `after` off the full output, or finds them from the output's shape; what our symmetric
/// padding cuts too much from the end is given back as output padding.
fn transposed_spec(case: &Case) -> Result<ConvTranspose3dSpec, String> {
    let (x, weight) = (case.volume(0), case.weight(1));
    let kernel = [2, 3, 4].map(|i| weight.dims()[i]);
    let (stride, dilation) = (case.per_axis("strides", 1), case.per_axis("dilations", 1));
    let full = [0, 1, 2].map(|i| (x.dims()[i + 1] - 1) * stride[i] + dilation[i] * (kernel[i] - 1) + 1);
    let mut output_padding = case.per_axis("output_padding", 0);
    let mut cut = case.pairs("pads");
    let automatic = case.text("auto_pad", "NOTSET").to_owned();
    let shape = match case.integers("output_shape") {
        None if automatic.starts_with("SAME") => Some([0, 1, 2].map(|i| x.dims()[i + 1] * stride[i])),
        None => None,
        Some(_) => Some(case.per_axis("output_shape", 1)),
    };
    if let Some(shape) = shape {
        for i in 0..3 {
            let total = (full[i] + output_padding[i]).saturating_sub(shape[i]);
            output_padding[i] += shape[i].saturating_sub(full[i] + output_padding[i]);
            let (less, more) = (total / 2, total.div_ceil(2));
            cut[i] = if automatic == "SAME_UPPER" { [less, more] } else { [more, less] };
        }
    }
    let mut padding = [0; 3];
    for i in 0..3 {
        let [before, after] = cut[i];
        padding[i] = before;
        output_padding[i] = (output_padding[i] + before)
            .checked_sub(after)
            .ok_or("no padding that cuts more off the end of the output than off its start")?;
    }
    Ok(ConvTranspose3dSpec { kernel, stride, padding, output_padding, dilation })
}

fn run_conv_transpose(case: &Case) -> Vec<Tensor<f32>> {
    let spec = transposed_spec(case).expect("that there is one was seen in planning");
    let tape = Tape::no_grad();
    let bias = case.get(2).map(|bias| tape.constant(bias));
    let weight = tape.constant(case.weight(1).from_iodhw());
    let y = conv_transpose3d(tape.constant(case.volume(0)), weight, bias, spec);
    vec![case.onnx_shaped(y.value())]
}
