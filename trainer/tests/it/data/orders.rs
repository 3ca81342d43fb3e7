//! Files of one case whose axes run in different ways.

use std::path::Path;

use proptest::prelude::*;
use trainer::dataset::Dataset;
use trainer::evaluate::read_labels;
use trainer::preprocess::{Case, CaseReader};
use volumes::{Header, write};

use super::{good, refusal, says};

/// Of the image, x, y, z; each axis has a length of its own.
const SIZE: [usize; 3] = [4, 3, 2];
const SPACING: [f64; 3] = [1.0, 1.5, 3.0];
const TWO_CHANNELS: &str =
    r#"{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "lesion": 1}}"#;

/// Writes `value` of each place in space to a file whose axis i runs along axis `axes[i]`, backwards where there is a
/// sign. `shift` moves it along x.
fn turned(path: &Path, axes: [usize; 3], backwards: [bool; 3], shift: f64, value: impl Fn([usize; 3]) -> u8) {
    let mut affine = [[0.0; 4]; 4];
    affine[3][3] = 1.0;
    for (i, &space) in axes.iter().enumerate() {
        let extent = (SIZE[space] - 1) as f64 * SPACING[space];
        affine[space][i] = if backwards[i] { -SPACING[space] } else { SPACING[space] };
        affine[space][3] = if backwards[i] { extent } else { 0.0 };
    }
    affine[0][3] += shift;
    let size = axes.map(|space| SIZE[space]);
    let mut data = Vec::new();
    for z in 0..size[2] {
        for y in 0..size[1] {
            for x in 0..size[0] {
                let mut place = [0; 3];
                for (i, at) in [x, y, z].into_iter().enumerate() {
                    place[axes[i]] = if backwards[i] { size[i] - 1 - at } else { at };
                }
                data.push(value(place));
            }
        }
    }
    write(path, &Header::new(&size, affine), &data).unwrap();
}

fn lesion(place: [usize; 3]) -> u8 {
    u8::from(place == [0, 1, 0] || place == [3, 2, 1])
}

fn intensity([x, y, z]: [usize; 3]) -> u8 {
    (x + 10 * y + 100 * z) as u8
}

fn read(folder: &Path) -> Case {
    let set = Dataset::open(folder).unwrap();
    CaseReader::native(&set).read(&set.training[0]).unwrap()
}

const PLAIN: [usize; 3] = [0, 1, 2];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn masks_and_channels_follow_their_own_headers(
        axes in Just(PLAIN).prop_shuffle(), backwards in any::<[bool; 3]>(),
        first in Just(PLAIN).prop_shuffle(), first_backwards in any::<[bool; 3]>(),
    ) {
        let folder = good(TWO_CHANNELS);
        for file in ["imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz", "imagesTs/t_0000.nii.gz"] {
            std::fs::remove_file(folder.path().join(file)).unwrap();
        }
        let [image, other, label] =
            ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz"].map(|file| folder.path().join(file));
        let straight = [false; 3];
        turned(&image, PLAIN, straight, 0.0, intensity);
        turned(&other, PLAIN, straight, 0.0, |place| 255 - intensity(place));
        turned(&label, PLAIN, straight, 0.0, lesion);
        let plain = read(folder.path());
        turned(&image, first, first_backwards, 0.0, intensity);
        turned(&other, axes, backwards, 0.0, |place| 255 - intensity(place));
        turned(&label, axes, backwards, 0.0, lesion);
        let case = read(folder.path());
        prop_assert_eq!((case.image, case.labels, case.spacing), (plain.image, plain.labels, plain.spacing));
    }
}

/// Writes the voxels from `from` to `to` (x, y, z) of a volume as [`turned`] writes it, in their places.
fn cut(path: &Path, from: [usize; 3], to: [usize; 3], value: impl Fn([usize; 3]) -> u8) {
    let size: [usize; 3] = std::array::from_fn(|a| to[a] - from[a]);
    let mut affine = [[0.0; 4]; 4];
    affine[3][3] = 1.0;
    (0..3).for_each(|a| (affine[a][a], affine[a][3]) = (SPACING[a], from[a] as f64 * SPACING[a]));
    let places = (0..size.iter().product::<usize>()).map(|i| {
        let at = [i % size[0], i / size[0] % size[1], i / size[0] / size[1]];
        value(std::array::from_fn(|a| from[a] + at[a]))
    });
    write(path, &Header::new(&size, affine), &places.collect::<Vec<u8>>()).unwrap();
}

/// The two voxels of [`lesion`] and what is between them.
const AROUND: [[usize; 3]; 2] = [[0, 1, 0], [4, 3, 2]];

