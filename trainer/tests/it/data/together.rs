//! Files that hold all channels of a case along a fourth axis, as the Medical Segmentation Decathlon has them.

use std::fs;
use std::path::Path;

use trainer::curate::verify::verify;
use trainer::dataset::Dataset;
use trainer::preprocess::CaseReader;
use volumes::nifti::{self, NiftiHeader};

use super::{SHAPE, good, refusal, says, volume};

const TWO: &str = r#"{"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "lesion": 1}}"#;
const OLD: &str = r#"{"modality": {"0": "T1", "1": "T2"}, "labels": {"0": "background", "1": "lesion"}, "tensorImageSize": "4D"}"#;

fn series(path: &Path, count: usize) {
    let [x, y, z] = SHAPE;
    let header = NiftiHeader { shape: vec![x, y, z, count], ..NiftiHeader::new(SHAPE, [1.0, 1.5, 3.0]) };
    let data: Vec<f32> = (0..x * y * z * count).map(|i| i as f32).collect();
    nifti::write(path, &header, &data).unwrap();
}

/// Case a in one file, b in one for each channel, with the same intensities; a test image in one file.
fn mixed(json: &str) -> tempfile::TempDir {
    let folder = good(json);
    let images = folder.path().join("imagesTr");
    fs::remove_file(images.join("a_0000.nii.gz")).unwrap();
    series(&images.join("a.nii.gz"), 2);
    let voxels: usize = SHAPE.iter().product();
    volume(&images.join("b_0001.nii.gz"), SHAPE, |i| (i + voxels) as f32);
    fs::remove_file(folder.path().join("imagesTs/t_0000.nii.gz")).unwrap();
    series(&folder.path().join("imagesTs/t.nii.gz"), 2);
    folder
}

#[test]
fn a_fourth_axis_holds_the_channels_in_order() {
    for json in [TWO, OLD] {
        let folder = mixed(json);
        let set = Dataset::open(folder.path()).unwrap();
        let reader = CaseReader::native(&set);
        let [a, b] = [0, 1].map(|case| reader.read(&set.training[case]).unwrap());
        assert_eq!((a.channels, &a.image, &a.labels), (2, &b.image, &b.labels));
        assert_eq!((a.image[0], a.image[1]), (0.0, 24.0));
        let test = folder.path().join("imagesTs");
        for inputs in [reader.inputs(&test).unwrap(), reader.inputs(test.join("t.nii.gz")).unwrap()] {
            assert_eq!(inputs.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["t"]);
            assert_eq!(reader.read(&inputs[0]).unwrap().image, b.image);
        }
        let report = verify(folder.path()).unwrap();
        assert_eq!(report.errors, 0, "{report}");
    }
}

#[test]
fn a_mask_of_such_a_file_is_one_volume() {
    let folder = mixed(TWO);
    let set = Dataset::open(folder.path()).unwrap();
    let case = CaseReader::native(&set).read(&set.training[0]).unwrap();
    let path = folder.path().join("mask.nii.gz");
    case.geometry.write(&path, case.labels.clone().unwrap()).unwrap();
    let written = nifti::read_header(&path).unwrap();
    assert_eq!((written.shape, written.pixdim[1..4].to_vec()), (SHAPE.to_vec(), vec![1.0, 1.5, 3.0]));
}

#[test]
fn another_number_of_volumes_or_numbered_files_beside_are_refused() {
    let folder = mixed(TWO);
    series(&folder.path().join("imagesTr/a.nii.gz"), 3);
    says(
        &refusal(folder.path()),
        &["a.nii.gz", "holds 3 volumes", "names 2 channels", "name it a_0000 (channel 0)"],
    );
    let folder = mixed(TWO);
    volume(&folder.path().join("imagesTr/a_0000.nii.gz"), SHAPE, |i| i as f32);
    says(&refusal(folder.path()), &["a.nii.gz", "other files of case a have one", "take it away"]);
    let folder = mixed(TWO);
    let moved = NiftiHeader { shape: vec![4, 3, 2, 2], ..NiftiHeader::new(SHAPE, [1.0; 3]) };
    nifti::write(folder.path().join("labelsTr/a.nii.gz"), &moved, &[0u8; 48]).unwrap();
    says(&refusal(folder.path()), &["labelsTr/a.nii.gz", "4 axes"]);
}
