//! Laws of `trainer train --cache`.

use std::fs;
use std::path::PathBuf;

use super::{Place, refuses, small, succeeds};

/// The digest that a run's log ends with.
fn digest(printed: &str) -> &str {
    let line = printed.lines().find(|line| line.contains("(CRC-32C)")).expect("a run prints its digest");
    line.split_whitespace().nth(1).unwrap()
}

/// The files of a cache, in its own folder or one below it.
fn files(place: &Place, folder: &str) -> Vec<PathBuf> {
    let list = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { list(path).collect() } else { vec![path] };
    let mut all: Vec<PathBuf> = list(place.path(folder)).flat_map(below).collect();
    all.sort();
    all
}

#[test]
fn a_run_from_files_is_that_from_memory_and_the_files_are_used_again() {
    for scheme in ["zscore", "ct"] {
        let place = Place::with(small::SHAPE, 2, 3, [4, 0]);
        let scheme = format!("data.normalization={scheme}");
        let cache = place.text("cache");
        let cached = |run: &str| place.train(run, &["--set", &scheme, "--cache", &cache]);
        let memory = place.train("memory", &["--set", &scheme]);
        let first = cached("first");
        assert!(first.contains(" holds 0 of 4 cases; the others take up to 0.00 GB of disk\n"), "{first}");
        assert_eq!(first.matches(" goes into the cache\n").count(), 4, "{first}");
        let files = files(&place, "cache");
        assert_eq!(files.len(), 4, "{files:?}");
        let written = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        let times: Vec<_> = files.iter().map(written).collect();
        let second = cached("second");
        assert!(second.contains("all 4 cases are in the cache "), "{second}");
        assert!(!second.contains("goes into the cache"), "{second}");
        assert_eq!(files.iter().map(written).collect::<Vec<_>>(), times);
        for printed in [&first, &second] {
            assert_eq!(digest(printed), digest(&memory), "{printed}");
        }
        // What validation found is the same too.
        let log = |run: &str| {
            let text = fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
            let lines: Vec<String> =
                text.lines().filter(|line| line.contains("validation")).map(str::to_owned).collect();
            assert!(!lines.is_empty());
            lines
        };
        assert_eq!(log("second"), log("memory"));
    }
}

#[test]
fn what_has_changed_or_is_damaged_is_made_again_and_said() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    let (data, cache) = (place.text("data"), place.text("cache"));
    let cached = |run: &str, set: &[&str]| place.train(run, &[&["--cache", &cache], set].concat());
    cached("first", &[]);
    let other = cached("other", &["--set", "data.crop=false"]);
    assert_eq!(other.matches("is stale (it was made from other settings)").count(), 3, "{other}");

    // Another case's image in the place of one.
    let images = place.path("data").join("imagesTr");
    fs::copy(images.join("case_0_0000.nii.gz"), images.join("case_1_0000.nii.gz")).unwrap();
    let bytes = fs::read(place.path("cache/case_2.voxels")).unwrap();
    fs::write(place.path("cache/case_2.voxels"), &bytes[..bytes.len() - 1]).unwrap();
    let again = cached("again", &["--set", "data.crop=false"]);
    assert!(again.contains("case_1.voxels: is stale (it was made from a case_1_0000.nii.gz"), "{again}");
    assert!(again.contains("case_2.voxels: is damaged (its length)"), "{again}");
    assert!(again.contains(" holds 1 of 3 cases;"), "{again}");

    // A run goes on from files where it began in memory.
    let goes_on = |run: &str, more: &[&str]| {
        place.train(run, &["--epochs", "1"]);
        let run = place.text(run);
        succeeds(&[&["train", &data, "--out", &run, "--resume", "--epochs", "2"], more].concat())
    };
    let (memory, files) = (goes_on("in_memory", &[]), goes_on("in_files", &["--cache", &cache]));
    assert_eq!(digest(&files), digest(&memory));
    assert_ne!(digest(&files), digest(&again), "a longer run");
}

#[test]
fn folds_with_fitted_normalisation_do_not_push_each_other_out() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    let cache = place.text("cache");
    let flags = ["--set", "data.normalization=ct", "--cache", &cache, "--epochs", "1"];
    for again in [false, true] {
        for fold in ["0", "1", "2"] {
            let run = format!("run{fold}{again}");
            let printed = place.train(&run, &[&flags[..], &["--fold", fold]].concat());
            assert_eq!(printed.contains("all 3 cases are in the cache"), again, "{printed}");
        }
    }
    assert_eq!(files(&place, "cache").len(), 9);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    fs::write(place.path("cache"), "a file").unwrap();
    let (data, run, cache) = (place.text("data"), place.text("run"), place.text("cache"));
    let error = refuses(&["train", &data, "--out", &run, "--cache", &cache, "--epochs", "1"]);
    assert!(error.contains(&cache), "{error}");
    assert!(!place.path("run/checkpoints").exists());
}
