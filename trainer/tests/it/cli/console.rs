//! Laws of `--quiet`, `--verbose` and `--json`: how much is printed, and for whom.

use std::fs;

use super::train::log;
use super::{Place, Said, borrowed, json, say, small, succeeds};

#[test]
fn quiet_leaves_warnings_and_last_lines_and_verbose_adds_every_batch() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    let printed = |run: &str, flags: &[&str]| {
        let every = ["--set", "training.log_every=3"];
        place.train(run, &[&every[..], flags].concat())
    };
    let (quiet, usual, verbose) = (printed("q", &["-q"]), printed("run", &[]), printed("v", &["--verbose"]));
    let batches = |text: &str| text.lines().filter(|line| line.starts_with("| epoch")).count();
    assert_eq!([&quiet, &usual, &verbose].map(|text| batches(text)), [0, 1, 3]);
    let kind = |line: &str| line.split([':', '/', '0']).next().unwrap().to_owned();
    assert!(quiet.lines().all(|line| usual.contains(&kind(line))), "{quiet}");
    assert!(quiet.contains("\ndone after 3 steps in ") && quiet.contains("\nto predict:\n"), "{quiet}");
    assert!(quiet.lines().count() * 2 < usual.lines().count(), "{quiet}");
    // What is printed changes nothing of what is kept.
    let timeless = |run: &str| {
        let mut lines = log(&place.path(run), "batch");
        lines.iter_mut().for_each(|line| line["elapsed_seconds"] = 0.into());
        lines
    };
    assert_eq!(timeless("q"), timeless("run"));
    assert_eq!(timeless("v"), timeless("run"));
    assert_eq!(say(&["train", "data", "--out", "run", "-q", "-v"]).code, Some(2));
}

#[test]
fn the_log_of_a_run_is_printed_to_programs_and_words_beside_it() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    let Said { code, stdout, stderr } = say(&borrowed(&place.training("run", &["--json"])));
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, fs::read_to_string(place.path("run/log.jsonl")).unwrap());
    assert!(stderr.contains("| epoch   1 |") && stderr.contains("done after 3 steps"), "{stderr}");
}

#[test]
fn figures_are_printed_to_programs_in_place_of_tables() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    let (data, labels) = (place.text("data"), place.text("data/labelsTr"));
    for args in [
        &["inspect", &data][..],
        &["verify", &data],
        &["explain", &data],
        &["evaluate", "--predictions", &labels, "--labels", &labels],
    ] {
        let (file, path) = (place.text("figures.json"), place.path("figures.json"));
        let table = succeeds(&[args, &["--json", &file]].concat());
        let Said { code, stdout, .. } = say(&[args, &["--json", "-"]].concat());
        assert_eq!(code, Some(0), "{args:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&stdout).unwrap(), json(&path), "{args:?}");
        assert!(!table.trim_start().starts_with('{'), "{table}");
        assert!(!place.path("-").exists());
    }
}
