//! Values against ONNX's backend tests, in `f32`: |Δ| ≤ 1e-5 · max|want|. They have no gradients.

use autograd::Tape;
use libtest_mimic::{Failed, Trial};
use losses::{CrossEntropy, Labels, Loss, NllLoss, Reduction};

use crate::reference::{self, Array, Case, close};

/// ONNX's own tolerance is 1e-3 relative.
const TOLERANCE: f64 = 1e-5;

pub(crate) fn trials() -> Vec<Trial> {
    reference::trials("onnx", &["nll_loss", "softmax_cross_entropy"], test)
}

fn test(case: &Case) -> Result<(), Failed> {
    let attributes = &case.arguments["attrs"];
    let reduction = match attributes["reduction"].as_str() {
        Some("none") => Reduction::None,
        Some("sum") => Reduction::Sum,
        None | Some("mean") => Reduction::Mean,
        other => return Err(format!("unknown reduction {other:?}").into()),
    };
    let ignore = attributes["ignore_index"].as_i64().map(|v| v as i32);
    let x = one_axis_of_voxels(&case.array("in0").channels_last());
    let target = case.array("in1");
    let target = Labels::from_vec(&x.shape[..2], target.labels());
    let weights: Vec<f64> = case.tensors.get("in2").map_or(vec![1.0; x.shape[2]], |w| w.data.clone());

    let tape = Tape::<f32>::no_grad();
    let logits = tape.constant(x.tensor());
    let loss = match case.text("op") {
        Some("SoftmaxCrossEntropyLoss") => CrossEntropy::new()
            .class_weights(weights)
            .ignore_index(ignore)
            .reduction(reduction)
            .forward(&logits, &target),
        Some("NegativeLogLikelihoodLoss") => NllLoss::new()
            .class_weights(weights)
            .ignore_index(ignore)
            .reduction(reduction)
            .forward(&logits, &target),
        other => return Err(format!("unknown operation {other:?}").into()),
    };
    let loss = loss.map_err(|e| e.to_string())?;
    close("loss", loss.value().data(), &case.array("out0").data, TOLERANCE)?;
    if let Some(log_p) = case.tensors.get("out1") {
        log_probabilities(&x, &log_p.channels_last())?;
    }
    Ok(())
}

/// `[n, ..., c]` as `[n, voxels, c]`: the cases have up to seven axes, tensors up to six.
fn one_axis_of_voxels(x: &Array) -> Array {
    let (n, c) = (x.shape[0], x.shape[x.shape.len() - 1]);
    Array { shape: vec![n, x.data.len() / (n * c), c], data: x.data.clone() }
}

/// The second output is log softmax: minus the loss, were each class in turn the target.
fn log_probabilities(x: &Array, want: &Array) -> Result<(), Failed> {
    let tape = Tape::<f32>::no_grad();
    let logits = tape.constant(x.tensor());
    let c = x.shape[2];
    for class in 0..c {
        let target = Labels::from_fn(&x.shape[..2], |_| class as i32);
        let loss = CrossEntropy::new().reduction(Reduction::None).forward(&logits, &target);
        let got: Vec<f32> = loss.map_err(|e| e.to_string())?.value().data().iter().map(|l| -l).collect();
        let want: Vec<f64> = want.data.iter().skip(class).step_by(c).copied().collect();
        close("log_prob", &got, &want, TOLERANCE)?;
    }
    Ok(())
}
