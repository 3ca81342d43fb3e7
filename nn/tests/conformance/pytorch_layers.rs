//! Layers and activations against PyTorch's, value and every gradient, in `f64`, within 1e-9 of the largest value.
//!
//! Where the full reference data do not lie beside the workspace, a few cases that come with the crate are tested.

use std::sync::Arc;

use autograd::{Tape, Tensor, Var};
use libtest_mimic::{Failed, Trial};
use nn::Layout;
use nn::functional::{
    Conv3dSpec, ConvTranspose3dSpec, NormKind, NormSettings, Pool3dSpec, UpsampleMode, avg_pool3d,
    conv_transpose3d, conv3d, linear, max_pool3d, norm_act, upsample,
};
use serde_json::Value;

use crate::reference::{self, Reference, compare};

const TOLERANCE: f64 = 1e-9;
/// Cases in the full reference data.
const ALL: usize = 46;

pub(crate) fn trials() -> Vec<Trial> {
    let full = reference::shared("pytorch").map(|folder| folder.join("layers.safetensors"));
    let file = Arc::new(match &full {
        Some(path) => Reference::read(path),
        None => {
            println!(
                "../shared/conformance/pytorch/layers.safetensors is not there: skipped its {ALL} cases but for what \
                 layers_small.safetensors holds of them"
            );
            Reference::read(&reference::fixture("layers_small.safetensors"))
        }
    });
    let whole = full.is_some();
    assert!(!whole || file.cases.len() == ALL, "the reference has {} cases, not {ALL}", file.cases.len());
    let trials = file.cases.clone().into_iter().map(|(name, arguments)| {
        let case = Case { file: file.clone(), name, arguments, whole };
        Trial::test(format!("pytorch_layers::{}", case.name), move || case.check())
    });
    trials.collect()
}

struct Case {
    file: Arc<Reference>,
    name: String,
    arguments: Value,
    /// Whether every gradient must be there; cases of the fixture are cut.
    whole: bool,
}

impl Case {
    fn check(&self) -> Result<(), Failed> {
        let tape = Tape::train(0);
        let x = tape.variable(activation_here(&self.file.tensor(&self.name, "x")));
        let weight = self.variable(&tape, "weight");
        let bias = self.variable(&tape, "bias");
        let y = self.apply(x.clone(), weight.clone(), bias.clone());
        compare("y", &activation_there(y.value()), &self.file.tensor(&self.name, "y"), TOLERANCE)?;

        let gradients = y.backward_with(activation_here(&self.file.tensor(&self.name, "dy")));
        let mut compared = 0;
        for (role, variable) in [("dx", Some(&x)), ("dweight", weight.as_ref()), ("dbias", bias.as_ref())] {
            let Some(variable) = variable else { continue };
            match self.file.get(&self.name, role) {
                Some(want) => {
                    let got = gradients.wrt(variable).ok_or(format!("no {role}"))?;
                    let got =
                        if role == "dx" { activation_there(got) } else { self.layout(role).to_pytorch(got) };
                    compare(role, &got, &want, TOLERANCE)?;
                    compared += 1;
                }
                None if self.whole => return Err(format!("the reference has no {role}").into()),
                None => {}
            }
        }
        if compared == 0 { Err("the reference has no gradient at all".into()) } else { Ok(()) }
    }

    /// A parameter in our layout, unless it is absent.
    fn variable<'t>(&self, tape: &'t Tape<f64>, role: &str) -> Option<Var<'t, f64>> {
        let value = self.file.get(&self.name, role)?;
        Some(tape.variable(self.layout(role).from_pytorch(&value)))
    }

    fn layout(&self, role: &str) -> Layout {
        match self.arguments["op"].as_str() {
            Some("conv3d") if role.ends_with("weight") => Layout::Conv,
            Some("conv_transpose3d") if role.ends_with("weight") => Layout::ConvTranspose,
            Some("linear") if role.ends_with("weight") => Layout::Linear,
            _ => Layout::Plain,
        }
    }

    fn apply<'t>(
        &self,
        x: Var<'t, f64>,
        weight: Option<Var<'t, f64>>,
        bias: Option<Var<'t, f64>>,
    ) -> Var<'t, f64> {
        let given = || weight.clone().expect("a linear map has a weight");
        let norm = |kind, x, gamma, beta| {
            let eps = self.arguments["eps"].as_f64().expect("eps is a number");
            norm_act(x, gamma, beta, NormSettings::new(kind).with_eps(eps)).into_var()
        };
        let kernel = || given().shape()[..3].try_into().expect("a kernel has five axes");
        let window = || Pool3dSpec {
            kernel: self.three("kernel_size"),
            stride: self.three("stride"),
            padding: [0; 3],
        };
        match self.arguments["op"].as_str().expect("op is a name") {
            "conv3d" => {
                let (stride, padding, dilation) =
                    (self.three("stride"), self.three("padding"), self.three("dilation"));
                let spec = Conv3dSpec { kernel: kernel(), stride, padding, dilation };
                conv3d(x, given(), bias, spec)
            }
            "conv_transpose3d" => {
                let spec = ConvTranspose3dSpec {
                    stride: self.three("stride"),
                    padding: self.three("padding"),
                    output_padding: self.three("output_padding"),
                    ..ConvTranspose3dSpec::new(kernel())
                };
                conv_transpose3d(x, given(), bias, spec)
            }
            "instance_norm" => norm(NormKind::Instance, x, weight, bias),
            "batch_norm" => norm(NormKind::Batch, x, weight, bias),
            "group_norm" => {
                let groups = self.arguments["num_groups"].as_u64().expect("num_groups is a number");
                let groups = usize::try_from(groups).expect("a small number");
                norm(NormKind::Group(groups), x, weight, bias)
            }
            "max_pool3d" => max_pool3d(x, window()),
            "avg_pool3d" => avg_pool3d(x, window(), true),
            "upsample" => {
                let mode = match self.arguments["mode"].as_str() {
                    Some("trilinear") => UpsampleMode::Trilinear,
                    _ => UpsampleMode::Nearest,
                };
                upsample(x, self.three("scale_factor"), mode)
            }
            "linear" => linear(x, given(), bias),
            "relu" => x.relu(),
            "leaky_relu" => x.leaky_relu(0.01),
            "elu" => x.elu(1.0),
            "gelu" => x.gelu(),
            "silu" => x.silu(),
            "sigmoid" => x.sigmoid(),
            "tanh" => x.tanh(),
            "softplus" => x.softplus(),
            "softmax" => x.softmax(),
            "log_softmax" => x.log_softmax(),
            other => panic!("{}: no form for {other}", self.name),
        }
    }

    fn three(&self, name: &str) -> [usize; 3] {
        let numbers = self.arguments[name].as_array().unwrap_or_else(|| panic!("{}: no {name}", self.name));
        let numbers: Vec<usize> = numbers.iter().filter_map(|v| usize::try_from(v.as_u64()?).ok()).collect();
        numbers.try_into().unwrap_or_else(|v| panic!("{}: {name} is {v:?}", self.name))
    }
}

/// Volumes have their channels last here; matrices are the same in both.
fn activation_here(x: &Tensor<f64>) -> Tensor<f64> {
    if x.shape().rank() == 5 { x.from_ncdhw() } else { x.clone() }
}

fn activation_there(x: &Tensor<f64>) -> Tensor<f64> {
    if x.shape().rank() == 5 { x.to_ncdhw() } else { x.clone() }
}
