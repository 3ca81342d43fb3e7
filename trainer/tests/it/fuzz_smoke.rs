//! The fuzz targets' entry points without a fuzzer: whatever happens to a file, it is refused or read, without a panic and
//! without memory that the file does not warrant.

#[path = "../../fuzz/entry_points.rs"]
mod entry_points;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use entry_points::{ALL, EntryPoint, bound, place, prepare};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use crate::support::counting;
use crate::support::damage::{apply, damage};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names of a folder's files, without ending.
fn names(folder: &Path) -> BTreeSet<String> {
    let stem = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_string_lossy().into_owned();
    fs::read_dir(folder).unwrap().map(|entry| stem(entry.unwrap())).collect()
}

fn corpus(entry: &EntryPoint) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fs::read_dir(fuzz().join("corpus").join(entry.name)).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir_in(place()).unwrap();
    prepare(folder.path());
    folder
}

/// Whether an input is accepted, for as much memory as it warrants.
fn hold(entry: &EntryPoint, folder: &TempDir, bytes: &[u8]) -> bool {
    let (accepted, most) = counting::most_held(|| (entry.read)(folder.path(), bytes));
    assert!(most <= bound(bytes.len()), "{most} bytes of memory for {} of input", bytes.len());
    accepted
}

/// Reads a corpus as it is and then damaged.
fn law(name: &str) {
    let entry = ALL.iter().find(|entry| entry.name == name).unwrap();
    let folder = folder();
    let seeds: Vec<Vec<u8>> = corpus(entry).into_iter().map(|(_, bytes)| bytes).collect();
    let strategy = (any::<prop::sample::Index>(), prop::collection::vec(damage(), 1..5));
    let config = ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(1024) };
    let result = TestRunner::new(config).run(&strategy, |(seed, all)| {
        let mut bytes = seeds[seed.index(seeds.len())].clone();
        all.iter().for_each(|damage| apply(&mut bytes, damage, &seeds));
        hold(entry, &folder, &bytes);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{name}: {error}"));
}

macro_rules! laws {
    ($($test:ident: $name:literal,)*) => {
        const TESTED: &[&str] = &[$($name),*];
        $(#[test]
        fn $test() {
            law($name);
        })*
    };
}

laws! {
    a_damaged_nifti_file_is_refused_or_read: "nifti",
    a_damaged_nrrd_file_is_refused_or_read: "nrrd",
    a_damaged_metaimage_is_refused_or_read: "metaimage",
    a_damaged_tiff_file_is_refused_or_read: "tiff",
    a_damaged_array_is_refused_or_read: "npy",
    a_damaged_archive_of_arrays_is_refused_or_read: "npz",
    a_damaged_slice_is_refused_or_read: "png",
    damaged_weights_are_refused_or_read: "weights",
    a_checkpoint_damaged_under_right_checksums_is_refused_or_read: "checkpoint",
    a_damaged_checkpoint_is_refused_or_read: "checkpoint_raw",
    a_cached_case_damaged_under_right_checksums_is_refused_or_read: "cached_case",
    a_damaged_description_is_refused_or_read: "description",
    a_damaged_configuration_is_refused_or_read: "config",
    a_damaged_table_is_refused_or_read: "table",
    a_damaged_file_of_folds_is_refused_or_read: "splits",
    a_damaged_table_of_groups_is_refused_or_read: "groups",
}

#[test]
fn every_entry_point_has_a_target_a_corpus_and_a_test() {
    let all: BTreeSet<String> = ALL.iter().map(|entry| entry.name.to_owned()).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), all);
    assert_eq!(names(&fuzz().join("corpus")), all);
    assert_eq!(TESTED.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>(), all);
}

/// Else the corpus leads nowhere: `cargo run -p trainer --example fuzz_corpus` makes it anew.
#[test]
fn what_a_corpus_calls_whole_is_accepted_and_the_rest_is_held_to_its_memory() {
    let folder = folder();
    for entry in &ALL {
        let mut whole = 0;
        for (path, bytes) in corpus(entry) {
            let accepted = hold(entry, &folder, &bytes);
            if path.file_name().unwrap().to_string_lossy().starts_with("whole") {
                assert!(accepted, "{} is no longer accepted", path.display());
                whole += 1;
            }
        }
        assert!(whole > 0, "the corpus of {} has nothing whole", entry.name);
    }
}
