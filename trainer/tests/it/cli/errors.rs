//! Every mistake that a user is likely to make ends with one line that names it and the remedy, and costs nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use volumes::nifti::{self, NiftiHeader};

use super::{Place, borrowed, refuses, small, succeeds};

/// Every file below a folder with its content.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    files
}

#[test]
fn a_data_set_that_is_not_there_is_named() {
    let place = Place::new();
    let (nowhere, out) = (place.text("nowhere"), place.text("run"));
    for command in [&["train", &nowhere, "--out", &out][..], &["inspect", &nowhere]] {
        let error = refuses(command);
        assert_eq!(
            error,
            format!(
                "{nowhere}: does not exist; name the folder that holds dataset.json, imagesTr and labelsTr"
            )
        );
    }
    fs::create_dir(place.path("empty")).unwrap();
    let error = refuses(&["train", &place.text("empty"), "--out", &out]);
    assert!(error.contains("dataset.json: is missing; it names the channels and labels"), "{error}");
    fs::copy(place.path("data/dataset.json"), place.path("empty/dataset.json")).unwrap();
    let error = refuses(&["train", &place.text("empty"), "--out", &out]);
    assert!(error.contains("imagesTr: is missing; put the images there"), "{error}");
    assert!(!place.path("run").exists(), "nothing is made for a run that cannot start");
}

#[test]
fn a_mask_of_0_and_255_is_recognised_and_the_run_can_be_started_again() {
    let place = Place::new();
    let path = place.path("data/labelsTr/case_1.nii.gz");
    let good = fs::read(&path).unwrap();
    let label = volumes::Stored::read(&path).unwrap();
    let mask: Vec<u8> = label.to_f32().iter().map(|&v| if v > 0.0 { 255 } else { 0 }).collect();
    nifti::write(&path, label.header.nifti.as_deref().unwrap(), &mask).unwrap();
    let error = refuses(&borrowed(&place.training("run", &[])));
    assert!(error.starts_with("case case_1: the label map"), "{error}");
    assert!(error.contains("holds 255 (27 voxels), not in dataset.json"), "{error}");
    assert!(error.contains("this looks like a 0/255 mask: save it with 1 in place of 255"), "{error}");
    fs::write(&path, good).unwrap();
    place.train("run", &[]);
}

#[test]
fn cases_with_nothing_to_tell_apart_are_refused_by_name() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    for (label, want) in [(0u8, "hold no voxel of the foreground"), (1, "hold no voxel of the background")] {
        let path = place.path("data/labelsTr");
        for name in ["case_0.nii.gz", "case_1.nii.gz"] {
            let old = nifti::read_header(path.join(name)).unwrap();
            nifti::write(path.join(name), &old, &vec![label; small::SHAPE.iter().product()]).unwrap();
        }
        let error = refuses(&borrowed(&place.training("run", &["--set", "validation.split=none"])));
        assert!(error.contains(&format!("the training cases case_0, case_1 {want}")), "{error}");
        assert!(error.ends_with("which `trainer inspect` counts"), "{error}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_named_and_leave_no_folder_that_is_in_the_way() {
    let place = Place::new();
    for (set, want) in [
        (
            "training.epoch=3",
            "configuration: training.epoch: there is no such key; did you mean training.epochs?",
        ),
        ("training.epochs=0", "configuration: training.epochs: is 0: at least 1 is needed"),
        ("training.epochs", "is not key=value, such as training.epochs=5"),
        ("loss.name=bec", "bec"),
        ("loss.name=ce", "\"ce\" is for several classes: choose bce, dice_bce or another for one"),
        ("loss.pos_weight=-3", "-3"),
        (
            "loss.class_weights=[1,2]",
            "configuration: loss.class_weights: is given, but the loss \"dice_bce\" does not use it",
        ),
        ("loss.label_smoothing=0.1", "configuration: loss.label_smoothing: is given"),
        ("optimizer.betas=[1.5,0.9]", "configuration: optimizer:"),
        ("augmentation.flip=[-0.5,0.5,0.5]", "configuration: augmentation.flip: is -0.5"),
        ("model.levels=7", "configuration: model.levels: is 7"),
        ("model.strides=\"none\"", "configuration: model.strides: is \"none\""),
        ("model.strides=[[3,2,2]]", "configuration: data.patch_size: the input is 8 voxels along d"),
        ("data.patch_size=[0,16,16]", "every axis needs a voxel"),
        ("model.norm={ group = 3 }", "3 groups, which do not divide 2 channels"),
        ("model.kernels=[[2,3,3],[3,3,3]]", "kernels are odd along each axis"),
        ("model.prior_bias=1", "configuration: model.prior_bias: is 1, but takes true or false;"),
    ] {
        let error = refuses(&borrowed(&place.training("run", &["--set", set])));
        assert!(error.contains(want), "{set}: {error}");
    }
    let error = refuses(&borrowed(&place.training("run", &["--config", &place.text("none.toml")])));
    assert!(error.contains("none.toml: "), "{error}");
    let error = refuses(&borrowed(&place.training("run", &["--init", &place.text("none.safetensors")])));
    assert!(error.contains("none.safetensors: "), "{error}");
    // After all of that, the same --out can be used.
    place.train("run", &[]);
}

#[test]
fn a_folder_that_holds_something_is_left_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.path("full")).unwrap();
    fs::write(place.path("full/thesis.txt"), "years of work").unwrap();
    place.train("run", &[]);
    let remedies = [
        ("full", "name another --out, a folder that is new or empty"),
        ("run", "name another --out, or go on with its run with --resume"),
    ];
    for (folder, remedy) in remedies {
        let before = snapshot(&place.path(folder));
        let error = refuses(&borrowed(&place.training(folder, &[])));
        let path = place.text(folder);
        let want = format!("{path}: is not empty: {remedy}");
        assert_eq!(error, want);
        assert_eq!(snapshot(&place.path(folder)), before);
    }
    let before = snapshot(&place.path("full"));
    let error = refuses(&["train", &place.text("data"), "--out", &place.text("full"), "--resume"]);
    assert!(error.contains("is no run folder (it holds no checkpoints)"), "{error}");
    assert_eq!(snapshot(&place.path("full")), before);
    // clap: a resumed run keeps its own settings.
    let args =
        ["train", &place.text("data"), "--out", &place.text("run"), "--resume", "--set", "loss.name=bce"];
    assert_eq!(super::say(&args).code, Some(2));
}

