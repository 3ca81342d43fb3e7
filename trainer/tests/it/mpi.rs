//! The program by several processes that `mpirun` starts, where it is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};

use crate::support::small;

/// What a small run has beside its data set and its folder.
const SET: [&str; 10] = [
    "data.patch_size=[8,16,16]",
    "data.batch_size=4",
    "model.base_channels=2",
    "model.levels=2",
    "training.epochs=2",
    "training.steps_per_epoch=6",
    "training.checkpoint_steps=1",
    "training.log_every=1",
    "training.threads=1",
    "validation.folds=2",
];

/// None, and a word on it, where there is no `mpirun`.
fn mpirun(ranks: usize) -> Option<Command> {
    let found = Command::new("mpirun").arg("--version").output().is_ok_and(|found| found.status.success());
    if !found {
        eprintln!("skipped: mpirun is not there (Debian: openmpi-bin)");
        return None;
    }
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()]);
    Some(command)
}

fn trainer() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("trainer").to_path_buf()
}

fn data() -> TempDir {
    let folder = tempdir().unwrap();
    small::write_data_set(folder.path(), small::SHAPE, 1, 3, [5, 3]);
    folder
}

/// Arguments of `train`.
fn train(data: &Path, out: &Path, more: &[&str]) -> Vec<String> {
    let path = |path: &Path| path.display().to_string();
    let mut words = vec!["train".to_owned(), path(data), "--out".into(), path(out)];
    words.extend(SET.iter().flat_map(|pair| ["--set".to_owned(), (*pair).to_owned()]));
    words.extend(more.iter().map(|&word| word.to_owned()));
    words
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn well(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// Of each end of a run its weights.
fn digests(out: &Path) -> Vec<String> {
    let log = fs::read_to_string(out.join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["event"] == "end").map(|line| line["weights_crc32c"].to_string()).collect()
}

fn alone(data: &Path, out: &Path, more: &[&str]) {
    let mut command = Command::new(trainer());
    command.args(train(data, out, more));
    well(command);
}

#[test]
fn several_processes_train_and_predict_as_one_does() {
    let (data, folder) = (data(), tempdir().unwrap());
    let one = folder.path().join("one");
    for more in [&[][..], &["--set", "loss.name=ce", "--set", "loss.class_weights=auto"]] {
        alone(data.path(), &one, more);
        for ranks in [1, 3] {
            let Some(mut command) = mpirun(ranks) else { return };
            let out = folder.path().join(format!("by_{ranks}"));
            command.arg(trainer()).args(train(data.path(), &out, more));
            let words = well(command);
            assert_eq!(digests(&out), digests(&one), "{ranks} ranks {more:?}");
            assert_eq!(words.matches("done after 12 steps").count(), 1, "one rank speaks: {words}");
            let [model, of_one] = [&out, &one].map(|run| fs::read(run.join("model.safetensors")).unwrap());
            assert!(model == of_one, "{ranks} ranks {more:?}");
            fs::remove_dir_all(&out).unwrap();
        }
        fs::rename(&one, folder.path().join("before")).or_else(|_| fs::remove_dir_all(&one)).unwrap();
    }
    let model = folder.path().join("before/model.safetensors");
    let masks = |out: &Path| {
        let mut files: Vec<_> = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
            .iter()
            .map(|file| (file.file_name().unwrap().to_owned(), fs::read(file).unwrap()))
            .collect::<Vec<_>>()
    };
    let predict = |mut command: Command, out: &Path| {
        command.arg("predict").arg(&model).arg(data.path().join("imagesTs")).arg("--out").arg(out);
        well(command);
        masks(out)
    };
    let by_one = predict(Command::new(trainer()), &folder.path().join("masks"));
    let Some(mut command) = mpirun(2) else { return };
    command.arg(trainer());
    assert!(predict(command, &folder.path().join("shared")) == by_one && by_one.len() == 3);
}

#[test]
fn all_folds_by_several_processes_are_those_of_one() {
    let (data, folder) = (data(), tempdir().unwrap());
    let Some(mut command) = mpirun(2) else { return };
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    alone(data.path(), &one, &["--all-folds"]);
    command.arg(trainer()).args(train(data.path(), &two, &["--all-folds"]));
    well(command);
    let [of_one, of_two] = [&one, &two].map(|out| fs::read_to_string(out.join("summary.json")).unwrap());
    assert_eq!(of_one, of_two);
    let [of_one, of_two] = [&one, &two].map(|out| fs::read(out.join("model.safetensors")).unwrap());
    assert!(of_one == of_two);
}

/// The processes of a run, by rank.
fn process(out: &Path, rank: usize) -> Option<u32> {
    let (out, rank) = (out.display().to_string(), format!("OMPI_COMM_WORLD_RANK={rank}"));
    let has = |path: PathBuf, word: &str| {
        fs::read(path).is_ok_and(|bytes| bytes.split(|&byte| byte == 0).any(|found| found == word.as_bytes()))
    };
    let entries =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    entries.into_iter().find(|id: &u32| {
        let folder = Path::new("/proc").join(id.to_string());
        has(folder.join("environ"), &rank) && has(folder.join("cmdline"), &out)
    })
}

/// Starts a long run, and kills one of its processes when it has taken some steps.
fn killed(mut command: Command, out: &Path) -> (Output, Duration) {
    let child: Child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = out.join("log.jsonl");
    let began = Instant::now();
    while fs::read_to_string(&log).unwrap_or_default().matches("\"event\":\"batch\"").count() < 3 {
        assert!(began.elapsed() < Duration::from_secs(100), "no steps are taken");
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = process(out, 1).expect("rank 1 runs");
    assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
    let killed = Instant::now();
    (child.wait_with_output().unwrap(), killed.elapsed())
}

#[test]
fn a_process_that_is_killed_ends_the_job_and_fewer_go_on_to_the_same_bits() {
    let (data, folder) = (data(), tempdir().unwrap());
    let one = folder.path().join("one");
    let long = ["--continue", "--set", "training.steps_per_epoch=300"];
    let Some(mut command) = mpirun(3) else { return };
    alone(data.path(), &one, &long);
    let out = folder.path().join("out");
    command.arg(trainer()).args(train(data.path(), &out, &long));
    let (output, waited) = killed(command, &out);
    assert!(!output.status.success() && waited < Duration::from_secs(60), "{waited:?}");
    assert!(said(&output).contains("Killed"), "{}", said(&output));
    let mut command = mpirun(2).unwrap();
    command.arg(trainer()).args(train(data.path(), &out, &long));
    well(command);
    assert_eq!(digests(&out).last(), digests(&one).last());
}

#[test]
fn where_no_launcher_ends_the_others_they_end_by_themselves() {
    let (data, folder) = (data(), tempdir().unwrap());
    let Some(mut command) = mpirun(2) else { return };
    let out = folder.path().join("out");
    command.arg("--enable-recovery").arg(trainer());
    command.args(train(data.path(), &out, &["--set", "training.steps_per_epoch=5000"]));
    let (output, waited) = killed(command, &out);
    assert!(waited < Duration::from_secs(60), "{waited:?}");
    let words = said(&output);
    assert!(words.contains("rank 1 of 2 on") && words.contains("has not been heard of"), "{words}");
    assert!(words.contains("--resume goes on from there, with any number of ranks"), "{words}");
}

#[test]
fn a_rank_with_other_settings_or_another_program_is_refused_by_name() {
    let (data, folder) = (data(), tempdir().unwrap());
    let other = folder.path().join("trainer");
    let mut bytes = fs::read(trainer()).unwrap();
    bytes.push(0);
    fs::write(&other, bytes).unwrap();
    fs::set_permissions(&other, fs::metadata(trainer()).unwrap().permissions()).unwrap();
    let out = folder.path().join("out");
    for (program, more, words) in [
        (
            trainer(),
            &["--set", "optimizer.lr=0.1"][..],
            "rank 1 on HOST has another optimizer.lr (0.1) than rank 0 on HOST (0.003)",
        ),
        (other, &[], "rank 1 on HOST has another program ("),
    ] {
        let Some(mut command) = mpirun(1) else { return };
        command.arg(trainer()).args(train(data.path(), &out, &[]));
        command.args([":", "-n", "1"]).arg(program).args(train(data.path(), &out, more));
        let output = command.output().unwrap();
        let said = said(&output);
        let host =
            said.split("rank 1 on ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        assert!(!output.status.success() && said.contains(&words.replace("HOST", host)), "{said}");
        assert_eq!(said.matches("than rank 0 on").count(), 1, "the first rank speaks: {said}");
        assert!(!out.join("config.toml").exists(), "nothing was written");
    }
}
