//! What tasks of a cluster's job rely on: one command for each start, folds and arms that are joined, images that are shared
//! out, and many processes in one folder.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::{TempDir, tempdir};

use crate::support::small;

/// What small runs have beside their data set and their folder.
const SET: [&str; 8] = [
    "data.patch_size=[8,16,16]",
    "data.batch_size=1",
    "model.base_channels=2",
    "model.levels=2",
    "training.epochs=1",
    "training.steps_per_epoch=4",
    "training.log_every=1",
    "training.threads=1",
];

fn data(classes: usize) -> TempDir {
    let folder = tempdir().unwrap();
    small::write_data_set(folder.path(), small::SHAPE, 1, classes, [4, 5]);
    folder
}

fn command(words: &[&str], paths: &[(&str, &Path)]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("trainer"));
    command.args(words);
    for (flag, path) in paths {
        command.args([*flag, path.to_str().unwrap()]);
    }
    command
}

/// `train` with the settings of all here.
fn train(data: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = command(&["train", data.to_str().unwrap()], &[("--out", out)]);
    command.args(SET.iter().flat_map(|pair| ["--set", pair])).args(more);
    command
}

/// Whether it ended well, and what it said.
fn done(mut command: Command) -> (bool, String) {
    let output = command.output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

fn well(command: Command) -> String {
    let (is_well, said) = done(command);
    assert!(is_well, "{said}");
    said
}

fn refused(command: Command) -> String {
    let (is_well, said) = done(command);
    assert!(!is_well, "{said}");
    said
}

fn ends(out: &Path) -> usize {
    fs::read_to_string(out.join("log.jsonl")).unwrap().matches("\"event\":\"end\"").count()
}

#[test]
fn one_command_begins_a_run_goes_on_with_it_and_leaves_it_when_it_is_done() {
    let (data, folder) = (data(2), tempdir().unwrap());
    let (out, whole) = (folder.path().join("out"), folder.path().join("whole"));
    let start =
        || train(data.path(), &out, &["--continue", "--seed", "3", "--set", "training.steps_per_epoch=400"]);
    let log = || fs::read_to_string(out.join("log.jsonl")).unwrap_or_default();
    let mut first: Child = start().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while log().matches("\"event\":\"batch\"").count() < 3 {
        assert!(first.try_wait().unwrap().is_none(), "it ended before");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap().success());
    assert_eq!(first.wait().unwrap().code(), Some(130), "a signal ends a run with its checkpoint");
    assert_eq!(ends(&out), 1);
    // Another number of threads is no other setting.
    let mut again = start();
    again.args(["--threads", "2"]);
    well(again);
    let log_of_all = log();
    assert_eq!(ends(&out), 1, "the log goes on where the checkpoint knew of");
    let said = well(start());
    assert!(said.contains("the run has taken all its steps"), "{said}");
    assert!(log() == log_of_all, "a run that is done is left as it is");
    // As if it had been stopped in its last validation.
    fs::write(out.join("log.jsonl"), log().replace("\"stopped\":false", "\"stopped\":true")).unwrap();
    let said = well(start());
    assert!(said.contains("done after 400 steps"), "{said}");
    well(train(data.path(), &whole, &["--seed", "3", "--set", "training.steps_per_epoch=400"]));
    let [model, at_once] = [&out, &whole].map(|run| fs::read(run.join("model.safetensors")).unwrap());
    assert!(model == at_once);
    let said = refused(train(
        data.path(),
        &out,
        &["--continue", "--seed", "4", "--set", "training.steps_per_epoch=400"],
    ));
    assert!(said.contains("a run with training.seed = 3, not 4"), "{said}");
}

#[test]
fn a_file_of_all_settings_may_begin_and_go_on() {
    let (data, folder) = (data(2), tempdir().unwrap());
    let (file, out) = (folder.path().join("my.toml"), folder.path().join("out"));
    let plan = command(&["plan", data.path().to_str().unwrap(), "--write", file.to_str().unwrap()], &[]);
    well(plan);
    let start = || {
        let auto = [
            "--set",
            "data.batch_size=auto",
            "--set",
            "inference.mirror=auto",
            "--set",
            "data.patch_size=[8,16,16]",
        ];
        let of_file =
            ["--config", file.to_str().unwrap(), "--epochs", "1", "--steps-per-epoch", "2", "--continue"];
        command(
            &[&["train", data.path().to_str().unwrap(), "--out", out.to_str().unwrap()][..], &of_file, &auto]
                .concat(),
            &[],
        )
    };
    well(start());
    let said = well(start());
    assert!(said.contains("the run has taken all its steps"), "{said}");
}

#[test]
fn folds_that_were_trained_by_themselves_are_joined_without_training() {
    let (data, folder) = (data(3), tempdir().unwrap());
    let (out, cache) = (folder.path().join("out"), folder.path().join("cache"));
    let cached = ["--folds", "2", "--cache", cache.to_str().unwrap()];
    // At the same time, into one cache that is not there yet.
    let fold = |index: &str, more: &[&str]| {
        train(
            data.path(),
            &out.join(format!("fold_{index}")),
            &[&cached[..], &["--fold", index], more].concat(),
        )
    };
    let tasks: Vec<Child> =
        ["0", "1"].iter().map(|index| fold(index, &[]).stdout(Stdio::null()).spawn().unwrap()).collect();
    assert!(tasks.into_iter().all(|mut task| task.wait().unwrap().success()));
    let join = |more: &[&str]| train(data.path(), &out, &[&cached[..], &["--all-folds"], more].concat());
    let said = refused(join(&["--set", "optimizer.lr=0.1"]));
    assert!(said.contains("a run with optimizer.lr = 0.003, not 0.1"), "{said}");
    let said = well(join(&[]));
    assert_eq!(said.matches("was trained before").count(), 2, "{said}");
    assert!(
        [0, 1].iter().all(|fold| ends(&out.join(format!("fold_{fold}"))) == 1),
        "nothing is trained again"
    );
    let whole = folder.path().join("whole");
    well(train(data.path(), &whole, &["--folds", "2", "--all-folds"]));
    let [joined, at_once] = [&out, &whole].map(|run| fs::read_to_string(run.join("summary.json")).unwrap());
    assert_eq!(joined, at_once);
}

#[test]
fn a_fold_of_other_cases_is_not_joined() {
    let (data, folder) = (data(2), tempdir().unwrap());
    let out = folder.path().join("out");
    well(train(data.path(), &out.join("fold_0"), &["--fold", "1", "--folds", "2"]));
    let said = refused(train(data.path(), &out, &["--all-folds", "--folds", "2"]));
    assert!(said.contains("the run began with training cases"), "{said}");
    let other = tempdir().unwrap();
    fs::write(other.path().join("notes.txt"), "mine").unwrap();
    let said = refused(train(data.path(), other.path(), &["--all-folds", "--folds", "2"]));
    assert!(said.contains("is not empty"), "{said}");
}

#[test]
fn arms_of_one_study_are_trained_at_the_same_time_and_joined() {
    let (data, folder) = (data(2), tempdir().unwrap());
    let out = folder.path().join("study");
    let study = |arms: &str| {
        let mut command = command(
            &["study", data.path().to_str().unwrap(), "--arms", arms, "--seeds", "1"],
            &[("--out", &out)],
        );
        command.args(SET.iter().flat_map(|pair| ["--set", pair]));
        command
    };
    let tasks: Vec<Child> = ["bce", "pos_weight", "focal"]
        .iter()
        .map(|arm| study(arm).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    assert!(tasks.into_iter().all(|mut task| task.wait().unwrap().success()));
    let runs = || {
        let folders = fs::read_dir(out.join("runs")).unwrap().map(|entry| entry.unwrap().path());
        let mut logs: Vec<_> =
            folders.map(|run| fs::metadata(run.join("log.jsonl")).unwrap().modified().unwrap()).collect();
        logs.sort();
        logs
    };
    let before = runs();
    assert_eq!(before.len(), 3);
    let said = well(study("bce,pos_weight,focal"));
    assert_eq!(runs(), before, "nothing is trained again");
    assert!(["bce", "pos_weight", "focal"].iter().all(|arm| said.contains(arm)), "{said}");
    let table: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("study.json")).unwrap()).unwrap();
    assert_eq!(table["runs"].as_array().unwrap().len(), 3);
}