#[test]
fn predictions_from_or_for_the_wrong_folder_are_refused() {
    let place = Place::new();
    place.train("run", &[]);
    let (run, images, masks) = (place.text("run"), place.text("data/imagesTs"), place.text("masks"));
    let error = refuses(&["predict", &place.text("data"), &images, "--out", &masks]);
    assert!(error.contains("is no run folder (it holds no checkpoints): name the --out of"), "{error}");
    let error = refuses(&["predict", &run, &place.text("data"), "--out", &masks]);
    assert!(error.contains("holds no images; name its imagesTs"), "{error}");
    let error = refuses(&["predict", &run, &place.text("nothing.nii.gz"), "--out", &masks]);
    assert!(error.contains("nothing.nii.gz: does not exist"), "{error}");
    let error = refuses(&["predict", &run, &place.text("data/dataset.json"), "--out", &masks]);
    assert!(error.contains("is not named as a volume"), "{error}");
    let twice = place.text("data/imagesTs/case_4_0000.nii.gz");
    let error = refuses(&["predict", &run, &images, &twice, "--out", &masks]);
    assert!(error.contains("case case_4: is given twice: its masks would overwrite each other"), "{error}");
    for threshold in ["-0.1", "1.5", "NaN"] {
        let threshold = format!("--threshold={threshold}");
        let error = refuses(&["predict", &run, &images, "--out", &masks, &threshold]);
        assert!(error.contains("a probability from 0 to 1"), "{error}");
    }
    assert!(!place.path("masks").exists());
}

