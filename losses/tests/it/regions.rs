//! Region losses by hand, and at the edges: nothing, everything, one voxel.

use autograd::{Tape, Tensor};
use losses::{Dice, GeneralisedDice, Labels, Loss, Reduction, Tversky};
use proptest::prelude::*;

use crate::support::{assert_close, noise_tensor, run};

/// Logits whose sigmoid is this.
fn logits_of(p: &[f64], shape: &[usize]) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| (p[i] / (1.0 - p[i])).ln())
}

fn losses() -> Vec<(&'static str, Box<dyn Loss<f64>>)> {
    vec![
        ("dice", Box::new(Dice::new())),
        ("squared", Box::new(Dice::new().squared(true))),
        ("unsmoothed", Box::new(Dice::new().smooth(0.0))),
        ("tversky", Box::new(Tversky::new(0.3, 0.7))),
        ("focal tversky", Box::new(Tversky::new(0.3, 0.7).focal(2.0))),
        ("generalised", Box::new(GeneralisedDice::new())),
    ]
}

#[test]
fn dice_is_the_formula() {
    let p = [0.9, 0.2, 0.6, 0.5];
    let logits = logits_of(&p, &[1, 4, 1]);
    let labels = Labels::from_vec([1, 4], vec![1u8, 0, 1, 0]);
    let s = 1e-5;
    let want = 1.0 - (2.0 * 1.5 + s) / (2.2 + 2.0 + s);
    assert_close(&run(&Dice::new(), &logits, (&labels).into()).0, &[want], 1e-14);
    let squares: f64 = p.iter().map(|p| p * p).sum();
    let want = 1.0 - (2.0 * 1.5 + s) / (squares + 2.0 + s);
    assert_close(&run(&Dice::new().squared(true), &logits, (&labels).into()).0, &[want], 1e-14);
    // TP 1.5, FP 0.7, FN 0.5
    let index = (1.5 + s) / (1.5 + 0.3 * 0.7 + 0.7 * 0.5 + s);
    let tversky = Tversky::new(0.3, 0.7);
    assert_close(&run(&tversky, &logits, (&labels).into()).0, &[1.0 - index], 1e-14);
    assert_close(
        &run(&tversky.focal(2.0), &logits, (&labels).into()).0,
        &[(1.0 - index) * (1.0 - index)],
        1e-14,
    );
}

#[test]
fn generalised_dice_weighs_classes_by_inverse_squares_and_leaves_absent_ones_out() {
    // Classes 0 (3 voxels), 1 (1 voxel) and 2 (none).
    let p = [0.9, 0.1, 0.2, 0.7, 0.3, 0.1, 0.6, 0.2, 0.3, 0.4, 0.8, 0.5];
    let logits = logits_of(&p, &[1, 4, 3]);
    let labels = Labels::from_vec([1, 4], vec![0u8, 0, 0, 1]);
    let (w0, w1) = (1.0 / 9.0, 1.0);
    let want = 1.0
        - 2.0 * (w0 * (0.9 + 0.7 + 0.6) + w1 * 0.8)
            / (w0 * (0.9 + 0.7 + 0.6 + 0.4 + 3.0) + w1 * (0.1 + 0.3 + 0.2 + 0.8 + 1.0));
    let (value, gradient) = run(&GeneralisedDice::new(), &logits, (&labels).into());
    assert_close(&value, &[want], 1e-14);
    assert!(gradient.iter().skip(2).step_by(3).all(|&g| g == 0.0), "the absent class has no gradient");
}

