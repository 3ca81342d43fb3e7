//! Laws of `trainer watch`: a run is shown as its log, its settings and its lock have it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::train::log;
use super::{Place, refuses, small, succeeds};

/// The only object that `watch --json` prints.
fn state(run: &Path) -> Value {
    let mut all = states(run);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn states(folder: &Path) -> Vec<Value> {
    serde_json::from_str(&succeeds(&["watch", folder.to_str().unwrap(), "--json"])).unwrap()
}

#[test]
fn a_finished_run_is_shown_as_its_log_has_it() {
    let place = Place::with(small::SHAPE, 1, 3, [4, 0]);
    place.train("run", &["--epochs", "3"]);
    let run = place.path("run");
    let shown = succeeds(&["watch", &place.text("run")]);
    assert!(shown.contains("run: done, epoch 3 of 3, step 9 of 9"), "{shown}");
    let curve = shown.lines().find(|line| line.starts_with("loss ")).unwrap();
    assert_eq!(curve.chars().filter(|c| ('▁'..='█').contains(c)).count(), 9, "{curve}");
    let validations = log(&run, "validation");
    let metric = |line: &Value| line["metric"].as_f64().unwrap();
    let best = validations
        .iter()
        .max_by(|a, b| metric(a).total_cmp(&metric(b)).then(b["epoch"].as_u64().cmp(&a["epoch"].as_u64())))
        .unwrap();
    for line in &validations {
        let dice = |class: usize| format!("{:.4}", line["classes"][class]["dice"].as_f64().unwrap());
        let end = if line["epoch"] == best["epoch"] { ", the best" } else { "" };
        let wanted = format!("  epoch {}: Dice lesion {}, vessel {}{end}\n", line["epoch"], dice(0), dice(1));
        assert!(shown.contains(&wanted), "{wanted}{shown}");
    }
    let (data, out) = (place.text("data"), place.text("run"));
    for next in [
        format!(" predict {out} IMAGES --out MASKS\n"),
        format!(" train {data} --out {out} --resume --epochs 6\n"),
    ] {
        // Lines break at words.
        let words = |text: &str| text.replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&shown).contains(&words(&next)), "{next}{shown}");
    }

    let json = state(&run);
    let logged = log(&run, "batch");
    assert_eq!((&json["state"], &json["step"], &json["steps"]), (&"done".into(), &9.into(), &9.into()));
    let losses: Vec<&Value> = json["losses"].as_array().unwrap().iter().map(|at| &at["loss"]).collect();
    assert_eq!(losses, logged.iter().map(|line| &line["loss"]).collect::<Vec<_>>());
    assert_eq!(json["elapsed_seconds"], logged[8]["elapsed_seconds"]);
}

#[test]
fn a_run_without_an_end_has_died_unless_somebody_holds_its_lock() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    place.train("run", &["--epochs", "2"]);
    let run = place.path("run");
    let whole = fs::read_to_string(run.join("log.jsonl")).unwrap();
    // Up to the first batch of the second epoch, and half a line that is being written.
    let kept: usize = whole.split_inclusive('\n').take(7).map(str::len).sum();
    fs::write(run.join("log.jsonl"), &whole[..kept + 30]).unwrap();
    let fourth = &log_of(&whole[..kept])[3];
    assert_eq!((&fourth["epoch"], &fourth["batch"]), (&2.into(), &1.into()));

    let died = state(&run);
    assert_eq!(
        (&died["state"], &died["step"], &died["left_seconds"]),
        (&"died".into(), &4.into(), &Value::Null)
    );
    let shown = succeeds(&["watch", &place.text("run")]);
    assert!(
        shown.contains("died, epoch 2 of 2, step 4 of 6: its process is gone") && shown.contains("--resume")
    );

    let lock = fs::File::open(run.join(".lock")).unwrap();
    lock.lock().unwrap();
    let running = state(&run);
    let seconds = |key: &str| running[key].as_f64().unwrap();
    assert_eq!(running["state"], "running");
    assert!((seconds("left_seconds") - seconds("elapsed_seconds") / 2.0).abs() < 1e-9, "{running}");
    assert!(succeeds(&["watch", &place.text("run")]).contains("tensorboard --logdir "));

    // At the end of an epoch whose whole cases are due.
    let kept: usize = whole.split_inclusive('\n').take(5).map(str::len).sum();
    fs::write(run.join("log.jsonl"), &whole[..kept]).unwrap();
    assert_eq!(state(&run)["state"], "validating");
    fs::write(run.join("log.jsonl"), "").unwrap();
    assert_eq!(state(&run)["state"], "starting");
    drop(lock);

    // All steps of fewer epochs than were asked for since.
    fs::write(run.join("log.jsonl"), &whole).unwrap();
    assert_eq!(state(&run)["state"], "done");
    let settings = fs::read_to_string(run.join("config.toml")).unwrap();
    fs::write(run.join("config.toml"), settings.replace("\nepochs = 2\n", "\nepochs = 3\n")).unwrap();
    assert_eq!(state(&run)["state"], "stopped");
}

fn log_of(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "batch").collect()
}

#[test]
fn a_folder_of_runs_has_a_line_for_each() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    fs::create_dir(place.path("runs")).unwrap();
    assert!(refuses(&["watch", &place.text("runs")]).contains("runs: holds no run: name the --out of"));
    place.train("runs/folds", &["--all-folds"]);
    let runs: Vec<Value> = states(&place.path("runs")).iter().map(|state| state["run"].clone()).collect();
    assert_eq!(runs, [place.text("runs/folds/fold_0"), place.text("runs/folds/fold_1")]);
    let shown = succeeds(&["watch", &place.text("runs/folds")]);
    for fold in ["fold_0", "fold_1"] {
        assert!(shown.contains(&format!("{fold}: done, epoch 1 of 1, step 3 of 3, loss ")), "{shown}");
    }
}
