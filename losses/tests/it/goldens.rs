//! Values by hand, recomputed in `f64` to the digits shown.

use autograd::Tensor;
use losses::{BceWithLogits, CrossEntropy, Labels, Reduction};

use crate::support::run;

/// Half a unit of the seventh decimal.
const DIGITS: f64 = 0.5001e-7;

#[track_caller]
fn digits(got: f64, want: f64) {
    assert!((got - want).abs() <= DIGITS, "{got} instead of {want}");
}

fn bce(x: &[f64], y: &[f64], p: f64) -> (Vec<f64>, Vec<f64>) {
    let (logits, target) = (Tensor::from_slice([x.len()], x), Tensor::from_slice([y.len()], y));
    run(&BceWithLogits::new().pos_weight(p), &logits, (&target).into())
}

#[test]
fn bce_with_logits_has_the_known_values() {
    digits(bce(&[1.5], &[1.0], 1.0).0[0], 0.2014133);
    digits(bce(&[0.0, -120.0], &[0.0, 1.0], 1.0).0[0], 60.3465736);
    digits(bce(&[-14.913008], &[1.0], 3.0).0[0], 44.7390250);
    let (value, gradient) = bce(&[0.5], &[0.7], 3.0);
    digits(value[0], 1.2877848);
    digits(gradient[0], -0.6060976);
    let x = [0.40005136, -0.19986265, -0.19986265];
    digits(bce(&x, &[1.0, 0.0, 0.0], 1.0).0[0], 0.5697987);
    digits(bce(&x, &[1.0, 0.0, 0.0], 3.0).0[0], 0.9117951);
    for y in [0.0, 0.25, 1.0] {
        assert_eq!(bce(&[0.0], &[y], 1.0).1[0], 0.5 - y);
    }
}

fn ce(loss: CrossEntropy, x: &[f64], t: &[i32]) -> Vec<f64> {
    let logits = Tensor::from_slice([t.len(), 3], x);
    run::<f64>(&loss, &logits, (&Labels::from_vec([t.len()], t.to_vec())).into()).0
}

#[test]
fn cross_entropy_has_the_known_values_for_each_reduction() {
    let x = [0.2, 0.3, 0.5, 0.5, 0.2, 0.3];
    let loss = CrossEntropy::new().class_weights([2, 4, 6]);
    let none = ce(loss.clone().reduction(Reduction::None), &x, &[2, 1]);
    digits(none[0], 5.6389864);
    digits(none[1], 4.9593242);
    digits(ce(loss.clone().reduction(Reduction::Sum), &x, &[2, 1])[0], 10.5983106);
    digits(ce(loss, &x, &[2, 1])[0], 1.0598311);
}

#[test]
fn cross_entropy_divides_by_weights_for_labels_and_by_voxels_for_probabilities() {
    let x = [2.3, 2.1, 4.5, 4.2, 3.2, 5.1];
    let loss = CrossEntropy::new().class_weights([25, 25, 100]);
    digits(ce(loss.clone(), &x, &[1, 2])[0], 0.8704835);
    let one_hot = Labels::from_vec([2], vec![1u8, 2]).one_hot::<f64>(3);
    let logits = Tensor::from_slice([2, 3], &x);
    digits(run(&loss, &logits, (&one_hot).into()).0[0], 54.4052188);
}

#[test]
fn label_smoothing_has_the_known_values_with_and_without_an_ignored_voxel() {
    let x = [1.0, 2.0, 0.5, 0.2, 0.1, 3.0];
    let loss = CrossEntropy::new().class_weights([1, 2, 4]).label_smoothing(0.1);
    digits(ce(loss.clone(), &x, &[1, 2])[0], 0.3140592);
    digits(ce(loss.clone(), &x, &[1, -100])[0], 0.5887749);
    digits(ce(loss.ignore_index(255), &x, &[1, 255])[0], 0.5887749);
}
