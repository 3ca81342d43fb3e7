//! Reference values on disk: safetensors whose header holds `cases`, JSON of each case's arguments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use autograd::{Real, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Tensors named `<case>/<key>`, and the cases.
pub(crate) struct Reference {
    pub(crate) cases: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Tensor<f64>>,
}

impl Reference {
    /// # Panics
    /// If the file is no such file: then the reference data are broken, not the library.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
        let header = header.metadata().as_ref().expect("metadata in the header");
        let cases = serde_json::from_str(&header["cases"]).expect("cases in JSON");
        let views = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = views.iter().filter_map(|(name, view)| {
            let data = numbers(view.dtype(), view.data())?;
            Some((name.to_owned(), Tensor::from_vec(view.shape(), data)))
        });
        Self { cases, tensors: tensors.collect() }
    }

    /// A tensor of a case, if it is there.
    pub(crate) fn get<T: Real>(&self, case: &str, key: &str) -> Option<Tensor<T>> {
        self.tensors.get(&format!("{case}/{key}")).map(Tensor::cast)
    }

    /// A tensor of a case.
    pub(crate) fn tensor<T: Real>(&self, case: &str, key: &str) -> Tensor<T> {
        self.get(case, key).unwrap_or_else(|| panic!("{case} has no {key}"))
    }
}

/// The numbers of the types that occur, widened; `None` for bytes, which hold text.
fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    let words = |size| bytes.chunks_exact(size);
    Some(match dtype {
        Dtype::F64 => words(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::F32 => words(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
        Dtype::I64 => words(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
        Dtype::I32 => words(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect(),
        _ => return None,
    })
}

/// The folder of the full reference data, if it is there, below `../shared/conformance` of the workspace.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let conformance = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance"));
    Some(conformance.join(folder)).filter(|path| path.is_dir())
}

/// A file of the fixtures that come with the crate.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures")).join(name)
}

/// |got − want| ≤ tolerance · max|want| for every element, and the same shape.
pub(crate) fn compare<T: Real>(
    name: &str,
    got: &Tensor<T>,
    want: &Tensor<T>,
    tolerance: f64,
) -> Result<(), String> {
    if got.shape() != want.shape() {
        return Err(format!("{name} has shape {}, not {}", got.shape(), want.shape()));
    }
    let scale = want.data().iter().fold(0.0, |m: f64, v| m.max(v.to_f64().abs()));
    for (i, (got, want)) in got.data().iter().zip(want.data()).enumerate() {
        let off = (got.to_f64() - want.to_f64()).abs();
        if off.is_nan() || off > tolerance * scale {
            return Err(format!("{name}[{i}] is {got}, not {want}: off by {off:e}, largest {scale:e}"));
        }
    }
    Ok(())
}
