//! Ctrl-C ends training after the current step and keeps what was learnt.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use trainer::checkpoint::Checkpoint;

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
    for line in [
        &format!("stopped after step {step} of 10000000"),
        "the same data set and --out with --resume go on from here",
    ] {
        assert!(printed.contains(line), "{line} is missing:\n{printed}");
    }
    assert!(!place.path("run/slices.png").exists());

    let resume = ["train", &place.text("data"), "--out", &place.text("run"), "--resume"].map(str::to_owned);
    interrupted(&resume);
    assert!(load() > step, "{} after {step}", load());

    let (run, images, masks) = (place.text("run"), place.text("data/imagesTs"), place.text("masks"));
    super::succeeds(&["predict", &run, &images, "--out", &masks]);
}

/// The terminal is one of `script`, which util-linux has.
#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_terminal_closes_keeps_what_it_learnt() {
    use std::time::{Duration, Instant};

    let place = Place::new();
    let (code, run) = (place.path("code"), place.path("run"));
    let words = place.training("run", &["--steps-per-epoch", "10000000"]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    // A shell that outlives the signal writes down how the program ended; the terminal's own passes the signal on as it ends.
    let lines = format!(
        // Of a run that does not hear of it nothing stays for long.
        "ulimit -t 60\ntrap : HUP\n'{}' {}\necho $? > '{}'\n",
        env!("CARGO_BIN_EXE_trainer"),
        quoted.join(" "),
        code.display()
    );
    std::fs::write(place.path("lines.sh"), lines).unwrap();
    let mut terminal = Command::new("script");
    terminal
        .args(["-qfc", &format!("sh '{}'; :", place.text("lines.sh")), "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let Ok(mut terminal) = terminal.spawn() else {
        println!("skipped: there is no `script`");
        return;
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let wait = |what: &str, is_there: &dyn Fn() -> bool| {
        while !is_there() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // A line for each step.
    let steps = || std::fs::read_to_string(run.join("log.jsonl")).unwrap_or_default().matches('\n').count();
    wait("the run does not begin", &|| steps() > 5);
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    let ended = || std::fs::read_to_string(&code).unwrap_or_default();
    wait("the run does not end", &|| ended().ends_with('\n'));
    assert_eq!(ended(), "1\n");
    let step = Checkpoint::load(&run.join("checkpoints/last")).unwrap().state.step;
    assert!((5..10_000_000).contains(&step), "{step}");
}