#[test]
fn images_with_other_channels_than_in_training_are_refused() {
    let place = Place::with(small::SHAPE, 2, 2, [2, 1]);
    place.train("run", &[]);
    small::write_data_set(&place.path("one"), small::SHAPE, 1, 2, [1, 0]);
    let (run, masks) = (place.text("run"), place.text("masks"));
    let error = refuses(&["predict", &run, &place.text("one/imagesTr"), "--out", &masks]);
    assert!(error.contains("case case_0: channel 1 is missing (of 2 in dataset.json)"), "{error}");
    fs::rename(place.path("one/imagesTr/case_0_0000.nii.gz"), place.path("one/imagesTr/case.nii.gz"))
        .unwrap();
    let error = refuses(&["predict", &run, &place.text("one/imagesTr"), "--out", &masks]);
    assert!(
        error.contains("dataset.json names 2 channels") && error.contains("name it case_0000"),
        "{error}"
    );
    // Four axes in one file.
    let header = NiftiHeader { shape: vec![4, 4, 4, 2], ..NiftiHeader::new([4, 4, 4], [1.0; 3]) };
    nifti::write(place.path("series_0000.nii.gz"), &header, &[0.0f32; 128]).unwrap();
    nifti::write(place.path("series_0001.nii.gz"), &header, &[0.0f32; 128]).unwrap();
    let error = refuses(&["predict", &run, &place.text("series_0000.nii.gz"), "--out", &masks]);
    assert!(error.contains("has 4 axes") && error.contains("split it into one file per channel"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_other_one_serves() {
    let place = Place::new();
    place.train("run", &[]);
    let file = place.path("run/checkpoints/best/state.bin");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let (run, images, masks) = (place.text("run"), place.text("data/imagesTs"), place.text("masks"));
    let error = refuses(&["predict", &run, &images, "--out", &masks]);
    assert!(error.contains("best/state.bin: is damaged"), "{error}");
    assert!(error.contains("use another checkpoint of the run"), "{error}");
    succeeds(&["predict", &run, &images, "--out", &masks, "--checkpoint", "last"]);
}

#[test]
fn folders_that_cannot_be_compared_are_refused() {
    let place = Place::new();
    let labels = place.text("data/labelsTr");
    let error = refuses(&["evaluate", "--predictions", &place.text("nowhere"), "--labels", &labels]);
    assert!(error.contains("nowhere"), "{error}");
    let error = refuses(&["evaluate", "--predictions", &place.text("data/labelsTs"), "--labels", &labels]);
    assert!(error.contains("labels"), "{error}");
    for bad in ["-1", "NaN", "inf"] {
        let tolerance = format!("--tolerance={bad}");
        let error = refuses(&["evaluate", "--predictions", &labels, "--labels", &labels, &tolerance]);
        assert!(error.contains(&format!("a tolerance of {bad} mm is no length")), "{error}");
    }
}

#[test]
fn a_mask_never_overwrites_an_image() {
    let place = Place::with(small::SHAPE, 1, 2, [1, 1]);
    place.train("run", &[]);
    // Without a channel's number the image has the name that its mask will have.
    fs::rename(place.path("data/imagesTs/case_1_0000.nii.gz"), place.path("data/imagesTs/case_1.nii.gz"))
        .unwrap();
    let before = snapshot(&place.path("data"));
    let (run, images) = (place.text("run"), place.text("data/imagesTs"));
    for (input, out) in [(images.clone(), images.clone()), (images.clone(), format!("{images}/../imagesTs"))]
    {
        let error = refuses(&["predict", &run, &input, "--out", &out]);
        assert!(error.contains("nothing is written among images; name another --out"), "{error}");
    }
    assert_eq!(snapshot(&place.path("data")), before);
}

#[test]
fn a_cause_is_told_once() {
    let place = Place::new();
    let nowhere = place.text("nowhere.nii");
    let error = refuses(&["info", &nowhere]);
    assert!(error.starts_with(&nowhere) && error.matches("No such file").count() == 1, "{error}");
}

#[test]
fn a_closed_pipe_is_no_fault() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("trainer"))
        .arg("config")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Closed before the first line is printed, or after it: the rest has no reader.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(matches!(output.status.code(), Some(0 | 141)), "{:?}", output.status);
}

#[test]
fn folders_without_volumes_are_named() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    let (empty, labels) = (place.text("empty"), place.text("data/labelsTr"));
    for (predictions, truth) in [(&empty, &labels), (&labels, &empty)] {
        let error = refuses(&["evaluate", "--predictions", predictions, "--labels", truth]);
        assert!(error.starts_with(&empty) && error.contains("holds no volume"), "{error}");
    }
}

/// A disk without room, where the system has one to try with.
#[test]
fn a_full_disk_behind_a_stream_is_told_with_a_remedy() {
    use std::process::{Command, Stdio};
    let Ok(full) = fs::File::options().write(true).open("/dev/full") else { return };
    let full = || Stdio::from(full.try_clone().unwrap());
    let place = Place::new();
    let program = || Command::new(assert_cmd::cargo::cargo_bin!("trainer"));
    for args in [vec!["config".to_owned()], vec!["--help".into()], place.training("run", &[])] {
        let output = program().args(&args).stdout(full()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.starts_with("error: standard output: No space left on device"), "{args:?}: {said}");
        assert!(said.ends_with("; make room; a run goes on with `trainer train --resume`\n"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    // Where nothing can be said, the exit code is left.
    for args in [&["config"][..], &["info", "nowhere.nii"]] {
        let status = program().args(args).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{args:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_configuration_that_is_no_plain_file_is_refused_unread() {
    let place = Place::new();
    let (data, run) = (place.text("data"), place.text("run"));
    for command in [&["plan", &data][..], &["train", &data, "--out", &run]] {
        let error = refuses(&[command, &["--config", "/dev/null"]].concat());
        assert_eq!(error, "/dev/null: is not a file but a folder, a pipe or a device; name a file");
    }
    assert!(!place.path("run").exists());
}
