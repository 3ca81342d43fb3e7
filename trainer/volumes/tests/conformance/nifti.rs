//! Every file that `expected.json` lists, as a test of its own: the small sets of this crate, of which one has values by
//! nibabel, and the larger reference set (by nibabel, too) where it is there.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use volumes::ByteOrder;
use volumes::nifti::{self, Version};

pub(crate) fn trials() -> Vec<Trial> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = suite("fixture", &root.join("tests/fixtures/nifti"));
    trials.extend(suite("nibabel", &root.join("tests/fixtures/nibabel")));
    let reference = root.join("../../../shared/conformance/nifti");
    if reference.join("expected.json").exists() {
        trials.extend(suite("reference", &reference));
    } else {
        eprintln!("skipped: the reference set of NIfTI files (shared/conformance/nifti is not there)");
    }
    trials
}

fn suite(kind: &str, folder: &Path) -> Vec<Trial> {
    let text = std::fs::read_to_string(folder.join("expected.json")).expect("the list is there");
    let list: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("the list is JSON");
    let trial = |(name, want): (String, Value)| {
        let path = folder.join(&name);
        let missing = missing_part(&path);
        let title = match &missing {
            Some(part) => format!("nifti::{name} (skipped: {part} is not there)"),
            None => format!("nifti::{name}"),
        };
        let run = move || check(&path, &want).map_err(Failed::from);
        Trial::test(title, run).with_kind(kind).with_ignored_flag(missing.is_some())
    };
    list.into_iter().map(trial).collect()
}

/// The reference set lacks the header of its pairs.
fn missing_part(path: &Path) -> Option<String> {
    let other = match path.extension()?.to_str()? {
        "img" => path.with_extension("hdr"),
        _ => path.to_path_buf(),
    };
    (!other.exists()).then(|| other.file_name().expect("a file").to_string_lossy().into_owned())
}

fn check(path: &Path, want: &Value) -> Result<(), String> {
    if want["header_only"] == true && want["error"] != true {
        return check_header(&nifti::read_header(path).map_err(|e| e.to_string())?, want);
    }
    match volumes::Stored::read(path) {
        Err(error) if want["error"] == true || want["may_refuse"] == true => {
            check_message(path, &error.to_string())
        }
        Err(error) => Err(format!("refused: {error}")),
        Ok(_) if want["error"] == true => Err("was read, but must be refused".into()),
        Ok(image) => {
            check_header(image.header.nifti.as_deref().expect("it is NIfTI"), want)?;
            check_voxels(&image, want)
        }
    }
}

/// A refusal names the file and says what to do.
fn check_message(path: &Path, message: &str) -> Result<(), String> {
    let file = path.with_extension("");
    let stem = file.file_name().expect("a file").to_string_lossy();
    let remedy = ["export", "copy", "convert", "save", "rename", "needs", "set "];
    if message.contains(&*stem) && remedy.iter().any(|r| message.contains(r)) {
        Ok(())
    } else {
        Err(format!("the message lacks the file or the remedy: {message}"))
    }
}

fn check_header(header: &nifti::NiftiHeader, want: &Value) -> Result<(), String> {
    if let Some(shape) = want["shape"].as_array() {
        let shape: Vec<usize> = shape.iter().map(|n| n.as_u64().expect("a length") as usize).collect();
        same("shape", &header.shape, &shape)?;
    }
    if let Some(version) = want["version"].as_u64() {
        same("version", &header.version, &if version == 1 { Version::One } else { Version::Two })?;
    }
    if let Some(order) = want["byte_order"].as_str() {
        same(
            "byte order",
            &header.byte_order,
            &if order == "big" { ByteOrder::Big } else { ByteOrder::Little },
        )?;
    }
    if let Some(kind) = want["dtype"].as_str() {
        let ours = format!("{:?}", header.voxel_type).to_lowercase();
        let spelled =
            ours.replace('u', "uint").replace('i', "int").replace("uintnt", "uint").replace('f', "float");
        let bits: usize = spelled.trim_start_matches(char::is_alphabetic).parse().expect("a number of bits");
        let numpy = format!("{}{}", spelled.chars().next().expect("a letter"), bits / 8);
        if kind != spelled && kind.trim_start_matches('>') != numpy {
            return Err(format!("voxel type {ours}, want {kind}"));
        }
    }
    for (key, ours) in [("qform_code", header.qform_code), ("sform_code", header.sform_code)] {
        if let Some(code) = want[key].as_i64() {
            same(key, &i64::from(ours), &code)?;
        }
    }
    if let Some(zooms) = want["zooms"].as_array() {
        same("number of zooms", &header.zooms().len(), &zooms.len())?;
        for (ours, zoom) in header.zooms().iter().zip(zooms) {
            same("zoom", ours, &number(zoom))?;
        }
    }
    check_affine(header, want)
}

