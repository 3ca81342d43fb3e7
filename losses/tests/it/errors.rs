//! Every message names the values and the remedy.

use autograd::Tensor;
use losses::{
    Bce, BceWithLogits, Combined, CrossEntropy, Dice, DiceBce, DiceCe, Focal, Labels, Loss, NllLoss,
    Reduction, Target, Tversky,
};

use crate::support::try_run;

#[track_caller]
fn says(loss: &dyn Loss<f64>, shape: &[usize], target: Target<'_, f64>, parts: &[&str]) {
    let error = try_run(loss, &Tensor::zeros(shape), target).unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "\"{error}\" does not say \"{part}\"");
    }
}

#[test]
fn weights_per_channel_of_the_wrong_length_name_the_axis() {
    let target = Tensor::zeros([1, 30, 4, 4, 1]);
    let bce = || BceWithLogits::new();
    let shape = [1, 30, 4, 4, 1];
    let mistaken = ["2 weights", "axis 4", "[1, 30, 4, 4, 1]", "expected 1", "w1 / w0"];
    says(&bce().pos_weight([0.2, 0.8]), &shape, (&target).into(), &mistaken);
    let mistaken = ["30 weights", "expected 1", "axis 1 (d)"];
    says(&bce().pos_weight(vec![1.0; 30]), &shape, (&target).into(), &mistaken);
    let target = Tensor::zeros([3, 2]);
    says(
        &bce().weight([1, 2, 3]),
        &[3, 2],
        (&target).into(),
        &["3 weights", "expected 2", "axis 0 (n, the batch)"],
    );
    let labels = Labels::from_vec([3], vec![0u8; 3]);
    let ce = CrossEntropy::new().class_weights([1, 2, 3]);
    says(&ce, &[3, 2], (&labels).into(), &["class_weights: 3 weights", "expected 2", "axis 0"]);
    let target = Tensor::zeros([4]);
    says(&bce().pos_weight([1, 2]), &[4], (&target).into(), &["no channel axis", "one number"]);
}

#[test]
fn weights_per_element_of_another_shape_name_both_shapes() {
    let loss = BceWithLogits::new().weight(Tensor::zeros([2, 1]));
    says(&loss, &[3, 2], (&Tensor::zeros([3, 2])).into(), &["weight: ", "[2, 1]", "[3, 2]"]);
}

#[test]
fn weights_are_finite_and_not_negative() {
    let target = Tensor::zeros([2, 2]);
    for bad in [f64::INFINITY, f64::NAN, -1.0] {
        let parts = ["pos_weight is", "finite and at least 0"];
        says(&BceWithLogits::new().pos_weight(bad), &[2, 2], (&target).into(), &parts);
        says(&BceWithLogits::new().pos_weight([1.0, bad]), &[2, 2], (&target).into(), &parts);
        says(&BceWithLogits::new().pos_weight(Tensor::full([2, 2], bad)), &[2, 2], (&target).into(), &parts);
        let labels = Labels::from_vec([2], vec![0u8, 1]);
        says(
            &CrossEntropy::new().class_weights([1.0, bad]),
            &[2, 2],
            (&labels).into(),
            &["class_weights is"],
        );
    }
    let infinite = BceWithLogits::new().pos_weight(1.0 / 0.0);
    says(&infinite, &[2, 2], (&target).into(), &["negatives divided by positives"]);
}

#[test]
fn targets_outside_the_unit_interval_point_to_a_mask_of_255() {
    let parts = ["target 255 at element 1", "0/255 mask", "divide"];
    says(&BceWithLogits::new(), &[3], (&Tensor::from_vec([3], vec![0.0, 255.0, 0.0])).into(), &parts);
    let labels = Labels::from_vec([3], vec![0u8, 255, 0]);
    says(&BceWithLogits::new(), &[3], (&labels).into(), &parts);
    says(&Dice::new(), &[3, 1], (&labels).into(), &parts);
    says(&Focal::new(), &[3, 1], (&labels).into(), &["ignore_index(255)"]);
    for bad in [-0.5, f64::NAN] {
        let target = Tensor::from_vec([1], vec![bad]);
        says(&BceWithLogits::new(), &[1], (&target).into(), &["outside [0, 1]", "probability"]);
        says(&DiceBce::default(), &[1], (&target).into(), &["outside [0, 1]"]);
    }
}

