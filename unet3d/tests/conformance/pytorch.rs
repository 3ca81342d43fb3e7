//! Whole U-Nets against PyTorch's, in f64: logits, loss, every gradient, and the weights after a step of Adam.
//!
//! The full suite is read from `../shared/conformance`; where that is missing, the fixture in this crate, which
//! `fixtures/cut.py` cut out of it, stands in with fewer gradients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use autograd::{Tape, Tensor};
use libtest_mimic::{Failed, Trial};
use losses::{BceWithLogits, Loss};
use nn::optim::{AdamConfig, OptimizerConfig};
use nn::{Layout, Module};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use safetensors::SafeTensors;
use serde::Deserialize;
use unet3d::{UNet3d, UNet3dConfig};

/// |Δ| ≤ this · max|want|, for each tensor.
const TOLERANCE: f64 = 1e-9;

#[derive(Clone, Deserialize)]
struct Case {
    in_channels: usize,
    out_channels: usize,
    base: usize,
    levels: usize,
    strides: Option<Vec<[usize; 3]>>,
    pos_weight: f64,
    lr: f64,
}

type Tensors = BTreeMap<String, Tensor<f64>>;

pub(crate) fn trials() -> Vec<Trial> {
    let full =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/pytorch/unet3d.safetensors");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/unet3d_small.safetensors");
    let path = if full.exists() {
        full
    } else {
        eprintln!(
            "skipped: unet_0, unet_1 and unet_2 in full ({} is not there); the fixture runs",
            full.display()
        );
        fixture
    };
    let trials = cases(&path).into_iter().map(|(name, case)| {
        let path = path.clone();
        Trial::test(format!("pytorch::{name}"), move || check(&path, &name, &case))
    });
    trials.collect()
}

fn cases(path: &PathBuf) -> BTreeMap<String, Case> {
    let bytes = std::fs::read(path).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let cases = metadata.metadata().as_ref().unwrap()["cases"].clone();
    serde_json::from_str(&cases).unwrap()
}

/// The tensors of one case, by role.
fn tensors(path: &PathBuf, case: &str) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let own =
        file.iter().filter_map(|(name, view)| Some((name.strip_prefix(case)?.strip_prefix('/')?, view)));
    own.map(|(role, view)| {
        let values: Vec<f64> = view.data().as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect();
        (role.to_owned(), Tensor::from_vec(view.shape(), values))
    })
    .collect()
}

fn check(path: &PathBuf, name: &str, case: &Case) -> Result<(), Failed> {
    let tensors = tensors(path, name);
    let config = UNet3dConfig {
        in_channels: case.in_channels,
        out_channels: case.out_channels,
        base_channels: case.base,
        levels: case.levels,
        strides: case.strides.clone().unwrap_or_default(),
        ..Default::default()
    };
    let mut model = UNet3d::<f64>::new(config, &mut ChaCha8Rng::seed_from_u64(0))?;
    model.load_state_dict(with_prefix(&tensors, "state/"))?;

    let tape = Tape::train(0);
    let y = model.forward(tape.constant(tensors["x"].from_ncdhw()))?;
    close("logits", &y.value().to_ncdhw(), &tensors["y"])?;
    let loss =
        BceWithLogits::new().pos_weight(case.pos_weight).forward(&y, &tensors["target"].from_ncdhw())?;
    close("loss", &loss.value().clone().reshape([1]), &tensors["loss"])?;

    let gradients = loss.backward();
    let mut compared = 0;
    let mut failure = None;
    model.visit("", &mut |parameter_name, layout: Layout, parameter| {
        let Some(want) = tensors.get(&format!("grad/{parameter_name}")) else { return };
        compared += 1;
        let got = gradients.get(parameter).expect("every parameter takes part");
        let outcome = close(&format!("gradient of {parameter_name}"), &layout.to_pytorch(got), want);
        failure = failure.take().or(outcome.err());
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let expected = tensors.keys().filter(|k| k.starts_with("grad/")).count();
    if compared == 0 || compared != expected {
        return Err(format!("{compared} of {expected} gradients were compared").into());
    }

    let config = AdamConfig { lr: case.lr, ..Default::default() };
    OptimizerConfig::Adam(config).build()?.step(&mut model, &gradients);
    let after: Tensors = model.state_dict().into_iter().collect();
    for (parameter_name, want) in with_prefix(&tensors, "after_adam/") {
        // Adam's first step is ±lr wherever |g| is far above eps, so what is compared is the step.
        close(&format!("{parameter_name} after Adam"), &after[&parameter_name], &want)?;
    }
    Ok(())
}

fn with_prefix(tensors: &Tensors, prefix: &str) -> Tensors {
    let own = tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(prefix)?.to_owned(), t.clone())));
    own.collect()
}

fn close(what: &str, got: &Tensor<f64>, want: &Tensor<f64>) -> Result<(), Failed> {
    if got.shape() != want.shape() {
        return Err(format!("{what}: shape {} instead of {}", got.shape(), want.shape()).into());
    }
    let largest = want.data().iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (got, want)) in got.data().iter().zip(want.data()).enumerate() {
        if (got - want).abs() > TOLERANCE * largest || got.is_nan() {
            return Err(
                format!("{what}: element {i} is {got}, PyTorch has {want} (largest {largest})").into()
            );
        }
    }
    Ok(())
}
