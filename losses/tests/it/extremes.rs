//! Logits far from 0, infinite, and in `f32`.

use autograd::{Real, Tensor};
use losses::{BceWithLogits, CrossEntropy, Dice, Focal, GeneralisedDice, Labels, Loss, Reduction, Tversky};

use crate::support::{assert_close, run};

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

/// One sample of four voxels with two channels, every logit at `x`, but those of the second channel at `other`.
fn logits_at<T: Real>(x: f64, other: f64) -> Tensor<T> {
    Tensor::from_fn([1, 4, 2], |i| T::from_f64(if i % 2 == 0 { x } else { other }))
}

/// Losses of regions without smoothing are fractions whose terms may all vanish.
fn regions_stay_finite<T: Real>() {
    let ends = [f64::NEG_INFINITY, -400.0, -90.0, 0.0, 90.0, 400.0, f64::INFINITY];
    let targets = [[0.0; 8], [1.0; 8], [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]];
    let flags = [false, true];
    for (x, other) in ends.into_iter().flat_map(|x| ends.map(|other| (x, other))) {
        for (target, squared) in targets.into_iter().flat_map(|t| flags.map(|squared| (t, squared))) {
            let target = Tensor::from_vec([1, 4, 2], target.map(T::from_f64).to_vec());
            let dice = Dice::new().smooth(0.0).squared(squared);
            let tversky = Tversky::new(0.3, 0.7).smooth(0.0);
            let focal = Tversky::new(0.0, 1.0).focal(2.0).smooth(0.0);
            let all: [(&str, &dyn Loss<T>); 8] = [
                ("Dice", &dice),
                ("Dice of a softmax", &dice.softmax()),
                ("Tversky", &tversky),
                ("Tversky of a softmax", &tversky.softmax()),
                ("focal Tversky", &focal),
                ("focal Tversky of a softmax", &focal.softmax()),
                ("generalised Dice", &GeneralisedDice::new()),
                ("generalised Dice of a softmax", &GeneralisedDice::new().softmax()),
            ];
            for (name, loss) in all {
                let (value, gradient) = run(loss, &logits_at::<T>(x, other), (&target).into());
                let within = (0.0..=1.0 + 4.0 * T::EPSILON.to_f64()).contains(&value[0]);
                let sound = within && gradient.iter().all(|g| g.is_finite());
                assert!(sound, "{name} at {x}, {other} in {}: {value:?} {gradient:?}", T::NAME);
            }
        }
    }
}

#[test]
fn losses_of_regions_without_smoothing_are_finite_at_any_logits() {
    regions_stay_finite::<f32>();
    regions_stay_finite::<f64>();
}

/// Element by element: the limit of the value, which may be infinite, and a finite gradient.
fn elements_have_their_limits<T: Real>() {
    for gamma in [0.0, 0.5, 2.0] {
        let focal = Focal::new().gamma(gamma).reduction(Reduction::None);
        let ends = [f64::NEG_INFINITY, -90.0, 90.0, f64::INFINITY];
        let x = Tensor::from_fn([8], |i| T::from_f64(ends[i % 4]));
        let y = Tensor::from_fn([8], |i| if i < 4 { T::ZERO } else { T::ONE });
        let (value, gradient) = run(&focal, &x, (&y).into());
        for i in 0..8 {
            // −z is how sure the right answer is.
            let z = if i < 4 { ends[i % 4] } else { -ends[i % 4] };
            let sign = if i < 4 { 1.0 } else { -1.0 };
            let easy = z < 0.0;
            let size = if easy { 1e-38 } else { 1e-6 };
            let want = [if easy { 0.0 } else { z }, if easy { 0.0 } else { sign }];
            let near = |got: f64, want: f64| got == want || (got - want).abs() <= size * want.abs().max(1.0);
            let found = [value[i], gradient[i]];
            assert!(near(found[0], want[0]) && near(found[1], want[1]), "γ = {gamma}, {z}: {found:?}");
        }
        if gamma == 0.0 {
            let bce = run(&BceWithLogits::new().reduction(Reduction::None), &x, (&y).into());
            assert_eq!((value, gradient), bce);
        }
    }
    let logits = Tensor::from_vec([2, 2], [0.0, -90.0, 0.0, 90.0].map(T::from_f64).to_vec());
    let labels = Labels::from_vec([2], vec![0u8, 0]);
    let (value, gradient) = run(&CrossEntropy::new().reduction(Reduction::None), &logits, (&labels).into());
    assert!(value[0] < 1e-38 && (value[1] - 90.0).abs() <= 90.0 * T::EPSILON.to_f64(), "{value:?}");
    assert_close(&gradient, &[0.0, 0.0, -1.0, 1.0], T::EPSILON.to_f64());
}

#[test]
fn losses_of_elements_have_their_limits_at_infinite_logits_for_any_gamma() {
    elements_have_their_limits::<f32>();
    elements_have_their_limits::<f64>();
}
