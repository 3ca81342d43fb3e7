//! Laws of `trainer train --fold` and `--all-folds`.

use std::fs;
use std::path::Path;

use metrics::BinaryCounts;
use serde_json::{Value, json};
use volumes::nifti;

use super::interrupt::interrupted;
use super::{Place, borrowed, json, refuses, say, small, succeeds};

fn names(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Training and validation cases of a run.
fn division(run: &Path) -> (Vec<String>, Vec<String>) {
    let record = json(&run.join("run.json"));
    (names(&record["training_cases"]), names(&record["validation_cases"]))
}

#[test]
fn where_much_is_held_out_of_itself_the_ways_around_it_are_named() {
    let hint = "of 3 cases that is much: --all-folds holds out each in turn, --set validation.split=none trains on all\n";
    let few = Place::with(small::SHAPE, 1, 2, [3, 0]);
    assert!(few.train("plain", &[]).contains(hint));
    assert!(!few.train("asked", &["--fold", "1"]).contains("that is much"));
    assert!(!few.train("none", &["--set", "validation.split=none"]).contains("that is much"));
    let more = Place::with(small::SHAPE, 1, 2, [4, 0]);
    assert!(!more.train("plain", &[]).contains("that is much"));
}

#[test]
fn each_fold_holds_out_other_cases_and_says_which_it_is() {
    let place = Place::with(small::SHAPE, 1, 2, [4, 0]);
    let mut all = Vec::new();
    for fold in ["0", "1", "2"] {
        let run = format!("run{fold}");
        let printed = place.train(&run, &["--fold", fold, "--folds", "3"]);
        let (training, held_out) = division(&place.path(&run));
        assert!(printed.contains(&format!("validating on {}\n", held_out.join(", "))), "{printed}");
        assert!(printed.contains(&format!("held out is fold {fold} (of 0 to 2)\n")), "{printed}");
        assert!(training.iter().all(|case| !held_out.contains(case)));
        assert_eq!(training.len() + held_out.len(), 4);
        let index: u64 = fold.parse().unwrap();
        assert_eq!(json(&place.path(&run).join("run.json"))["fold"], json!({"index": index, "of": 3}));
        all.extend(held_out);
    }
    all.sort();
    assert_eq!(all, ["case_0", "case_1", "case_2", "case_3"]);

    // Without further words it is fold 0, and a run goes on with its own.
    place.train("plain", &[]);
    place.train("named", &["--fold", "0", "--folds", "4"]);
    assert_eq!(division(&place.path("plain")), division(&place.path("named")));
    let (data, run) = (place.text("data"), place.text("run2"));
    let printed = succeeds(&["train", &data, "--out", &run, "--resume", "--epochs", "2"]);
    assert!(printed.contains("held out is fold 2 (of 0 to 2)\n"), "{printed}");
}

#[test]
fn folds_that_cannot_be_are_refused_before_anything_is_made() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    small::write_data_set(&place.path("other"), small::SHAPE, 1, 2, [1, 0]);
    let other = place.text("other");
    for (flags, want) in [
        (&["--fold", "3"][..], "validation.fold: is 3, but there are 3 folds: --fold takes 0 to 2"),
        (
            &["--fold", "2", "--folds", "2"],
            "validation.fold: is 2, but there are 2 folds: --fold takes 0 to 1",
        ),
        (&["--folds", "4"], "validation.folds: is 4 for 3 training cases: --folds takes 2 to 3 here"),
        (&["--all-folds", "--folds", "1"], "validation.folds: is 1 for 3 training cases"),
        (&["--fold", "0", "--validation", &other], "--fold 0: with --validation"),
        (&["--folds", "3", "--validation", &other], "--folds 3: with --validation"),
        (&["--all-folds", "--validation", &other], "--all-folds: with --validation"),
        (&["--fold", "1", "--set", "validation.split=none"], "validation.split: is \"none\""),
        (&["--all-folds", "--set", "validation.split=none"], "--all-folds: no case of 3 is held out"),
    ] {
        let error = refuses(&borrowed(&place.training("run", flags)));
        assert!(error.contains(want), "{flags:?}: {error}");
        assert!(!place.path("run").exists(), "{flags:?}");
    }
    // Settings with which no fold could start leave nothing in the way of others.
    for set in ["loss.name=ce", "optimizer.betas=[1.5,0.9]"] {
        refuses(&borrowed(&place.training("later", &["--all-folds", "--folds", "2", "--set", set])));
    }
    place.train("later", &["--all-folds"]);
    assert!(place.path("later/fold_2/fold.json").is_file());
    // clap: one fold or all, and a run that goes on has its own.
    assert_eq!(say(&borrowed(&place.training("run", &["--fold", "0", "--all-folds"]))).code, Some(2));
    assert_eq!(say(&["train", "data", "--out", "run", "--resume", "--fold", "1"]).code, Some(2));
    let one = place.text("one");
    let error = refuses(&["train", &other, "--out", &one, "--all-folds"]);
    assert!(error.contains("--all-folds: no case of 1 is held out: it takes two cases"), "{error}");
}

