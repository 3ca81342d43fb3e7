//! Laws of whole runs: the same bits however they are cut and spread, and nothing that is not finite is kept.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use autograd::Tensor;
use nn::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use serde_json::Value;
use tempfile::tempdir;
use trainer::config::NonFiniteStep;
use trainer::dataset::IGNORE;
use trainer::predict::Tensors;
use trainer::preprocess::Case;
use trainer::run::checkpoint::{Checkpoint, Saved};
use trainer::training::{Setup, train};
use unet3d::UNet3d;

use super::small::{self, SHAPE};

/// Names and bits of every parameter and buffer.
fn bits(model: &UNet3d<f32>) -> Vec<(String, Vec<u32>)> {
    let values = model.state_dict().into_iter();
    values.map(|(name, value)| (name, value.data().iter().map(|v| v.to_bits()).collect())).collect()
}

fn saved(folder: &Path) -> Saved {
    Saved::open(&folder.join("checkpoints/last")).unwrap()
}

fn last(folder: &Path) -> Checkpoint {
    Checkpoint::load(&folder.join("checkpoints/last")).unwrap()
}

fn log(folder: &Path, event: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

fn cases(count: usize) -> Vec<Case> {
    (0..count).map(|i| small::case([9, 20, 18], 1, 2, i)).collect()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let runs = [1, 2, 3, 4, 7].map(|threads| {
        let folder = tempdir().unwrap();
        let threads = format!("training.threads={threads}");
        let set = [threads.as_str(), "data.batch_size=2", "model.base_channels=8", "model.dropout=0.1"];
        let outcome =
            small::run(small::setup(folder.path(), &set, cases(2), cases(3)[2..].to_vec(), 2)).unwrap();
        let figures: Vec<Value> = log(folder.path(), "validation");
        let end = log(folder.path(), "end").remove(0);
        assert_eq!(end["weights_crc32c"], outcome.end.weights_crc32c.as_str());
        (bits(&outcome.model), figures, last(folder.path()).optimizer, outcome.end.weights_crc32c)
    });
    assert!(runs.iter().all(|run| *run == runs[0]), "{:?}", runs.map(|run| run.3));
}

#[test]
fn another_seed_gives_other_weights() {
    let [first, second] = [0, 1].map(|seed| {
        let folder = tempdir().unwrap();
        let seed = format!("training.seed={seed}");
        let outcome = small::run(small::setup(folder.path(), &[&seed], cases(1), vec![], 2)).unwrap();
        (bits(&outcome.model), outcome.end.weights_crc32c)
    });
    assert!(first.0 != second.0 && first.1 != second.1);
}

/// Runs `whole` at once, and `part` followed by `whole` from its checkpoint.
fn resumed_and_at_once(part: &[&str], whole: &[&str], stop_first: bool) -> [Vec<(String, Vec<u32>)>; 2] {
    let build = |folder: &Path, set: &[&str]| -> Setup {
        small::setup(folder, set, cases(2), cases(3)[2..].to_vec(), 2)
    };
    let (a, b) = (tempdir().unwrap(), tempdir().unwrap());
    let at_once = small::run(build(a.path(), whole)).unwrap();
    let first = train(build(b.path(), part), &AtomicBool::new(stop_first)).unwrap();
    assert_eq!(first.stopped, stop_first);
    let checkpoint = last(b.path());
    assert_eq!(checkpoint.state.step, first.steps);
    let seconds = checkpoint.state.seconds;
    assert!(first.steps < at_once.steps);
    let rest = small::run(Setup { resume: Some(saved(b.path())), ..build(b.path(), whole) }).unwrap();
    assert_eq!(rest.steps, at_once.steps);
    // The first part ends with a validation, which the other run has only where an epoch ends there too.
    if first.steps.is_multiple_of(build(b.path(), whole).config.training.steps_per_epoch as u64) {
        assert_eq!(rest.best, at_once.best);
    }
    assert!(rest.elapsed.as_secs_f64() >= seconds);
    let end = last(b.path());
    let weights: Vec<_> = end.weights.into_iter().collect();
    let mut in_memory = rest.model.state_dict();
    in_memory.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(weights, in_memory, "the checkpoint holds the model");
    assert_eq!(end.optimizer, last(a.path()).optimizer, "the optimiser's memory");
    [at_once, rest].map(|outcome| bits(&outcome.model))
}

#[test]
fn a_run_that_goes_on_ends_with_the_bits_of_one_that_was_never_interrupted() {
    let step = ["schedule.name=step", "schedule.every=2", "schedule.factor=0.5"];
    let plateau = ["schedule.name=plateau", "schedule.patience=0"];
    let noisy = ["model.norm=batch", "model.dropout=0.2", "schedule.name=constant"];
    let sgd = ["optimizer.name=sgd", "optimizer.lr=0.01", "schedule.name=constant"];
    let amsgrad = ["optimizer.name=amsgrad", "schedule.name=constant"];
    for set in [&step[..], &plateau, &noisy, &sgd, &amsgrad] {
        let whole = [set, &["training.epochs=3"]].concat();
        let [at_once, rest] = resumed_and_at_once(&[set, &["training.epochs=1"]].concat(), &whole, false);
        assert!(at_once == rest, "{set:?}");
    }
    // In the middle of an epoch.
    let whole = [&step[..], &["training.steps_per_epoch=5"]].concat();
    let part = [&step[..], &["training.steps_per_epoch=2"]].concat();
    let [at_once, rest] = resumed_and_at_once(&part, &whole, false);
    assert!(at_once == rest, "in an epoch");
    // Stopped before the first step, under a schedule that knows the last one.
    let poly = ["schedule.name=poly", "training.epochs=2"];
    let [at_once, rest] = resumed_and_at_once(&poly, &poly, true);
    assert!(at_once == rest, "from step 0");
}

#[test]
fn a_run_that_is_over_is_not_trained_further() {
    let folder = tempdir().unwrap();
    let build = || small::setup(folder.path(), &[], cases(1), vec![], 2);
    let first = small::run(build()).unwrap();
    let again = small::run(Setup { resume: Some(saved(folder.path())), ..build() }).unwrap();
    assert_eq!(again.steps, 3);
    assert!(bits(&first.model) == bits(&again.model));
}

#[test]
fn initial_weights_are_where_training_starts() {
    let folder = tempdir().unwrap();
    small::run(small::setup(folder.path(), &[], cases(1), vec![], 2)).unwrap();
    let weights = last(folder.path()).weights;
    let other = tempdir().unwrap();
    let still = ["optimizer.lr=0", "training.seed=9"];
    let init = Some(weights.clone());
    let outcome =
        small::run(Setup { init, ..small::setup(other.path(), &still, cases(1), vec![], 2) }).unwrap();
    assert_eq!(outcome.model.state_dict().into_iter().collect::<trainer::predict::Tensors>(), weights);

    let wider = small::setup(other.path(), &["model.base_channels=4"], cases(1), vec![], 2);
    let error = small::run(Setup { init: Some(weights), ..wider }).unwrap_err().to_string();
    assert!(error.starts_with("--init: "), "{error}");
}

#[test]
fn an_absurd_learning_rate_ends_with_an_error_and_leaves_finite_weights() {
    for (lr, steps, epochs) in [(1e30, 30, 1), (1e30, 1, 30), (1e15, 2, 20), (1e39, 2, 2), (1e300, 30, 2)] {
        for optimizer in ["adamw", "sgd"] {
            let folder = tempdir().unwrap();
            let set = [
                format!("optimizer.lr={lr:e}"),
                format!("optimizer.name={optimizer}"),
                format!("training.steps_per_epoch={steps}"),
                format!("training.epochs={epochs}"),
                "schedule.name=constant".into(),
                format!("training.non_finite={}", if steps == 30 { "skip" } else { "stop" }),
            ];
            let set: Vec<&str> = set.iter().map(String::as_str).collect();
            let end = small::run(small::setup(folder.path(), &set, cases(1), vec![], 2));
            let error = end.expect_err("nothing can be learnt so").to_string();
            assert!(error.contains("optimizer.lr"), "{lr:e}: {error}");
            if folder.path().join("checkpoints/last").exists() {
                let kept = last(folder.path());
                assert!(kept.weights.values().all(|w| w.is_finite()), "{lr:e} of {optimizer}");
                assert!(kept.optimizer.values().all(|w| w.is_finite()), "{lr:e} of {optimizer}");
            }
        }
    }
}

/// Weights of which one layer's are so large that its sums overflow.
fn overflowing(layer: &str) -> (tempfile::TempDir, Setup) {
    let folder = tempdir().unwrap();
    let mut setup = small::setup(folder.path(), &[], cases(1), vec![], 2);
    let model = UNet3d::<f32>::new(setup.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let mut weights: Tensors = model.state_dict().into_iter().collect();
    let weight = weights.get_mut(layer).expect("the layer is there");
    *weight = Tensor::full(weight.shape(), 3e38);
    setup.init = Some(weights);
    (folder, setup)
}

#[test]
fn a_step_that_is_not_finite_names_operation_layer_case_and_patch() {
    let (_folder, setup) = overflowing("head.weight");
    let error = small::run(setup).unwrap_err().to_string();
    for part in [
        "step 1: loss ",
        "first not finite is the value of ",
        "at head.",
        "the batch is case case_0 at [",
        "skip",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }

    let (folder, mut setup) = overflowing("head.weight");
    setup.config.training.non_finite = NonFiniteStep::Skip;
    setup.config.training.steps_per_epoch = 30;
    let error = small::run(setup).unwrap_err().to_string();
    assert!(error.contains("step 20: ") && error.contains("number 20 in a row"), "{error}");
    assert!(last(folder.path()).weights.values().all(Tensor::is_finite));
}

#[test]
fn looking_at_every_number_changes_none() {
    let run = |looks: &str| {
        let folder = tempdir().unwrap();
        let set = [format!("training.check_numerics={looks}")];
        bits(&small::run(small::setup(folder.path(), &[&set[0]], cases(1), vec![], 2)).unwrap().model)
    };
    assert!(run("true") == run("false"));
}

#[test]
fn best_is_kept_with_validation_cases_only() {
    let folder = tempdir().unwrap();
    let outcome = small::run(small::setup(folder.path(), &[], cases(1), vec![], 2)).unwrap();
    assert!(!folder.path().join("checkpoints/best").exists());
    assert!(outcome.best.is_none());
    let validation = outcome.validation.expect("the last epoch is validated");
    assert!(validation.on_training_cases);
    assert_eq!(validation.cases, ["case_0"]);
    assert_eq!(last(folder.path()).state.metric_now, None);

    let folder = tempdir().unwrap();
    let held_out = cases(3)[2..].to_vec();
    let set = ["training.epochs=3", "optimizer.lr=0.02", "loss.pos_weight=20"];
    let outcome = small::run(small::setup(folder.path(), &set, cases(2), held_out, 2)).unwrap();
    assert!(!outcome.validation.as_ref().unwrap().on_training_cases);
    let best = Checkpoint::load(&folder.path().join("checkpoints/best")).unwrap().state;
    let dice: Vec<f64> = log(folder.path(), "validation")
        .iter()
        // At the best threshold, which is what a checkpoint is used with.
        .map(|line| {
            let counts = &line["classes"][0]["best_f1"]["counts"];
            let [tp, fp, fn_] = ["tp", "fp", "fn"].map(|key| counts[key].as_u64().unwrap() as f64);
            2.0 * tp / (2.0 * tp + fp + fn_)
        })
        .collect();
    assert_eq!(dice.len(), 3);
    let highest = dice.iter().copied().fold(0.0, f64::max);
    assert_eq!(outcome.best, Some(highest));
    assert_eq!((best.metric_now, best.metric_best), (Some(highest), Some(highest)));
    let epoch = dice.iter().position(|&d| d == highest).unwrap() as u64 + 1;
    assert_eq!(best.step, 3 * epoch, "{dice:?}");
    let last = last(folder.path()).state;
    assert_eq!((last.metric_now, last.metric_best), (Some(dice[2]), Some(highest)));
}

#[test]
fn validation_comes_every_so_many_epochs_and_at_the_end() {
    let folder = tempdir().unwrap();
    let set = ["training.epochs=5", "validation.every=2", "validation.full_every=3"];
    small::run(small::setup(folder.path(), &set, cases(1), cases(2)[1..].to_vec(), 2)).unwrap();
    let epochs: Vec<_> =
        log(folder.path(), "validation").iter().map(|l| l["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [3, 5]);
    let epochs: Vec<_> = log(folder.path(), "patches").iter().map(|l| l["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [2, 3, 4, 5]);
    assert_eq!(log(folder.path(), "batch").len(), 15);
}

#[test]
fn batches_without_a_voxel_that_counts_train_nothing() {
    for set in [&[][..], &["model.deep_supervision=true"]] {
        let mut empty = small::case(SHAPE, 1, 2, 0);
        empty.labels.as_mut().unwrap().fill(IGNORE);
        let folder = tempdir().unwrap();
        // Decay alone would move the weights.
        let set = [set, &["training.seed=4", "optimizer.weight_decay=0"]].concat();
        let outcome = small::run(small::setup(
            folder.path(),
            &set,
            vec![empty.clone()],
            vec![small::case(SHAPE, 1, 2, 1)],
            2,
        ))
        .unwrap();
        let untouched =
            small::setup(folder.path(), &[&set[..], &["optimizer.lr=0"]].concat(), cases(1), vec![], 2);
        let start = small::run(untouched).unwrap();
        assert!(bits(&outcome.model) == bits(&start.model), "{set:?}");
        assert!(log(folder.path(), "batch")[..3].iter().all(|line| line["loss"] == 0.0));
    }
}

#[test]
fn cases_without_foreground_are_trained_and_their_undefined_figures_called_so() {
    let empty = |index| {
        let mut case = small::case(SHAPE, 1, 2, index);
        case.labels.as_mut().unwrap().fill(0);
        case
    };
    let (undefined, unlearnt) =
        ("lesion  Dice undefined  average precision undefined", "lesion  no training case holds it");
    for (training, said) in
        [(vec![empty(0), small::case(SHAPE, 1, 2, 1)], undefined), (vec![empty(0)], unlearnt)]
    {
        let folder = tempdir().unwrap();
        let set = ["inference.threshold=1", "data.foreground_share=1"];
        let outcome = small::run(small::setup(folder.path(), &set, training, vec![empty(2)], 2)).unwrap();
        let validation = outcome.validation.unwrap();
        // Nothing is there and nothing is predicted.
        assert_eq!(validation.classes[0].dice, None);
        assert_eq!(validation.classes[0].average_precision, None);
        assert_eq!(validation.mean_dice(), None);
        assert!(validation.to_string().contains(said), "{validation}");
        assert_eq!(outcome.best, None);
        assert!(!folder.path().join("checkpoints/best").exists());
    }
}

#[test]
fn ignored_voxels_count_in_no_figure() {
    let mut case = small::case(SHAPE, 1, 2, 1);
    let figures = |case: &Case| {
        let folder = tempdir().unwrap();
        let set = ["optimizer.lr=0"];
        small::run(small::setup(folder.path(), &set, cases(1), vec![case.clone()], 2))
            .unwrap()
            .validation
            .unwrap()
    };
    let all = figures(&case);
    assert_eq!(all.report.support, 2048);
    // Everything but the first slices, which hold some of the foreground.
    let labels = case.labels.as_mut().unwrap();
    let kept = 5 * 256;
    let foreground = labels[..kept].iter().filter(|&&l| l == 1).count();
    assert!(foreground > 0);
    labels[kept..].fill(IGNORE);
    let some = figures(&case);
    assert_eq!(some.report.support, kept as u64);
    assert_eq!(some.report.classes[1].support, foreground as u64);
    assert_eq!(some.classes[0].share, foreground as f64 / kept as f64);
    // A mean over the voxels that are left: with all of them it would be several times as large.
    let mean = some.classes[0].mean_probability;
    assert!(mean > 0.0 && mean < 1.0, "{mean}");
    // The probabilities themselves are the same: those of the rest make up the difference.
    let rest = (all.classes[0].mean_probability * 2048.0 - mean * kept as f64) / (2048 - kept) as f64;
    assert!(rest > 0.0 && rest < 1.0, "{rest}");
}
