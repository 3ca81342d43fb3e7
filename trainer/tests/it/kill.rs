//! A run that is killed at any moment, and gone on with, ends as the run that never was.
//!
//! `UNET_KILLS=50 cargo test -p trainer --test it kill:: -- --nocapture` kills 50 runs; without the variable it is a few.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use trainer::run::checkpoint::{latest, load_weights};

use crate::support::small;

/// Runs that are killed where nobody asks for more.
const FEW: u64 = 6;
/// A run is killed up to so many times before it is let be.
const TIMES: u64 = 3;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempdir().unwrap());
        small::write_data_set(&place.path("data"), small::SHAPE, 1, 2, [4, 0]);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts training into `run`, or goes on with it.
    fn start(&self, run: &str) -> Child {
        self.start_with(
            run,
            &["training.epochs=3", "training.steps_per_epoch=7", "training.checkpoint_steps=2"],
        )
    }

    fn start_with(&self, run: &str, more: &[&str]) -> Child {
        let run = self.path(run);
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.arg("train").arg(self.path("data")).arg("--out").arg(&run);
        if latest(&run).is_some() {
            command.arg("--resume");
        } else {
            for pair in small::TINY.iter().chain(more) {
                command.args(["--set", pair]);
            }
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// What a run says at its end, but for time: its log, and the weights of its checkpoints.
fn result(run: &Path) -> (Vec<Value>, Vec<Vec<u8>>) {
    let text = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let timeless = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        ["elapsed_seconds", "waited_for_data", "seconds", "peak_memory"]
            .iter()
            .for_each(|key| drop(fields.remove(*key)));
        line
    };
    let weights = ["last", "best", "previous"].map(|name| {
        let file = run.join("checkpoints").join(name).join("model.safetensors");
        load_weights(&file).unwrap();
        fs::read(file).unwrap()
    });
    (text.lines().map(timeless).collect(), weights.to_vec())
}

/// Waits for the end of a run that nothing stops.
fn ended(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until `when` says so or the process has ended; then kills it. Whether it was killed.
fn kill(mut child: Child, mut when: impl FnMut() -> bool) -> bool {
    while child.try_wait().unwrap().is_none() {
        if when() {
            // SIGKILL: nothing is caught and nothing is tidied up.
            child.kill().unwrap();
            return !child.wait().unwrap().success();
        }
    }
    ended(child);
    false
}

/// Whether a checkpoint is half written.
fn is_writing(run: &Path) -> bool {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(".checkpoint-"))
}

#[test]
fn a_killed_run_that_goes_on_ends_as_one_that_was_not() {
    let runs: u64 = std::env::var("UNET_KILLS").map_or(FEW, |n| n.parse().expect("UNET_KILLS is a number"));
    let place = Place::new();
    let began = Instant::now();
    assert!(place.start("whole").wait().unwrap().success());
    let length = began.elapsed();
    let wanted = result(&place.path("whole"));
    assert_eq!(wanted.0.last().unwrap()["event"], "end");
    let (mut kills, mut half_written) = (0, 0);
    for run in 0..runs {
        let name = format!("run_{run}");
        let folder = place.path(&name);
        for time in 0..TIMES {
            let child = place.start(&name);
            // Every other kill waits for a checkpoint that is being written; the others come at any time.
            let share = small::noise((run * TIMES + time) as usize).abs();
            let end = Instant::now() + length.mul_f32(share);
            let seen = latest(&folder).is_some();
            let killed = match (run + time) % 2 {
                0 => kill(child, || Instant::now() >= end),
                _ => kill(child, || is_writing(&folder) && (seen || latest(&folder).is_some())),
            };
            kills += u64::from(killed);
            half_written += u64::from(killed && is_writing(&folder));
        }
        ended(place.start(&name));
        let found = result(&folder);
        assert!(found.0 == wanted.0, "the log of run {run}");
        assert!(found.1 == wanted.1, "the weights of run {run}");
        assert!(!is_writing(&folder), "run {run} leaves something half-written");
        fs::remove_dir_all(folder).unwrap();
    }
    println!(
        "{runs} runs, {kills} kills, {half_written} of them while a checkpoint was written: all as the unbroken run"
    );
    assert!(kills > runs, "runs were killed");
    // A single one that was waited for may come too late; half of them cannot: writing takes as long as the disk.
    assert!(runs < FEW || half_written > 0, "{kills} kills, none of them while a checkpoint was written");
}

#[test]
fn a_second_writer_is_refused() {
    let place = Place::new();
    // More steps than are taken before it is killed.
    let mut first = place.start_with("run", &["training.steps_per_epoch=10000000"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while latest(&place.path("run")).is_none() {
        assert!(Instant::now() < deadline, "the run does not begin");
    }
    let second = place.start("run").wait_with_output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    let message = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(message.contains("run: another process is writing to this folder: wait for it"), "{message}");
}

/// Each file that is there before the first checkpoint, whole or half-written.
#[test]
fn what_a_kill_before_the_first_checkpoint_leaves_is_in_nobody_s_way() {
    let place = Place::new();
    let run = place.path("run");
    fs::create_dir_all(run.join("checkpoints/.checkpoint-abc")).unwrap();
    let events = "events.out.tfevents.1764288000.trainer";
    for name in [".lock", ".writing-abc", "config.toml", "run.json", "log.jsonl", events] {
        fs::write(run.join(name), "{").unwrap();
    }
    ended(place.start("run"));
    ended(place.start("whole"));
    assert!(result(&run) == result(&place.path("whole")));
    let left = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        // The seconds of its beginning are in a name of events.
        names.iter_mut().filter(|name| name.starts_with("events.")).for_each(|name| name.truncate(6));
        names.sort();
        names
    };
    assert!(!run.join(events).exists());
    assert_eq!(left(&run), left(&place.path("whole")));

    // What is not a run's is not touched.
    let other = place.path("other");
    fs::create_dir_all(&other).unwrap();
    for name in [".lock", "thesis.pdf"] {
        fs::write(other.join(name), "").unwrap();
    }
    let output = place.start("other").wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("other: is not empty"), "{output:?}");
    assert_eq!(left(&other), [".lock", "thesis.pdf"]);
}