#[test]
fn a_second_writer_is_refused_and_changes_nothing() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    // Begun, without a checkpoint so far.
    refuses(&borrowed(&place.training("run", &["--all-folds", "--set", "loss.name=ce"])));
    let terms = || fs::read(place.path("run/folds.json")).unwrap();
    let before = terms();
    let lock = fs::File::open(place.path("run/.lock")).unwrap();
    lock.lock().unwrap();
    let error = refuses(&borrowed(&place.training("run", &["--all-folds", "--folds", "2"])));
    assert!(error.contains("run: another process is writing to this folder"), "{error}");
    assert_eq!(terms(), before);
}

#[test]
fn the_summary_counts_every_case_once_and_spreads_over_the_folds() {
    let place = Place::with(small::SHAPE, 1, 3, [4, 0]);
    let printed = place.train("run", &["--all-folds", "--folds", "3"]);
    let summary = json(&place.path("run/summary.json"));
    assert_eq!((&summary["folds"], &summary["cases"]), (&json!(3), &json!(4)));
    let mut cases = Vec::new();
    for (index, fold) in summary["by_fold"].as_array().unwrap().iter().enumerate() {
        let run = place.path(&format!("run/fold_{index}"));
        assert_eq!(names(&fold["cases"]), division(&run).1);
        cases.extend(names(&fold["cases"]));
        // What the run itself said of its best weights, which are used: of several classes masks are made alike
        // here and there.
        let model = trainer::predict::ModelFile::open(&run.join("model.safetensors")).unwrap();
        let steps = model.card.networks[0].steps;
        let validations = super::train::log(&run, "validation");
        let own = validations.iter().find(|event| event["step"].as_u64() == Some(steps)).unwrap();
        for (class, own) in fold["classes"].as_array().unwrap().iter().zip(own["classes"].as_array().unwrap())
        {
            for key in ["name", "dice", "counts"] {
                assert_eq!(class[key], own[key]);
            }
        }
    }
    // One file holds all networks, and predicts as the folder does.
    let image = place.text("data/imagesTr/case_1_0000.nii.gz");
    for (what, masks) in [("run", "a"), ("run/model.safetensors", "b")] {
        let printed = succeeds(&["predict", &place.text(what), &image, "--out", &place.text(masks)]);
        assert!(printed.contains("model.safetensors fold_2, after 3 steps"), "{printed}");
        assert!(printed.contains("probabilities are the mean of 3 runs'"), "{printed}");
    }
    let mask = |folder: &str| fs::read(place.path(folder).join("case_1.nii.gz")).unwrap();
    assert!(mask("a") == mask("b"));
    cases.sort();
    assert_eq!(cases, ["case_0", "case_1", "case_2", "case_3"]);

    for (c, class) in summary["classes"].as_array().unwrap().iter().enumerate() {
        let of_fold = |key: &str| -> Vec<Option<f64>> {
            (0..3).map(|fold| summary["by_fold"][fold]["classes"][c][key].as_f64()).collect()
        };
        for key in ["dice", "precision", "recall"] {
            let values: Vec<f64> = of_fold(key).into_iter().flatten().collect();
            let n = values.len() as f64;
            let spread = &class[key];
            assert_eq!(
                (spread["n"].as_u64(), spread["undefined"].as_u64()),
                (Some(n as u64), Some(3 - n as u64))
            );
            let mean = values.iter().sum::<f64>() / n;
            let squares = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
            // Three numbers up to 1 are summed in f64.
            let close =
                |found: &Value, want: f64| (found.as_f64().unwrap() - want).abs() < 16.0 * f64::EPSILON;
            assert!(n == 0.0 || close(&spread["value"], mean), "{spread}");
            assert!(n < 2.0 || close(&spread["deviation"], (squares / (n - 1.0)).sqrt()), "{spread}");
        }
        let counts: BinaryCounts = serde_json::from_value(class["all_cases"]["counts"].clone()).unwrap();
        // A box of 27 voxels in each of four cases of 2048.
        assert_eq!(counts.support(), 4 * 27);
        assert_eq!(counts.support() + counts.false_positives + counts.true_negatives, 4 * 2048);
        assert_eq!(class["all_cases"]["dice"].as_f64(), counts.dice());
        assert!(printed.contains(&format!("{:.4}", counts.dice().unwrap())), "{printed}");
    }
    assert!(printed.contains("3 folds, each of 4 cases counted in the one that held it out"), "{printed}");
    assert!(printed.contains("means over the folds ± standard deviation"), "{printed}");
}

