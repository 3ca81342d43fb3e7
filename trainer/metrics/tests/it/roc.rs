//! Laws of the receiver operating characteristic.

use metrics::{PositiveClass, RocCurve};
use proptest::prelude::*;

fn curve(scores: &[f32], truth: &[u8]) -> RocCurve {
    RocCurve::new(scores, truth, PositiveClass::new(1).ignore_label(255)).unwrap()
}

#[test]
fn the_curve_is_that_of_scikit_learns_documentation() {
    // The example of `roc_curve`, with y = [1, 1, 2, 2] and pos_label = 2.
    let found = RocCurve::new(&[0.1, 0.4, 0.35, 0.8], &[1u8, 1, 2, 2], PositiveClass::new(2)).unwrap();
    assert_eq!(found.fpr, [0.0, 0.0, 0.5, 0.5, 1.0]);
    assert_eq!(found.tpr, [0.0, 0.5, 0.5, 1.0, 1.0]);
    assert_eq!(found.thresholds, [f64::INFINITY, 0.8, 0.4, 0.35, 0.1]);
    assert_eq!(found.auc(), Some(0.75));
}

#[test]
fn a_missing_class_leaves_the_area_undefined() {
    for (truth, missing) in [([0u8, 0, 255], "tpr"), ([1, 1, 255], "fpr")] {
        let found = curve(&[0.1, 0.2, 0.3], &truth);
        assert_eq!((found.auc(), found.thresholds.len()), (None, 3));
        let rates = if missing == "tpr" { &found.tpr } else { &found.fpr };
        assert!(rates.iter().all(|rate| rate.is_nan()), "{rates:?}");
    }
    assert_eq!(curve(&[], &[]).auc(), None);
}

#[test]
fn a_score_that_is_nan_has_no_place_on_the_curve() {
    let error = RocCurve::new(&[0.0, f64::NAN], &[0u8, 1], PositiveClass::new(1)).unwrap_err();
    assert!(error.to_string().contains("the score of voxel 1 is NaN"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_point_is_a_plain_count_and_the_area_a_share_of_pairs(
        voxels in prop::collection::vec((0u8..2, (-4i8..5).prop_map(f32::from)), 1..80),
        ignored in prop::collection::vec(-4.0f32..4.0, 0..5),
    ) {
        let (mut truth, mut scores): (Vec<u8>, Vec<f32>) = voxels.iter().copied().unzip();
        truth.extend(ignored.iter().map(|_| 255));
        scores.extend(&ignored);
        let found = curve(&scores, &truth);

        let of = |class: u8| -> Vec<f32> {
            voxels.iter().filter(|voxel| voxel.0 == class).map(|voxel| voxel.1).collect()
        };
        let (negatives, positives) = (of(0), of(1));
        prop_assert_eq!((found.thresholds[0], found.thresholds.len()), (f64::INFINITY, found.fpr.len()));
        prop_assert!(found.thresholds.is_sorted_by(|a, b| a > b));
        for score in voxels.iter().map(|voxel| f64::from(voxel.1)) {
            prop_assert!(found.thresholds.contains(&score));
        }
        let share = |scores: &[f32], threshold: f64| {
            scores.iter().filter(|&&score| f64::from(score) >= threshold).count() as f64 / scores.len() as f64
        };
        for (i, &threshold) in found.thresholds.iter().enumerate() {
            for (rate, scores) in [(found.fpr[i], &negatives), (found.tpr[i], &positives)] {
                prop_assert!(rate == share(scores, threshold) || (rate.is_nan() && scores.is_empty()));
            }
        }

        let pairs = positives.iter().flat_map(|p| negatives.iter().map(move |n| (p, n)));
        let won: f64 = pairs.map(|(p, n)| if p > n { 1.0 } else if p == n { 0.5 } else { 0.0 }).sum();
        match found.auc() {
            None => prop_assert!(positives.is_empty() || negatives.is_empty()),
            Some(area) => {
                let want = won / (positives.len() * negatives.len()) as f64;
                // At most ten trapezoids of sides below one, each rounded a few times.
                prop_assert!((area - want).abs() <= 40.0 * f64::EPSILON, "{area} for {want}");
            }
        }
    }
}
