//! Values and gradients against PyTorch's, in `f64`: |Δ| ≤ 1e-9 · max|want| for each tensor.

use autograd::{Tape, Tensor};
use libtest_mimic::{Failed, Trial};
use losses::{Bce, BceWithLogits, CrossEntropy, Labels, Loss, Reduction, Target, Weight};

use crate::reference::{self, Array, Case, close};

const TOLERANCE: f64 = 1e-9;

pub(crate) fn trials() -> Vec<Trial> {
    reference::trials("pytorch", &["losses"], test)
}

fn test(case: &Case) -> Result<(), Failed> {
    let reduction = match case.text("reduction") {
        Some("none") => Reduction::None,
        Some("sum") => Reduction::Sum,
        Some("mean") => Reduction::Mean,
        other => return Err(format!("unknown reduction {other:?}").into()),
    };
    match case.text("op") {
        Some("binary_cross_entropy_with_logits") => bce_with_logits(case, reduction),
        Some("binary_cross_entropy") => bce(case, reduction),
        Some("cross_entropy") => cross_entropy(case, reduction),
        other => Err(format!("unknown operation {other:?}").into()),
    }
}

fn bce_with_logits(case: &Case, reduction: Reduction) -> Result<(), Failed> {
    let mut loss = BceWithLogits::new().reduction(reduction);
    if let Some(weight) = case.tensors.get("weight") {
        loss = loss.weight(weight.channels_last().tensor::<f64>());
    }
    if let Some(p) = case.tensors.get("pos_weight") {
        loss = loss.pos_weight(match case.text("pos_weight") {
            Some("scalar") => Weight::from(p.data[0]),
            Some("channel") => p.data.clone().into(),
            Some("element") => p.channels_last().tensor().into(),
            other => return Err(format!("unknown pos_weight {other:?}").into()),
        });
    }
    let target = case.array("target").channels_last();
    check(case, &loss, (&target.tensor()).into())?;
    if target.data.iter().all(|&y| y == 0.0 || y == 1.0) {
        let labels = Labels::from_vec(target.shape.as_slice(), target.labels());
        check(case, &loss, (&labels).into())?;
    }
    Ok(())
}

fn bce(case: &Case, reduction: Reduction) -> Result<(), Failed> {
    let weight: Tensor<f64> = case.array("weight").channels_last().tensor();
    let loss = Bce::new().weight(weight).reduction(reduction);
    check(case, &loss, (&case.array("target").channels_last().tensor()).into())
}

fn cross_entropy(case: &Case, reduction: Reduction) -> Result<(), Failed> {
    let smoothing = case.arguments["label_smoothing"].as_f64().ok_or("no label_smoothing")?;
    let mut loss = CrossEntropy::new().reduction(reduction).label_smoothing(smoothing);
    if let Some(weight) = case.tensors.get("weight") {
        loss = loss.class_weights(weight.data.clone());
    }
    if let Some(ignore) = case.arguments["ignore_index"].as_i64() {
        loss = loss.ignore_index(ignore as i32);
    }
    let target = case.array("target");
    if case.text("target") == Some("probabilities") {
        return check(case, &loss, (&target.channels_last().tensor()).into());
    }
    check(case, &loss, (&Labels::from_vec(target.shape.as_slice(), target.labels())).into())
}

fn check(case: &Case, loss: &dyn Loss<f64>, target: Target<'_, f64>) -> Result<(), Failed> {
    let x = case.array("x");
    // What has the shape of x has channels to move; a cross-entropy per voxel has none.
    let like_x = |a: &Array| if a.shape == x.shape { a.channels_last() } else { a.clone() };
    let tape = Tape::train(0);
    let logits = tape.variable(x.channels_last().tensor());
    let y = loss.report(&logits, target).map_err(|e| e.to_string())?.loss;
    close("y", y.value().data(), &like_x(case.array("y")).data, TOLERANCE)?;
    let dy = like_x(case.array("dy")).tensor().reshape(y.shape());
    let gradients = y.backward_with(dy);
    let dx = gradients.wrt(&logits).ok_or("no gradient")?;
    close("dx", dx.data(), &x_gradient(case).data, TOLERANCE)
}

fn x_gradient(case: &Case) -> Array {
    case.array("dx").channels_last()
}
