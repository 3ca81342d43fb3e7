//! Laws of the time that `trainer plan` says and `trainer train --time` takes; nothing here waits for it.

use serde_json::Value;
use trainer::config::Config;

use super::{Place, borrowed, json, say, small, succeeds};

/// What ends a run of any length after its second validation.
const STILL: [&str; 6] =
    ["--set", "optimizer.lr=1e-30", "--set", "training.patience=1", "--set", "schedule.name=constant"];

fn length(place: &Place, run: &str) -> [usize; 2] {
    let text = std::fs::read_to_string(place.path(run).join("config.toml")).unwrap();
    let training = Config::load(Some((run, &text)), &[]).unwrap().training;
    [training.epochs, training.steps_per_epoch]
}

#[test]
fn plan_says_the_time_of_a_run_and_of_its_parts() {
    let place = Place::new();
    let data = place.text("data");
    let set = small::TINY.map(|pair| ["--set", pair]).concat();
    let page = succeeds(&[&["plan", &data], &set[..]].concat());
    for part in
        ["time in s", "step", "epoch of 3 steps", "validation of whole cases", "predicting a case", "run"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let said: Value =
        serde_json::from_str(&succeeds(&[&["plan", &data, "--json"], &set[..]].concat())).unwrap();
    let seconds = |key: &str| said["time"][key].as_f64().unwrap();
    let times = ["epochs", "steps_per_epoch", "validations"].map(|key| said["time"][key].as_u64().unwrap());
    assert_eq!(times, [1, 3, 1]);
    for key in ["step", "validation", "case", "once"] {
        assert!(seconds(key) > 0.0, "{key}: {said}");
    }
    assert!(seconds("epoch") > 3.0 * seconds("step"), "{said}");
    let run = seconds("epoch") + seconds("validation") + seconds("once");
    assert!((seconds("run") / run - 1.0).abs() < 1e-9, "{said}");
}

#[test]
fn a_time_becomes_a_number_of_steps_that_a_resumed_run_keeps() {
    let place = Place::new();
    let printed = place.train("run", &[&["--time", "3m"][..], &STILL].concat());
    assert!(printed.contains("--time is 0:03:00"), "{printed}");
    let [epochs, steps_per_epoch] = length(&place, "run");
    assert!(epochs > 2 && (1..=3).contains(&steps_per_epoch), "{epochs} {steps_per_epoch}");
    assert!(printed.contains(&format!("{epochs} epochs of {steps_per_epoch} steps")), "{printed}");
    let resumed = succeeds(&["train", &place.text("data"), "--out", &place.text("run"), "--resume"]);
    assert!(resumed.contains(&format!("of {}: the last", epochs * steps_per_epoch)), "{resumed}");
    assert_eq!(length(&place, "run"), [epochs, steps_per_epoch]);
    // Twenty times the time is more, whatever the machine does meanwhile.
    place.train("longer", &[&["--time", "1h"][..], &STILL].concat());
    assert!(length(&place, "longer")[0] > epochs);
}

#[test]
fn all_folds_take_the_steps_of_the_first_and_go_on_with_the_same_time() {
    let place = Place::with(small::SHAPE, 1, 2, [4, 0]);
    let folds = |time| [&["--all-folds", "--folds", "2", "--time", time][..], &STILL].concat();
    place.train("run", &folds("1h"));
    assert_eq!(length(&place, "run/fold_0"), length(&place, "run/fold_1"));
    assert!(length(&place, "run/fold_0")[0] > 2);
    assert!(place.train("run", &folds("1h")).contains("was trained before"));
    let other = super::refuses(&borrowed(&place.training("run", &folds("2h"))));
    assert!(other.contains("other settings"), "{other}");
    assert_eq!(json(&place.path("run/folds.json"))["time"], 3600);
}

#[test]
fn a_time_stands_beside_neither_epochs_nor_a_run_that_goes_on() {
    for (more, said) in [
        (&["--time", "1h", "--epochs", "3"][..], "cannot be used with"),
        (&["--time", "1h", "--resume"], "cannot be used with"),
        (&["--time", "1.5h"], "2h, 30m, 90s or 1h30m"),
    ] {
        let refused = say(&[&["train", "data", "--out", "run"], more].concat());
        assert_eq!(refused.code, Some(2), "{more:?}");
        assert!(refused.stderr.contains(said), "{more:?}: {}", refused.stderr);
    }
}
