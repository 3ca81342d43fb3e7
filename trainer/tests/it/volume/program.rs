//! `trainer info`, typed by hand.

use std::fs;
use std::path::Path;

use volumes::nifti::{self, NiftiHeader};

use crate::support::made::samples;

/// Exit code, stdout and stderr.
fn info(args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_trainer"));
    let output = command.arg("info").args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_label_map_is_told_with_its_labels_and_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.nrrd");
    let affine =
        [[-0.5, 0.0, 0.0, 10.0], [0.0, 0.0, 2.5, -20.0], [0.0, -0.5, 0.0, 30.25], [0.0, 0.0, 0.0, 1.0]];
    volumes::write(&path, &volumes::Header::new(&[3, 2, 1], affine), &[0u8, 0, 1, 0, 2, 0]).unwrap();
    let (code, stdout, stderr) = info(&[name(&path)]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let want = "  format       NRRD
  shape        3 x 2 x 1
  type         uint8, little-endian
  spacing      0.5 x 0.5 x 2.5 mm
  orientation  LIA
  affine              -0.5           0           0          10
                         0           0         2.5         -20
                         0        -0.5           0       30.25
                         0           0           0           1
  values       0 to 2, mean 0.5
  not finite   0
  labels                 0            4 voxels
                         1            1 voxels
                         2            1 voxels
";
    assert_eq!(stdout, format!("{}\n{want}", path.display()));
}

#[test]
fn scaling_and_numbers_that_are_not_finite_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let header = NiftiHeader { scl_slope: 0.5, scl_inter: -10.25, ..NiftiHeader::new([3, 1, 1], [1.0; 3]) };
    nifti::write(&path, &header, &[1.0f32, f32::NAN, f32::INFINITY]).unwrap();
    let (code, stdout, _) = info(&[name(&path)]);
    assert_eq!(code, Some(0));
    for part in [
        "float32, little-endian; a stored v means 0.5·v − 10.25",
        "-9.75 to -9.75, mean -9.75",
        "not finite   2",
    ] {
        assert!(stdout.contains(part), "{stdout}");
    }
    nifti::write(&path, &header, &[f32::NAN; 3]).unwrap();
    let (_, stdout, _) = info(&[name(&path)]);
    assert!(stdout.contains("none is finite") && stdout.contains("not finite   3"), "{stdout}");
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let samples = samples(folder.path());
    for (name, bytes) in &samples {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let broken = folder.path().join("broken.npy");
    fs::write(&broken, "no array").unwrap();
    let mut paths = vec![broken];
    paths.extend(samples.iter().map(|(name, _)| folder.path().join(name)));
    let mut args: Vec<&str> = paths.iter().map(|path| name(path)).collect();

    let (code, stdout, stderr) = info(&args);
    assert_eq!(code, Some(1));
    assert_eq!(stderr, format!("error: 1 of {} files cannot be read; the reasons are above\n", paths.len()));
    assert!(
        stdout.contains("  error  ") && stdout.matches("  orientation  ").count() == samples.len(),
        "{stdout}"
    );

    args.push("--json");
    let (code, stdout, _) = info(&args);
    assert_eq!(code, Some(1));
    let objects: Vec<serde_json::Value> = serde_json::from_str(&stdout).unwrap();
    assert_eq!(objects.len(), paths.len());
    assert!(objects[0]["error"].as_str().unwrap().contains("magic"), "{stdout}");
    for (object, (name, _)) in objects[1..].iter().zip(&samples) {
        assert!(object["file"].as_str().unwrap().ends_with(name));
        assert_eq!(object["dtype"].as_str().unwrap().trim_start_matches('u'), "int16");
    }
}

#[test]
fn one_file_that_cannot_be_read_is_an_error_in_one_line() {
    let (code, stdout, stderr) = info(&["nowhere.nrrd"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(
        stderr.starts_with("error: nowhere.nrrd: No such file") && stderr.lines().count() == 1,
        "{stderr}"
    );
    // clap's own exit code for what cannot be parsed.
    assert_eq!(info(&[]).0, Some(2));
}