#[test]
fn classes_out_of_range_are_named_and_ignored_ones_are_not() {
    let labels = Labels::from_vec([2, 2], vec![0, 1, 7, -100]);
    let parts = ["target 7 at voxel 2", "[0, 3)", "ignore_index(7)"];
    says(&CrossEntropy::new(), &[2, 2, 3], (&labels).into(), &parts);
    assert!(
        try_run::<f64>(
            &CrossEntropy::new().ignore_index(7),
            &Tensor::zeros([2, 2, 3]),
            (&Labels::from_vec([2, 2], vec![0, 1, 7, 2])).into()
        )
        .is_ok()
    );
    let negative = Labels::from_vec([1], vec![-1]);
    says(&CrossEntropy::new(), &[1, 3], (&negative).into(), &["target -1"]);
    says(&CrossEntropy::new().ignore_index(None), &[2, 2, 3], (&labels).into(), &["target 7"]);
}

#[test]
fn shapes_that_do_not_fit_name_what_would() {
    let labels = Labels::from_vec([2, 3], vec![0u8; 6]);
    let parts = ["target [2, 3]", "logits [2, 4, 3]", "expected labels [2, 4]"];
    says(&CrossEntropy::new(), &[2, 4, 3], (&labels).into(), &parts);
    says(&BceWithLogits::new(), &[2, 4, 3], (&labels).into(), &parts);
    // Channels first.
    let target = Tensor::zeros([2, 3, 4, 5]);
    says(&BceWithLogits::new(), &[2, 4, 5, 3], (&target).into(), &["channels first", "from_channels_first"]);
    says(&BceWithLogits::new(), &[], (&Tensor::zeros([1])).into(), &["at least one axis"]);
}

#[test]
fn one_channel_has_no_softmax() {
    let labels = Labels::from_vec([2], vec![0u8, 1]);
    let target = || Target::from(&labels);
    says(&CrossEntropy::new(), &[2, 1], target(), &["one channel", "BceWithLogits"]);
    says(&DiceCe::default(), &[2, 1], target(), &["one channel", "DiceBce"]);
    says(&DiceCe::default(), &[2], target(), &["one channel", "DiceBce"]);
    says(&Dice::new().softmax(), &[2, 1], target(), &["one channel", "sigmoid"]);
    says(&Dice::new().include_background(false), &[2, 1], target(), &["several classes"]);
}

#[test]
fn settings_out_of_range_are_named() {
    let labels = Labels::from_vec([2], vec![0u8, 1]);
    let target = || Target::from(&labels);
    let over = |n| BceWithLogits::new().reduction(Reduction::SumOver(n));
    says(&over(0.0), &[2, 1], target(), &["normaliser", "0"]);
    says(&over(f64::NAN), &[2, 1], target(), &["normaliser"]);
    says(&Dice::new().reduction(Reduction::SumOver(-1.0)), &[2, 1], target(), &["normaliser"]);
    says(&Focal::new().gamma(-1.0), &[2, 1], target(), &["gamma", "-1"]);
    says(&Focal::new().alpha(1.5), &[2, 1], target(), &["alpha", "1.5"]);
    says(&Tversky::new(0.0, 0.0), &[2, 1], target(), &["alpha + beta"]);
    says(&Tversky::new(-1.0, 0.0), &[2, 1], target(), &["alpha", "-1"]);
    says(&Tversky::new(0.5, 0.5).focal(0.5), &[2, 1], target(), &["gamma", "0.5"]);
    says(&Dice::new().smooth(-1.0), &[2, 1], target(), &["smooth"]);
    says(&CrossEntropy::new().label_smoothing(1.5), &[2, 3], target(), &["label_smoothing", "1.5"]);
    says(&DiceBce::default().factors(-1.0, 1.0), &[2, 1], target(), &["factor"]);
    says(&Combined::new(), &[2, 1], target(), &["no losses"]);
    let unreduced = Combined::new().and(1.0, BceWithLogits::new().reduction(Reduction::None));
    says(&unreduced, &[2, 1], target(), &["[2, 1]", "Reduction::None"]);
    says(&NllLoss::new(), &[2, 2], (&Tensor::zeros([2, 2])).into(), &["NllLoss takes labels"]);
}

#[test]
fn logits_are_no_probabilities() {
    let x = Tensor::from_vec([2], vec![0.5, 1.5]);
    let error = try_run::<f64>(&Bce::new(), &x, (&Tensor::zeros([2])).into()).unwrap_err().to_string();
    assert!(error.contains("input 1.5 at element 1") && error.contains("BceWithLogits"), "{error}");
}