#[test]
fn empty_truth_empty_prediction_one_voxel_and_all_ones_stay_in_range() {
    for voxels in [1, 27] {
        for (truth, x) in [(0u8, -40.0), (0, 40.0), (1, -40.0), (1, 40.0), (0, 0.0), (1, 0.0)] {
            let logits = Tensor::full([1, voxels, 1], x);
            let labels = Labels::from_vec([1, voxels], vec![truth; voxels]);
            for (name, loss) in losses() {
                let (value, gradient) = run(&*loss, &logits, (&labels).into());
                assert!((0.0..=1.0).contains(&value[0]), "{name} of {truth} at {x}: {value:?}");
                assert!(gradient.iter().all(|g| g.is_finite()), "{name} of {truth} at {x}: {gradient:?}");
                let agree = (truth == 1) == (x > 0.0) && x != 0.0;
                // Nothing to find and nothing found is perfect; e^−40 of a voxel is left over by the sigmoid.
                if agree && name != "unsmoothed" {
                    assert!(value[0] < 1e-10, "{name} of {truth} at {x}: {value:?}");
                }
                if truth == 1 && x < 0.0 {
                    assert!(value[0] > 0.99, "{name} misses everything: {value:?}");
                }
            }
        }
    }
}

#[test]
fn a_region_that_is_exactly_empty_is_perfect_without_smoothing() {
    let logits = Tensor::full([1, 3, 1], f64::NEG_INFINITY);
    let labels = Labels::from_vec([1, 3], vec![0u8; 3]);
    let dice = run(&Dice::new().smooth(0.0), &logits, (&labels).into());
    assert_eq!(dice, (vec![0.0], vec![0.0; 3]));
    let tversky = run(&Tversky::new(0.3, 0.7).smooth(0.0), &logits, (&labels).into());
    assert_eq!(tversky, (vec![0.0], vec![0.0; 3]));
}

#[test]
fn without_reduction_there_is_a_value_for_each_region() {
    let logits: Tensor<f64> = noise_tensor(1, &[2, 3, 4, 3], 2.0);
    let labels = Labels::from_fn([2, 3, 4], |i| (i % 3) as i32);
    let shape = |loss: &dyn Loss<f64>| {
        let tape = Tape::no_grad();
        loss.report(&tape.constant(logits.clone()), (&labels).into()).unwrap().loss.shape().to_vec()
    };
    let dice = Dice::new().reduction(Reduction::None);
    assert_eq!(shape(&dice), [2, 3]);
    assert_eq!(shape(&dice.include_background(false)), [2, 2]);
    assert_eq!(shape(&dice.batch(true)), [3]);
    let generalised = GeneralisedDice::new().reduction(Reduction::None);
    assert_eq!(shape(&generalised), [2]);
    assert_eq!(shape(&generalised.batch(true)), [0usize; 0]);

    let each = run(&dice, &logits, (&labels).into()).0;
    let mean = run(&Dice::new(), &logits, (&labels).into()).0;
    assert_close(&mean, &[each.iter().sum::<f64>() / 6.0], 1e-14);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn batch_dice_is_dice_of_the_samples_laid_side_by_side(n in 1..4usize, voxels in 1..9usize, c in 1..4usize, key in 0..1000u64) {
        let logits: Tensor<f64> = noise_tensor(key, &[n, voxels, c], 3.0);
        let target = noise_tensor::<f64>(key + 1, &[n, voxels, c], 0.5).map(|v| v + 0.5);
        let batch = run(&Dice::new().batch(true), &logits, (&target).into());
        let (logits, target) = (logits.reshape([1, n * voxels, c]), target.reshape([1, n * voxels, c]));
        let joined = run(&Dice::new(), &logits, (&target).into());
        assert_close(&batch.0, &joined.0, 1e-13);
        assert_close(&batch.1, &joined.1, 1e-13);
    }

    #[test]
    fn losses_do_not_depend_on_the_order_of_voxels(voxels in 2..12usize, key in 0..1000u64) {
        let logits: Tensor<f64> = noise_tensor(key, &[1, voxels, 1], 3.0);
        let target = noise_tensor::<f64>(key + 1, &[1, voxels, 1], 0.5).map(|v| v + 0.5);
        let reversed = |t: &Tensor<f64>| Tensor::from_fn([1, voxels, 1], |i| t.data()[voxels - 1 - i]);
        for (_, loss) in losses() {
            let (value, mut gradient) = run(&*loss, &logits, (&target).into());
            let (other, slopes) = run(&*loss, &reversed(&logits), (&reversed(&target)).into());
            gradient.reverse();
            assert_close(&value, &other, 1e-13);
            assert_close(&gradient, &slopes, 1e-13);
        }
    }
}
