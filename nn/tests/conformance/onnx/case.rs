//! One case: what ONNX says of it, and its tensors between ONNX's layouts and ours.

use std::sync::Arc;

use autograd::{Tensor, Var};
use serde_json::Value;

use crate::reference::Reference;

/// Computes a case's outputs, in ONNX's layouts.
pub(crate) type Plan = fn(&Case) -> Vec<Tensor<f32>>;

pub(crate) struct Case {
    pub(crate) name: String,
    described: Value,
    file: Arc<Reference>,
}

impl Case {
    pub(crate) fn new(name: &str, described: &Value, file: Arc<Reference>) -> Self {
        Self { name: name.to_owned(), described: described.clone(), file }
    }

    pub(crate) fn operation(&self) -> &str {
        self.described["op"].as_str().expect("the operation's name")
    }

    /// The version of ONNX's operators.
    pub(crate) fn opset(&self) -> u64 {
        self.described["opset"]["ai.onnx"].as_u64().expect("the version of the operators")
    }

    fn attribute(&self, name: &str) -> Option<&Value> {
        self.described["attrs"].get(name)
    }

    pub(crate) fn number(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).map_or(default, |v| v.as_f64().expect("a number"))
    }

    pub(crate) fn integer(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |v| v.as_i64().expect("an integer"))
    }

    pub(crate) fn text(&self, name: &str, default: &'static str) -> &str {
        self.attribute(name).map_or(default, |v| v.as_str().expect("text"))
    }

    pub(crate) fn integers(&self, name: &str) -> Option<Vec<usize>> {
        let integer = |v: &Value| v.as_u64().expect("an integer, 0 or more") as usize;
        Some(self.attribute(name)?.as_array().expect("a list").iter().map(integer).collect())
    }

    /// One integer per axis d, h, w; `default` for axes that the case has not.
    pub(crate) fn per_axis(&self, name: &str, default: usize) -> [usize; 3] {
        self.integers(name).map_or([default; 3], |given| fill(&given, default))
    }

    /// Integers before and after each axis d, h, w; ONNX lists all of before first.
    pub(crate) fn pairs(&self, name: &str) -> [[usize; 2]; 3] {
        let given = self.integers(name).unwrap_or_default();
        let (before, after) = given.split_at(given.len() / 2);
        let [before, after] = [fill(before, 0), fill(after, 0)];
        [0, 1, 2].map(|i| [before[i], after[i]])
    }

    /// The input in place `i`, an initialiser or not; `None` beyond the last.
    pub(crate) fn get(&self, i: usize) -> Option<Tensor<f32>> {
        let name = self.described["node_inputs"].get(i)?;
        let all = ["inputs", "initializers"].into_iter().flat_map(|list| self.described[list].as_array());
        let entry = all.flatten().find(|entry| &entry["name"] == name).expect("an input of this name");
        Some(self.file.tensor(&self.name, entry["key"].as_str().expect("a key")))
    }

    pub(crate) fn input(&self, i: usize) -> Tensor<f32> {
        self.get(i).unwrap_or_else(|| panic!("{} has no input {i}", self.name))
    }

    pub(crate) fn inputs(&self) -> usize {
        self.described["node_inputs"].as_array().expect("a list").len()
    }

    /// The input in place `i` as `[n, d, h, w, c]`.
    pub(crate) fn volume(&self, i: usize) -> Tensor<f32> {
        as_volume(self.input(i)).from_ncdhw()
    }

    /// The weight in place `i` of a convolution with its channels in ONNX's order, `[_, _, kd, kh, kw]`.
    pub(crate) fn weight(&self, i: usize) -> Tensor<f32> {
        as_volume(self.input(i))
    }

    pub(crate) fn output(&self, i: usize) -> Tensor<f32> {
        self.file.tensor(&self.name, &format!("out{i}"))
    }

    pub(crate) fn outputs(&self) -> usize {
        self.described["node_outputs"].as_array().expect("a list").len()
    }

    pub(crate) fn has_type(&self, name: &str) -> bool {
        self.described["inputs"][0]["dtype"] == name
    }

    /// A volume as ONNX has it, with as many axes as the first output.
    pub(crate) fn onnx_shaped(&self, y: &Tensor<f32>) -> Tensor<f32> {
        let y = y.to_ncdhw();
        let dims = y.dims();
        let missing = 5 - self.output(0).shape().rank();
        assert!(dims[2..2 + missing].iter().all(|&extent| extent == 1), "the axes that ONNX has not are 1");
        let dims: Vec<_> = dims[..2].iter().chain(&dims[2 + missing..]).copied().collect();
        y.reshape(dims.as_slice())
    }
}

/// `[_, _, (d,) (h,) (w)]` as `[_, _, d, h, w]`.
fn as_volume(x: Tensor<f32>) -> Tensor<f32> {
    let [first, second, ref spatial @ ..] = *x.dims() else { panic!("two axes and more") };
    let [d, h, w] = fill(spatial, 1);
    x.reshape([first, second, d, h, w])
}

/// The last of three numbers are given.
fn fill(given: &[usize], default: usize) -> [usize; 3] {
    let mut all = [default; 3];
    all[3 - given.len()..].copy_from_slice(given);
    all
}

/// `[before, after]` of each axis for a window of extent `span` that moves by `stride`, by ONNX's `auto_pad` or pads.
pub(crate) fn pads(case: &Case, size: [usize; 3], span: [usize; 3], stride: [usize; 3]) -> [[usize; 2]; 3] {
    let same = |odd_after: bool| {
        [0, 1, 2].map(|i| {
            let windows = size[i].div_ceil(stride[i]);
            let total = ((windows - 1) * stride[i] + span[i]).saturating_sub(size[i]);
            let (less, more) = (total / 2, total.div_ceil(2));
            if odd_after { [less, more] } else { [more, less] }
        })
    };
    match case.text("auto_pad", "NOTSET") {
        "NOTSET" => case.pairs("pads"),
        "VALID" => [[0; 2]; 3],
        "SAME_UPPER" => same(true),
        "SAME_LOWER" => same(false),
        other => panic!("auto_pad {other}"),
    }
}

/// The padding, where it is the same before and after.
pub(crate) fn symmetric(pads: [[usize; 2]; 3]) -> Option<[usize; 3]> {
    pads.iter().all(|[before, after]| before == after).then(|| pads.map(|[before, _]| before))
}

/// `x` `[n, d, h, w, c]` with zeros around.
pub(crate) fn with_zeros<'t>(x: Var<'t, f32>, pads: [[usize; 2]; 3]) -> Var<'t, f32> {
    let [[d0, d1], [h0, h1], [w0, w1]] = pads;
    x.pad(1, d0, d1).pad(2, h0, h1).pad(3, w0, w1)
}
