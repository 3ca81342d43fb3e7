//! Laws of the program: what each command prints, writes and refuses.

mod cache;
mod console;
mod ensemble;
mod errors;
mod folds;
mod golden;
mod grids;
mod interrupt;
mod law;
mod limits;
mod messages;
mod plan;
mod postprocess;
mod predict;
mod predict_files;
mod report;
mod resume;
mod tasks;
mod tensorboard;
mod terminal;
mod time;
mod train;
mod warnings;
mod watch;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use trainer::config::{Config, DEFAULT};

use crate::support::{made, small};

/// What the program said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program.
fn say(args: &[&str]) -> Said {
    let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_trainer")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What it prints where it succeeds.
fn succeeds(args: &[&str]) -> String {
    let Said { code, stdout, stderr } = say(args);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}\n{stdout}");
    stdout
}

/// The one line on stderr with which it refuses, without `error: `.
fn refuses(args: &[&str]) -> String {
    let Said { code, stdout, stderr } = say(args);
    assert_eq!(code, Some(1), "{args:?}\n{stdout}\n{stderr}");
    assert!(!stderr.contains("panicked") && !stdout.contains("panicked"), "{stderr}");
    let line = stderr.strip_suffix('\n').and_then(|line| line.strip_prefix("error: "));
    line.unwrap_or_else(|| panic!("no error line: {stderr}")).to_owned()
}

/// A data set and a place for runs.
struct Place(TempDir);

impl Place {
    /// Four training and two test cases of 8x16x16 voxels.
    fn new() -> Self {
        Self::with(small::SHAPE, 1, 2, [4, 2])
    }

    fn with(shape: [usize; 3], channels: usize, classes: usize, cases: [usize; 2]) -> Self {
        let place = Self(tempdir().unwrap());
        small::write_data_set(&place.path("data"), shape, channels, classes, cases);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The command line that trains a tiny network on `data` into `run`.
    fn training(&self, run: &str, more: &[&str]) -> Vec<String> {
        let mut args = vec!["train".to_owned(), self.text("data"), "--out".into(), self.text(run)];
        for pair in small::TINY {
            args.extend(["--set".to_owned(), pair.to_owned()]);
        }
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args
    }

    /// Trains a tiny network on `data` into `run`.
    fn train(&self, run: &str, more: &[&str]) -> String {
        succeeds(&borrowed(&self.training(run, more)))
    }
}

fn borrowed(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_version_names_what_a_result_depends_on() {
    let version = succeeds(&["--version"]);
    let set = autograd::simd::active();
    let expected = format!("trainer {}, instruction set {set}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version, expected);
}

#[test]
fn the_printed_configuration_is_the_default() {
    let printed = succeeds(&["config"]);
    assert_eq!(printed, DEFAULT);
    assert_eq!(Config::load(Some(("printed", &printed)), &[]).unwrap(), Config::default());
}

#[test]
fn help_names_every_command_and_unknown_ones_are_a_mistake_of_usage() {
    let help = succeeds(&["--help"]);
    for command in [
        "completions",
        "demo",
        "inspect",
        "info",
        "verify",
        "convert",
        "explain",
        "train",
        "study",
        "predict",
        "evaluate",
        "config",
    ] {
        assert!(help.contains(command), "{help}");
    }
    // clap's own exit code for what cannot be parsed.
    assert_eq!(say(&["fly"]).code, Some(2));
    assert_eq!(say(&["train"]).code, Some(2));
}

#[test]
fn inspect_says_how_rare_each_class_is() {
    let place = Place::with(small::SHAPE, 2, 3, [3, 1]);
    let file = place.path("found.json");
    let text = succeeds(&["inspect", &place.text("data"), "--json", file.to_str().unwrap()]);
    for word in ["case_0", "case_3", "lesion", "vessel", "T0", "T1"] {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
    let found = json(&file);
    // A box of 27 voxels in 8x16x16.
    let share = found["training"]["classes"][2]["fraction"].as_f64().unwrap();
    assert!((share - 27.0 / 2048.0).abs() < 1e-12, "{found}");
}
