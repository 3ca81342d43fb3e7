//! `trainer info --json` on every file of the reference set (values by nibabel), each a test of its own.

use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

pub(crate) fn trials() -> Vec<Trial> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = suite("fixture", &root.join("volumes/tests/fixtures/nifti"));
    trials.extend(suite("nibabel", &root.join("volumes/tests/fixtures/nibabel")));
    let reference = root.join("../../shared/conformance/nifti");
    if reference.join("expected.json").exists() {
        trials.extend(suite("reference", &reference));
        trials.push(Trial::test("info::all files at once", move || {
            all_at_once(&reference).map_err(Failed::from)
        }));
    } else {
        eprintln!("skipped: the reference set of NIfTI files (shared/conformance/nifti is not there)");
    }
    trials
}

fn expected(folder: &Path) -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(folder.join("expected.json")).expect("the list is there");
    serde_json::from_str(&text).expect("the list is JSON")
}

fn suite(kind: &str, folder: &Path) -> Vec<Trial> {
    let trial = |(name, want): (String, Value)| {
        let path = folder.join(&name);
        let missing = missing_part(&path, &want);
        let title = match &missing {
            Some(part) => format!("info::{name} (skipped: {part} is not there)"),
            None => format!("info::{name}"),
        };
        let run = move || check(&path, &want).map_err(Failed::from);
        Trial::test(title, run).with_kind(kind).with_ignored_flag(missing.is_some())
    };
    expected(folder).into_iter().map(trial).collect()
}

/// The reference set lacks the header of its pairs; a header alone must be refused.
fn missing_part(path: &Path, want: &Value) -> Option<String> {
    let other = match path.extension()?.to_str()? {
        "img" => path.with_extension("hdr"),
        "hdr" if want["header_only"] != true => path.with_extension("img"),
        _ => path.to_path_buf(),
    };
    (!other.exists()).then(|| other.file_name().expect("a file").to_string_lossy().into_owned())
}

/// The exit code and the objects.
fn info(paths: &[PathBuf]) -> Result<(Option<i32>, Vec<Value>), String> {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_trainer"));
    let output = command.arg("info").arg("--json").args(paths).output().map_err(|e| e.to_string())?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    if stderr.contains("panicked") {
        return Err(stderr);
    }
    let objects = serde_json::from_slice(&output.stdout).map_err(|e| format!("no JSON: {e}\n{stderr}"))?;
    Ok((output.status.code(), objects))
}

fn must_be_refused(want: &Value) -> bool {
    want["error"] == true || want["header_only"] == true
}

fn check(path: &Path, want: &Value) -> Result<(), String> {
    let (code, objects) = info(&[path.to_path_buf()])?;
    let [object] = objects.as_slice() else { return Err(format!("{} objects for one file", objects.len())) };
    same("file", &object["file"], &Value::from(path.display().to_string()))?;
    match object["error"].as_str() {
        Some(message) if must_be_refused(want) || want["may_refuse"] == true => {
            same("exit code", &code, &Some(1))?;
            check_message(path, message)
        }
        Some(message) => Err(format!("refused: {message}")),
        None if must_be_refused(want) => Err("was read, but must be refused".into()),
        None => {
            same("exit code", &code, &Some(0))?;
            check_header(path, object, want)?;
            check_values(object, want)
        }
    }
}

/// Readable files are shown beside the others, in their order.
fn all_at_once(folder: &Path) -> Result<(), String> {
    let list = expected(folder);
    let names: Vec<&String> =
        list.iter().filter(|(name, _)| folder.join(name).exists()).map(|(n, _)| n).collect();
    let (code, objects) = info(&names.iter().map(|name| folder.join(name)).collect::<Vec<_>>())?;
    same("exit code", &code, &Some(1))?;
    same("objects", &objects.len(), &names.len())?;
    for (name, object) in names.iter().zip(&objects) {
        let file = object["file"].as_str().unwrap_or_default();
        if !file.ends_with(name.as_str()) || object["error"].is_string() == object["shape"].is_array() {
            return Err(format!("{object} for {name}"));
        }
    }
    Ok(())
}

