//! Where one loss is another one.

use autograd::{Tape, Tensor};
use losses::{
    BceWithLogits, CrossEntropy, Dice, DiceBce, Focal, GeneralisedDice, Labels, Loss, Reduction, Tversky,
    calibrated_logit,
};
use proptest::prelude::*;

use crate::support::{assert_close, noise, noise_tensor, run};

/// One operation in `f64`, summed over a few dozen terms.
const ROUNDING: f64 = 1e-13;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn cross_entropy_of_two_logits_is_bce_of_their_difference(n in 1..20usize, key in 0..1000u64, p in 0.1..50.0f64) {
        let two: Tensor<f64> = noise_tensor(key, &[n, 2], 6.0);
        let one = Tensor::from_fn([n, 1], |i| two.data()[2 * i + 1] - two.data()[2 * i]);
        let labels = Labels::from_fn([n], |i| i32::from(noise(key + 1, i) > 0.3));
        let ce = CrossEntropy::new().class_weights([1.0, p]);
        let bce = BceWithLogits::new().pos_weight(p);
        for reduction in [Reduction::Sum, Reduction::None] {
            let (ce, dx) = run::<f64>(&ce.clone().reduction(reduction), &two, (&labels).into());
            let (bce, dz) = run(&bce.clone().reduction(reduction), &one, (&labels).into());
            assert_close(&ce, &bce, ROUNDING);
            let of_class_1: Vec<f64> = dx.iter().skip(1).step_by(2).copied().collect();
            assert_close(&of_class_1, &dz, ROUNDING);
        }
        // The means differ by numel / Σ w[t].
        let weights: f64 = labels.iter().map(|t| if t == 1 { p } else { 1.0 }).sum();
        let (ce, bce) = (run::<f64>(&ce, &two, (&labels).into()).0, run(&bce, &one, (&labels).into()).0);
        assert_close(&[ce[0] * weights], &[bce[0] * n as f64], ROUNDING);
    }

    #[test]
    fn weights_by_class_onto_the_unreduced_loss_are_element_weights(n in 1..20usize, key in 0..1000u64) {
        let logits = noise_tensor(key, &[n, 1], 6.0);
        let labels = Labels::from_fn([n], |i| i32::from(noise(key + 1, i) > 0.3));
        let of_class = [0.1015, 0.8985];
        let weight: Vec<f64> = labels.iter().map(|t| of_class[t as usize]).collect();
        let unreduced = run(&BceWithLogits::new().reduction(Reduction::None), &logits, (&labels).into()).0;
        let by_hand: f64 = unreduced.iter().zip(&weight).map(|(l, w)| l * w).sum::<f64>() / n as f64;

        let tensor = Tensor::from_vec([n, 1], weight);
        let (ours, gradient) = run(&BceWithLogits::new().weight(tensor), &logits, (&labels).into());
        assert_close(&ours, &[by_hand], ROUNDING);
        // Scaled to [1, p], it is pos_weight up to the factor of the negatives.
        let p = of_class[1] / of_class[0];
        let (other, slope) = run(&BceWithLogits::new().pos_weight(p), &logits, (&labels).into());
        assert_close(&ours, &[other[0] * of_class[0]], ROUNDING);
        let slope: Vec<f64> = slope.iter().map(|g| g * of_class[0]).collect();
        assert_close(&gradient, &slope, ROUNDING);
    }

    #[test]
    fn tversky_with_halves_is_dice(n in 1..4usize, voxels in 1..9usize, c in 1..4usize, key in 0..1000u64, s in 1e-5..2.0f64) {
        let shape = [n, voxels, c];
        let logits = noise_tensor(key, &shape, 3.0);
        let target: Tensor<f64> = Tensor::from_fn(shape, |i| noise(key + 1, i) * 0.5 + 0.5);
        let dice = run(&Dice::new().smooth(s), &logits, (&target).into());
        let tversky = run(&Tversky::new(0.5, 0.5).smooth(s / 2.0), &logits, (&target).into());
        assert_close(&tversky.0, &dice.0, ROUNDING);
        assert_close(&tversky.1, &dice.1, ROUNDING);
    }

    #[test]
    fn focal_without_focus_is_bce(n in 1..20usize, key in 0..1000u64, p in 0.1..50.0f64) {
        let logits = noise_tensor(key, &[n], 6.0);
        let target: Tensor<f64> = Tensor::from_fn([n], |i| noise(key + 1, i) * 0.5 + 0.5);
        for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
            let focal = Focal::new().gamma(0.0).pos_weight(p).reduction(reduction);
            let bce = BceWithLogits::new().pos_weight(p).reduction(reduction);
            let (focal, bce) = (run(&focal, &logits, (&target).into()), run(&bce, &logits, (&target).into()));
            assert_close(&focal.0, &bce.0, ROUNDING);
            assert_close(&focal.1, &bce.1, ROUNDING);
        }
    }

    #[test]
    fn labels_and_their_probabilities_are_the_same_target(n in 1..4usize, voxels in 1..9usize, c in 2..5usize, key in 0..1000u64) {
        let logits = noise_tensor(key, &[n, voxels, c], 4.0);
        let labels = Labels::from_fn([n, voxels], |i| ((noise(key + 1, i) + 1.0) * 40.0) as i32 % c as i32);
        let one_hot = labels.one_hot::<f64>(c);
        let full = Labels::from_fn([n, voxels, c], |i| one_hot.data()[i] as i32);
        let losses: [&dyn Loss<f64>; 5] = [
            &BceWithLogits::new().pos_weight(3),
            &Focal::new().alpha(0.25),
            &Dice::new(),
            &Tversky::new(0.3, 0.7),
            &GeneralisedDice::new(),
        ];
        for loss in losses {
            let want = run(loss, &logits, (&one_hot).into());
            assert_eq!(run(loss, &logits, (&labels).into()), want);
            assert_eq!(run(loss, &logits, (&full).into()), want);
        }
        let trailing = Labels::from_fn([n, voxels, 1], |i| labels.get(i));
        let unweighted = CrossEntropy::new();
        let want = run(&unweighted, &logits, (&one_hot).into());
        assert_eq!(run(&unweighted, &logits, (&labels).into()), want);
        assert_eq!(run(&unweighted, &logits, (&trailing).into()), want);
    }
}

