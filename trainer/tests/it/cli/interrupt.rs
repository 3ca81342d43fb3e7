//! Ctrl-C ends training after the current step and keeps what was learnt.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use trainer::run::checkpoint::Checkpoint;

use super::Place;

/// Starts training, interrupts it at the first log line, and gives what it printed from then on.
pub(super) fn interrupted(args: &[String]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("| epoch"));
    assert!(first.is_some(), "there is a log line");
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{stderr}");
    assert_eq!(stderr, "\nstopping after the current step; once more to stop at once\n");
    rest.join("\n")
}

#[test]
fn an_interrupted_run_can_be_predicted_with_and_goes_on() {
    let place = Place::new();
    // More steps than any machine takes before the signal arrives.
    let long = ["--steps-per-epoch", "10000000"];
    let printed = interrupted(&place.training("run", &long));
    let load = || Checkpoint::load(&place.path("run/checkpoints/last")).unwrap().state.step;
    let step = load();
    assert!((1..10_000_000).contains(&step), "{step}");
    for line in [&format!("stopped after step {step} of 10000000"), "to go on from here:"] {
        assert!(printed.contains(line), "{line} is missing:\n{printed}");
    }
    assert!(!place.path("run/slices.png").exists());

    let resume = ["train", &place.text("data"), "--out", &place.text("run"), "--resume"].map(str::to_owned);
    interrupted(&resume);
    assert!(load() > step, "{} after {step}", load());

    let (run, images, masks) = (place.text("run"), place.text("data/imagesTs"), place.text("masks"));
    super::succeeds(&["predict", &run, &images, "--out", &masks]);
}
