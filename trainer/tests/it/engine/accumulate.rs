//! A batch in parts: the bits of the whole one, less memory, and refusals that name the remedy.

use tempfile::tempdir;
use trainer::config::Config;

use super::small;

fn weights(set: &[&str], classes: usize) -> String {
    let folder = tempdir().unwrap();
    let cases = (0..2).map(|i| small::case([9, 20, 18], 1, classes, i)).collect();
    let set = [&["data.batch_size=4", "model.levels=3"], set].concat();
    small::run(small::setup(folder.path(), &set, cases, vec![], classes)).unwrap().end.weights_crc32c
}

#[test]
fn a_run_in_parts_ends_with_the_weights_of_one_in_whole_batches_on_any_number_of_threads() {
    for (set, classes) in [
        (&["model.dropout=0.2"][..], 2),
        (&["loss.name=bce", "loss.pos_weight=20"], 2),
        (&["loss.name=ce", "loss.class_weights=auto"], 3),
        (&["model.deep_supervision=true", "training.check_numerics=true"], 3),
    ] {
        let all: Vec<String> = [(1, 1), (1, 3), (2, 2), (4, 3), (4, 1)]
            .map(|(parts, threads)| {
                let own = [format!("training.accumulate={parts}"), format!("training.threads={threads}")];
                weights(&[set, &[&own[0], &own[1]]].concat(), classes)
            })
            .into();
        assert!(all.iter().all(|one| *one == all[0]), "{set:?}: {all:?}");
    }
}

#[test]
fn parts_that_a_batch_has_not_are_refused() {
    let error = |set: &[&str]| {
        let set: Vec<String> = set.iter().map(|&pair| pair.to_owned()).collect();
        Config::load(None, &set).unwrap_err().to_string()
    };
    assert!(error(&["training.accumulate=0"]).contains("training.accumulate: is 0"));
    let found = error(&["training.accumulate=3", "data.batch_size=4"]);
    assert!(
        found.contains("training.accumulate: is 3, which does not divide data.batch_size = 4"),
        "{found}"
    );
    let found = error(&["training.accumulate=2", "model.norm=batch"]);
    assert!(found.contains("is 2, but model.norm = \"batch\"") && found.contains("\"instance\""), "{found}");
}
