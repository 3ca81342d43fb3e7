//! Laws of `verify`: each mistake is found, named by its file with a remedy, and found once; a good folder has none.

mod each_alone;
mod tiff_sets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use trainer::curate::verify::Kind::{self, *};
use trainer::curate::verify::Severity::{self, *};
use trainer::curate::verify::{Verification, verify};
use trainer::dataset::Dataset;
use trainer::preprocess::CaseReader;
use volumes::Voxel;
use volumes::nifti::{self, NiftiHeader};

use crate::support::shared::shared;
use crate::support::small;

const SHAPE: [usize; 3] = [6, 5, 4];
const VOXELS: usize = 120;
const SPACING: [f64; 3] = [1.0, 1.5, 3.0];

fn header() -> NiftiHeader {
    NiftiHeader::new(SHAPE, SPACING)
}

fn put<V: Voxel>(root: &Path, file: &str, header: &NiftiHeader, value: impl Fn(usize) -> V) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    nifti::write(path, header, &(0..header.len()).map(value).collect::<Vec<V>>()).unwrap();
}

fn image(case: usize, voxel: usize) -> f32 {
    small::noise(case * VOXELS + voxel)
}

fn label(case: usize, voxel: usize) -> u8 {
    u8::from(voxel % 7 == case)
}

/// Cases a, b and c for training, t with and u without labels for testing.
fn good(channels: usize, json: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("dataset.json"), json).unwrap();
    for (case, (side, name)) in
        [("Tr", "a"), ("Tr", "b"), ("Tr", "c"), ("Ts", "t"), ("Ts", "u")].into_iter().enumerate()
    {
        for channel in 0..channels {
            let value = |i| image(case + 10 * channel, i);
            put(root, &format!("images{side}/{name}_{channel:04}.nii.gz"), &header(), value);
        }
        if name != "u" {
            put(root, &format!("labels{side}/{name}.nii.gz"), &header(), |i| label(case, i));
        }
    }
    folder
}

const ONE: &str =
    r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1}, "numTraining": 3}"#;
const TWO: &str =
    r#"{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "a", "2": "ignore"}}"#;

type Found = Vec<(Severity, Kind, String)>;

fn found(root: &Path) -> (Found, Verification) {
    let found = verify(root).unwrap();
    let list = found.findings.iter().map(|f| (f.severity, f.kind, f.subject.clone())).collect();
    assert!(found.findings.iter().all(|f| !f.message.is_empty() && f.remedy.len() > 5), "{found}");
    assert_eq!(found.errors, found.findings.iter().filter(|f| f.severity == Error).count());
    assert_eq!(found.errors + found.warnings, found.findings.len());
    (list, found)
}

/// Training would refuse the folder, or one of its cases.
fn is_refused(root: &Path) -> bool {
    let read = Dataset::open(root).and_then(|set| {
        CaseReader::native(&set).read_all(&set.training)?;
        CaseReader::native(&set).read_all(&set.test)
    });
    read.is_err()
}

/// Plants one fault, and wants it alone.
#[track_caller]
fn alone(folder: &tempfile::TempDir, want: (Severity, Kind, &str), parts: &[&str]) {
    let (list, page) = found(folder.path());
    assert_eq!(list, [(want.0, want.1, want.2.to_owned())], "{page}");
    let text = page.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    assert!(!text.contains(folder.path().to_str().unwrap()), "paths are relative:\n{text}");
    assert_eq!(want.0 == Error, is_refused(folder.path()), "an error is what is refused:\n{text}");
}

fn rename(folder: &tempfile::TempDir, from: &str, to: &str) {
    fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_good_folder_gives_no_finding() {
    for (channels, json) in [(1, ONE), (2, TWO)] {
        let folder = good(channels, json);
        fs::write(folder.path().join("imagesTr/._a_0000.nii.gz"), "left by another system").unwrap();
        let (list, page) = found(folder.path());
        assert_eq!(list, [], "{page}");
        assert_eq!((page.training_cases, page.test_cases), (3, 2));
        assert!(page.to_string().ends_with("0 errors, 0 warnings"), "{page}");
        assert!(!is_refused(folder.path()));
    }
    let nowhere = good(1, ONE).path().join("nowhere");
    assert!(verify(nowhere).unwrap_err().to_string().contains("does not exist; name the folder"));
}

/// A folder with a dozen faults.
fn bad() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let json = r#"{"name": "Sick", "channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1, "cyst": 2}}"#;
    fs::write(root.join("dataset.json"), json).unwrap();
    for case in 0..10 {
        let name = format!("case_{case}");
        put(root, &format!("imagesTr/{name}_0000.nii.gz"), &header(), |i| image(case, i));
        put(root, &format!("labelsTr/{name}.nii.gz"), &header(), |i| u8::from(i % 11 == case));
    }
    fs::remove_file(root.join("labelsTr/case_0.nii.gz")).unwrap();
    rename(&folder, "imagesTr/case_1_0000.nii.gz", "imagesTr/case_1_0000.nii.gz.gz");
    cut(&root.join("imagesTr/case_2_0000.nii.gz"));
    put(root, "labelsTr/case_3.nii.gz", &NiftiHeader::new([6, 5, 3], SPACING), |i| u8::from(i % 11 == 3));
    put(root, "labelsTr/case_4.nii.gz", &header(), |i| if i % 11 == 4 { 255u8 } else { 0 });
    put(root, "labelsTr/case_5.nii.gz", &header(), |i| if i == 5 { 0.5f32 } else { 0.0 });
    put(root, "imagesTr/case_6_0000.nii.gz", &header(), |i| if i == 6 { f32::NAN } else { image(6, i) });
    let mut moved = NiftiHeader { qform_code: 0, ..header() };
    moved.srow[2][3] = 12.0;
    put(root, "labelsTr/case_7.nii.gz", &moved, |i| u8::from(i % 11 == 7));
    put(root, "labelsTr/case_8.nii.gz", &header(), |_| 0u8);
    put(root, "imagesTr/case_9_0000.nii.gz", &header(), |i| image(8, i));
    fs::write(root.join("imagesTr/thumbs.png"), "").unwrap();
    put(root, "labelsTr/case_10.nii.gz", &header(), |i| u8::from(i % 11 == 10));
    folder
}

