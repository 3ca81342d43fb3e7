//! Laws of `trainer study`, and its page in a browser.

use std::path::PathBuf;
use std::process::Output;

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;
use tempfile::TempDir;
use trainer::dataset::{CaseFiles, Dataset};
use trainer::preprocess::CaseReader;

use crate::support::browser::{browser, shows};
use crate::support::{shared::skipped, small};

/// A folder with a small data set.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        small::write_data_set(&place.path("data"), small::SHAPE, 1, 3, [3, 1]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a study of the small data set.
    fn study(&self, out: &str, args: &[&str]) -> Output {
        let mut command = cargo_bin_cmd!("trainer");
        command.arg("study").arg(self.path("data")).arg("--out").arg(self.path(out));
        small::TINY.iter().for_each(|set| {
            command.args(["--set", set]);
        });
        command.args(["--epochs", "2", "--threads", "2"]).args(args).output().unwrap()
    }

    fn json(&self, out: &str) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.path(out).join("study.json")).unwrap()).unwrap()
    }
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Same weights at first, same voxels measured: two logits, too, begin as one.
#[test]
fn without_a_learning_rate_all_arms_are_the_same() {
    let place = Place::new();
    let printed = succeeds(&place.study(
        "out",
        // A threshold is not the study's: its reports are at probability 1/2.
        &["--seeds", "1", "--set", "optimizer.lr=0", "--set", "inference.threshold=0.9"],
    ));
    assert!(printed.contains("lesion + vessel") || printed.contains("after the first epoch?"), "{printed}");
    let runs = place.json("out")["runs"].as_array().unwrap().clone();
    assert_eq!(runs.len(), 7);
    for run in &runs {
        for key in ["at_half", "average_precision", "curve"] {
            assert_eq!(run[key], runs[0][key], "{key} of {}", run["arm"]);
        }
        let epochs = run["epochs"].as_array().unwrap();
        assert_eq!(epochs.len(), 2);
        let count = |key: &str| run["at_half"][key].as_u64().unwrap() as f64;
        let recall = count("tp") / (count("tp") + count("fn"));
        assert!(epochs.iter().all(|epoch| epoch["recall"] == recall), "{recall} in {epochs:?}");
    }
    for file in ["study.html", "study.txt", "study.json", "runs/bce-0/slices.png"] {
        assert!(place.path("out").join(file).is_file(), "{file}");
    }
}

