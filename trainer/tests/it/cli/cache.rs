//! Laws of `trainer train --cache`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json as object};

use super::{Place, borrowed, json, refuses, small, succeeds};

/// The digest that a run's log ends with.
fn digest(printed: &str) -> &str {
    let digest = printed.lines().find_map(|line| line.strip_prefix("weights after the last step "));
    digest.and_then(|rest| rest.split_once(' ')).expect("a run prints its digest").0
}

/// The files of a cache with this ending, wherever in it they lie.
fn files(place: &Place, folder: &str, ending: &str) -> Vec<PathBuf> {
    let list = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { list(path).collect() } else { vec![path] };
    let mut all: Vec<PathBuf> = list(place.path(folder)).flat_map(below).collect();
    all.retain(|path| path.extension().is_some_and(|e| e == ending));
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
        let files = files(&place, "cache", "voxels");
        assert_eq!(files.len(), 4, "{files:?}");
        let written = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        let times: Vec<_> = files.iter().map(written).collect();
        let second = cached("second");
        assert!(second.contains("all 4 cases are in the cache "), "{second}");
        assert!(!second.contains("goes into the cache") && !second.contains("follows from"), "{second}");
        assert_eq!(files.iter().map(written).collect::<Vec<_>>(), times);
        for printed in [&first, &second] {
            assert_eq!(digest(printed), digest(&memory), "{printed}");
        }
        // What validation found is the same too.
        let log = |run: &str| {
            let text = fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
            let lines: Vec<String> = text
                .lines()
                .filter(|line| line.contains("\"event\":\"validation\""))
                .map(str::to_owned)
                .collect();
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
    // Settings have places of their own.
    let other = cached("other", &["--set", "data.crop=false"]);
    assert!(other.contains(" holds 0 of 3 cases;"), "{other}");
    assert!(cached("back", &[]).contains("all 3 cases are in the cache "));

    // Another case's image in the place of one.
    let images = place.path("data").join("imagesTr");
    fs::copy(images.join("case_0_0000.nii.gz"), images.join("case_1_0000.nii.gz")).unwrap();
    for path in files(&place, "cache", "voxels").iter().filter(|path| path.ends_with("case_2.voxels")) {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    }
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
fn folds_share_what_is_the_same_in_them_and_do_not_push_each_other_out() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    let cache = place.text("cache");
    let flags = ["--set", "data.normalization=ct", "--cache", &cache, "--epochs", "1"];
    let mut fitted = 0;
    for again in [false, true] {
        for fold in ["0", "1", "2"] {
            let run = format!("run{fold}{again}");
            let printed = place.train(&run, &[&flags[..], &["--fold", fold]].concat());
            assert_eq!(printed.contains("all 3 cases are in the cache"), again, "{printed}");
            fitted += printed.matches("what its normalisation follows from").count();
        }
    }
    // The voxels follow from the numbers that a fold is normalised by, what these are fitted on from each case alone.
    assert_eq!(files(&place, "cache", "voxels").len(), 9);
    assert_eq!((files(&place, "cache", "statistics").len(), fitted), (3, 3));

    // Where a case is normalised by itself, all is the same in all folds.
    let all = place.train("folds", &["--cache", &place.text("shared"), "--epochs", "1", "--all-folds"]);
    assert_eq!(all.matches(" goes into the cache").count(), 3, "{all}");
    assert_eq!(all.matches("all 3 cases are in the cache").count(), 2, "{all}");
    let seed = ["--cache", &place.text("shared"), "--epochs", "1", "--fold", "1", "--seed", "7"];
    assert!(place.train("seed", &seed).contains("all 3 cases are in the cache"));
}

#[test]
fn processes_that_share_a_new_cache_make_each_case_once() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    let cache = place.text("cache");
    let train = &|run: &str| place.train(run, &["--cache", &cache]);
    let printed: Vec<String> = std::thread::scope(|scope| {
        let all = ["a", "b", "c"].map(|run| scope.spawn(move || train(run)));
        all.into_iter().map(|run| run.join().unwrap()).collect()
    });
    let made: usize = printed.iter().map(|printed| printed.matches(" goes into the cache").count()).sum();
    assert_eq!(made, 3, "{printed:?}");
    assert!(printed.iter().all(|other| digest(other) == digest(&printed[0])));
}

/// What a system says of a file, as the cache remembers it.
#[cfg(unix)]
fn state(path: &Path) -> Value {
    use std::os::unix::fs::MetadataExt;
    let of = fs::metadata(path).unwrap();
    let time = |seconds: i64, nanoseconds: i64| object!({"secs": seconds, "nanos": nanoseconds});
    object!({
        "bytes": of.len(),
        "modified": time(of.mtime(), of.mtime_nsec()),
        "changed": time(of.ctime(), of.ctime_nsec()),
        "inode": of.ino(),
    })
}

/// Files of which the cache believes that they are as they were are not read: their voxels may be anything.
#[cfg(unix)]
#[test]
fn a_run_on_a_cache_that_holds_its_cases_reads_no_voxel_of_the_data_set() {
    for scheme in ["zscore", "auto", "ct"] {
        let place = Place::with(small::SHAPE, 1, 2, [3, 1]);
        let scheme = format!("data.normalization={scheme}");
        let flags = ["--cache", &place.text("cache"), "--set", &scheme];
        let cold = place.train("cold", &flags);
        let sums = json(&place.path("cold/run.json"))["files"].clone();
        let mut known = serde_json::Map::new();
        for sum in sums.as_array().unwrap() {
            let path = place.path("data").join(sum["path"].as_str().unwrap());
            if path.extension().is_some_and(|e| e == "gz") {
                let mut bytes = fs::read(&path).unwrap();
                let end = bytes.len();
                bytes[end - 12..].fill(0xff);
                fs::write(&path, bytes).unwrap();
            }
            let remembered = object!({"state": state(&path), "crc32c": sum["crc32c"]});
            known.insert(path.to_str().unwrap().to_owned(), remembered);
        }
        fs::write(place.path("cache/checksums.json"), Value::from(known).to_string()).unwrap();
        let warm = place.train("warm", &flags);
        assert_eq!(digest(&warm), digest(&cold));
        assert_eq!(json(&place.path("warm/run.json"))["files"], sums);
        // Else they are looked at.
        fs::remove_file(place.path("cache/checksums.json")).unwrap();
        let looked = place.training("looked", &flags);
        assert!(refuses(&borrowed(&looked)).contains("case_"));
    }
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
