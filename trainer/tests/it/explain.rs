//! Laws of `trainer explain`: its numbers are those of the losses, and its words follow from them.

use assert_cmd::cargo::cargo_bin_cmd;
use autograd::{Tape, Tensor};
use losses::{BceWithLogits, Labels, Loss};
use proptest::prelude::*;
use trainer::config::LossName;
use trainer::dataset::Dataset;
use trainer::preprocess::{CaseReader, PreparedCase};
use trainer::study::explain::{Explanation, Question, constant_loss};

use crate::support::small;

fn question(pos_weight: Option<f64>) -> Question {
    Question { loss: LossName::Bce, pos_weight, foreground_fraction: None }
}

proptest! {
    #[test]
    fn the_loss_of_a_constant_is_the_loss(positives in 1u64..40, negatives in 1u64..40, z in -6.0f64..6.0, p in 0.1f64..60.0) {
        let n = (positives + negatives) as usize;
        let tape = Tape::<f64>::no_grad();
        let logits = tape.constant(Tensor::from_fn([n, 1], |_| z));
        let labels = Labels::from_fn([n], |i| i32::from(i < positives as usize));
        let want = BceWithLogits::new().pos_weight(p).forward(&logits, &labels).unwrap().item();
        let got = constant_loss(z, p, positives as f64 / n as f64);
        prop_assert!((got - want).abs() < 1e-12 * (1.0 + want), "{got} for {want}");
    }

    #[test]
    fn no_constant_is_better_than_the_best(positives in 1u64..10_000, negatives in 1u64..10_000_000, p in 0.01f64..1000.0, step in 0.01f64..3.0) {
        let found = Explanation::of_counts(positives, negatives, &question(Some(p))).unwrap();
        for weight in &found.weights {
            let best = weight.best_constant_loss;
            let loss = |z: f64| constant_loss(z, weight.pos_weight, found.share);
            prop_assert!(loss(weight.best_constant_logit + step) > best && loss(weight.best_constant_logit - step) > best);
            prop_assert!((weight.shift - (weight.best_constant_logit - found.weights[0].best_constant_logit)).abs() < 1e-9);
            // The cut of the weighted network at 1/2, seen by the unweighted one.
            let cut = (weight.cut / (1.0 - weight.cut)).ln();
            prop_assert!((cut + weight.shift).abs() < 1e-9);
        }
        // At neg/pos both sides weigh the same.
        prop_assert!(found.weights[1].best_constant_logit.abs() < 1e-9);
    }
}

#[test]
fn the_threads_counts_give_the_threads_numbers() {
    let found = Explanation::of_counts(3932, 1_962_148, &question(Some(0.8985))).unwrap();
    let text = found.to_string();
    for line in [
        "neg/pos = 1962148/3932 = 499.0, and log 499.0 = 6.21",
        "class weights [1, 499.0], background first",
        "log 0.8985 = -0.1070: recall will fall, but by less than two seeds differ",
        "no voxel is called positive, precision is undefined, recall 0",
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
    let much = Explanation::of_counts(3932, 1_962_148, &question(Some(0.1))).unwrap().to_string();
    assert!(much.contains("recall will fall, and by much"), "{much}");
    let more = Explanation::of_counts(3932, 1_962_148, &question(Some(10.0))).unwrap().to_string();
    assert!(more.contains("recall will rise and precision fall"), "{more}");
}

/// Of the training cases on the voxels of their files.
fn explained(set: &Dataset, question: &Question) -> Explanation {
    let cases = CaseReader::native(set).read_all(&set.training).unwrap();
    let cases: Vec<PreparedCase> = cases.into_iter().map(PreparedCase::from).collect();
    Explanation::of_cases(set, &cases, question).unwrap()
}

#[test]
fn a_data_set_is_counted_and_its_patches_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    small::write_data_set(folder.path(), small::SHAPE, 1, 2, [3, 0]);
    let set = Dataset::open(folder.path()).unwrap();
    let found = explained(&set, &question(None));
    let cases = CaseReader::native(&set).read_all(&set.training).unwrap();
    let positives: usize =
        cases.iter().map(|c| c.labels.as_ref().unwrap().iter().filter(|&&l| l == 1).count()).sum();
    assert_eq!((found.positives, found.cases), (positives as u64, Some(3)));
    assert_eq!(found.positives + found.negatives, 3 * cases[0].voxels() as u64);
    // Every patch around foreground: more of it than anywhere; a share of 0 is nearer to the volumes'.
    let share = |fraction| {
        let question = Question { foreground_fraction: Some(fraction), ..question(None) };
        explained(&set, &question).patches.unwrap().share
    };
    let (all, none) = (share(1.0), share(0.0));
    assert!(all >= none && none > 0.0, "{all} and {none}");
}

#[test]
fn several_classes_are_told_what_trains_them() {
    let folder = tempfile::tempdir().unwrap();
    small::write_data_set(folder.path(), small::SHAPE, 1, 3, [2, 0]);
    let found = explained(&Dataset::open(folder.path()).unwrap(), &question(None));
    let weights: Vec<String> =
        found.classes.iter().map(|class| format!("{:.3}", class.class_weight.unwrap())).collect();
    let text = found.to_string();
    assert!(text.contains(&format!("loss.class_weights = [{}]", weights.join(", "))), "{text}");
    assert_eq!(found.positives, found.classes[1].voxels + found.classes[2].voxels);
}

#[test]
fn foreground_that_is_not_rare_is_not_called_so() {
    let text = Explanation::of_counts(900, 100, &question(None)).unwrap().to_string();
    assert!(text.contains("Foreground is not rare here") && !text.contains("Why recall is 0"), "{text}");
}

#[test]
fn counts_need_no_data_set_and_json_holds_what_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("explain.json");
    let run = |args: &[&str]| cargo_bin_cmd!("trainer").arg("explain").args(args).output().unwrap();
    let out = run(&["--positive", "3932", "--negative", "1962148", "--json", json.to_str().unwrap()]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert!((json["neg_per_pos"].as_f64().unwrap() - 1_962_148.0 / 3932.0).abs() < 1e-9);
    for (args, words) in [
        (["--positive", "0", "--negative", "7", "--loss=bce"], "no voxel is positive"),
        (
            ["--positive", "1", "--negative", "7", "--loss=hinge"],
            "loss.name: is \"hinge\", but takes \"bce\", ",
        ),
        (["--positive", "1", "--negative", "7", "--pos-weight=-1"], "--pos-weight -1"),
        (["--positive", "1", "--negative", "7", "--pos-weight=0"], "--pos-weight 0"),
    ] {
        let out = run(&args);
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && error.contains(words), "{error}");
    }
}
