//! Every network and every loss that can be configured trains, and what does not fit is refused in words.

use std::fs;
use std::path::Path;

use autograd::{Tape, Tensor};
use losses::{Labels, LossConfig, WeightConfig};
use nn::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tempfile::tempdir;
use trainer::dataset::IGNORE;
use trainer::training::{Objective, Setup};
use unet3d::UNet3d;

use super::small::{self, SHAPE};

fn losses(folder: &Path) -> Vec<f64> {
    let text = fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    // A loss that is not finite is null.
    lines.filter(|l| l["event"] == "batch").map(|l| l["loss"].as_f64().expect("a finite loss")).collect()
}

fn setup(folder: &Path, set: &[&str], channels: usize, classes: usize) -> Setup {
    let set = [set, &["training.steps_per_epoch=2", "data.batch_size=2"]].concat();
    let cases = (0..2).map(|i| small::case([9, 18, 17], channels, classes, i)).collect();
    small::setup(folder, &set, cases, vec![small::case(SHAPE, channels, classes, 2)], classes)
}

/// Trains two steps and holds every number against infinity.
fn trains(set: &[&str], channels: usize, classes: usize) {
    let folder = tempdir().unwrap();
    let outcome =
        small::run(setup(folder.path(), set, channels, classes)).unwrap_or_else(|e| panic!("{set:?}: {e}"));
    let losses = losses(folder.path());
    assert_eq!(losses.len(), 2, "{set:?}");
    assert!(losses.iter().all(|&loss| loss > 0.0), "{set:?}: {losses:?}");
    let still = tempdir().unwrap();
    let start =
        small::run(setup(still.path(), &[set, &["optimizer.lr=0"]].concat(), channels, classes)).unwrap();
    let start = start.model.state_dict();
    for ((name, value), (_, before)) in outcome.model.state_dict().iter().zip(&start) {
        assert!(value.is_finite(), "{set:?}: {name}");
        // A bias in front of a norm that takes means away has no gradient; there is none here.
        assert!(value != before || name.contains("running"), "{set:?}: {name} was not trained");
    }
    let validation = outcome.validation.unwrap();
    assert_eq!(validation.classes.len(), classes - 1);
    assert_eq!(validation.report.support, SHAPE.iter().product::<usize>() as u64);
}

#[test]
fn every_kind_of_network_trains() {
    trains(&[], 1, 2);
    trains(&["model.deep_supervision=true", "model.levels=3"], 1, 2);
    trains(&["model.deep_supervision=true", "model.levels=3"], 2, 3);
    trains(&["model.norm={ group = 2 }"], 1, 2);
    trains(&["model.norm=batch"], 1, 2);
    trains(&["model.upsampling=trilinear"], 1, 2);
    trains(&["model.residual=true"], 1, 2);
    trains(&["model.dropout=0.5"], 1, 2);
    trains(&["model.activation=relu"], 3, 2);
    trains(&["model.activation=gelu"], 1, 4);
    trains(&["model.activation={ elu = { alpha = 1.0 } }", "model.kernels=[[1,3,3],[3,3,3]]"], 1, 2);
    trains(&["model.strides=[[1,2,2]]", "model.prior_bias=true"], 1, 3);
    trains(&["model.levels=1"], 1, 2);
}

#[test]
fn every_loss_trains_where_it_belongs() {
    for name in ["auto", "bce", "dice", "dice_bce", "focal", "tversky", "focal_tversky", "generalized_dice"] {
        trains(&[&format!("loss.name={name}")], 1, 2);
    }
    for name in ["auto", "ce", "dice", "dice_ce", "generalized_dice", "tversky", "focal_tversky"] {
        trains(&[&format!("loss.name={name}")], 1, 3);
    }
    trains(&["loss.name=bce", "loss.pos_weight=auto"], 1, 2);
    trains(&["loss.name=ce", "loss.class_weights=auto", "loss.label_smoothing=0.1"], 1, 3);
    trains(&["loss.name=dice_ce", "loss.class_weights=[1, 10, 5.5]", "loss.batch_dice=false"], 1, 3);
}

#[test]
fn a_loss_for_the_other_number_of_classes_is_refused() {
    let refusal = |set: &str, classes| {
        let folder = tempdir().unwrap();
        small::run(setup(folder.path(), &[set], 1, classes)).unwrap_err().to_string()
    };
    for name in ["ce", "dice_ce"] {
        let error = refusal(&format!("loss.name={name}"), 2);
        let expected = format!(
            "configuration: loss.name: \"{name}\" is for several classes: choose bce, dice_bce or another for one"
        );
        assert_eq!(error, expected);
    }
    for name in ["bce", "focal", "dice_bce"] {
        let error = refusal(&format!("loss.name={name}"), 3);
        let expected = format!(
            "configuration: loss.name: \"{name}\" is for one foreground class: choose ce, dice_ce or another for several"
        );
        assert_eq!(error, expected);
    }
    let error = refusal("loss.class_weights=[1, 2]", 3);
    assert!(error.contains("loss.class_weights: holds 2 numbers for 3 classes"), "{error}");
    let error = refusal("loss.pos_weight=-1", 2);
    assert!(error.contains("loss") && error.contains("-1"), "{error}");
}

