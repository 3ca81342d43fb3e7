//! Laws of `train --resume`: what a run goes on with, and what it does not go on with.

use std::fs;

use serde_json::Value;

use super::{Place, json, refuses, small, succeeds};

fn log(place: &Place, run: &str, event: &str) -> Vec<Value> {
    let log = fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

fn go_on<'a>(data: &'a str, run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", data, "--out", run, "--resume"], more].concat()
}

/// A plateau schedule sees the figures of training cases too: where their validation was cut off, it must be made up for.
#[test]
fn a_validation_on_training_cases_that_was_cut_off_is_made_up_for() {
    let place = Place::with(small::SHAPE, 1, 2, [1, 0]);
    let plateau =
        ["--set", "schedule.name=plateau", "--set", "schedule.patience=0", "--set", "optimizer.lr=0.05"];
    place.train("whole", &[&["--epochs", "4"][..], &plateau].concat());
    place.train("run", &[&["--epochs", "1"][..], &plateau].concat());
    let path = place.path("run/checkpoints/last");
    let mut checkpoint = trainer::run::checkpoint::Checkpoint::load(&path).unwrap();
    assert!(std::mem::take(&mut checkpoint.state.validated));
    checkpoint.state.plateau =
        *nn::schedule::Scheduler::new(nn::schedule::Schedule::Constant).unwrap().state();
    checkpoint.state.log_bytes = 0;
    checkpoint.save(&path).unwrap();
    let (data, run) = (place.text("data"), place.text("run"));
    succeeds(&go_on(&data, &run, &["--epochs", "4"]));
    assert_eq!(log(&place, "run", "validation"), log(&place, "whole", "validation"));
    let weights = |run: &str| log(&place, run, "end")[0]["weights_crc32c"].clone();
    assert_eq!(weights("run"), weights("whole"));
}

/// Without foreground among the validation cases there is no metric, which is not the same as no validation.
#[test]
fn a_validation_without_a_metric_is_not_repeated() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    small::write_data_set(&place.path("other"), small::SHAPE, 1, 2, [1, 0]);
    let [d, h, w] = small::SHAPE;
    for file in ["imagesTr/case_0_0000", "labelsTr/case_0"] {
        let path = place.path(&format!("other/{file}.nii.gz"));
        let header = volumes::nifti::read_header(&path).unwrap();
        let value = |i: usize| if file.starts_with("images") { (i % 7) as u8 } else { 0 };
        volumes::nifti::write(&path, &header, &(0..d * h * w).map(value).collect::<Vec<_>>()).unwrap();
    }
    let other = place.text("other");
    place.train("run", &["--validation", &other]);
    let (data, run) = (place.text("data"), place.text("run"));
    succeeds(&go_on(&data, &run, &["--validation", &other]));
    assert_eq!(log(&place, "run", "validation").len(), 1);
}

#[test]
fn other_voxels_or_an_end_behind_the_run_are_refused() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 1]);
    place.train("run", &["--epochs", "2"]);
    let (data, run) = (place.text("data"), place.text("run"));
    let error = refuses(&go_on(&data, &run, &["--epochs", "1"]));
    assert!(error.contains("1 epochs of 3 steps end before the 6 steps that the run has taken"), "{error}");
    // A test image may change.
    let swap = |a: &str, b: &str| {
        let [a, b] = [a, b].map(|file| place.path(&format!("data/{file}.nii.gz")));
        let kept = fs::read(&a).unwrap();
        fs::copy(&b, &a).unwrap();
        move || fs::write(&a, &kept).unwrap()
    };
    let _unchanged = swap("imagesTs/case_2_0000", "imagesTr/case_0_0000");
    succeeds(&go_on(&data, &run, &["--epochs", "3"]));
    assert!(fs::read_to_string(place.path("run/config.toml")).unwrap().contains("epochs = 3"));
    for (file, by) in
        [("imagesTr/case_1_0000", "imagesTr/case_0_0000"), ("labelsTr/case_0", "labelsTr/case_1")]
    {
        let back = swap(file, by);
        let error = refuses(&go_on(&data, &run, &["--epochs", "4"]));
        assert!(
            error.contains(&format!("run.json: the run began with another {file}.nii.gz: of ")),
            "{error}"
        );
        assert!(error.contains("make it as it was") && error.contains("--init"), "{error}");
        back();
    }
    succeeds(&go_on(&data, &run, &["--epochs", "4"]));
    // A file that the run did not have.
    let path = place.path("run/run.json");
    let mut record = json(&path);
    let files = record["files"].as_array_mut().unwrap();
    files.retain(|file| file["path"] != "labelsTr/case_1.nii.gz");
    fs::write(&path, record.to_string()).unwrap();
    let error = refuses(&go_on(&data, &run, &["--epochs", "5"]));
    assert!(error.contains("the run began without labelsTr/case_1.nii.gz, now it is one of "), "{error}");
}

