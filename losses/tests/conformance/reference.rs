//! Reads files of reference cases: tensors `<case>/<role>` or `<case>.<role>`, and JSON of each case's arguments in the metadata.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use autograd::{Real, Tensor};
use libtest_mimic::{Failed, Trial};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The numbers of one tensor.
#[derive(Clone)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<f64>,
}

impl Array {
    pub(crate) fn tensor<T: Real>(&self) -> Tensor<T> {
        Tensor::from_vec(self.shape.as_slice(), self.data.iter().map(|&v| T::from_f64(v)).collect())
    }

    /// `[n, c, ...]` as `[n, ..., c]`; rank 1 as it is. Any rank, so not by `Tensor::from_channels_first`.
    pub(crate) fn channels_last(&self) -> Self {
        if self.shape.len() < 2 {
            return self.clone();
        }
        let (n, c) = (self.shape[0], self.shape[1]);
        let voxels: usize = self.shape[2..].iter().product();
        let at = |i: usize| (i / (voxels * c), i / c % voxels, i % c);
        let data = (0..n * c * voxels).map(|i| {
            let (n, v, k) = at(i);
            self.data[(n * c + k) * voxels + v]
        });
        let mut shape = self.shape.clone();
        shape.remove(1);
        shape.push(c);
        Self { shape, data: data.collect() }
    }

    pub(crate) fn labels(&self) -> Vec<i32> {
        self.data.iter().map(|&v| v as i32).collect()
    }
}

/// One case.
pub(crate) struct Case {
    pub(crate) arguments: Value,
    pub(crate) tensors: BTreeMap<String, Array>,
}

impl Case {
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.arguments[key].as_str()
    }

    pub(crate) fn array(&self, role: &str) -> &Array {
        self.tensors.get(role).unwrap_or_else(|| panic!("no tensor {role}"))
    }
}

/// |got − want| ≤ tolerance · max|want|, for each number.
pub(crate) fn close<T: Real>(what: &str, got: &[T], want: &[f64], tolerance: f64) -> Result<(), Failed> {
    if got.len() != want.len() {
        return Err(format!("{what}: {} numbers, expected {}", got.len(), want.len()).into());
    }
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let difference = (got.to_f64() - want).abs();
        if difference.is_nan() || difference > tolerance * largest {
            return Err(format!("{what}[{i}]: got {got:?}, expected {want:?}, of at most {largest:e}").into());
        }
    }
    Ok(())
}

/// A test per case of each file: the whole reference where it is there, and the fixture of its `source` always.
pub(crate) fn trials(source: &str, files: &[&str], test: fn(&Case) -> Result<(), Failed>) -> Vec<Trial> {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixture = crate_root.join("tests/fixtures").join(source).with_extension("safetensors");
    let mut trials = trials_of(&format!("{source}/fixture"), &fixture, test);
    for file in files {
        let file = &format!("{source}/{file}.safetensors");
        let path: PathBuf = crate_root.join("../../shared/conformance").join(file);
        if path.exists() {
            trials.extend(trials_of(file, &path, test));
        } else {
            eprintln!(
                "skipped: every case of {file}, as there is no shared/conformance/{file} beside the workspace"
            );
        }
    }
    trials
}

fn trials_of(prefix: &str, path: &Path, test: fn(&Case) -> Result<(), Failed>) -> Vec<Trial> {
    let cases = load(path);
    assert!(!cases.is_empty(), "{} has cases", path.display());
    cases
        .into_iter()
        .map(|(name, case)| {
            let case = Arc::new(case);
            Trial::test(format!("{prefix}::{name}"), move || test(&case))
        })
        .collect()
}

fn load(path: &Path) -> BTreeMap<String, Case> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let cases = header.metadata().as_ref().and_then(|m| m.get("cases")).expect("cases in the metadata");
    let cases: BTreeMap<String, Value> = serde_json::from_str(cases).unwrap();
    let mut cases: BTreeMap<String, Case> =
        cases.into_iter().map(|(k, arguments)| (k, Case { arguments, tensors: BTreeMap::new() })).collect();
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
        let (case, role) = name.rsplit_once(['/', '.']).unwrap();
        let bytes = view.data();
        let data = match view.dtype() {
            Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::F32 => {
                bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
            }
            Dtype::I64 => {
                bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
            }
            _ => continue,
        };
        let array = Array { shape: view.shape().to_vec(), data };
        cases.get_mut(case).expect("a tensor of a known case").tensors.insert(role.into(), array);
    }
    cases
}
