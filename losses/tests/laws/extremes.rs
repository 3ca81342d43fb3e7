//! Logits far from 0, infinite, and in `f32`.

use autograd::Tensor;
use losses::{BceWithLogits, CrossEntropy, Dice, Focal, Labels, Loss, Reduction};

use crate::{assert_close, run};

const EXTREMES: [f64; 9] = [-1e4, -104.0, -88.0, -17.4, 0.0, 17.4, 88.0, 104.0, 1e4];

/// (value, gradient) in `f64`, in a form that does not overflow, for y = 0 or 1.
fn exact(x: f64, y: f64, p: f64) -> (f64, f64) {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let sigmoid = |x: f64| if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) };
    if y == 1.0 { (p * softplus(-x), -p * sigmoid(-x)) } else { (softplus(x), sigmoid(x)) }
}

#[test]
fn extreme_logits_stay_finite_with_the_right_gradient_in_f32() {
    for x in EXTREMES {
        for y in [0.0f32, 1.0] {
            for p in [1.0, 3.0] {
                let logits = Tensor::from_vec([1], vec![x as f32]);
                let loss = BceWithLogits::new().pos_weight(p);
                let (value, gradient) = run(&loss, &logits, (&Tensor::full([1], y)).into());
                let (want, slope) = exact(f64::from(x as f32), f64::from(y), p);
                // The bounds of the vectorised functions are 5ε; below the smallest normal number there is less.
                let close = |got: f64, want: f64| (got - want).abs() <= 1e-6 * want.abs() + 1.2e-38;
                assert!(close(value[0], want), "loss({x}, {y}) = {} instead of {want}", value[0]);
                assert!(close(gradient[0], slope), "gradient({x}, {y}) = {} instead of {slope}", gradient[0]);
            }
        }
    }
}

#[test]
fn infinite_logits_give_the_limit() {
    let inf = f64::INFINITY;
    let each = |loss: &dyn Loss<f64>| {
        let logits = Tensor::from_vec([4], vec![inf, inf, -inf, -inf]);
        run(loss, &logits, (&Tensor::from_vec([4], vec![1.0, 0.0, 1.0, 0.0])).into())
    };
    let (values, gradient) = each(&BceWithLogits::new().pos_weight(2).reduction(Reduction::None));
    assert_eq!(values, [0.0, inf, inf, 0.0]);
    assert_eq!(gradient, [0.0, 1.0, -2.0, 0.0]);
    let (values, gradient) = each(&Focal::new().reduction(Reduction::None));
    assert_eq!(values[1..3], [inf, inf]);
    assert!(values[0] < 1e-300 && values[3] < 1e-300);
    assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");

    let logits = Tensor::from_vec([3, 2], vec![inf, 0.0, 0.0, -inf, inf, inf]);
    let labels = Labels::from_vec([3], vec![0u8, 0, 1]);
    let (values, gradient) =
        run::<f64>(&CrossEntropy::new().reduction(Reduction::None), &logits, (&labels).into());
    assert_close(&values, &[0.0, 0.0, 2f64.ln()], 1e-15);
    assert_close(&gradient, &[0.0, 0.0, 0.0, 0.0, 0.5, -0.5], 1e-15);
}

#[test]
fn nan_is_not_hidden_unless_its_voxel_is_ignored() {
    let logits = Tensor::from_vec([2, 2], vec![f32::NAN, 0.0, 1.0, 2.0]);
    let labels = Labels::from_vec([2], vec![1u8, 0]);
    let all: [&dyn Loss<f32>; 3] = [&BceWithLogits::new(), &CrossEntropy::new(), &Dice::new().softmax()];
    for loss in all {
        assert!(run(loss, &logits, (&labels).into()).0[0].is_nan());
    }
    let labels = Labels::from_vec([2], vec![255u8, 0]);
    let all: [&dyn Loss<f32>; 3] = [
        &BceWithLogits::new().ignore_index(255),
        &CrossEntropy::new().ignore_index(255),
        &Dice::new().softmax().ignore_index(255),
    ];
    for loss in all {
        let (value, gradient) = run(loss, &logits, (&labels).into());
        assert!(value[0].is_finite() && gradient.iter().all(|g| g.is_finite()), "{value:?} {gradient:?}");
        assert_eq!(gradient[..2], [0.0, 0.0]);
    }
}

#[test]
fn a_nearly_certain_class_keeps_its_small_loss_in_f32() {
    // The loss is ln(1 + e^−20) = 2.06e-9, far below the ε of 1.
    let logits = Tensor::from_vec([1, 2], vec![20.0f32, 0.0]);
    let (value, gradient) =
        run::<f32>(&CrossEntropy::new(), &logits, (&Labels::from_vec([1], vec![0u8])).into());
    let small = (-20f64).exp();
    assert!((value[0] - small).abs() < 1e-5 * small, "{value:?}");
    assert!((gradient[0] + small).abs() < 1e-5 * small && (gradient[1] - small).abs() < 1e-5 * small);
}
