//! Laws of what `train` and `plan` say of a data set that is accepted, but deserves a look: what `verify` says of it.

use std::fs;

use trainer::dataset::{CrossValidation, Dataset};
use volumes::nifti::{self, NiftiHeader};

use super::{Place, small, succeeds};

/// Writes a file's voxels again under a changed header.
fn rewrite(place: &Place, name: &str, change: impl Fn(&mut NiftiHeader)) {
    let path = place.path(&format!("data/{name}"));
    let mut header = nifti::read_header(&path).unwrap();
    let mut voxels = Vec::new();
    volumes::Stored::read(&path).unwrap().for_each(|value| voxels.push(value as f32));
    change(&mut header);
    nifti::write(&path, &header, &voxels).unwrap();
}

fn moved(header: &mut NiftiHeader, by: f64) {
    header.srow[2][3] += by;
    header.qoffset[2] += by;
}

/// What is said of the data set by verify, by plan, and by train with and without a cache.
fn said(place: &Place) -> [String; 4] {
    let (data, cache) = (place.text("data"), place.text("cache"));
    [
        succeeds(&["verify", &data]),
        succeeds(&["plan", &data, "--set", "model.base_channels=2"]),
        place.train("run", &[]),
        place.train("cached", &["--cache", &cache]),
    ]
}

#[test]
fn what_verify_finds_in_headers_and_names_plan_and_train_say_in_a_line() {
    let place = Place::with(small::SHAPE, 2, 2, [4, 1]);
    rewrite(&place, "labelsTr/case_2.nii.gz", |header| moved(header, 40.0));
    rewrite(&place, "imagesTr/case_1_0001.nii.gz", |header| moved(header, 7.5));
    for name in ["imagesTr/case_3_0000.nii.gz", "imagesTr/case_3_0001.nii.gz", "labelsTr/case_3.nii.gz"] {
        rewrite(&place, name, |header| {
            *header = NiftiHeader::new([16, 16, 8], [1.0, 1.5, 9.0]);
            header.srow[0][0] = -1.0;
            header.qform_code = 0;
        });
    }
    let json = fs::read_to_string(place.path("data/dataset.json")).unwrap();
    fs::write(place.path("data/dataset.json"), json.replacen('{', "{\"numTraining\": 7, ", 1)).unwrap();
    let lines = [
        "imagesTr/case_1_0001.nii.gz: by the headers its voxels lie up to 7.500 mm from those of imagesTr/case_1_0000.nii.gz",
        "labelsTr/case_2.nii.gz: by the headers its voxels lie up to 40.000 mm from those of imagesTr/case_2_0000.nii.gz",
        "case case_3: its voxels are 1 x 1.5 x 9 mm (x, y, z), where the median is 1 x 1.5 x 3",
        "case case_3: its axes run LAS, where 4 of 5 cases have RAS",
        "dataset.json: numTraining is 7, but imagesTr has 4 cases",
    ];
    let [verified, others @ ..] = said(&place);
    lines.iter().for_each(|line| assert!(verified.contains(line), "{line}: {verified}"));
    for printed in others {
        for line in [lines[0], lines[2], lines[3], lines[4]] {
            assert!(printed.lines().any(|printed| printed.starts_with(line)), "{line}: {printed}");
        }
        // The second of the kind is counted.
        let counted = "resample (and 1 more of that kind, which `trainer verify` lists)";
        assert!(printed.contains(counted) && !printed.contains(lines[1]), "{printed}");
    }
}

#[test]
fn what_verify_finds_in_voxels_train_says_where_they_are_cached_too() {
    let place = Place::with(small::SHAPE, 2, 2, [4, 0]);
    let rewrite = |name: &str, value: fn(usize) -> f32| {
        let path = place.path(&format!("data/{name}"));
        let header = nifti::read_header(&path).unwrap();
        nifti::write(&path, &header, &(0..header.len()).map(value).collect::<Vec<f32>>()).unwrap();
    };
    rewrite("imagesTr/case_1_0001.nii.gz", |_| 3.0);
    rewrite("labelsTr/case_3.nii.gz", |_| 0.0);
    let [verified, planned, printed, cached] = said(&place);
    let empty = "none of its 2048 voxels is foreground: all are background";
    assert!(verified.contains("imagesTr/case_1_0001.nii.gz: every voxel is 3") && verified.contains(empty));
    assert!(planned.contains(&format!("case case_3: {empty}")), "{planned}");
    let again = place.train("again", &["--cache", &place.text("cache")]);
    for printed in [printed, cached, again] {
        assert!(printed.contains("case case_1: every voxel of T1 is the same; export it again"), "{printed}");
        assert!(printed.contains(&format!("case case_3: {empty}")), "{printed}");
    }
}

#[test]
fn a_validation_case_with_the_image_of_a_training_case_is_said() {
    let place = Place::with(small::SHAPE, 1, 2, [4, 0]);
    let set = Dataset::open(place.path("data")).unwrap();
    let folds = CrossValidation::new(&set, &Default::default()).unwrap();
    let (training, validation) = folds.cases().divide(&set.training);
    assert!(!place.train("apart", &[]).contains("have the images of"));
    fs::copy(&validation[0].images[0], &training[1].images[0]).unwrap();
    let printed = place.train("run", &[]);
    let same = format!(
        "validation cases have the images of training cases: {} ({}); a network",
        validation[0].name, training[1].name
    );
    assert!(printed.contains(&same), "{printed}");
}