#[test]
fn pos_weight_is_a_number_the_ratio_of_the_training_voxels_or_1() {
    let folder = tempdir().unwrap();
    let weight = |set: &str| {
        let setup = small::setup(
            folder.path(),
            &["loss.name=bce", set],
            vec![small::case(SHAPE, 1, 2, 0), small::case(SHAPE, 1, 2, 1)],
            vec![],
            2,
        );
        match Objective::new(&setup.config, &setup.plan, &setup.training).unwrap().config() {
            LossConfig::Bce { pos_weight: WeightConfig::Scalar(weight) } => *weight,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(weight("loss.pos_weight=10"), 10.0);
    assert_eq!(weight("loss.pos_weight=none"), 1.0);
    // Two boxes of 27 voxels in 2 x 2048.
    assert_eq!(weight("loss.pos_weight=auto"), (4096.0 - 54.0) / 54.0);
}

#[test]
fn what_is_to_be_found_from_the_data_is_refused_where_the_data_lack_it() {
    let folder = tempdir().unwrap();
    let refusal = |set: &[&str], classes| {
        let mut case = small::case(SHAPE, 1, classes, 0);
        let labels = case.labels.as_mut().unwrap();
        labels.iter_mut().for_each(|l| *l = if *l == 1 { IGNORE } else { *l });
        small::run(small::setup(folder.path(), set, vec![case], vec![], classes)).unwrap_err().to_string()
    };
    let error = refusal(&["loss.pos_weight=auto"], 2);
    assert!(error.contains("loss.pos_weight: is \"auto\", but no training case holds a positive"), "{error}");
    let error = refusal(&["loss.class_weights=auto"], 3);
    assert!(error.contains("loss.class_weights: is \"auto\", but no training case holds class 1"), "{error}");
}

/// The probabilities, class by class, that every head predicts from its bias alone.
fn prior(set: &[&str], classes: usize) -> Vec<Vec<f64>> {
    let set = [set, &["model.deep_supervision=true", "model.levels=3"]].concat();
    let case = small::case(SHAPE, 1, 2, 0);
    let setup = small::setup(Path::new("unused"), &set, vec![case], vec![], classes);
    let objective = Objective::new(&setup.config, &setup.plan, &setup.training).unwrap();
    let mut model = UNet3d::new(setup.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    objective.set_prior_bias(&mut model).unwrap();
    let biases =
        model.state_dict().into_iter().filter(|(name, _)| name.starts_with("head") && name.ends_with("bias"));
    let softmax = |(_, bias): (String, Tensor<f32>)| {
        let mut odds: Vec<f64> = bias.data().iter().map(|&b| f64::from(b).exp()).collect();
        if odds.len() == 1 {
            odds.insert(0, 1.0);
        }
        let sum: f64 = odds.iter().sum();
        odds.into_iter().map(|o| o / sum).collect()
    };
    biases.map(softmax).collect()
}

#[test]
fn the_prior_bias_is_the_best_constant_prediction() {
    // 27 voxels of class 1 in 2048; class 2, if there is one, has none and counts as half a voxel.
    for (set, odds) in [
        (&[][..], vec![2021.0, 27.0]),
        (&["loss.pos_weight=5"], vec![2021.0, 135.0]),
        (&["loss.pos_weight=auto"], vec![1.0, 1.0]),
        (&["loss.name=dice"], vec![2021.0, 27.0]),
        (&[], vec![2021.0, 27.0, 0.5]),
        (&["loss.class_weights=[1,5,2]"], vec![2021.0, 135.0, 1.0]),
    ] {
        let heads = prior(set, odds.len());
        assert_eq!(heads.len(), 2, "one for each scale");
        let sum: f64 = odds.iter().sum();
        for predicted in heads {
            for (p, want) in predicted.iter().zip(odds.iter().map(|o| o / sum)) {
                // A bias is below ln 2048 < 8 and rounded to f32; d ln p is at most its error.
                let bound = want * 8.0 * f64::from(f32::EPSILON);
                assert!((p - want).abs() <= bound, "{set:?}: {p} for a share of {want}");
            }
        }
    }
}

#[test]
fn batches_without_a_voxel_that_counts_are_counted_at_one_scale_and_at_several() {
    let folder = tempdir().unwrap();
    for set in [&[][..], &["model.deep_supervision=true", "model.levels=3"]] {
        let setup = small::setup(folder.path(), set, vec![small::case(SHAPE, 1, 2, 0)], vec![], 2);
        let objective = Objective::new(&setup.config, &setup.plan, &setup.training).unwrap();
        let model = UNet3d::<f32>::new(setup.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
        let [d, h, w] = SHAPE;
        let image = Tensor::from_fn([1, d, h, w, 1], small::noise);
        let loss = |label: u8| {
            let tape = Tape::train(0);
            let scales = model.forward_scales(tape.constant(image.clone())).unwrap();
            let labels = Labels::from_vec([1, d, h, w], vec![label; d * h * w]);
            let (loss, is_empty) = objective.forward(&scales, &labels).unwrap();
            (loss.item(), is_empty)
        };
        assert!(matches!(loss(1), (value, false) if value > 0.0), "{set:?}");
        assert_eq!(loss(IGNORE), (0.0, true), "{set:?}");
    }
}