#[test]
fn shares_of_the_images_are_the_whole() {
    let (data, folder) = (data(2), tempdir().unwrap());
    let run = folder.path().join("run");
    well(train(data.path(), &run, &[]));
    let predict = |out: &Path, share: Option<&str>| {
        let (run, images) = (run.to_str().unwrap(), data.path().join("imagesTs"));
        let mut command = command(&["predict", run, images.to_str().unwrap()], &[("--out", out)]);
        command.args(share.iter().flat_map(|share| ["--share", share]));
        command
    };
    let masks = |out: &Path| {
        let mut files: Vec<_> = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).unwrap()).collect::<Vec<_>>()
    };
    let (whole, shared) = (folder.path().join("whole"), folder.path().join("shared"));
    well(predict(&whole, None));
    let tasks: Vec<Child> = ["0/7", "1/7", "2/7", "3/7", "4/7"]
        .iter()
        .map(|share| predict(&shared, Some(share)).stdout(Stdio::null()).spawn().unwrap())
        .collect();
    assert!(tasks.into_iter().all(|mut task| task.wait().unwrap().success()));
    assert!(masks(&whole) == masks(&shared) && masks(&whole).len() == 5);
    let said = well(predict(&shared, Some("6/7")));
    assert!(said.contains("the share 6/7 holds no image"), "{said}");
    for share in ["4/4", "1", "a/2", "-1/3"] {
        let said = refused(predict(&shared, Some(share)));
        assert!(
            said.contains("a share K/N with K from 0 to below N is needed") || said.contains("unexpected"),
            "{said}"
        );
    }
}

#[test]
fn a_plan_says_up_to_how_many_ranks_pay() {
    let data = data(2);
    let plan = |more: &[&str]| {
        let mut command = command(&["plan", data.path().to_str().unwrap()], &[]);
        command
            .args(SET.iter().flat_map(|pair| ["--set", pair]))
            .args(["--set", "data.batch_size=4"])
            .args(more);
        command
    };
    let said = well(plan(&["--ranks", "8", "--link", "IB"]));
    let rows = said.split("ranks  samples of one").nth(1).unwrap();
    let ranks: Vec<&str> = rows
        .lines()
        .skip(1)
        .map_while(|line| line.split_whitespace().next()?.parse::<u8>().ok().map(|_| line))
        .collect();
    assert_eq!(ranks.len(), 4, "no more ranks than samples: {said}");
    assert!(said.contains("assumed: IB moves 22.0 GB/s each way and takes 3 µs"), "{said}");
    let json = well(plan(&["--ranks", "2", "--link", "10GbE", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sharing"]["steps"].as_array().unwrap().len(), 2);
    assert!(json["sharing"]["steps"][1]["bytes"].as_u64().unwrap() > 0);
    let said = refused(plan(&["--link", "IB"]));
    assert!(said.contains("--ranks"), "{said}");
}
