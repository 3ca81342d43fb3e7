//! The optimisers and the clipping of gradients against PyTorch's, in `f64`, within 1e-9 of the largest value.
//!
//! The reference file is small and comes with the crate; where the full reference data lie beside the workspace,
//! that copy is read.

use std::sync::Arc;

use autograd::{Gradients, Parameter, Tape, Tensor};
use libtest_mimic::{Failed, Trial};
use nn::optim::{AdamConfig, AdamWConfig, OptimizerConfig, SgdConfig};
use serde_json::Value;

use crate::reference::{self, Reference, compare};

const TOLERANCE: f64 = 1e-9;
const STEPS: usize = 5;

pub(crate) fn trials() -> Vec<Trial> {
    let path = reference::shared("pytorch").map(|folder| folder.join("optimisers.safetensors"));
    let path = path.unwrap_or_else(|| reference::fixture("pytorch_optimisers.safetensors"));
    let file = Arc::new(Reference::read(&path));
    assert_eq!(file.cases.len(), 8, "the reference has 8 cases");
    let trials = file.cases.clone().into_iter().map(|(case, arguments)| {
        let file = file.clone();
        Trial::test(format!("pytorch_optimisers::{case}"), move || match case.as_str() {
            "clip" => clip(&file, &arguments),
            _ => five_steps(&file, &case, &arguments),
        })
    });
    trials.collect()
}

fn clip(file: &Reference, arguments: &Value) -> Result<(), Failed> {
    let g = file.tensor("clip", "g");
    let parameter = Parameter::new(Tensor::zeros(g.shape()));
    let mut gradients = gradient(&parameter, g);
    let norm = gradients.clip_global_norm(arguments["max_norm"].as_f64().expect("a number"));
    compare("norm", &Tensor::full([1], norm), &file.tensor("clip", "norm"), TOLERANCE)?;
    compare("clipped", gradients.get(&parameter).unwrap(), &file.tensor("clip", "clipped"), TOLERANCE)?;
    Ok(())
}

fn five_steps(file: &Reference, case: &str, arguments: &Value) -> Result<(), Failed> {
    let mut optimizer = config(case, arguments).build()?;
    let mut weight = Parameter::new(file.tensor(case, "w0"));
    for step in 1..=STEPS {
        let gradients = gradient(&weight, file.tensor(case, &format!("g{step}")));
        optimizer.step(&mut weight, &gradients);
        let want = file.tensor(case, &format!("w{step}"));
        compare(&format!("w{step}"), weight.value(), &want, TOLERANCE)?;
    }
    Ok(())
}

/// PyTorch's arguments in our words; what the case does not say is PyTorch's default, and so ours.
fn config(case: &str, arguments: &Value) -> OptimizerConfig {
    let number = |name: &str, default| arguments.get(name).map_or(default, |v| v.as_f64().expect("a number"));
    let flag = |name: &str| arguments.get(name).is_some_and(|v| v.as_bool().expect("a boolean"));
    let lr = number("lr", f64::NAN);
    let betas = |default: [f64; 2]| {
        let Some(given) = arguments.get("betas") else { return default };
        [0, 1].map(|i| given[i].as_f64().expect("a number"))
    };
    match case.split('_').next() {
        Some("sgd") => OptimizerConfig::Sgd(SgdConfig {
            lr,
            momentum: number("momentum", 0.0),
            nesterov: flag("nesterov"),
            weight_decay: number("weight_decay", 0.0),
            ..SgdConfig::default()
        }),
        Some("adam") => {
            let d = AdamConfig::default();
            let weight_decay = number("weight_decay", d.weight_decay);
            let (betas, eps, amsgrad) = (betas(d.betas), number("eps", d.eps), flag("amsgrad"));
            OptimizerConfig::Adam(AdamConfig { lr, betas, eps, weight_decay, amsgrad, ..d })
        }
        Some("adamw") => {
            let d = AdamWConfig::default();
            let weight_decay = number("weight_decay", d.weight_decay);
            let (betas, eps, amsgrad) = (betas(d.betas), number("eps", d.eps), flag("amsgrad"));
            OptimizerConfig::AdamW(AdamWConfig { lr, betas, eps, weight_decay, amsgrad, ..d })
        }
        _ => panic!("{case} is no optimiser that is known here"),
    }
}

/// The gradients of a loss whose gradient is `g`.
fn gradient(parameter: &Parameter<f64>, g: Tensor<f64>) -> Gradients<f64> {
    Tape::train(0).parameter(parameter).backward_with(g)
}
