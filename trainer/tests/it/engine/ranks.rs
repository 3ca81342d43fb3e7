//! A run of several ranks is the run of one: the same weights, figures and checkpoints, bit for bit.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use ranks::Ranks;
use tempfile::tempdir;
use trainer::run::checkpoint::{Checkpoint, Saved};
use trainer::training::{Outcome, Setup, train};

use crate::support::small;

fn setup(folder: &Path, set: &[&str], classes: usize) -> Setup {
    let set =
        [&["data.batch_size=4", "training.epochs=2", "augmentation.enabled=true", "training.threads=1"], set]
            .concat();
    let cases =
        |numbers: std::ops::Range<usize>| numbers.map(|i| small::case(small::SHAPE, 1, classes, i)).collect();
    small::setup(folder, &set, cases(0..3), cases(3..6), classes)
}

/// Trains in one folder by so many ranks, or goes on there.
fn by_ranks(
    size: usize,
    folder: &Path,
    set: &[&str],
    classes: usize,
    resume: bool,
    stop: &AtomicBool,
) -> Vec<trainer::Result<Outcome>> {
    let saved = || resume.then(|| Saved::open(&folder.join("checkpoints/last")).unwrap());
    std::thread::scope(|scope| {
        let ranks = if size == 1 { vec![Ranks::alone()] } else { Ranks::in_threads(size) };
        let threads = ranks.into_iter().map(|ranks| {
            let setup = Setup { resume: saved(), ranks, ..setup(folder, set, classes) };
            scope.spawn(move || train(setup, stop))
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn checkpoint(path: &Path) -> Checkpoint {
    Checkpoint::load(path).unwrap()
}

/// What does not follow from clocks.
fn kept(folder: &Path) -> (Checkpoint, Vec<String>, bool) {
    let mut last = checkpoint(&folder.join("checkpoints/last"));
    (last.state.seconds, last.state.log_bytes) = (0.0, 0);
    let log = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| {
        let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
        let fields = line.as_object_mut().unwrap();
        ["elapsed", "elapsed_seconds", "seconds", "waited_for_data", "peak_memory"]
            .iter()
            .for_each(|clock| drop(fields.remove(*clock)));
        line.to_string()
    });
    let lines = lines.filter(|line| !line.contains("\"exchange\"")).collect();
    (last, lines, folder.join("checkpoints/best").is_dir())
}

#[test]
fn any_number_of_ranks_ends_with_the_bits_of_one_process() {
    let several = ["loss.name=ce", "loss.class_weights=[1,5,2.5]"];
    let deep = ["model.deep_supervision=true", "model.dropout=0.2", "model.norm={ group = 2 }"];
    let rare = ["loss.name=dice", "loss.batch_dice=false", "data.foreground_share=0"];
    let patient =
        ["training.patience=1", "training.epochs=4", "loss.name=focal", "model.checkpointing=level"];
    for (set, classes) in [(&[][..], 2), (&several, 3), (&deep, 2), (&rare, 2), (&patient, 2)] {
        let folders: Vec<_> = (1..=4).map(|_| tempdir().unwrap()).collect();
        let of_one = [set, &["training.accumulate=2"]].concat();
        by_ranks(1, folders[0].path(), &of_one, classes, false, &AtomicBool::new(false))
            .pop()
            .unwrap()
            .unwrap();
        let alone = kept(folders[0].path());
        for size in 2..=4 {
            let folder = folders[size - 1].path();
            let ends = by_ranks(size, folder, set, classes, false, &AtomicBool::new(false));
            let digests: Vec<String> = ends.into_iter().map(|end| end.unwrap().end.weights_crc32c).collect();
            assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
            let (mut checkpoint, lines, has_best) = kept(folder);
            checkpoint.state.config.clone_from(&alone.0.state.config);
            assert!(checkpoint == alone.0, "{set:?}, {size} ranks: {digests:?}");
            assert_eq!((lines, has_best), (alone.1.clone(), alone.2), "{set:?}, {size} ranks");
        }
    }
}

#[test]
fn a_step_whose_numbers_are_finite_on_some_ranks_alone_is_left_out_by_all() {
    // Of three cases one is too bright to be added: its patches overflow, where a rank has one.
    let bright = |setup: Setup| {
        let mut cases: Vec<_> = (0..3).map(|i| small::case(small::SHAPE, 1, 2, i)).collect();
        cases[0].image.iter_mut().for_each(|value| *value = value.signum() * 3e38);
        Setup { training: cases.into_iter().map(Into::into).collect(), ..setup }
    };
    for watched in ["training.check_numerics=true", "training.check_numerics=false"] {
        let set = ["training.non_finite=skip", watched, "schedule.name=constant", "training.accumulate=2"];
        let mut found = Vec::new();
        for size in [1, 2, 3] {
            let folder = tempdir().unwrap();
            let ranks = if size == 1 { vec![Ranks::alone()] } else { Ranks::in_threads(size) };
            std::thread::scope(|scope| {
                let threads = ranks.into_iter().map(|ranks| {
                    let setup = bright(Setup { ranks, ..setup(folder.path(), &set, 2) });
                    scope.spawn(move || train(setup, &AtomicBool::new(false)).unwrap())
                });
                threads.collect::<Vec<_>>().into_iter().for_each(|thread| drop(thread.join().unwrap()));
            });
            found.push(kept(folder.path()).0);
        }
        let left_out = found[0].state.idle.left_out;
        assert!(left_out > 0 && left_out < 6, "{left_out}");
        assert!(found.iter().all(|of_size| *of_size == found[0]), "{watched}");
    }
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let part = tempdir().unwrap();
    let short = ["training.epochs=1", "schedule.name=constant"];
    let long = ["schedule.name=constant"];
    by_ranks(3, part.path(), &short, 2, false, &AtomicBool::new(false));
    let stopped = by_ranks(4, part.path(), &long, 2, true, &AtomicBool::new(true));
    assert!(stopped.iter().all(|end| end.as_ref().unwrap().stopped));
    by_ranks(2, part.path(), &long, 2, true, &AtomicBool::new(false));
    let constant = tempdir().unwrap();
    by_ranks(1, constant.path(), &long, 2, false, &AtomicBool::new(false)).pop().unwrap().unwrap();
    let [at_once, rest] =
        [&constant, &part].map(|folder| checkpoint(&folder.path().join("checkpoints/last")));
    assert!(at_once.weights == rest.weights && at_once.optimizer == rest.optimizer);
}

#[test]
fn a_rank_that_fails_ends_the_run_of_all_and_what_was_learnt_is_kept() {
    let folder = tempdir().unwrap();
    let ends: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = Ranks::in_threads(2)
            .into_iter()
            .map(|ranks| {
                let is_first = ranks.is_first();
                let setup =
                    Setup { ranks: ranks.clone(), ..setup(folder.path(), &["training.epochs=500"], 2) };
                scope.spawn(move || {
                    if is_first {
                        let end = train(setup, &AtomicBool::new(false)).map(drop);
                        ranks.fail(&end.as_ref().unwrap_err().to_string());
                        return end;
                    }
                    // This one takes part in what comes before the first steps, and in some of them.
                    let ranks_of_other = ranks.clone();
                    let log = setup.folder.join("log.jsonl");
                    let killer = std::thread::spawn(move || {
                        let steps =
                            || std::fs::read_to_string(&log).unwrap_or_default().matches("\"batch\"").count();
                        while steps() < 4 {
                            std::thread::yield_now();
                        }
                        ranks_of_other.fail("the disk is full")
                    });
                    let end = train(setup, &AtomicBool::new(false)).map(drop);
                    killer.join().unwrap();
                    end
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let error = ends[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("rank 1 of 2 on this machine has ended: the disk is full"), "{error}");
    assert!(error.contains("--resume goes on from there, with any number of ranks"), "{error}");
    let kept = checkpoint(&folder.path().join("checkpoints/last")).state.step;
    assert!(error.contains(&format!("The {kept} steps before are kept")), "{error}, not {kept}");
}