#[test]
fn the_best_constant_logit_and_its_calibration_are_the_known_ones() {
    // 1 positive in 5: at logit log(p·π/(1−π)) the gradients of all voxels sum to 0.
    let (n, pi) = (20, 0.2f64);
    let labels = Labels::from_fn([n, 1], |i| i32::from(i % 5 == 0));
    for p in [0.8985, 1.0, 4.0, 10.0] {
        let best = (p * pi / (1.0 - pi)).ln();
        let (_, dx) = run(&BceWithLogits::new().pos_weight(p), &Tensor::full([n, 1], best), (&labels).into());
        assert!(dx.iter().sum::<f64>().abs() < 1e-15, "{p}");
        let calibrated = calibrated_logit(Tensor::scalar(best), p).item();
        assert!((1.0 / (1.0 + (-calibrated).exp()) - pi).abs() < 1e-15);
    }
}

#[test]
fn sums_of_losses_are_the_sums_of_their_parts() {
    let logits = noise_tensor::<f64>(1, &[2, 3, 4, 1], 3.0);
    let labels = Labels::from_fn([2, 3, 4], |i| i32::from(i % 3 == 0));
    let target = || (&labels).into();
    let (dice, bce) =
        (run(&Dice::new(), &logits, target()), run(&BceWithLogits::new().pos_weight(7), &logits, target()));
    let both = DiceBce::new(Dice::new(), BceWithLogits::new().pos_weight(7)).factors(0.5, 2.0);
    let got = run(&both, &logits, target());
    let blend = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| 0.5 * a + 2.0 * b).collect::<Vec<_>>();
    assert_close(&got.0, &blend(&dice.0, &bce.0), ROUNDING);
    assert_close(&got.1, &blend(&dice.1, &bce.1), ROUNDING);
}

#[test]
fn shards_with_a_common_normaliser_add_up_to_the_mean_of_the_batch() {
    let logits: Tensor<f64> = noise_tensor(3, &[4, 6, 3], 3.0);
    let labels = Labels::from_fn([4, 6], |i| if i % 7 == 0 { 255 } else { (i * i % 3) as i32 });
    let loss = CrossEntropy::new().class_weights([1, 5, 20]).ignore_index(255);
    let whole = run(&loss, &logits, (&labels).into());
    let normaliser = loss.normaliser::<f64>([4, 6, 3], &labels).unwrap();
    let (mut value, mut gradient) = (0.0, Vec::new());
    for shard in 0..4 {
        let part = Tensor::from_slice([1, 6, 3], &logits.data()[shard * 18..(shard + 1) * 18]);
        let labels = Labels::from_fn([1, 6], |i| labels.get(shard * 6 + i));
        let (v, g) = run(&loss.clone().reduction(Reduction::SumOver(normaliser)), &part, (&labels).into());
        value += v[0];
        gradient.extend(g);
    }
    assert_close(&[value], &whole.0, ROUNDING);
    assert_close(&gradient, &whole.1, ROUNDING);
    // Averaging the shards' own means would be wrong, or this test says nothing.
    let first = Labels::from_fn([1, 6], |i| labels.get(i));
    assert_ne!(loss.normaliser::<f64>([1, 6, 3], &first).unwrap() * 4.0, normaliser);
}

#[test]
fn a_constant_has_the_value_of_a_variable_and_no_gradient() {
    let logits: Tensor<f64> = noise_tensor(3, &[2, 5, 1], 3.0);
    let labels = Labels::from_fn([2, 5], |i| i32::from(i % 2 == 0));
    let losses: [&dyn Loss<f64>; 3] = [&BceWithLogits::new(), &Dice::new(), &DiceBce::default()];
    for loss in losses {
        let tape = Tape::no_grad();
        let constant = loss.report(&tape.constant(logits.clone()), (&labels).into()).unwrap().loss;
        assert!(constant.is_constant());
        assert_eq!(constant.item(), run(loss, &logits, (&labels).into()).0[0]);
    }
}
