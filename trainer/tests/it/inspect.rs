//! Laws of the inspection: counts and statistics of volumes known by hand.

use std::path::Path;

use trainer::curate::inspect::inspect;
use trainer::dataset::Dataset;
use volumes::nifti::{self, NiftiHeader};

const SHAPE: [usize; 3] = [5, 4, 2];

fn put(path: &Path, spacing: [f64; 3], value: impl Fn(usize) -> i16) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let data: Vec<i16> = (0..40).map(value).collect();
    nifti::write(path, &NiftiHeader::new(SHAPE, spacing), &data).unwrap();
}

/// Case a: intensities 0 to 39, ten voxels of class 1, two of class 2, four ignored. Case b: 40 to 79, nothing in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let json = r#"{"name": "Known", "channel_names": {"0": "T1"}, "labels": {"background": 0, "a": 1, "b": 2, "c": 3, "ignore": 9}}"#;
    std::fs::write(root.join("dataset.json"), json).unwrap();
    put(&root.join("imagesTr/a_0000.nii.gz"), [1.0, 6.0, 2.0], |i| i as i16);
    put(&root.join("imagesTr/b_0000.nii.gz"), [1.0, 6.0, 3.0], |i| 40 + i as i16);
    put(&root.join("labelsTr/a.nii.gz"), [1.0, 6.0, 2.0], |i| match i {
        0..10 => 1,
        10..12 => 2,
        12..16 => 9,
        _ => 0,
    });
    put(&root.join("labelsTr/b.nii.gz"), [1.0, 6.0, 3.0], |_| 0);
    put(&root.join("imagesTs/t_0000.nii.gz"), [1.0, 6.0, 2.0], |_| 7);
    folder
}

#[test]
fn counts_and_ratios_are_those_of_the_voxels() {
    let folder = folder();
    let found = inspect(&Dataset::open(folder.path()).unwrap()).unwrap();
    assert_eq!((found.name.as_str(), found.depth_axis), ("Known", 'y'));
    let side = &found.training;
    assert_eq!((side.cases[0].shape, side.cases[1].spacing), ([4, 2, 5], [6.0, 3.0, 1.0]));
    let voxels: Vec<u64> = side.classes.iter().map(|c| c.voxels).collect();
    assert_eq!((voxels, side.ignored), (vec![64, 10, 2, 0], 4));
    let ratios: Vec<_> = side.classes.iter().map(|c| c.neg_per_pos).collect();
    assert_eq!(ratios, [Some(12.0 / 64.0), Some(6.6), Some(37.0), None]);
    assert_eq!(side.neg_per_pos, Some(64.0 / 12.0));
    assert_eq!(side.classes[2].fraction, 2.0 / 76.0);
    assert_eq!(side.empty_cases, ["b"]);
    assert_eq!(side.cases[0].class_voxels.as_deref(), Some(&[24, 10, 2, 0][..]));
    assert_eq!((found.test.cases[0].class_voxels.as_ref(), found.test.neg_per_pos), (None, None));
}

#[test]
fn statistics_are_those_of_all_cases_together() {
    let folder = folder();
    let found = inspect(&Dataset::open(folder.path()).unwrap()).unwrap();
    // The whole numbers 0 to 79: variance (80² − 1) / 12, and each step of a quantile is 79 wide.
    let i = &found.training.intensities[0];
    assert_eq!((i.min, i.median, i.mean, i.max), (0.0, 39.5, 39.5, 79.0));
    for (value, want) in [(i.sd, (6399.0f64 / 12.0).sqrt()), (i.p00_5, 0.395), (i.p99_5, 78.605)] {
        assert!((value - want).abs() <= 80.0 * f64::EPSILON * want.abs().max(1.0), "{value} {want}");
    }
    assert_eq!((found.test.intensities[0].sd, found.test.intensities[0].median), (0.0, 7.0));
}

#[test]
fn the_page_says_what_was_found_and_what_to_beware_of() {
    let folder = folder();
    put(&folder.path().join("labelsTr/b.nii.gz"), [1.0, 5.0, 3.0], |_| 0);
    let found = inspect(&Dataset::open(folder.path()).unwrap()).unwrap();
    let page = found.to_string();
    for part in [
        "1 a, 2 b, 3 c",
        "y axis",
        "Training, 2 cases",
        "4 x 2 x 5",
        "6.00 x 2.00 x 1.00",
        "12 (33.333 %)",
        "13.1579 %",
        "5.333",
        "undefined, no voxel is positive",
        "no foreground in 1 case: b",
        "no labels",
        "only 2 training cases",
        "spacings along h range from 2 to 3 mm",
        "6.0 times as long along d",
        "class \"c\" does not occur",
        "b.nii.gz: by the headers its voxels lie up to",
        "check that they belong together",
    ] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
    assert!(!page.contains("channel \"T1\" is constant") && !page.contains("a.nii.gz: by"), "{page}");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["training"]["classes"][1]["voxels"], 10);
}

#[test]
fn one_constant_case_without_foreground_is_described_and_warned_of() {
    let folder = folder();
    let root = folder.path();
    for file in ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"] {
        std::fs::remove_file(root.join(file)).unwrap();
    }
    put(&root.join("imagesTr/b_0000.nii.gz"), [1.0, 6.0, 3.0], |_| 40);
    let found = inspect(&Dataset::open(root).unwrap()).unwrap();
    assert_eq!(found.training.neg_per_pos, None);
    let page = found.to_string();
    for part in ["one training case", "channel \"T1\" is constant (40)", "class \"a\" does not occur"] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
}
