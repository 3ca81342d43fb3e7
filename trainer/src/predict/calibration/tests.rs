//! Fits against what the data were drawn from, and against the conditions of a maximum.

use metrics::{PositiveClass, ScoreHistogram};
use proptest::prelude::*;
use rand::RngExt;

use super::Basis;
use crate::predict::{Calibration, ClassSample};
use crate::random::{Purpose, generator};

/// Logits around `centre`, and labels that are 1 with probability σ(scale·z + shift).
fn drawn(n: usize, centre: f32, [scale, shift]: [f64; 2], seed: u64) -> (Vec<f32>, Vec<u8>) {
    let mut rng = generator(seed, Purpose::Synthetic, 0);
    let voxel = |_| {
        let z = centre + 6.0 * (rng.random::<f32>() - 0.5);
        let p: f64 = autograd::Real::sigmoid(scale * f64::from(z) + shift);
        (z, u8::from(rng.random::<f64>() < p))
    };
    (0..n).map(voxel).unzip()
}

fn histogram(logits: &[f32], labels: &[u8]) -> ScoreHistogram {
    let mut histogram = ScoreHistogram::new();
    histogram.update(logits, labels, PositiveClass::new(1)).unwrap();
    histogram
}

#[test]
fn a_fit_finds_the_shift_and_scale_that_the_labels_were_drawn_with() {
    let truth = [0.6, -1.5];
    let (logits, labels) = drawn(200_000, 1.0, truth, 1);
    let fitted = Calibration::identity(1).fitted(&histogram(&logits, &labels), true, &[], 0.0);
    // Standard errors are about 1/√(n·p(1 − p)) = 5e-3 for the shift; the scale's is smaller.
    assert!((fitted.scale - truth[0]).abs() < 0.025, "{fitted:?}");
    assert!((fitted.shift[0] - truth[1]).abs() < 0.05, "{fitted:?}");
}

#[test]
fn separable_voxels_have_a_finite_fit() {
    let logits: Vec<f32> = (0..200).map(|i| if i < 100 { -5.0 } else { 5.0 }).collect();
    let labels: Vec<u8> = (0..200).map(|i| u8::from(i >= 100)).collect();
    let fitted = Calibration::identity(1).fitted(&histogram(&logits, &labels), true, &[], 0.0);
    let p = fitted.probability(5.0);
    // Platt's target, (100 + 1)/(100 + 2), up to half a bin: 3.3e-4 in the logit, where the sigmoid rises by 1 in 100.
    assert!((p - 101.0 / 102.0).abs() < 4e-6, "{p}, {fitted:?}");
}

#[test]
fn without_one_of_the_classes_the_known_shift_stays() {
    let loss = losses::LossConfig::Bce { pos_weight: losses::WeightConfig::Scalar(10.0) };
    let known = Calibration::known(&loss, 1);
    assert_eq!((known.shift[0], known.scale), (-(10f64.ln()), 1.0));
    let fitted = known.fitted(&histogram(&[0.5, -1.0], &[0, 0]), true, &["a".to_owned()], 0.0);
    assert_eq!((fitted.source.clone(), fitted), (Basis::Known, known));
}

#[test]
fn class_weights_are_known_shifts_against_the_background() {
    let loss =
        losses::LossConfig::CrossEntropy { class_weights: Some(vec![0.5, 2.0, 0.25]), label_smoothing: 0.0 };
    let shift = Calibration::known(&loss, 3).shift;
    for (shift, want) in shift.iter().zip([0.0, -(4f64.ln()), 2f64.ln()]) {
        assert!((shift - want).abs() < 1e-12, "{shift} for {want}");
    }
}

#[test]
fn where_a_class_was_not_learnt_nothing_is_fitted() {
    let (logits, mut labels) = drawn(4000, 0.0, [0.8, 0.5], 3);
    labels[3000..].fill(2);
    let wide: Vec<f32> = logits.iter().flat_map(|&z| [0.0, z, 0.3 * z - 2.0]).collect();
    let source = |learnt: [bool; 3]| {
        let mut sample = ClassSample::new(3, labels.len()).of_learnt(&learnt);
        sample.update(&wide, &labels);
        Calibration::identity(3).fitted_to_classes(&sample, true, &[], 0.0).source
    };
    assert_eq!(source([true, true, false]), Basis::Known);
    assert_eq!(source([true; 3]), Basis::Fitted(Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_fitted_shift_makes_the_mean_probability_the_share(
        centre in -4.0f32..4.0, shift in -2.0f64..2.0, scaled: bool, seed in 0u64..1000,
    ) {
        let (logits, labels) = drawn(4000, centre, [1.0, shift], seed);
        let positives = labels.iter().filter(|&&l| l == 1).count() as f64;
        prop_assume!(positives > 10.0 && positives < 3990.0);
        let fitted = Calibration::identity(1).fitted(&histogram(&logits, &labels), scaled, &[], 0.0);
        let mean = logits.iter().map(|&z| fitted.probability(f64::from(z))).sum::<f64>() / 4000.0;
        // Platt's targets move each class by less than one voxel; bins by less than 2.5e-4.
        prop_assert!((mean - positives / 4000.0).abs() < 2.0 / 4000.0 + 2.5e-4, "{mean} for {}", positives / 4000.0);
        prop_assert!(scaled || fitted.scale == 1.0);
    }

    #[test]
    fn two_classes_are_fitted_as_one_channel_is(shift in -1.0f64..1.0, scaled: bool, seed in 0u64..1000) {
        let (logits, labels) = drawn(4000, 0.0, [0.8, shift], seed);
        let one = Calibration::identity(1).fitted(&histogram(&logits, &labels), scaled, &[], 0.0);
        let mut sample = ClassSample::new(2, logits.len());
        sample.update(&logits.iter().flat_map(|&z| [0.0, z]).collect::<Vec<f32>>(), &labels);
        let two = Calibration::identity(2).fitted_to_classes(&sample, scaled, &[], 0.0);
        // One has Platt's targets and bins, the other neither: a voxel in 4000 each.
        prop_assert!((one.shift[0] - two.shift[1]).abs() < 0.01, "{one:?} and {two:?}");
        prop_assert!((one.scale - two.scale).abs() < 0.01, "{one:?} and {two:?}");
    }

    #[test]
    fn logit_and_probability_are_inverse(scale in 0.1f64..10.0, shift in -5.0f64..5.0, p in 0.001f64..0.999) {
        let calibration = Calibration { scale, shift: vec![shift], source: Basis::Known };
        prop_assert!((calibration.probability(calibration.logit(p)) - p).abs() < 1e-12);
    }
}
