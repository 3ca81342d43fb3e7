//! Probabilities of a weighted network, corrected on some cases and measured on others.

use std::fs;
use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;
use serde_json::Value;
use trainer::dataset::synthetic::Synthetic;

fn run(args: &[&str]) {
    let output = cargo_bin_cmd!("trainer").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn mean(path: &Path) -> f64 {
    let values = volumes::Stored::read(path).unwrap().to_f32();
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
}

/// 12 cases to train on and 4 to validate on; `pos_weight` is neg/pos, so that uncorrected probabilities are far too high.
#[test]
fn a_full_weight_is_taken_out_of_the_probabilities_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    let shape = [16, 32, 32];
    Synthetic { training: 16, test: 0, shape, spacing: [2.0, 1.0, 1.0], seed: 3 }
        .write(path("data"))
        .unwrap();
    let set = [
        "data.patch_size=[16,32,32]",
        "model.base_channels=4",
        "model.levels=2",
        "training.steps_per_epoch=60",
        "training.log_every=60",
    ];
    let (data, out) = (text("data"), text("study"));
    let mut args =
        vec!["study", &data, "--out", &out, "--arms", "pos_weight", "--seeds", "1", "--epochs", "2"];
    set.iter().for_each(|set| args.extend(["--set", set]));
    run(&args);
    let study: Value = serde_json::from_str(&fs::read_to_string(path("study/study.json")).unwrap()).unwrap();
    let cases: Vec<&str> =
        study["evaluation"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!((study["training"].as_array().unwrap().len(), cases.len()), (12, 4));
    for figure in ["brier", "calibration_error"] {
        let of = |side: &str| study["runs"][0][side][figure].as_f64().unwrap();
        assert!(of("after") < of("before"), "{figure} {} after {}", of("after"), of("before"));
    }

    // The run's own checkpoint is fitted on the same cases: its probabilities add up to what is there.
    let (run_folder, masks) = (text("study/runs/pos_weight-0"), text("masks"));
    let images: Vec<String> =
        cases.iter().map(|case| text(&format!("data/imagesTr/{case}_0000.nii.gz"))).collect();
    let mut args =
        vec!["predict", &run_folder, "--out", &masks, "--save-probabilities", "--checkpoint", "last"];
    args.extend(images.iter().map(String::as_str));
    run(&args);
    let of_cases = |mean_of: &dyn Fn(&str) -> f64| cases.iter().map(|case| mean_of(case)).sum::<f64>() / 4.0;
    let share = of_cases(&|case| mean(&path(&format!("data/labelsTr/{case}.nii.gz"))));
    let probability = of_cases(&|case| mean(&path(&format!("masks/probability/{case}_lesion.nii.gz"))));
    assert!(
        probability > share / 2.0 && probability < share * 2.0,
        "{probability} where the share is {share}"
    );
}
