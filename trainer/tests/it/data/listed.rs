//! Cases that `dataset.json` lists with their files.

use std::path::Path;

use trainer::curate::verify::{Kind, verify};
use trainer::dataset::{Checksums, Dataset};
use trainer::preprocess::CaseReader;

use super::{SHAPE, says, volume};

/// A data set whose files lie anywhere, with what stands under `dataset`.
fn set(root: &Path, dataset: &str) -> std::path::PathBuf {
    let folder = root.join("set");
    for name in ["one", "two"] {
        volume(&root.join(format!("elsewhere/{name}.nii.gz")), SHAPE, |i| (i + name.len()) as f32);
        volume(&folder.join(format!("{name}_mask.nii.gz")), SHAPE, |i| u8::from(i % 6 == 0));
    }
    let text = format!(
        r#"{{"channel_names": {{"0": "T1"}}, "labels": {{"background": 0, "lesion": 1}}, "dataset": {dataset}}}"#
    );
    std::fs::write(folder.join("dataset.json"), text).unwrap();
    folder
}

#[test]
fn files_are_taken_from_where_they_are_listed() {
    let root = tempfile::tempdir().unwrap();
    let absolute = root.path().join("elsewhere/two.nii.gz");
    let folder = set(
        root.path(),
        &format!(
            r#"{{"b": {{"images": ["../elsewhere/one.nii.gz"], "label": "one_mask.nii.gz"}},
                "a": {{"images": [{absolute:?}], "label": "two_mask.nii.gz"}}}}"#
        ),
    );
    let found = Dataset::open(&folder).unwrap();
    let cases: Vec<_> = found.training.iter().map(|c| (c.name.as_str(), c.images[0].clone())).collect();
    assert_eq!(cases, [("a", absolute), ("b", folder.join("../elsewhere/one.nii.gz"))]);
    let cases = CaseReader::native(&found).read_all(&found.training).unwrap();
    assert_eq!(cases[1].class_counts(2).0, [20, 4]);
    assert_eq!(found.checksums(&Checksums::default()).unwrap().len(), 5);
    let found = verify(&folder).unwrap();
    assert_eq!((found.errors, found.training_cases), (0, 2), "{found}");
}

#[test]
fn what_is_listed_wrongly_is_named() {
    let case = |images: &str, label: &str| format!(r#"{{"a": {{"images": {images}, "label": {label}}}}}"#);
    let image = r#"["../elsewhere/one.nii.gz"]"#;
    let label = r#""one_mask.nii.gz""#;
    for (dataset, kind, parts) in [
        ("[1]".to_owned(), Kind::CaseList, &["no list of cases", "images"][..]),
        (r#"{"a": {"images": ["x.nii.gz"]}}"#.into(), Kind::CaseList, &["\"a\"", "its label"]),
        (case("[3]", label), Kind::CaseList, &["does not name its images"]),
        (case(r#"["gone.nii.gz"]"#, label), Kind::CaseList, &["gone.nii.gz", "case a", "is not there"]),
        (case(image, r#""one_mask.nrrd""#), Kind::CaseList, &["one_mask.nrrd", ".nii.gz, the file_ending"]),
        (
            case(r#"["one_mask.nii.gz", "two_mask.nii.gz"]"#, label),
            Kind::MissingChannel,
            &["2 images", "1 channel"],
        ),
        (case(image, label).replace("\"a\"", "\"../a\""), Kind::CaseName, &["\"../a\"", "plain name"]),
        ("{}".into(), Kind::NoImages, &["lists no case"]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let folder = set(root.path(), &dataset);
        says(&Dataset::open(&folder).unwrap_err().to_string(), parts);
        let found = verify(&folder).unwrap();
        let errors: Vec<_> = found.findings.iter().take(found.errors).map(|f| f.kind).collect();
        assert_eq!(errors, [kind], "{dataset}: {found}");
    }
}

#[test]
fn a_path_that_ends_as_the_data_set_is_called_is_named_whole() {
    let root = tempfile::tempdir().unwrap();
    set(root.path(), r#"{"a": {"images": ["/data/subset/x.nii.gz"], "label": "one_mask.nii.gz"}}"#);
    // As a relative path, which is what others may end in.
    let mut program = assert_cmd::Command::new(env!("CARGO_BIN_EXE_trainer"));
    let output = program.current_dir(root.path()).args(["verify", "set"]).output().unwrap();
    says(&String::from_utf8(output.stdout).unwrap(), &["names /data/subset/x.nii.gz for the case a"]);
}

#[test]
fn a_name_under_the_key_is_no_list() {
    let root = tempfile::tempdir().unwrap();
    let folder = set(root.path(), r#""BRATS""#);
    volume(&folder.join("imagesTr/a_0000.nii.gz"), SHAPE, |i| i as f32);
    volume(&folder.join("labelsTr/a.nii.gz"), SHAPE, |i| u8::from(i % 6 == 0));
    assert_eq!(Dataset::open(&folder).unwrap().training.len(), 1);
}
