//! Laws of data sets: what is opened, what is refused and in what words.

mod descriptions;
mod listed;
mod orders;
mod together;

use std::path::Path;

use proptest::prelude::*;
use trainer::config::Scheme;
use trainer::dataset::{Checksums, Dataset, Description, IGNORE};
use trainer::preprocess::{CaseReader, ChannelNorm, Normalisation, Preprocessing};
use volumes::nifti::{self, NiftiHeader};
use volumes::{AxisOrder, Grid, Voxel};

use crate::support::shared::shared;

const SHAPE: [usize; 3] = [4, 3, 2];
const ONE_CHANNEL: &str = r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1}}"#;

fn volume<V: Voxel>(path: &Path, shape: [usize; 3], value: impl Fn(usize) -> V) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let data: Vec<V> = (0..shape.iter().product()).map(value).collect();
    nifti::write(path, &NiftiHeader::new(shape, [1.0, 1.5, 3.0]), &data).unwrap();
}

/// Two training cases and a test case.
fn good(json: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("dataset.json"), json).unwrap();
    for name in ["b", "a"] {
        volume(&folder.path().join(format!("imagesTr/{name}_0000.nii.gz")), SHAPE, |i| i as f32);
        volume(&folder.path().join(format!("labelsTr/{name}.nii.gz")), SHAPE, |i| u8::from(i % 6 == 0));
    }
    volume(&folder.path().join("imagesTs/t_0000.nii.gz"), SHAPE, |i| i as f32);
    folder
}

/// The message of opening and reading everything.
fn refusal(folder: &Path) -> String {
    let read = Dataset::open(folder).and_then(|set| {
        let reader = CaseReader::native(&set);
        reader.read_all(&set.training)?;
        reader.read_all(&set.test)
    });
    read.expect_err("must be refused").to_string()
}

#[track_caller]
fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

#[test]
fn a_good_folder_opens_with_its_cases_sorted() {
    let folder = good(ONE_CHANNEL);
    std::fs::write(folder.path().join("imagesTr/._a_0000.nii.gz"), "left by another system").unwrap();
    let set = Dataset::open(folder.path()).unwrap();
    let names: Vec<&str> = set.training.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((set.test.len(), set.test[0].label.is_some()), (1, false));
    let case = CaseReader::native(&set).read(&set.training[0]).unwrap();
    assert_eq!((case.shape, case.channels, case.spacing), ([2, 3, 4], 1, [3.0, 1.5, 1.0]));
    assert_eq!(case.image, (0..24).map(|i| i as f32).collect::<Vec<_>>());
    assert_eq!(case.class_counts(2), (vec![20, 4], 0));
    let sums = set.checksums(&Checksums::default()).unwrap();
    assert_eq!(sums.len(), 1 + 2 * 2 + 1);
    assert_eq!(sums[0].path, "dataset.json");
    assert_eq!(sums[0].crc32c, crc32c::crc32c(ONE_CHANNEL.as_bytes()));
    assert_eq!(sums[0].bytes, ONE_CHANNEL.len() as u64);
}