fn check_affine(header: &nifti::NiftiHeader, want: &Value) -> Result<(), String> {
    let Some(rows) = want["affine"].as_array() else { return Ok(()) };
    let affine = header.affine()?;
    let largest =
        rows.iter().flat_map(|r| r.as_array().expect("a row")).map(|v| number(v).abs()).fold(1.0, f64::max);
    for (ours, row) in affine.iter().zip(rows) {
        for (a, b) in ours.iter().zip(row.as_array().expect("a row")) {
            // A rotation's entry is made of a dozen products. Its parts are f32 numbers of both sides alike, but for
            // the fixture, whose text is exact and whose file is not.
            let tolerance = if want["byte_order"].is_null() {
                4.0 * f64::from(f32::EPSILON)
            } else {
                16.0 * f64::EPSILON
            };
            if (a - number(b)).abs() > tolerance * largest {
                return Err(format!("affine {affine:?}, want {rows:?}"));
            }
        }
    }
    Ok(())
}

fn check_voxels(image: &volumes::Stored, want: &Value) -> Result<(), String> {
    let values = image.to_f64();
    same("number of voxels", &values.len(), &image.header.len())?;
    if let Some(count) = want["nonfinite"].as_u64() {
        same(
            "voxels that are not finite",
            &(values.iter().filter(|v| !v.is_finite()).count() as u64),
            &count,
        )?;
    }
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let largest = finite.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let statistics = [
        ("min", finite.iter().copied().fold(f64::INFINITY, f64::min), 1.0),
        ("max", finite.iter().copied().fold(f64::NEG_INFINITY, f64::max), 1.0),
        ("mean", finite.iter().sum::<f64>() / finite.len() as f64, finite.len() as f64),
    ];
    for (key, ours, terms) in statistics {
        if want[key].is_number() && (ours - number(&want[key])).abs() > terms * f64::EPSILON * largest {
            return Err(format!("{key} {ours}, want {}", want[key]));
        }
    }
    for probe in want["probes"].as_array().into_iter().flatten() {
        let index = probe["index"].as_array().expect("an index");
        let pairs = index.iter().zip(&image.header.shape).rev();
        let at = pairs.fold(0, |at, (i, &n)| at * n + i.as_u64().expect("an index") as usize);
        let (ours, theirs) = (values[at], number(&probe["value"]));
        // The JSON reader may miss the nearest f64 by one unit in the last place.
        let close = (ours - theirs).abs() <= f64::EPSILON * theirs.abs();
        let equal = close || ours == theirs || (ours.is_nan() && theirs.is_nan());
        if !equal {
            return Err(format!("voxel {index:?} is {ours}, want {theirs}"));
        }
    }
    Ok(())
}

fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some("nan") => f64::NAN,
        Some("inf") => f64::INFINITY,
        Some("-inf") => f64::NEG_INFINITY,
        _ => value.as_f64().expect("a number"),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, want: &T) -> Result<(), String> {
    if ours == want { Ok(()) } else { Err(format!("{what} {ours:?}, want {want:?}")) }
}
