//! Pooling.

use autograd::{Tape, Tensor};
use nn::functional::{Pool3dSpec, avg_pool3d, max_pool3d};

use super::case::{Case, Plan, pads, symmetric, with_zeros};

const NONE: [[usize; 2]; 3] = [[0; 2]; 3];

pub(crate) fn pool(case: &Case) -> Result<Plan, String> {
    if !case.has_type("float32") {
        return Err("no tensors of integers".to_owned());
    }
    if case.outputs() > 1 {
        return Err("the places of the maxima are not given out".to_owned());
    }
    if case.per_axis("dilations", 1) != [1; 3] {
        return Err("no dilated windows".to_owned());
    }
    let Window { pads, spec } = window(case)?;
    let size = padded(case, pads);
    let outputs: usize = spec.output(size).iter().product();
    let [n, _, _, _, c] = case.volume(0).dims5();
    if case.integer("ceil_mode", 0) == 1 && case.output(0).numel() != n * c * outputs {
        return Err("no windows that reach over the end (ceil_mode)".to_owned());
    }
    Ok(run_pool)
}

/// Zeros to put around the input, and the window.
struct Window {
    pads: [[usize; 2]; 3],
    spec: Pool3dSpec,
}

/// Where padding counts as zeros, any padding can be done beforehand.
fn window(case: &Case) -> Result<Window, String> {
    let (kernel, stride) = (case.per_axis("kernel_shape", 1), case.per_axis("strides", 1));
    let all = pads(case, padded(case, NONE), kernel, stride);
    let spec = |padding| Pool3dSpec { kernel, stride, padding };
    let fits = |padding: &[usize; 3]| (0..3).all(|i| 2 * padding[i] <= kernel[i]);
    match symmetric(all) {
        Some(padding) if fits(&padding) => Ok(Window { pads: NONE, spec: spec(padding) }),
        _ if counts_padding(case) => Ok(Window { pads: all, spec: spec([0; 3]) }),
        Some(_) => Err("no padding over half the window".to_owned()),
        None => Err("no padding that differs before and after".to_owned()),
    }
}

/// Whether padding counts in a mean.
fn counts_padding(case: &Case) -> bool {
    case.integer("count_include_pad", 0) == 1
}

/// The input's extents d, h, w with these pads.
fn padded(case: &Case, pads: [[usize; 2]; 3]) -> [usize; 3] {
    let [_, d, h, w, _] = case.volume(0).dims5();
    let size = [d, h, w];
    [0, 1, 2].map(|i| size[i] + pads[i][0] + pads[i][1])
}

fn run_pool(case: &Case) -> Vec<Tensor<f32>> {
    let Window { pads, spec } = window(case).expect("that there is a form was seen in planning");
    let tape = Tape::no_grad();
    let x = with_zeros(tape.constant(case.volume(0)), pads);
    let y = match case.operation() {
        "MaxPool" => max_pool3d(x, spec),
        _ => avg_pool3d(x, spec, counts_padding(case)),
    };
    vec![case.onnx_shaped(y.value())]
}

/// One window over all of the volume.
pub(crate) fn global(case: &Case) -> Vec<Tensor<f32>> {
    let spec = Pool3dSpec::new(padded(case, NONE));
    let tape = Tape::no_grad();
    let x = tape.constant(case.volume(0));
    let y = match case.operation() {
        "GlobalMaxPool" => max_pool3d(x, spec),
        _ => avg_pool3d(x, spec, false),
    };
    vec![case.onnx_shaped(y.value())]
}
