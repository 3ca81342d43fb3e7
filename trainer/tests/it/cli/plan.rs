//! Laws of `trainer plan`, and of the memory that `trainer train` asks for.

use std::fs;

use serde_json::Value;

use super::{Place, refuses, succeeds};

const SMALL: [&str; 6] =
    ["--set", "model.base_channels=2", "--set", "training.log_every=1", "--set", "data.batch_size=1"];

fn training(place: &Place, more: &[&str]) -> Vec<String> {
    let (data, run) = (place.text("data"), place.text("run"));
    let fixed = ["train", &data, "--out", &run, "--epochs", "1", "--steps-per-epoch", "2"];
    [&fixed, &SMALL[..], more].concat().into_iter().map(str::to_owned).collect()
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn plan_says_what_train_does_and_train_records_it() {
    let place = Place::new();
    let data = place.text("data");
    let page = succeeds(&[&["plan", &data], &SMALL[..]].concat());
    for part in ["cases are turned to", "8 x 16 x 16 voxels", "parameters", "peak", "training takes about"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let json = succeeds(&[&["plan", &data, "--json"], &SMALL[..]].concat());
    let said: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&said["patch_size"], &said["batch_size"]), (&serde_json::json!([8, 16, 16]), &1.into()));

    let printed = succeeds(&strs(&training(&place, &[])));
    // Time is measured where it is asked for.
    let same = page.lines().take_while(|line| !line.starts_with("time in s"));
    let same: Vec<&str> = same.filter(|line| !line.starts_with("training takes")).collect();
    same.iter().for_each(|line| assert!(printed.contains(line), "{line}: {printed}"));
    let record: Value =
        serde_json::from_str(&fs::read_to_string(place.path("run/run.json")).unwrap()).unwrap();
    for key in ["patch_size", "batch_size", "levels", "training", "prediction"] {
        assert_eq!(record["outlook"][key], said[key], "{key}");
    }
}

#[test]
fn what_plan_writes_is_a_configuration_that_train_takes() {
    let place = Place::new();
    let (data, file) = (place.text("data"), place.text("plan.toml"));
    succeeds(&[&["plan", &data, "--write", &file], &SMALL[..]].concat());
    let text = fs::read_to_string(&file).unwrap();
    // It may have been edited since.
    let error = super::refuses(&[&["plan", &data, "--write", &file], &SMALL[..]].concat());
    assert!(error.contains("plan.toml: exists already, and may have been edited"), "{error}");
    assert!(
        text.starts_with("# What `trainer plan` chose") && text.contains("patch_size = [8, 16, 16]"),
        "{text}"
    );
    let plan = |args: &[&str]| -> Value {
        serde_json::from_str(&succeeds(&[&["plan", &data, "--json"], args].concat())).unwrap()
    };
    let (own, given) = (plan(&SMALL), plan(&["--config", &file]));
    for key in ["patch_size", "batch_size", "levels", "parameters", "spacing"] {
        assert_eq!(own[key], given[key], "{key}");
    }
    succeeds(&strs(&training(&place, &["--config", &file])));
}

/// Of processes of their own, so that nothing else is counted.
#[test]
#[cfg(target_os = "linux")]
fn a_run_takes_what_the_plan_says_within_15_percent_and_goes_on_so() {
    let few = ["model.base_channels=8", "model.levels=3"];
    for (shape, classes, set) in [
        ([48, 96, 96], 2, &["data.patch_voxels=150000", "model.base_channels=16"][..]),
        ([12, 160, 144], 4, &["data.patch_voxels=100000", "model.base_channels=24"]),
        ([40, 72, 64], 2, &["model.checkpointing=\"level\"", "model.base_channels=32", "model.levels=3"]),
        // Small volumes: the weights and the program are most of it.
        ([20, 48, 40], 2, &["model.base_channels=16"]),
        ([32, 64, 64], 3, &["model.residual=true", few[0], few[1]]),
        ([32, 64, 64], 3, &["model.deep_supervision=true", "model.base_channels=12", few[1]]),
        ([64, 128, 128], 2, &["data.spacing=[2.0,1.2,1.1]", "data.patch_voxels=40000", few[0], few[1]]),
    ] {
        let place = Place::with(shape, 1, classes, [2, 0]);
        let (data, run) = (place.text("data"), place.text("run"));
        let mut args = vec!["train", &data, "--out", &run, "--epochs", "1", "--steps-per-epoch", "3"];
        set.iter().for_each(|pair| args.extend(["--set", pair]));
        for args in [&args[..], &["train", &data, "--out", &run, "--epochs", "2", "--resume"]] {
            let said = succeeds(args);
            let (_, plan) = said.split_once("training takes about ").unwrap();
            let (planned, unit) = plan.split_once(' ').unwrap();
            assert!(unit.starts_with("MB"), "{unit}");
            let planned = planned.parse::<f64>().unwrap() * f64::from(1 << 20);
            let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
            let end: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
            let measured = end["peak_memory"].as_f64().unwrap();
            let [of_plan, of_run] = [planned, measured].map(|bytes| bytes / f64::from(1 << 20));
            println!("{shape:?} {set:?} {}: {of_plan:.0} MB, measured {of_run:.0} MB", args.len());
            assert!((planned / measured - 1.0).abs() < 0.15, "{set:?}: planned {of_plan}, measured {of_run}");
        }
    }
}

#[test]
fn train_refuses_what_its_memory_does_not_hold_unless_it_is_forced() {
    let place = Place::new();
    let narrow = ["--set", "data.memory=0.001"];
    let error = refuses(&strs(&training(&place, &narrow)));
    for part in ["data.memory", "the limit is 1 MB", "model.base_channels", "--force"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!place.path("run/run.json").exists());
    succeeds(&strs(&training(&place, &[&narrow[..], &["--force"]].concat())));
    assert!(place.path("run/checkpoints/last").is_dir());
    let page = succeeds(&[&["plan", &place.text("data")], &SMALL[..], &narrow[..]].concat());
    assert!(page.ends_with("the limit is 1 MB: it does not fit\n"), "{page}");
    let error = refuses(&["plan", &place.text("data"), "--set", "data.memory=-1"]);
    assert!(error.contains("data.memory: is -1"), "{error}");
}