#[test]
fn folds_that_were_stopped_and_continued_end_with_the_summary_of_those_that_were_not() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    // More than a signal takes to arrive.
    let settings = ["--all-folds", "--set", "training.steps_per_epoch=400", "--epochs", "1"];
    place.train("whole", &settings);
    let printed = interrupted(&place.training("run", &settings));
    assert!(printed.contains("the same command goes on from here"), "{printed}");
    assert!(place.path("run/fold_0").exists() && !place.path("run/summary.json").exists(), "{printed}");
    assert!(!place.path("run/fold_0/fold.json").exists(), "{printed}");
    // A fold that ended before its first checkpoint is begun anew.
    fs::create_dir_all(place.path("run/fold_1/checkpoints/.checkpoint-half")).unwrap();
    fs::write(place.path("run/fold_1/run.json"), "{").unwrap();
    fs::write(place.path("run/fold_1/.lock"), "").unwrap();
    let printed = place.train("run", &settings);
    // The first goes on after its first step, the two others begin.
    assert_eq!(printed.matches("|     1/  400 batches |").count(), 2, "{printed}");
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(bytes("run/summary.json") == bytes("whole/summary.json"));
    for fold in 0..3 {
        let weights = |run| bytes(&format!("{run}/fold_{fold}/checkpoints/last/model.safetensors"));
        assert!(weights("run") == weights("whole"), "fold {fold}");
    }
    // Once more nothing is trained, and the same is said, with any number of threads.
    let again = place.train("run", &[&settings[..], &["--threads", "1"]].concat());
    for fold in 0..3 {
        assert!(again.contains(&format!("fold {fold} (of 0 to 2) was trained before")), "{again}");
    }
    assert!(!again.contains("| epoch"), "{again}");
    assert!(bytes("run/summary.json") == bytes("whole/summary.json"));
    // Other terms would mix two cross-validations.
    for other in [&["--seed", "1"][..], &["--folds", "2"]] {
        let error = refuses(&borrowed(&place.training("run", &[&settings[..], other].concat())));
        assert!(error.contains("name another --out, or give what it was begun with"), "{error}");
    }
    let error = refuses(&borrowed(&place.training("run/fold_0", &settings)));
    assert!(error.contains("is not empty"), "{error}");
}

/// What `splits_final.json` holds of lists of training and of validation cases, by their numbers.
fn splits(folds: &[[&[usize]; 2]]) -> String {
    let list = |cases: &[usize]| cases.iter().map(|i| format!("case_{i}")).collect::<Vec<_>>();
    let fold = |[train, val]: &[&[usize]; 2]| json!({"train": list(train), "val": list(val)});
    Value::from(folds.iter().map(fold).collect::<Vec<_>>()).to_string()
}

