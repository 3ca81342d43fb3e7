//! Laws of `trainer train`: the log, the run folder, and where a run starts from.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use trainer::config::Config;
use trainer::report::LogLine;
use trainer::run::checkpoint::Checkpoint;
use trainer::run::checkpoint::load_weights;

use super::{Place, borrowed, json, refuses, small, succeeds};

pub(super) fn log(run: &Path, event: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

/// The bytes of a run's last weights.
fn weights(run: &Path) -> Vec<(String, Vec<u32>)> {
    let weights = load_weights(&run.join("checkpoints/last/model.safetensors")).unwrap();
    let bits = |weight: autograd::Tensor<f32>| weight.data().iter().map(|value| value.to_bits()).collect();
    weights.into_iter().map(|(name, weight)| (name, bits(weight))).collect()
}

#[test]
fn every_batch_line_is_printed_and_logged_alike() {
    let place = Place::new();
    let printed = place.train("run", &["--epochs", "2"]);
    let lines: Vec<&str> = printed.lines().filter(|l| l.starts_with('|')).collect();
    let logged = log(&place.path("run"), "batch");
    assert_eq!((lines.len(), logged.len()), (6, 6));
    for (i, (line, event)) in lines.iter().zip(&logged).enumerate() {
        let whole = |key: &str| event[key].as_u64().unwrap();
        let number = |key: &str| event[key].as_f64().unwrap();
        let expected = LogLine {
            epoch: whole("epoch"),
            batch: whole("batch"),
            batches_per_epoch: whole("batches_per_epoch"),
            lr: number("lr"),
            loss: number("loss"),
            elapsed: Duration::from_secs_f64(number("elapsed_seconds")),
        };
        assert_eq!(*line, expected.to_string());
        let start = format!("| epoch   {} |     {}/    3 batches | lr ", i / 3 + 1, i % 3 + 1);
        assert!(line.starts_with(&start), "{line}");
        assert!(line.contains(" | loss ") && line.contains(" | elapsed 0:"), "{line}");
    }
}

#[test]
fn after_each_epoch_the_report_and_the_mean_probability_are_printed() {
    let place = Place::with(small::SHAPE, 1, 3, [2, 0]);
    let printed = place.train("run", &["--epochs", "2"]);
    let events = log(&place.path("run"), "validation");
    assert_eq!(events.len(), 2);
    let mut rest = printed.as_str();
    for (epoch, event) in (1..).zip(&events) {
        assert_eq!((event["epoch"].as_u64(), event["step"].as_u64()), (Some(epoch), Some(3 * epoch)));
        let case = event["cases"][0].as_str().unwrap();
        let title = format!("\nepoch {epoch}, on the validation case {case}:\n");
        let start = rest.find(&title).unwrap_or_else(|| panic!("{title:?} is missing:\n{printed}"));
        rest = &rest[start + title.len()..];
        let mut lines = rest.lines();
        assert_eq!(lines.next(), Some("              precision    recall  f1-score   support"));
        assert_eq!(lines.next(), Some(""));
        let mut support = 0;
        for class in event["report"]["classes"].as_array().unwrap() {
            let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
            let digits = |key: &str| format!("{:.4}", class[key].as_f64().unwrap());
            let voxels = class["support"].as_u64().unwrap();
            let expected = [
                class["name"].as_str().unwrap(),
                &digits("precision"),
                &digits("recall"),
                &digits("f1-score"),
                &voxels.to_string(),
            ]
            .map(str::to_owned);
            assert_eq!(row, expected);
            support += voxels;
        }
        assert_eq!(support, 2048);
        assert_eq!(lines.next(), Some(""));
        for name in ["accuracy", "macro avg", "weighted avg"] {
            let row = lines.next().unwrap();
            assert!(row.trim_start().starts_with(name) && row.ends_with(" 2048"), "{row}");
        }
        assert_eq!(lines.next(), Some(""));
        for (name, class) in ["lesion", "vessel"].iter().zip(event["classes"].as_array().unwrap()) {
            assert_eq!(class["name"], *name);
            let digits =
                |key: &str| class[key].as_f64().map_or_else(|| "undefined".to_owned(), |v| format!("{v:.4}"));
            let expected = format!(
                "{name}  Dice {}  average precision {}  mean raw probability {} (share {})",
                digits("dice"),
                digits("average_precision"),
                digits("mean_probability"),
                digits("share")
            );
            assert_eq!(lines.next(), Some(expected.as_str()));
            assert_eq!(class["share"].as_f64(), Some(27.0 / 2048.0));
            let row = lines.next().unwrap().trim_start();
            assert!(row.starts_with("above raw probability 0.5000, as trained: precision "), "{row}");
            let best = &class["best_f1"]["counts"];
            let count = |key: &str| best[key].as_u64().unwrap() as f64;
            let row = lines.next().unwrap().trim_start();
            let f1 = 2.0 * count("tp") / (2.0 * count("tp") + count("fp") + count("fn"));
            assert!(
                row.starts_with("above raw probability 0.") && row.ends_with(&format!("f1 {f1:.4}")),
                "{row}"
            );
            let mean = class["mean_probability"].as_f64().unwrap();
            assert!(mean > 0.0 && mean < 1.0, "{mean}");
        }
    }
}

#[test]
fn a_run_folder_holds_what_its_result_depends_on() {
    let place = Place::new();
    let printed = place.train("run", &["--seed", "5", "--threads", "1", "--set", "loss.pos_weight=3"]);
    let run = place.path("run");
    let text = fs::read_to_string(run.join("config.toml")).unwrap();
    let config = Config::load(Some(("config.toml", &text)), &[]).unwrap();
    let expected = small::config(&["training.seed=5", "training.threads=1", "loss.pos_weight=3"]);
    assert_eq!(config, expected);

    let record = json(&run.join("run.json"));
    assert_eq!(record["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(record["instruction_set"], autograd::simd::active().to_string());
    assert_eq!(record["threads"], 1);
    assert_eq!(record["dataset"], place.text("data"));
    assert_eq!(record["plan"]["patch_size"], serde_json::json!([8, 16, 16]));
    let names = |key: &str| -> Vec<String> {
        record[key].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned()).collect()
    };
    let (training, validation) = (names("training_cases"), names("validation_cases"));
    assert_eq!((training.len(), validation.len()), (3, 1));
    assert!(printed.contains(&format!("training on {}\n", training.join(", "))), "{printed}");
    assert!(printed.contains(&format!("validating on {}\n", validation[0])), "{printed}");
    // dataset.json, and image and label of six cases.
    let files = record["files"].as_array().unwrap();
    assert_eq!(files.len(), 13);
    for file in files {
        let bytes = fs::read(place.path("data").join(file["path"].as_str().unwrap())).unwrap();
        assert_eq!(file["bytes"], bytes.len());
        assert_eq!(file["crc32c"], crc32c::crc32c(&bytes));
    }
    for name in ["last", "best"] {
        let checkpoint = Checkpoint::load(&run.join("checkpoints").join(name)).unwrap();
        assert_eq!(checkpoint.state.step, 3);
        assert_eq!(Config::load(Some(("state", &checkpoint.state.config)), &[]).unwrap(), expected);
    }
    assert!(fs::read(run.join("slices.png")).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    assert!(printed.contains("done after 3 steps in 0:"), "{printed}");
    let mut left: Vec<_> =
        fs::read_dir(&run).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    assert!(left.remove(3).starts_with("events.out.tfevents."), "{left:?}");
    assert_eq!(
        left,
        [
            ".lock",
            "checkpoints",
            "config.toml",
            "log.jsonl",
            "model.safetensors",
            "model_last.safetensors",
            "report.html",
            "run.json",
            "slices.png"
        ]
    );
}

#[test]
fn one_case_is_trained_and_its_figures_are_marked_as_such() {
    let place = Place::with(small::SHAPE, 1, 2, [1, 0]);
    let printed = place.train("run", &[]);
    assert!(printed.contains("no case is left for validation"), "{printed}");
    assert!(printed.contains("epoch 1, on the TRAINING case case_0 (there are no others):"), "{printed}");
    assert!(!place.path("run/checkpoints/best").exists());
    let error = refuses(&[
        "predict",
        &place.text("run"),
        &place.text("data/imagesTr"),
        "--out",
        &place.text("masks"),
        "--checkpoint",
        "best",
    ]);
    assert!(error.contains("without validation cases no checkpoint is best; use last"), "{error}");
}

#[test]
fn validation_cases_of_another_folder_leave_all_training_cases_to_training() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    small::write_data_set(&place.path("other"), [9, 20, 17], 1, 2, [3, 0]);
    let other = place.text("other");
    let printed = place.train("run", &["--validation", &other]);
    assert!(printed.contains("training on case_0, case_1\n"), "{printed}");
    assert!(printed.contains("validating on case_0, case_1, case_2\n"), "{printed}");
    assert!(place.path("run/checkpoints/best").exists());
    assert_eq!(log(&place.path("run"), "validation")[0]["report"]["support"], 3 * 9 * 20 * 17);

    // Going on without naming it again would train on other cases.
    let (data, run) = (place.text("data"), place.text("run"));
    let error = refuses(&["train", &data, "--out", &run, "--resume", "--epochs", "2"]);
    assert!(error.contains("run.json") && error.contains("--validation"), "{error}");
    succeeds(&["train", &data, "--out", &run, "--resume", "--epochs", "2", "--validation", &other]);

    // Its files are recorded, and compared where a run goes on.
    let record = json(&place.path("run/run.json"));
    assert_eq!(record["validation"]["dataset"], other);
    let files = record["validation"]["files"].as_array().unwrap();
    assert_eq!(files.len(), 6);
    let label = place.path("other/labelsTr/case_1.nii.gz");
    assert!(files.iter().any(|file| file["path"] == "labelsTr/case_1.nii.gz"
        && file["crc32c"] == crc32c::crc32c(&fs::read(&label).unwrap())));
    let kept = fs::read(&label).unwrap();
    fs::copy(place.path("other/labelsTr/case_0.nii.gz"), &label).unwrap();
    let go_on = ["train", &data, "--out", &run, "--resume", "--epochs", "3", "--validation", &other];
    let error = refuses(&go_on);
    assert!(error.contains("run.json: the run began with another labelsTr/case_1.nii.gz: of "), "{error}");
    fs::write(&label, kept).unwrap();
    succeeds(&go_on);

    small::write_data_set(&place.path("third"), small::SHAPE, 1, 3, [1, 0]);
    let error = refuses(&borrowed(&place.training("run3", &["--validation", &place.text("third")])));
    assert!(error.contains("they must be the same"), "{error}");
}

#[test]
fn validation_cases_that_are_trained_on_are_refused_by_name() {
    let place = Place::with(small::SHAPE, 2, 2, [2, 0]);
    let other = place.text("other");
    let refused = |shared: &str| {
        let error = refuses(&borrowed(&place.training("run", &["--validation", &other])));
        assert!(error.contains(&format!("other: has images of training cases: {shared}; ")), "{error}");
        assert!(!place.path("run").exists());
    };
    // The same images under other names; labels are nobody's business.
    small::write_data_set(&place.path("other"), small::SHAPE, 2, 2, [3, 0]);
    let rename = |from: &str, to: &str| {
        for file in ["imagesTr/NAME_0000", "imagesTr/NAME_0001", "labelsTr/NAME"] {
            let [from, to] =
                [from, to].map(|name| place.path(&format!("other/{}.nii.gz", file.replace("NAME", name))));
            fs::rename(from, to).unwrap();
        }
    };
    rename("case_0", "other_0");
    fs::copy(place.path("other/labelsTr/case_1.nii.gz"), place.path("other/labelsTr/other_0.nii.gz"))
        .unwrap();
    refused("other_0 (in training case_0) and case_1");
    // With another channel it is another case; a name in common with other content is no fault.
    let [first, second] =
        [0, 1].map(|channel| place.path(&format!("other/imagesTr/case_1_000{channel}.nii.gz")));
    fs::copy(&first, &second).unwrap();
    refused("other_0 (in training case_0)");
    fs::copy(&second, place.path("other/imagesTr/other_0_0001.nii.gz")).unwrap();
    place.train("other_channel", &["--validation", &other]);
    // Whatever the rest of it, a case with the very file of a training case is refused.
    let path = place.path("other/dataset.json");
    let mut description = json(&path);
    let file = |name: &str| place.text(name);
    let images = [file("data/imagesTr/case_0_0000.nii.gz"), file("other/imagesTr/case_2_0001.nii.gz")];
    description["dataset"] =
        serde_json::json!({"x": {"images": images, "label": file("other/labelsTr/case_2.nii.gz")}});
    fs::write(&path, description.to_string()).unwrap();
    refused("x (in training case_0)");
}

#[test]
fn a_resumed_run_ends_with_the_bits_of_one_that_was_not_interrupted() {
    let place = Place::new();
    let constant = ["--set", "schedule.name=constant"];
    place.train("whole", &[&constant[..], &["--epochs", "2"]].concat());
    place.train("run", &constant);
    let run = place.text("run");
    let printed = succeeds(&["train", &place.text("data"), "--out", &run, "--resume", "--epochs", "2"]);
    assert!(printed.contains("done after 6 steps"), "{printed}");
    assert!(printed.contains("| epoch   2 |     1/    3 batches"), "{printed}");
    assert!(!printed.contains("| epoch   1 |"), "{printed}");
    assert!(weights(&place.path("run")) == weights(&place.path("whole")));
    let batches = log(&place.path("run"), "batch");
    let at: Vec<_> =
        batches.iter().map(|b| (b["epoch"].as_u64().unwrap(), b["batch"].as_u64().unwrap())).collect();
    assert_eq!(at, [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]);
    let elapsed: Vec<_> = batches.iter().map(|b| b["elapsed_seconds"].as_f64().unwrap()).collect();
    assert!(elapsed.is_sorted(), "{elapsed:?}");
}

#[test]
fn training_starts_from_given_weights() {
    let place = Place::new();
    place.train("first", &[]);
    let init = place.text("first/checkpoints/last/model.safetensors");
    place.train("second", &["--init", &init, "--set", "optimizer.lr=1e-30", "--seed", "3"]);
    assert!(weights(&place.path("first")) == weights(&place.path("second")));
}

#[test]
fn a_file_of_settings_comes_before_single_ones() {
    let place = Place::new();
    let file = place.path("my.toml");
    fs::write(&file, "[loss]\npos_weight = 10\n[optimizer]\nlr = 0.5\n").unwrap();
    place.train("run", &["--config", file.to_str().unwrap(), "--set", "optimizer.lr=0.25"]);
    let text = fs::read_to_string(place.path("run/config.toml")).unwrap();
    let config = Config::load(Some(("config.toml", &text)), &[]).unwrap();
    assert_eq!(config.loss.pos_weight.value(), Some(&10.0));
    assert_eq!(config.optimizer.lr, 0.25);
    fs::write(&file, "[loss]\npos_wait = 10\n").unwrap();
    let error = refuses(&borrowed(&place.training("other", &["--config", file.to_str().unwrap()])));
    assert!(error.contains("loss.pos_wait: there is no such key; did you mean loss.pos_weight?"), "{error}");
}

#[test]
fn a_volume_of_thirty_slices_is_trained_whole() {
    let place = Place::with([30, 64, 64], 1, 2, [1, 0]);
    let set = [
        "--set",
        "data.patch_size=[30,64,64]",
        "--set",
        "model.strides=[[1,2,2],[1,2,2]]",
        "--set",
        "model.levels=auto",
        "--steps-per-epoch",
        "1",
    ];
    let printed = place.train("run", &set);
    assert!(printed.contains("patches of 30 x 64 x 64 voxels"), "{printed}");
    assert!(printed.contains("    2         8  30 x 16 x 16"), "{printed}");
    assert!(printed.contains("done after 1 steps"), "{printed}");
}

#[test]
fn planes_are_trained_as_volumes_of_one_slice() {
    let place = Place::with([1, 32, 40], 1, 2, [3, 1]);
    let printed = place.train("run", &["--set", "data.patch_size=auto"]);
    assert!(printed.contains("patches of 1 x 32 x 40 voxels"), "{printed}");
    let masks = place.text("masks");
    succeeds(&["predict", &place.text("run"), &place.text("data/imagesTs"), "--out", &masks]);
    let mask = volumes::Stored::read(place.path("masks/case_3.nii.gz")).unwrap();
    assert_eq!(mask.header.size(), [40, 32, 1]);
}

/// Of a run that was stopped in a validation the steps are taken and the figures are missing.
#[test]
fn a_validation_that_was_cut_off_is_made_up_for_wherever_it_was() {
    let place = Place::with(small::SHAPE, 1, 2, [3, 0]);
    let constant = ["--set", "schedule.name=constant"];
    place.train("whole", &[&["--epochs", "2"][..], &constant].concat());
    let of_log = |run: &str, event: &str| {
        let log = fs::read_to_string(place.path(run).join("log.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect::<Vec<_>>()
    };
    let whole = of_log("whole", "validation");
    for epochs in ["1", "2"] {
        let run = format!("run{epochs}");
        place.train(&run, &[&["--epochs", epochs][..], &constant].concat());
        let path = place.path(&run).join("checkpoints/last");
        let mut checkpoint = trainer::run::checkpoint::Checkpoint::load(&path).unwrap();
        assert!(checkpoint.state.metric_now.take().is_some());
        assert!(std::mem::take(&mut checkpoint.state.validated));
        let made = whole[..epochs.parse::<usize>().unwrap() - 1].to_vec();
        checkpoint.state.metric_best = made.iter().filter_map(|event| event["metric"].as_f64()).next_back();
        checkpoint.save(&path).unwrap();
        let before: String = made.iter().map(|event| format!("{event}\n")).collect();
        fs::write(place.path(&run).join("log.jsonl"), before).unwrap();
        let out = place.text(&run);
        let printed = succeeds(&["train", &place.text("data"), "--out", &out, "--resume", "--epochs", "2"]);
        assert!(printed.contains(&format!("epoch {epochs}, on the validation case")), "{printed}");
        assert_eq!(of_log(&run, "validation"), whole);
        let weights = |run: &str| of_log(run, "end")[0]["weights_crc32c"].clone();
        assert_eq!(weights(&run), weights("whole"));
    }
}