#[test]
fn channels_run_fastest_and_old_descriptions_are_read() {
    let folder = good(r#"{"modality": {"0": "T1", "1": "CT"}, "labels": {"0": "background", "1": "x"}}"#);
    for image in ["imagesTr/a", "imagesTr/b", "imagesTs/t"] {
        volume(&folder.path().join(format!("{image}_0001.nii.gz")), SHAPE, |i| -(i as i16));
    }
    let set = Dataset::open(folder.path()).unwrap();
    assert_eq!(set.description.classes, ["background", "x"]);
    let case = CaseReader::native(&set).read(&set.training[1]).unwrap();
    assert_eq!(case.image, (0..24).flat_map(|i| [i as f32, -(i as f32)]).collect::<Vec<_>>());
}

#[test]
fn a_folder_that_lacks_something_is_refused_with_the_remedy() {
    let folder = good(ONE_CHANNEL);
    let root = folder.path();
    says(&refusal(&root.join("nowhere")), &["nowhere", "does not exist", "dataset.json"]);
    says(&refusal(&root.join("dataset.json")), &["is a file", "folder"]);
    let empty = tempfile::tempdir().unwrap();
    says(&refusal(empty.path()), &["dataset.json", "missing", "channel_names", "\"lesion\": 1"]);
    std::fs::write(empty.path().join("dataset.json"), ONE_CHANNEL).unwrap();
    says(&refusal(empty.path()), &["imagesTr", "missing", "CASE_0000"]);
    std::fs::create_dir(empty.path().join("imagesTr")).unwrap();
    says(&refusal(empty.path()), &["imagesTr", "folder is empty", "CASE_0000.nii.gz"]);
    std::fs::write(empty.path().join("imagesTr/a.png"), "").unwrap();
    says(&refusal(empty.path()), &["a.png", "file_ending"]);

    std::fs::rename(root.join("labelsTr/a.nii.gz"), root.join("kept")).unwrap();
    says(&refusal(root), &["case a", "no label map", "labelsTr", "a.nii.gz", "imagesTs"]);
    std::fs::rename(root.join("kept"), root.join("labelsTr/z.nii.gz")).unwrap();
    says(&refusal(root), &["case z", "has no image", "z_0000.nii.gz"]);
    std::fs::rename(root.join("labelsTr/z.nii.gz"), root.join("labelsTr/a_0000.nii.gz")).unwrap();
    says(&refusal(root), &["no channel number", "rename it a.nii.gz"]);
}

#[test]
fn channels_that_do_not_match_the_description_are_refused() {
    let folder = good(r#"{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "x": 1}}"#);
    says(&refusal(folder.path()), &["case a", "channel 1 is missing", "a_0001"]);
    let folder = good(ONE_CHANNEL);
    volume(&folder.path().join("imagesTr/a_0001.nii.gz"), SHAPE, |i| i as f32);
    says(&refusal(folder.path()), &["a_0001.nii.gz", "names 1 channel", "channel_names"]);
}

#[test]
fn files_on_different_grids_are_refused() {
    let folder = good(ONE_CHANNEL);
    volume(&folder.path().join("labelsTr/a.nii.gz"), [4, 3, 3], |_| 0u8);
    says(&refusal(folder.path()), &["case a", "label map", "[4, 3, 3]", "[4, 3, 2]", "resample"]);
    let folder = good(ONE_CHANNEL);
    let path = folder.path().join("imagesTr/b_0000.nii.gz");
    let series = NiftiHeader { shape: vec![4, 3, 2, 5], ..NiftiHeader::new(SHAPE, [1.0; 3]) };
    nifti::write(&path, &series, &[0.0f32; 120]).unwrap();
    says(&refusal(folder.path()), &["b_0000.nii.gz", "4 axes", "[4, 3, 2, 5]", "split"]);
}

#[test]
fn label_values_that_mean_nothing_are_refused() {
    let label = |value: fn(usize) -> f32| {
        let folder = good(ONE_CHANNEL);
        volume(&folder.path().join("labelsTr/b.nii.gz"), SHAPE, value);
        refusal(folder.path())
    };
    says(
        &label(|i| if i % 2 == 0 { 255.0 } else { 0.0 }),
        &["case b", "255 (12 voxels)", "0/255 mask", "1 in place of 255"],
    );
    says(&label(|i| [0.0, 1.0, 255.0][i % 3]), &["255 (8 voxels)", "\"ignore\": 255"]);
    says(
        &label(|i| [0.0, 1.0, 3.0, -1.0][i % 4]),
        &["-1 (6 voxels), 3 (6 voxels)", "lesion = 1", "correct the file"],
    );
    says(&label(|i| if i == 5 { 0.5 } else { 0.0 }), &["holds 0.5 at (x, y, z) = [1, 1, 0]", "integers"]);
    says(&label(|i| if i == 5 { f32::NAN } else { 0.0 }), &["holds NaN", "no whole number"]);
}

#[test]
fn voxels_that_are_not_finite_are_counted_and_refused() {
    let folder = good(ONE_CHANNEL);
    let value = |i: usize| {
        [f64::NAN, f64::INFINITY, 1e300, 1.0][if i == 7 || i == 9 || i == 11 { (i - 7) / 2 } else { 3 }]
    };
    volume(&folder.path().join("imagesTr/a_0000.nii.gz"), SHAPE, value);
    says(&refusal(folder.path()), &["case a", "3 voxels", "(x, y, z) = [3, 1, 0]", "replace them"]);
}

#[test]
fn ignored_voxels_are_255_in_memory_whatever_their_number_in_the_file() {
    let folder =
        good(r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "a": 1, "ignore": 1000}}"#);
    for name in ["a", "b"] {
        volume(&folder.path().join(format!("labelsTr/{name}.nii.gz")), SHAPE, |i| [0u16, 1, 1000][i % 3]);
    }
    let set = Dataset::open(folder.path()).unwrap();
    assert_eq!(set.description.num_classes(), 2);
    let case = CaseReader::native(&set).read(&set.training[0]).unwrap();
    assert_eq!(case.labels.as_ref().unwrap()[..4], [0, 1, IGNORE, 0]);
    assert_eq!(case.class_counts(2), (vec![8, 8], 8));
}

#[test]
fn inputs_are_a_file_or_a_folder_with_or_without_channel_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let reader = |channels: &str| CaseReader {
        description: Description::parse(&format!(
            r#"{{"channel_names": {channels}, "labels": {{"background": 0, "a": 1}}}}"#
        ))
        .unwrap(),
        order: AxisOrder::ZYX,
        preprocessing: Preprocessing::NATIVE,
    };
    let (one, two) = (reader(r#"["T1"]"#), reader(r#"["T1", "T2"]"#));
    says(&one.inputs(root).unwrap_err().to_string(), &["holds no images", ".nii.gz"]);
    for name in ["p_0000.nii.gz", "p_0001.nii.gz", "q_0000.nii.gz"] {
        volume(&root.join(name), SHAPE, |i| i as f32);
    }
    says(&two.inputs(root).unwrap_err().to_string(), &["case q", "channel 1 is missing", "q_0001"]);
    let p = two.inputs(root.join("p_0001.nii.gz")).unwrap();
    assert_eq!((p.len(), p[0].name.as_str(), p[0].images.len()), (1, "p", 2));
    assert_eq!(two.read(&p[0]).unwrap().image.len(), 48);
    let q = one.inputs(root.join("q_0000.nii.gz")).unwrap();
    assert_eq!((q.len(), q[0].name.as_str()), (1, "q"));
    std::fs::remove_file(root.join("p_0001.nii.gz")).unwrap();
    // All that is wrong is listed.
    says(
        &two.inputs(root).unwrap_err().to_string(),
        &["case p: channel 1 is missing", "; case q: channel 1"],
    );
    let patients = tempfile::tempdir().unwrap();
    volume(&patients.path().join("a/t1.nii.gz"), SHAPE, |i| i as f32);
    says(
        &one.inputs(patients.path()).unwrap_err().to_string(),
        &["folders of them, such as a", "name these"],
    );
    volume(&root.join("plain.nii"), SHAPE, |i| i as f32);
    let names: Vec<String> = one.inputs(root).unwrap().into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["p", "plain", "q"]);
    says(&one.inputs(root.join("none.nii")).unwrap_err().to_string(), &["none.nii", "does not exist"]);
}

#[test]
fn voxels_far_larger_than_the_others_are_refused_before_memory_is_reckoned_with() {
    let folder = good(ONE_CHANNEL);
    let huge = NiftiHeader::new(SHAPE, [1e15, 1.0, 1.0]);
    for file in ["imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"] {
        nifti::write(folder.path().join(file), &huge, &[1u8; 24]).unwrap();
    }
    let set = Dataset::open(folder.path()).unwrap();
    let preprocessing = Preprocessing { spacing: Some([3.0, 1.5, 1.0]), ..Preprocessing::NATIVE };
    let reader = CaseReader { preprocessing, ..CaseReader::native(&set) };
    let refused = reader.largest_grids(&set.training[0]).unwrap_err().to_string();
    says(&refused, &["case a", "correct its voxel sizes"]);
}

#[test]
fn the_axis_with_the_largest_median_spacing_is_d() {
    let order = |spacings: &[[f64; 3]]| {
        let grids: Vec<Grid> = spacings.iter().map(|&spacing| Grid { size: [7, 6, 5], spacing }).collect();
        <[usize; 3]>::from(AxisOrder::for_grids(&grids))
    };
    // Spacings are z, y, x, and so orders count.
    assert_eq!(order(&[[1.0, 1.0, 1.0]]), [0, 1, 2]);
    assert_eq!(order(&[[1.0, 1.0001, 1.0]]), [0, 1, 2]);
    assert_eq!(order(&[[5.0, 1.0, 1.0]]), [0, 1, 2]);
    assert_eq!(order(&[[1.0, 5.0, 1.0]]), [1, 0, 2]);
    assert_eq!(order(&[[1.0, 1.0, 5.0]]), [2, 0, 1]);
    assert_eq!(order(&[[1.0, 1.0, 5.0], [2.0, 1.0, 1.0], [2.0, 1.0, 1.0]]), [0, 1, 2]);
    // Slices keep their one voxel as d, along whatever axis it is.
    for (size, first) in [([1, 6, 5], 0), ([7, 1, 5], 1), ([7, 6, 1], 2)] {
        let slices = AxisOrder::for_grids(&[Grid { size, spacing: [2.0, 2.0, 2.0] }]);
        assert_eq!(<[usize; 3]>::from(slices)[0], first);
    }
    assert!(AxisOrder::try_from([0, 0, 2]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_lies_where_the_case_was_read(spacing in [1u8..4, 1u8..4, 1u8..4]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii");
        let header = NiftiHeader::new([4, 3, 2], spacing.map(f64::from));
        nifti::write(&path, &header, &(0..24).map(|i| i as f32).collect::<Vec<_>>()).unwrap();
        let description = Description::parse(ONE_CHANNEL).unwrap();
        let [x, y, z] = spacing.map(f64::from);
        let order = AxisOrder::for_grids(&[Grid { size: [2, 3, 4], spacing: [z, y, x] }]);
        let reader = CaseReader { description, order, preprocessing: Preprocessing::NATIVE };
        let case = reader.read(&reader.inputs(&path).unwrap()[0]).unwrap();
        prop_assert!(case.spacing[0] >= case.spacing[1].max(case.spacing[2]));
        let mask: Vec<u8> = case.image.iter().map(|&v| v as u8).collect();
        let written = folder.path().join("mask.nii.gz");
        case.geometry.write(&written, mask.clone()).unwrap();
        let back = volumes::Stored::read(&written).unwrap();
        prop_assert_eq!(back.to_f32(), volumes::Stored::read(&path).unwrap().to_f32());
        prop_assert_eq!(back.header.affine, header.affine().unwrap());
        prop_assert!(case.geometry.write(&written, mask[1..].to_vec()).is_err());
    }

    #[test]
    fn a_normalised_case_has_mean_0_and_deviation_1_in_each_channel(
        values in prop::collection::vec(-1000.0f32..1000.0, 24),
        constant in -1000.0f32..1000.0,
    ) {
        let folder = good(r#"{"channel_names": ["T1", "T2"], "labels": {"background": 0, "x": 1}}"#);
        for image in ["imagesTr/a", "imagesTr/b", "imagesTs/t"] {
            volume(&folder.path().join(format!("{image}_0000.nii.gz")), SHAPE, |i| values[i]);
            volume(&folder.path().join(format!("{image}_0001.nii.gz")), SHAPE, |_| constant);
        }
        let set = Dataset::open(folder.path()).unwrap();
        let mut cases = CaseReader::native(&set).read_all(&set.training).unwrap();
        let norm = Normalisation::fit(Scheme::Auto, &set.description, &cases).unwrap();
        cases[0] = norm.apply(cases[0].clone()).unwrap();
        let first: Vec<f64> = cases[0].image.iter().step_by(2).map(|&v| f64::from(v)).collect();
        let mean = first.iter().sum::<f64>() / 24.0;
        let sd = (first.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 24.0).sqrt();
        // Each of 24 voxels, of size at most sqrt(24), is rounded once.
        let tolerance = 24.0 * f64::from(f32::EPSILON);
        prop_assert!(mean.abs() < tolerance && (sd - 1.0).abs() < tolerance, "mean {mean}, sd {sd}");
        prop_assert!(cases[0].image.iter().skip(1).step_by(2).all(|&v| v == 0.0));
        prop_assert_eq!(cases[1].image[0], values[0]);
    }
}

#[test]
fn ct_is_clipped_and_scaled_by_the_foreground_of_all_training_cases() {
    let folder = good(r#"{"channel_names": {"0": "CT"}, "labels": {"background": 0, "lesion": 1}}"#);
    // Foreground: voxels 0, 6, 12, 18 of a (0, 6, 12, 18) and of b (100, 106, 112, 118).
    volume(&folder.path().join("imagesTr/b_0000.nii.gz"), SHAPE, |i| 100.0 + i as f32);
    let set = Dataset::open(folder.path()).unwrap();
    let mut cases = CaseReader::native(&set).read_all(&set.training).unwrap();
    let norm = Normalisation::fit(Scheme::Auto, &set.description, &cases).unwrap();
    let ChannelNorm::Ct { low, high, mean, sd } = norm.channels[0] else { panic!("{norm:?}") };
    // Quantiles at 0.005·7 and 0.995·7 between neighbours 6 apart; variance 50² + 45.
    let close = |a: f32, b: f32| assert!((a - b).abs() <= 4.0 * f32::EPSILON * b.abs(), "{a} {b}");
    close(low, 0.21);
    close(high, 117.79);
    close(mean, 59.0);
    close(sd, 2545.0f32.sqrt());
    cases[1] = norm.apply(cases[1].clone()).unwrap();
    close(cases[1].image[0], (100.0 - mean) / sd);
    close(cases[1].image[23], (117.79 - mean) / sd);
    let text = serde_json::to_string(&norm).unwrap();
    assert_eq!(serde_json::from_str::<Normalisation>(&text).unwrap(), norm);
    let bytes = bincode::serialize(&(&norm, CaseReader::native(&set))).unwrap();
    assert_eq!(
        bincode::deserialize::<(Normalisation, CaseReader)>(&bytes).unwrap(),
        (norm, CaseReader::native(&set))
    );

    for name in ["a", "b"] {
        volume(&folder.path().join(format!("labelsTr/{name}.nii.gz")), SHAPE, |_| 0u8);
    }
    let cases = CaseReader::native(&set).read_all(&set.training).unwrap();
    let error = Normalisation::fit(Scheme::Auto, &set.description, &cases).unwrap_err().to_string();
    says(&error, &["\"CT\"", "foreground", "zscore"]);
    let none = Normalisation::fit(Scheme::None, &set.description, &cases).unwrap();
    assert_eq!(none.apply(cases[0].clone()).unwrap(), cases[0]);
}

#[test]
fn the_reference_sets_open_with_the_foreground_they_are_said_to_have() {
    // Foreground in per cent, as the sets' description rounds it: of training, of testing, of both together.
    let any = 0.0..100.0;
    for (name, ranges) in [
        ("Dataset101_Pallidum", [any.clone(), any.clone(), 0.235..0.245]),
        ("Dataset102_Nuclei3D", [34.5..41.5, 34.5..41.5, any.clone()]),
        ("Dataset103_DeepGrey", [any.clone(), any.clone(), 3.05..3.15]),
        ("Dataset104_BrainTumor", [0.245..0.255, 0.025..0.035, any.clone()]),
    ] {
        let Some(root) = shared("data: foreground of the reference sets", &format!("data/{name}")) else {
            continue;
        };
        let set = Dataset::open(root).unwrap();
        let sides =
            [set.training.clone(), set.test.clone(), [set.training.clone(), set.test.clone()].concat()];
        for (files, range) in sides.iter().zip(ranges) {
            let cases = CaseReader::native(&set).read_all(files).unwrap();
            let background: u64 = cases.iter().map(|c| c.class_counts(1).0[0]).sum();
            let voxels: usize = cases.iter().map(|c| c.voxels()).sum();
            let share = 100.0 * (1.0 - background as f64 / voxels as f64);
            assert!(range.contains(&share), "{name}: {share} %");
            assert!(cases.iter().all(|c| c.spacing[0] >= c.spacing[1].max(c.spacing[2])), "{name}");
        }
    }
}