/// A refusal names the file, the field and what to do.
fn check_message(path: &Path, message: &str) -> Result<(), String> {
    let file = path.with_extension("");
    let stem = file.file_name().expect("a file").to_string_lossy();
    let remedy = ["export", "copy", "convert", "save", "rename", "needs", "set ", "No such file"];
    let name = path.file_name().expect("a file").to_string_lossy();
    let field = match &*name {
        "analyze.hdr" => "Analyze",
        "n1_rgb24.nii" => "datatype 128",
        "n1_complex64.nii" => "datatype 32",
        "bad_truncated_data.nii" => "shape",
        "bad_magic.nii" => "magic",
        "bad_sizeof_hdr.nii" => "348",
        "bad_dim0.nii" => "dim[0]",
        "bad_negdim.nii" | "bad_zerodim.nii" => "dim =",
        "bad_datatype.nii" => "datatype",
        "bad_gz_truncated.nii.gz" | "bad_not_gz.nii.gz" => "gzip",
        "nifti1.hdr" => "nifti1.img",
        "nifti2.hdr" => "nifti2.img",
        _ => "",
    };
    if message.contains(&*stem) && message.contains(field) && remedy.iter().any(|r| message.contains(r)) {
        Ok(())
    } else {
        Err(format!("the message lacks the file, \"{field}\" or the remedy: {message}"))
    }
}

fn check_header(path: &Path, object: &Value, want: &Value) -> Result<(), String> {
    for key in ["shape", "axcodes", "byte_order"] {
        if !want[key].is_null() {
            same(key, &object[key], &want[key])?;
        }
    }
    if let Some(kind) = want["dtype"].as_str() {
        // `>i2` is NumPy's short form of a big-endian int16.
        let long = match kind.trim_start_matches('>').split_at(1) {
            ("i", bytes @ ("1" | "2" | "4" | "8")) => format!("int{}", 8 * number_in(bytes)),
            ("u", bytes @ ("1" | "2" | "4" | "8")) => format!("uint{}", 8 * number_in(bytes)),
            ("f", bytes @ ("4" | "8")) => format!("float{}", 8 * number_in(bytes)),
            _ => kind.to_owned(),
        };
        same("dtype", &object["dtype"], &Value::from(long))?;
    }
    // The smaller set does not say; there the values do.
    if want.as_object().is_some_and(|keys| keys.contains_key("scl_slope")) {
        let plain = !want["scl_slope"].is_number() || want["scl_slope"] == 0.0;
        for (key, default) in [("scl_slope", 1.0), ("scl_inter", 0.0)] {
            let wanted = if plain || !want[key].is_number() { default } else { number(&want[key]) };
            close(key, number(&object[key]), wanted, f64::EPSILON * wanted.abs())?;
        }
    }
    // Without sizes in `pixdim` ours come from the affine.
    if let Some(zooms) = want["zooms"].as_array().filter(|_| !path.ends_with("n1_pixdim_zero.nii")) {
        for (axis, zoom) in zooms.iter().take(3).enumerate() {
            close("spacing", number(&object["spacing"][axis]), number(zoom), 0.0)?;
        }
    }
    check_affine(object, want)
}

fn check_affine(object: &Value, want: &Value) -> Result<(), String> {
    let Some(rows) = want["affine"].as_array() else { return Ok(()) };
    let wanted: Vec<f64> = rows.iter().flat_map(|row| row.as_array().expect("a row")).map(number).collect();
    let ours: Vec<f64> =
        (0..16).map(|i| object["affine"][i / 4][i % 4].as_f64().unwrap_or(f64::NAN)).collect();
    let largest = wanted.iter().fold(1.0f64, |most, v| most.max(v.abs()));
    // A rotation's entry is made of a dozen products; a fixture's text is exact where its file has f32.
    let tolerance =
        if want["byte_order"].is_null() { 4.0 * f64::from(f32::EPSILON) } else { 16.0 * f64::EPSILON };
    for (ours, wanted) in ours.iter().zip(&wanted) {
        close("affine", *ours, *wanted, tolerance * largest)?;
    }
    Ok(())
}

fn check_values(object: &Value, want: &Value) -> Result<(), String> {
    if want["nonfinite"].is_u64() {
        same("nonfinite", &object["nonfinite"], &want["nonfinite"])?;
    }
    let count: f64 = object["shape"].as_array().expect("a shape").iter().map(number).product();
    let largest = number(&object["min"]).abs().max(number(&object["max"]).abs());
    for (key, terms) in [("min", 1.0), ("max", 1.0), ("mean", count)] {
        if want[key].is_number() {
            close(key, number(&object[key]), number(&want[key]), terms * f64::EPSILON * largest)?;
        }
    }
    if let Some(labels) = object["labels"].as_array() {
        let counted: f64 = labels.iter().map(|label| number(&label["count"])).sum();
        same("voxels with a label", &(counted, labels.len() <= 64), &(count, true))?;
    }
    Ok(())
}

fn number_in(text: &str) -> u32 {
    text.parse().expect("a digit")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn close(what: &str, ours: f64, want: f64, tolerance: f64) -> Result<(), String> {
    if (ours - want).abs() <= tolerance { Ok(()) } else { Err(format!("{what} {ours}, want {want}")) }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, want: &T) -> Result<(), String> {
    if ours == want { Ok(()) } else { Err(format!("{what} {ours:?}, want {want:?}")) }
}