/// Whatever grid the network sees: the log's figures and the study's are of the same voxels, and those are the files'.
#[test]
fn what_is_measured_is_what_the_log_counts_in_the_files_voxels() {
    let place = Place::new();
    let args = ["--arms", "bce,cross_entropy", "--seeds", "1"];
    let settings = ["--set", "data.spacing=[1.5,2.5,2]", "--set", "validation.full_every=1"];
    let all = [&args[..], &settings].concat();
    let cache = place.path("cache");
    succeeds(&place.study("cached", &[&all[..], &["--cache", cache.to_str().unwrap()]].concat()));
    succeeds(&place.study("out", &all));
    let runs = place.json("out")["runs"].as_array().unwrap().clone();
    let evaluated = place.json("out")["evaluation"].as_array().unwrap().clone();
    let set = Dataset::open(place.path("data")).unwrap();
    let is_evaluated = |files: &&CaseFiles| evaluated.iter().any(|name| *name == *files.name);
    let cases: Vec<_> = set.training.iter().filter(is_evaluated).cloned().collect();
    let cases = CaseReader::native(&set).read_all(&cases).unwrap();
    let labels = || cases.iter().flat_map(|case| case.labels.as_deref().unwrap());
    // All foreground classes together.
    let foreground = labels().filter(|&&label| label > 0).count() as u64;
    assert!(foreground > 0 && foreground < labels().count() as u64);
    for run in &runs {
        let arm = run["arm"].as_str().unwrap();
        let count = |key: &str| run["at_half"][key].as_u64().unwrap();
        assert_eq!(count("tp") + count("fn"), foreground, "{arm}");
        let log = std::fs::read_to_string(place.path(&format!("out/runs/{arm}-0/log.jsonl"))).unwrap();
        let last = log.lines().rfind(|line| line.contains(r#"{"event":"validation""#)).unwrap();
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["classes"][0]["at_half"], run["at_half"], "{arm}");
    }
    let timeless = |name: &str| {
        let mut json = place.json(name);
        json["runs"].as_array_mut().unwrap().iter_mut().for_each(|run| run["seconds"] = Value::Null);
        json
    };
    assert_eq!(timeless("out"), timeless("cached"));
}

#[test]
fn a_study_that_was_stopped_goes_on_to_the_same_figures() {
    let place = Place::new();
    let args = ["--arms", "bce,pos_weight", "--seeds", "2"];
    succeeds(&place.study("whole", &args));
    succeeds(&place.study("parted", &args));
    // As if it had been stopped: one run after its first epoch, one before its beginning.
    let parted = place.path("parted/runs");
    std::fs::remove_dir_all(parted.join("pos_weight-1")).unwrap();
    std::fs::remove_file(parted.join("bce-1/result.json")).unwrap();
    std::fs::remove_file(place.path("parted/study.json")).unwrap();
    let printed = succeeds(&place.study("parted", &args));
    assert!(printed.contains("run 3 of 4: bce, seed 1"), "{printed}");
    let timeless = |name: &str| {
        let mut json = place.json(name);
        json["runs"].as_array_mut().unwrap().iter_mut().for_each(|run| run["seconds"] = Value::Null);
        json
    };
    assert_eq!(timeless("whole"), timeless("parted"));
}

#[test]
fn an_arm_goes_back_behind_a_damaged_checkpoint() {
    let place = Place::new();
    let args = ["--arms", "bce", "--seeds", "1"];
    succeeds(&place.study("out", &args));
    let timeless = || {
        let mut json = place.json("out");
        json["runs"][0]["seconds"] = Value::Null;
        json
    };
    let whole = timeless();
    // As if it had been killed while it wrote, and its disk had lost the end of a file.
    let arm = place.path("out/runs/bce-0");
    let damage = |name: &str| {
        let file = arm.join("checkpoints").join(name).join("state.bin");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    };
    std::fs::remove_file(arm.join("result.json")).unwrap();
    std::fs::create_dir(arm.join("checkpoints/.checkpoint-abc")).unwrap();
    damage("last");
    let printed = succeeds(&place.study("out", &args));
    let line = printed.lines().find(|line| line.contains("last/state.bin: is damaged")).unwrap_or_default();
    assert!(line.ends_with("; going back to previous, after 3 steps"), "{printed}");
    assert_eq!(timeless(), whole);
    assert!(!arm.join("checkpoints/.checkpoint-abc").exists());

    std::fs::remove_file(arm.join("result.json")).unwrap();
    damage("last");
    damage("previous");
    let output = place.study("out", &args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = "bce-0: holds no checkpoint to go on from: delete this folder, and the arm is trained again";
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains(words) && error.contains("previous/state.bin: is damaged"), "{error}");
    std::fs::remove_dir_all(&arm).unwrap();
    succeeds(&place.study("out", &args));
    assert_eq!(timeless(), whole);
}

#[test]
fn a_run_that_another_process_trains_is_not_trained_a_second_time() {
    let place = Place::new();
    let args = ["--arms", "bce", "--seeds", "1"];
    succeeds(&place.study("out", &args));
    let run = place.path("out/runs/bce-0");
    std::fs::remove_file(run.join("result.json")).unwrap();
    let lock = std::fs::File::open(run.join(".lock")).unwrap();
    lock.lock().unwrap();
    let output = place.study("out", &args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("bce-0: another process is writing to this folder"), "{error}");
    // Another study's settings are refused whoever trains.
    let output = place.study("out", &[&args[..], &["--set", "optimizer.lr=0.5"]].concat());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("the study there has another data set, other cases or other settings"), "{error}");
}

#[test]
fn what_cannot_be_studied_is_refused_in_words() {
    let place = Place::new();
    for (args, words) in [
        (["--arms", "bce,hinge"], "--arms: \"hinge\" is no arm: bce, shares"),
        (["--recall", "1.5"], "--recall 1.5: a share above 0"),
        (["--seeds", "0"], "--seeds 0: at least 1"),
    ] {
        let output = place.study("out", &args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(words), "{error}");
    }
    #[cfg(unix)]
    {
        let output = place.study("out", &["--config", "/dev/null"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("/dev/null: is not a file but a folder, a pipe or a device"), "{error}");
    }
    // A run of something else is not a study's folder, nor is anything put there.
    let other = place.path("other");
    std::fs::create_dir(&other).unwrap();
    for name in [".lock", "config.toml"] {
        std::fs::write(other.join(name), "").unwrap();
    }
    let error = String::from_utf8_lossy(&place.study("other", &[]).stderr).into_owned();
    assert!(error.contains("other: is not empty"), "{error}");
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 2);
    succeeds(&place.study("out", &["--arms", "bce", "--seeds", "1"]));
    let output = place.study("out", &["--arms", "bce", "--seeds", "1", "--set", "optimizer.lr=0.5"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("the study there has another data set, other cases or other settings"), "{error}");
}

#[test]
fn the_page_shows_its_curves_in_a_browser_without_an_error() {
    let Some(browser) = browser() else {
        return skipped("the_page_shows_its_curves_in_a_browser_without_an_error", "no chromium here");
    };
    let place = Place::new();
    let arms = ["bce", "pos_weight", "cross_entropy"];
    succeeds(&place.study("out", &["--arms", &arms.join(","), "--seeds", "1"]));
    let page = place.path("out/study.html");
    let charts = ["pr", "epochs", "reliability-bce", "reliability-pos_weight", "reliability-cross_entropy"];
    let elements = shows(&browser, &page, &charts, &["arms", "differences"]);
    assert_eq!(elements.matches("data:image/png;base64,").count(), arms.len());
}