#[test]
fn a_mask_that_was_cut_to_its_segments_is_set_into_its_image() {
    let folder = good(r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1}}"#);
    turned(&folder.path().join("imagesTr/a_0000.nii.gz"), PLAIN, [true, true, false], 0.0, intensity);
    let label = folder.path().join("labelsTr/a.nii.gz");
    turned(&label, PLAIN, [false; 3], 0.0, lesion);
    let whole = read(folder.path());
    cut(&label, AROUND[0], AROUND[1], lesion);
    let set = Dataset::open(folder.path()).unwrap();
    assert_eq!(read(folder.path()).labels, whole.labels);
    says(
        &set.notes.join("\n"),
        &["labelsTr/a.nii.gz: its [4, 2, 2] voxels", "all others count as background"],
    );
    let found = trainer::curate::verify::verify(folder.path()).unwrap();
    assert!(found.findings.iter().any(|f| f.kind == trainer::curate::verify::Kind::PlaceDiffers), "{found}");
    assert_eq!(found.errors, 0, "{found}");
    // Half a voxel beside the image's, or beyond its border, it is no part of it.
    cut(&label, [1, 1, 0], [4, 4, 2], lesion);
    says(&refusal(folder.path()), &["[3, 3, 2]"]);
    let mut affine = Header::new(
        &[4, 2, 2],
        [[1.0, 0.0, 0.0, 0.5], [0.0, 1.5, 0.0, 1.5], [0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
    );
    affine.spacing = SPACING;
    write(&label, &affine, &[1u8; 16]).unwrap();
    says(&refusal(folder.path()), &["[4, 2, 2]", "[4, 3, 2]", "by their headers"]);
    // An image is needed everywhere.
    turned(&label, PLAIN, [false; 3], 0.0, lesion);
    let json = r#"{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "lesion": 1}}"#;
    let two = good(json);
    for name in ["a", "b"] {
        turned(&two.path().join(format!("imagesTr/{name}_0001.nii.gz")), PLAIN, [false; 3], 0.0, intensity);
    }
    turned(&two.path().join("imagesTr/a_0000.nii.gz"), PLAIN, [false; 3], 0.0, intensity);
    cut(&two.path().join("imagesTr/a_0001.nii.gz"), AROUND[0], AROUND[1], intensity);
    turned(&two.path().join("imagesTs/t_0001.nii.gz"), PLAIN, [false; 3], 0.0, intensity);
    says(&refusal(two.path()), &["a channel", "[4, 2, 2]"]);
}

#[test]
fn a_mask_that_runs_the_other_way_elsewhere_is_refused() {
    let folder = good(r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1}}"#);
    turned(&folder.path().join("labelsTr/a.nii.gz"), PLAIN, [true, false, false], 1.0, lesion);
    says(
        &refusal(folder.path()),
        &[
            "labelsTr/a.nii.gz, runs LAS by its header and",
            "a_0000.nii.gz RAS",
            "save it with the image's affine",
        ],
    );
}

#[test]
fn labels_or_masks_that_were_cut_to_their_segments_are_scored_as_whole_ones() {
    let folder = tempfile::tempdir().unwrap();
    let [label, prediction] = ["label", "prediction"].map(|side| folder.path().join(side));
    for path in [&label, &prediction] {
        std::fs::create_dir(path).unwrap();
        turned(&path.join("a.nii.gz"), PLAIN, [true, false, false], 0.0, lesion);
    }
    let dice = || {
        let evaluation = trainer::evaluate::evaluate(&prediction, &label, &Default::default()).unwrap();
        let said: Vec<String> = evaluation.warnings.iter().map(ToString::to_string).collect();
        (evaluation.foreground_dice.value, evaluation.report.support, said.join("\n"))
    };
    let (whole, voxels, said) = dice();
    assert_eq!((whole, said.as_str()), (Some(1.0), ""));
    for (side, path) in [("label", &label), ("prediction", &prediction)] {
        cut(&path.join("a.nii.gz"), AROUND[0], AROUND[1], lesion);
        let (score, of, said) = dice();
        assert_eq!((score, of), (whole, voxels));
        says(&said, &[&format!("the {side} covers a part of the other volume"), "background"]);
        turned(&path.join("a.nii.gz"), PLAIN, [true, false, false], 0.0, lesion);
    }
}

#[test]
fn a_prediction_in_another_order_is_scored_in_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let [label, prediction] = ["label", "prediction"].map(|side| folder.path().join(side));
    for path in [&label, &prediction] {
        std::fs::create_dir(path).unwrap();
    }
    turned(&label.join("a.nii.gz"), PLAIN, [false; 3], 0.0, lesion);
    turned(&prediction.join("a.nii.gz"), [2, 0, 1], [true, false, true], 0.0, lesion);
    assert_ne!(
        read_labels(label.join("a.nii.gz")).unwrap().labels,
        read_labels(prediction.join("a.nii.gz")).unwrap().labels
    );
    let evaluation = trainer::evaluate::evaluate(&prediction, &label, &Default::default()).unwrap();
    assert_eq!(evaluation.foreground_dice.value, Some(1.0));
    assert!(evaluation.warnings.is_empty(), "{:?}", evaluation.warnings);
}