#[test]
fn the_folds_of_nnu_nets_file_are_trained_and_said_by_every_command() {
    let place = Place::with(small::SHAPE, 1, 2, [4, 0]);
    let file = place.path("data/splits_final.json");
    fs::write(&file, splits(&[[&[0, 1, 2], &[3]], [&[0, 3], &[2, 1]], [&[0], &[3]]])).unwrap();
    let said =
        "folds are those of splits_final.json\nfold 2 of splits_final.json leaves out case_1 and case_2\n";
    let data = place.text("data");
    assert!(succeeds(&["verify", &data]).contains(said));
    assert!(succeeds(&["plan", &data, "--set", "model.base_channels=2"]).contains(said));
    let printed = place.train("run", &["--fold", "1"]);
    assert!(printed.contains(said), "{printed}");
    assert!(printed.contains("held out is fold 1 (of 0 to 2)\n"), "{printed}");
    let cases = |all: [&str; 2]| all.map(|names| names.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let [training, validation] = cases(["case_0 case_3", "case_1 case_2"]);
    assert_eq!(division(&place.path("run")), (training, validation));
    // All folds, of which two hold out the same case.
    let printed = place.train("all", &["--all-folds"]);
    assert!(printed.contains("3 folds, each of 3 cases counted in every one that held it out"), "{printed}");
    assert_eq!(division(&place.path("all/fold_1")), division(&place.path("run")));
    // Other folds are another cross-validation.
    fs::write(&file, splits(&[[&[0, 1, 2], &[3]], [&[0, 3], &[2, 1]], [&[0], &[1]]])).unwrap();
    let error = refuses(&borrowed(&place.training("all", &["--all-folds"])));
    assert!(error.contains("with other settings, folds, cases, weights or data"), "{error}");
    fs::write(&file, splits(&[[&[0, 1, 2], &[3]], [&[0, 3], &[4]]])).unwrap();
    let fault = "fold 1 names case_4 under \"val\", which is no training case";
    let error = refuses(&borrowed(&place.training("other", &[])));
    assert!(error.contains("splits_final.json: ") && error.contains(fault), "{error}");
    assert!(!place.path("other").exists());
    let page = say(&["verify", &data]);
    assert!(page.code == Some(1) && page.stdout.contains(&format!("splits_final.json: {fault}")));
}

#[test]
fn cases_of_one_group_are_held_out_together() {
    let place = Place::with(small::SHAPE, 1, 2, [4, 1]);
    let table = "case,group\ncase_0,p\ncase_1,q\ncase_2,p\ncase_3,r\ncase_4,r\n";
    fs::write(place.path("data/patients.csv"), table).unwrap();
    let groups = ["--set", "validation.groups=patients.csv"];
    let mut all = Vec::new();
    for fold in ["0", "1", "2"] {
        let printed = place.train(&format!("run{fold}"), &[&groups[..], &["--fold", fold]].concat());
        assert!(printed.contains("no fold divides one of the 3 groups of patients.csv\n"), "{printed}");
        all.push(division(&place.path(&format!("run{fold}"))).1.join(" "));
    }
    all.sort();
    assert_eq!(all, ["case_0 case_2", "case_1", "case_3"]);
    let error = refuses(&borrowed(&place.training("run", &[&groups[..], &["--folds", "4"]].concat())));
    assert!(error.contains("validation.folds: is 4 for 3 groups of"), "{error}");
    let other = place.text("other");
    let error =
        refuses(&borrowed(&place.training("run", &[&groups[..], &["--validation", &other]].concat())));
    assert!(error.contains("validation.groups: with --validation"), "{error}");
}

/// Gives the label map of a case other labels.
fn relabel(place: &Place, case: &str, label: impl Fn(u8) -> u8) {
    let path = place.path(&format!("data/labelsTr/{case}.nii.gz"));
    let header = nifti::read_header(&path).unwrap();
    let mut labels = Vec::new();
    volumes::Stored::read(&path).unwrap().for_each(|value| labels.push(label(value as u8)));
    nifti::write(&path, &header, &labels).unwrap();
}

/// The fold of five that holds a case out.
fn holder(place: &Place, case: &str) -> String {
    let set = trainer::dataset::Dataset::open(place.path("data")).unwrap();
    let folds = trainer::dataset::CrossValidation::new(&set, &Default::default()).unwrap();
    let holds = |fold: &trainer::dataset::FoldCases| {
        fold.validation.iter().any(|&index| set.training[index].name == case)
    };
    folds.folds().iter().position(holds).unwrap().to_string()
}

#[test]
fn a_fold_without_foreground_is_refused_before_any_fold_is_trained() {
    let place = Place::with(small::SHAPE, 1, 2, [5, 0]);
    for case in [0, 1, 3, 4] {
        relabel(&place, &format!("case_{case}"), |_| 0);
    }
    let fold = holder(&place, "case_2");
    let said = format!(
        "fold {fold} holds out case_2, the only case with foreground: nothing would be left to learn"
    );
    let refused = |flags: &[&str]| {
        let error = refuses(&borrowed(&place.training("run", flags)));
        assert!(error.starts_with(&said) && error.contains("; train the folds that keep it"), "{error}");
    };
    refused(&["--all-folds"]);
    assert!(!place.path("run").exists());
    refused(&["--fold", &fold]);
    let data = place.text("data");
    assert!(succeeds(&["verify", &data]).contains(&said));
    let other = ["0", "1"].into_iter().find(|other| *other != fold).unwrap();
    let with = |fold: &str| format!("validation.fold={fold}");
    let plan = |fold: &str| {
        ["plan", &data, "--set", &with(fold), "--set", "model.base_channels=2"].map(str::to_owned)
    };
    assert!(succeeds(&borrowed(&plan(other))).contains(&said));
    assert!(refuses(&borrowed(&plan(&fold))).starts_with(&said));
    // Another fold can be trained, but not measured.
    let printed = place.train("other", &["--fold", other, "--set", "inference.min_component=auto"]);
    let unmeasured = format!(
        "class lesion occurs in case_2 alone: no validation case of fold {other} holds it, so that its Dice"
    );
    assert!(printed.contains(&unmeasured), "{printed}");
    assert!(!printed.contains("Dice of undefined"), "{printed}");
}

#[test]
fn a_class_that_a_fold_cannot_learn_is_said_and_nothing_is_chosen_by_it() {
    let place = Place::with(small::SHAPE, 1, 3, [5, 0]);
    for case in [0, 1, 3, 4] {
        relabel(&place, &format!("case_{case}"), |label| label % 2);
    }
    let fold = holder(&place, "case_2");
    let said = format!(
        "class vessel occurs in case_2 alone: no training case of fold {fold} holds it, so that it cannot be learnt, and its Dice says nothing"
    );
    let data = place.text("data");
    let [verified, planned] = [vec!["verify", &data], vec!["plan", &data, "--set", "model.base_channels=2"]];
    for printed in [succeeds(&verified), succeeds(&planned)] {
        assert!(printed.contains(&said), "{printed}");
    }
    let printed = place.train("run", &["--fold", &fold, "--set", "inference.min_component=auto"]);
    assert!(printed.contains(&said) && printed.contains("by the loss's weights alone"), "{printed}");
    let unlearnt = "vessel  no training case holds it: it could not be learnt, and its Dice says nothing\n";
    assert!(printed.contains(unlearnt) && !printed.contains("vessel  Dice"), "{printed}");
    assert!(printed.contains("\n  vessel: nothing, as no case tells what would be better\n"), "{printed}");
    assert!(
        !printed.contains("patch Dice of vessel") && printed.contains("patch Dice of lesion"),
        "{printed}"
    );
    let printed = place.train("all", &["--all-folds"]);
    let at = |text: &str| printed.find(text).unwrap();
    assert!(at(&said) < at("\nfold 0 (of 0 to 4): "), "{printed}");
    // And once more beside the table.
    assert!(printed.rfind(&said).unwrap() > at("means over the folds"), "{printed}");
}