#[test]
fn another_instruction_set_is_said() {
    let place = Place::with(small::SHAPE, 1, 2, [1, 0]);
    place.train("run", &["--epochs", "1"]);
    let path = place.path("run/run.json");
    let mut record = json(&path);
    record["instruction_set"] = "abacus".into();
    fs::write(&path, record.to_string()).unwrap();
    let (data, run) = (place.text("data"), place.text("run"));
    let printed = succeeds(&go_on(&data, &run, &["--epochs", "2"]));
    assert!(printed.contains("the run began with abacus and goes on with "), "{printed}");
    fs::write(&path, "").unwrap();
    let error = refuses(&go_on(&data, &run, &["--epochs", "3"]));
    assert!(error.contains("run.json: is no record of a run") && error.contains("--init"), "{error}");
}

#[test]
fn a_run_without_a_checkpoint_is_begun_again() {
    let place = Place::with(small::SHAPE, 1, 2, [1, 0]);
    fs::create_dir_all(place.path("run/checkpoints")).unwrap();
    let (data, run) = (place.text("data"), place.text("run"));
    let error = refuses(&go_on(&data, &run, &[]));
    assert!(error.contains("holds no checkpoint yet: begin again, without --resume"), "{error}");
}

#[test]
fn lines_of_the_log_that_are_lost_are_said() {
    let place = Place::with(small::SHAPE, 1, 2, [1, 0]);
    place.train("run", &["--epochs", "1"]);
    fs::write(place.path("run/log.jsonl"), "").unwrap();
    let (data, run) = (place.text("data"), place.text("run"));
    let printed = succeeds(&go_on(&data, &run, &["--epochs", "2"]));
    assert!(printed.contains("log.jsonl lacks "), "{printed}");
}

/// All that taught nothing is counted, over interruptions too. No patch is without annotated voxels, but batches are without
/// weight.
#[test]
fn batches_in_which_no_voxel_has_a_weight_are_counted_over_interruptions() {
    let place = Place::with(small::SHAPE, 1, 3, [1, 0]);
    let small_patches = [
        "--set",
        "data.patch_size=[4,4,8]",
        "--set",
        "data.batch_size=2",
        "--set",
        "data.foreground_share=0.0",
        "--set",
        "loss.name=ce",
        "--set",
        "loss.class_weights=[0,1,1]",
    ];
    let end = |run: &str, epochs: &str, resume: bool| {
        let (data, out) = (place.text("data"), place.text(run));
        match resume {
            true => succeeds(&go_on(&data, &out, &["--epochs", epochs])),
            false => succeeds(&super::borrowed(
                &place.training(run, &[&["--epochs", epochs][..], &small_patches].concat()),
            )),
        };
        let end = log(&place, run, "end").pop().unwrap();
        (
            end["empty_patches"].as_u64().unwrap(),
            end["empty_batches"].as_u64().unwrap(),
            end["left_out"].clone(),
        )
    };
    let whole = end("whole", "4", false);
    assert!(whole.0 == 0 && whole.1 > 2, "{whole:?}");
    end("run", "2", false);
    assert_eq!(end("run", "4", true), whole);
}

#[test]
fn a_run_that_another_process_writes_is_refused_before_it_is_read() {
    let place = Place::with(small::SHAPE, 1, 2, [1, 0]);
    let (data, run) = (place.text("data"), place.text("run"));
    // Nothing is put into what is no run's folder.
    fs::create_dir(place.path("run")).unwrap();
    assert!(refuses(&go_on(&data, &run, &[])).contains("is no run folder"));
    assert_eq!(fs::read_dir(place.path("run")).unwrap().count(), 0);
    place.train("run", &[]);
    fs::write(place.path("run/checkpoints/last/model.safetensors"), "half").unwrap();
    let lock = fs::File::open(place.path("run/.lock")).unwrap();
    lock.lock().unwrap();
    let error = refuses(&go_on(&data, &run, &["--epochs", "2"]));
    assert!(error.contains("run: another process is writing to this folder"), "{error}");
    drop(lock);
    assert!(!refuses(&go_on(&data, &run, &["--epochs", "2"])).contains("another process"));
}
