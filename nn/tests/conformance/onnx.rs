//! Layers, activations and optimisers against the backend node tests of ONNX 1.17, in `f32`, within 1e-5 of the
//! largest value. Forward only; the gradients have tests of their own.
//!
//! A case that has no form here is listed as ignored, with the reason in brackets. One and two dimensions are
//! volumes with d = 1 and h = 1. The cases of the losses are tested with the losses.

use std::path::PathBuf;
use std::sync::Arc;

use autograd::Tensor;
use libtest_mimic::{Failed, Trial};

use crate::reference::{self, Reference, compare};
use case::{Case, Plan};

mod activation;
mod case;
mod conv;
mod matrix;
mod norm;
mod optimiser;
mod pool;
const TOLERANCE: f64 = 1e-5;
/// Tested with the losses.
const LOSSES: [&str; 2] = ["nll_loss.safetensors", "softmax_cross_entropy.safetensors"];
/// Cases in the full reference data, without the losses, and how many of them have a form here at least.
const ALL: usize = 183;
const WITH_FORM: usize = 149;

pub(crate) fn trials() -> Vec<Trial> {
    let (files, full) = files();
    let mut trials = Vec::new();
    for path in files {
        let file = Arc::new(Reference::read(&path));
        let cases = file.cases.iter();
        trials.extend(cases.map(|(name, described)| trial(Case::new(name, described, file.clone()))));
    }
    let with_form = trials.iter().filter(|trial| !trial.has_ignored_flag()).count();
    println!("{with_form} of {} cases have a form here", trials.len());
    if full {
        assert_eq!(trials.len(), ALL, "the reference data have another number of cases");
        assert!(with_form >= WITH_FORM, "cases have lost their form");
    }
    trials
}

/// The files of the full reference data, or the fixture that comes with the crate.
fn files() -> (Vec<PathBuf>, bool) {
    let Some(folder) = reference::shared("onnx") else {
        println!("../shared/conformance/onnx is not there: skipped its {ALL} cases but those of the fixture");
        return (vec![reference::fixture("onnx.safetensors")], false);
    };
    let entries = std::fs::read_dir(folder).expect("a folder that can be read");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.retain(|path| !LOSSES.iter().any(|loss| path.ends_with(loss)));
    files.sort();
    (files, true)
}

fn trial(case: Case) -> Trial {
    let name = format!("onnx::{}", case.name);
    match plan(&case) {
        Err(reason) => {
            let forced = reason.clone();
            Trial::test(name, move || Err(forced.into())).with_kind(reason).with_ignored_flag(true)
        }
        Ok(plan) => Trial::test(name, move || check(&case, plan(&case))),
    }
}

fn check(case: &Case, got: Vec<Tensor<f32>>) -> Result<(), Failed> {
    for (i, got) in got.iter().enumerate() {
        let want = case.output(i);
        compare(&format!("output {i}"), got, &want, TOLERANCE)?;
    }
    match (got.len(), case.outputs()) {
        (got, want) if got == want => Ok(()),
        (got, want) => Err(format!("{got} outputs were computed, the case has {want}").into()),
    }
}

/// How to compute a case's outputs here, or why there is no way.
fn plan(case: &Case) -> Result<Plan, String> {
    match case.operation() {
        "Conv" => conv::conv(case),
        "ConvTranspose" => conv::conv_transpose(case),
        "AveragePool" | "MaxPool" => pool::pool(case),
        "GlobalAveragePool" | "GlobalMaxPool" => Ok(pool::global),
        "BatchNormalization" => Ok(norm::batch),
        "GroupNormalization" => Ok(norm::group),
        "InstanceNormalization" => Ok(norm::instance),
        "Gemm" => Ok(matrix::gemm),
        "MatMul" => Ok(matrix::matmul),
        "Softmax" | "LogSoftmax" => Ok(activation::softmax),
        "PRelu" => Ok(activation::prelu),
        "Relu" | "LeakyRelu" | "Elu" | "Sigmoid" | "Tanh" | "Softplus" => Ok(activation::elementwise),
        "Adam" => Ok(optimiser::adam),
        "Momentum" => Ok(optimiser::momentum),
        other => Err(format!("no {other}")),
    }
}
