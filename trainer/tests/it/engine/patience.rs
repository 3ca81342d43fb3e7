//! Laws of `training.patience`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;
use trainer::preprocess::Case;
use trainer::run::checkpoint::Saved;
use trainer::training::Setup;

use super::small;

fn setup(folder: &Path, set: &[&str]) -> Setup {
    let case = |index| small::case([9, 20, 18], 1, 2, index);
    let training: Vec<Case> = (0..2).map(case).collect();
    let constant = ["schedule.name=constant", "optimizer.lr=0.02", "loss.pos_weight=20"];
    small::setup(folder, &[&constant[..], set].concat(), training, vec![case(2)], 2)
}

/// The validations of a run's log.
fn validations(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == "validation").collect()
}

#[test]
fn a_run_with_patience_is_the_beginning_of_one_without_up_to_validations_that_were_no_better() {
    let whole = tempdir().unwrap();
    small::run(setup(whole.path(), &["training.epochs=9"])).unwrap();
    let all = validations(whole.path());
    let metrics: Vec<f64> = all.iter().map(|event| event["metric"].as_f64().unwrap()).collect();
    let best = |epochs: usize| metrics[..epochs].iter().copied().fold(f64::MIN, f64::max);
    let since_best =
        |epochs: usize| metrics[..epochs].iter().skip_while(|&&metric| metric < best(epochs)).count() - 1;
    let mut early = 0;
    for patience in 1..4 {
        let folder = tempdir().unwrap();
        let set = ["training.epochs=9", &format!("training.patience={patience}")];
        let outcome = small::run(setup(folder.path(), &set)).unwrap();
        let end = (1..9).find(|&epochs| since_best(epochs) >= patience).unwrap_or(9);
        assert_eq!((outcome.steps, outcome.stopped), (3 * end as u64, false), "{metrics:?}");
        assert!((outcome.best.unwrap() - best(end)).abs() < 1e-12);
        assert_eq!(validations(folder.path()), all[..end]);
        early += usize::from(end < 9);
        // It is over.
        let resume = Saved::open(&folder.path().join("checkpoints/last")).unwrap();
        let again = small::run(Setup { resume: Some(resume), ..setup(folder.path(), &set) }).unwrap();
        assert_eq!(again.end.weights_crc32c, outcome.end.weights_crc32c);
        assert_eq!(again.steps, outcome.steps);
    }
    assert!(early > 0, "{metrics:?}");
}

/// A network that learns nothing is the best once.
#[test]
fn a_run_that_goes_on_waits_no_longer_than_one_that_was_not_interrupted() {
    let still = ["optimizer.lr=0", "training.patience=3"];
    let (at_once, cut) = (tempdir().unwrap(), tempdir().unwrap());
    let whole = [&still[..], &["training.epochs=9"]].concat();
    assert_eq!(small::run(setup(at_once.path(), &whole)).unwrap().steps, 12);
    for epochs in ["training.epochs=1", "training.epochs=2", "training.epochs=3", "training.epochs=9"] {
        let set = [&still[..], &[epochs]].concat();
        let resume = Saved::open(&cut.path().join("checkpoints/last")).ok();
        small::run(Setup { resume, ..setup(cut.path(), &set) }).unwrap();
    }
    assert_eq!(validations(cut.path()), validations(at_once.path()));
    assert_eq!(validations(cut.path()).last().unwrap()["since_best"], 3);
}

#[test]
fn patience_without_validation_cases_is_refused() {
    let folder = tempdir().unwrap();
    let set = ["training.patience=2"];
    let error =
        small::run(Setup { validation: Vec::new().into(), ..setup(folder.path(), &set) }).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("training.patience: is 2, but no case is held out"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
