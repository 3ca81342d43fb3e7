//! Which files belong together, and what cannot be compared.

use std::path::Path;

use trainer::evaluate::{Options, Warning, evaluate, read_labels};
use volumes::nifti::{self, NiftiHeader};

use super::{Folders, SHAPE, two_cases};

#[test]
fn what_does_not_pair_is_named_in_warnings() {
    let folders = two_cases().with("labels", "c.nii.gz", [0; 8]).with("predictions", "d.nii.gz", [0; 8]);
    let evaluation = folders.evaluate().unwrap();
    assert_eq!(evaluation.cases.len(), 2);
    let case = |name: &str| vec![name.to_owned()];
    let expected =
        [Warning::MissingPredictions { cases: case("c") }, Warning::ExtraPredictions { cases: case("d") }];
    assert_eq!(evaluation.warnings, expected);
    let text = evaluation.to_string();
    assert!(text.contains("warning: 1 label without prediction, in no mean: c; predict it too"));
}

#[test]
fn folders_without_a_common_case_are_refused() {
    let folders = Folders::new().with("labels", "a.nii.gz", [0; 8]).with("predictions", "b.nii.gz", [0; 8]);
    let error = folders.evaluate().unwrap_err();
    assert!(error.contains("none of its masks, such as"), "{error}");
    let twice = two_cases().with("labels", "a.nii", [0; 8]).evaluate().unwrap_err();
    assert!(twice.contains("is the same case as"), "{twice}");
    let missing =
        evaluate("nowhere", folders.0.path().join("labels"), &Options::default()).unwrap_err().to_string();
    assert!(missing.starts_with("nowhere: "), "{missing}");
}

#[test]
fn another_shape_is_refused_and_another_place_is_a_warning() {
    let folders = two_cases();
    let labels = [0u8, 1, 1, 1, 1, 2, 2, 0];
    // A thousandth of a millimetre is rounding; two millimetres along z are not.
    for (shift, warns) in [(0.001, false), (2.0, true)] {
        let mut header = NiftiHeader::new(SHAPE, [1.0, 1.0, 3.0]);
        header.srow[2][3] += shift;
        folders.volume("predictions", "a.nii.gz", &header, &labels);
        let warnings = folders.evaluate().unwrap().warnings;
        assert_eq!(warnings.len(), usize::from(warns), "{warnings:?}");
        if let [Warning::DifferentAffine { case, millimetres }] = &warnings[..] {
            assert_eq!(case, "a");
            // The header keeps f32.
            assert!((millimetres - shift).abs() <= 4.0 * f64::from(f32::EPSILON), "{millimetres}");
        }
    }
    folders.volume("predictions", "a.nii.gz", &NiftiHeader::new([2, 2, 1], [1.0; 3]), &labels[..4]);
    let error = folders.refusal();
    assert!(
        error.contains("case a: the prediction has shape [2, 2, 1] (x, y, z), the label [2, 2, 2]"),
        "{error}"
    );
}

#[test]
fn a_pair_that_cannot_be_compared_is_named_and_the_others_count() {
    let folders = two_cases();
    let whole = folders.evaluate().unwrap();
    assert!(whole.complete().is_ok());
    folders.volume("predictions", "a.nii.gz", &NiftiHeader::new([2, 2, 1], [1.0; 3]), &[0u8; 4]);
    let found = folders.evaluate().unwrap();
    let cases: Vec<&str> = found.cases.iter().map(|case| case.case.as_str()).collect();
    assert_eq!(cases, ["b"]);
    assert_eq!(found.cases[0], whole.cases[1]);
    assert!(matches!(&found.warnings[..], [Warning::NotCompared { case, .. }] if case == "a"), "{found}");
    let error = found.complete().unwrap_err().to_string();
    assert!(
        error.starts_with("1 of 2 pairs could not be compared: case a: the prediction has shape"),
        "{error}"
    );
    // Where none is left there are no figures.
    std::fs::write(folders.0.path().join("predictions/b.nii.gz"), b"cut").unwrap();
    let error = folders.evaluate().unwrap_err();
    assert!(
        error.starts_with("2 of 2 pairs could not be compared: case a: ") && error.contains("b.nii.gz"),
        "{error}"
    );
}

#[test]
fn a_label_that_dataset_json_does_not_name_is_refused() {
    let error = two_cases().with("predictions", "b.nii.gz", [3, 0, 0, 0, 0, 0, 0, 0]).refusal();
    assert!(
        error.contains("case b: the prediction holds the label 3, which dataset.json does not name"),
        "{error}"
    );
}

#[test]
fn labels_are_whole_numbers_in_any_voxel_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let header = NiftiHeader::new([3, 1, 1], [1.0; 3]);
    nifti::write(path("f.nii.gz"), &header, &[0.0f32, 2.0, -1.0]).unwrap();
    nifti::write(path("i.nii.gz"), &header, &[0i16, 2, -1]).unwrap();
    for name in ["f.nii.gz", "i.nii.gz"] {
        let volume = read_labels(path(name)).unwrap();
        assert_eq!((volume.shape, &volume.labels[..]), ([3, 1, 1], &[0, 2, -1][..]));
    }
    for bad in [0.5, f32::NAN, 3e9] {
        nifti::write(path("f.nii.gz"), &header, &[0.0, bad, 1.0]).unwrap();
        let error = read_labels(path("f.nii.gz")).unwrap_err().to_string();
        assert!(error.contains("voxel 1 is") && error.contains("no label"), "{error}");
    }
    assert!(read_labels(Path::new("nowhere.nii.gz")).is_err());
}