#[test]
fn all_faults_of_a_folder_are_listed_at_once() {
    let folder = bad();
    let (list, page) = found(folder.path());
    let want = [
        (Error, MissingImage, "case case_10"),
        (Error, MissingLabel, "case case_0"),
        (Error, UnexpectedEnding, "imagesTr/case_1_0000.nii.gz.gz"),
        (Error, Unreadable, "imagesTr/case_2_0000.nii.gz"),
        (Error, ShapeDiffers, "case case_3"),
        (Error, Mask255, "case case_4"),
        (Error, NotWholeLabels, "case case_5"),
        (Error, NotFinite, "case case_6"),
        (Warning, PlaceDiffers, "labelsTr/case_7.nii.gz"),
        (Warning, EmptyCase, "labelsTr/case_8.nii.gz"),
        (Warning, DuplicateImage, "imagesTr/case_9_0000.nii.gz"),
        (Warning, UnexpectedEnding, "imagesTr/thumbs.png"),
        (Warning, AbsentClass, "dataset.json"),
    ];
    let set = |list: &[(Severity, Kind, String)]| -> BTreeSet<_> { list.iter().cloned().collect() };
    let want = want.map(|(severity, kind, subject)| (severity, kind, subject.to_owned()));
    assert_eq!((set(&list), list.len()), (set(&want), want.len()), "{page}");
    assert!(list.is_sorted_by_key(|(severity, ..)| *severity), "errors come first: {page}");
    println!("{page}");
}

#[test]
fn json_has_what_the_page_has() {
    let folder = bad();
    let found = verify(folder.path()).unwrap();
    let page = found.to_string();
    let json = serde_json::to_value(&found).unwrap();
    let findings = json["findings"].as_array().unwrap();
    let mut shown = String::new();
    for finding in findings {
        let text = |key: &str| finding[key].as_str().unwrap();
        let entry = format!("  {}: {}\n      -> {}\n", text("subject"), text("message"), text("remedy"));
        assert!(page.contains(&entry), "{entry} is not in:\n{page}");
        shown += &entry;
    }
    assert_eq!(page.lines().filter(|line| line.starts_with("  ")).count(), 2 * findings.len());
    assert!(page.ends_with(&format!("{} errors, {} warnings", json["errors"], json["warnings"])), "{page}");
    assert_eq!((findings[0]["severity"].as_str(), json["name"].as_str()), (Some("error"), Some("Sick")));
    assert_eq!(serde_json::from_value::<Verification>(json).unwrap(), found);
}

#[test]
fn the_program_prints_the_page_and_ends_with_1_where_there_is_an_error() {
    let run = |folder: &Path| {
        let file = folder.join("found.json");
        let mut program = assert_cmd::Command::new(env!("CARGO_BIN_EXE_trainer"));
        let output = program.arg("verify").arg(folder).arg("--json").arg(&file).output().unwrap();
        let json: Verification = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr), json)
    };
    let (healthy, sick) = (good(1, ONE), bad());
    let (code, page, errors, json) = run(healthy.path());
    assert_eq!((code, page, errors.as_str()), (Some(0), format!("{json}\n"), ""));
    let (code, page, errors, json) = run(sick.path());
    assert_eq!((code, page), (Some(1), format!("{json}\n")));
    assert!(errors.ends_with("has the 8 errors above; correct them before training\n"), "{errors}");
    // Warnings alone do not stop anybody.
    let folder = good(1, ONE);
    put(folder.path(), "labelsTr/b.nii.gz", &header(), |_| 0u8);
    assert_eq!(run(folder.path()).0, Some(0));
}

#[test]
fn the_reference_sets_have_no_errors() {
    for name in ["Dataset101_Pallidum", "Dataset102_Nuclei3D", "Dataset103_DeepGrey", "Dataset104_BrainTumor"]
    {
        let Some(root) = shared("verify: errors of the reference sets", &format!("data/{name}")) else {
            continue;
        };
        let found = verify(root).unwrap();
        println!("{found}\n");
        assert_eq!(found.errors, 0, "{found}");
    }
}
