//! Laws of the metrics: nothing depends on order, cut or threads, and the text is scikit-learn's.

mod lesions;
mod roc;
mod surface;

use metrics::{
    AveragePrecision, ClassificationReport, ConfusionMatrix, Mean, PositiveClass, PrecisionRecallCurve,
    ScoreHistogram, average_precision,
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    reports: Vec<Report>,
    curve: Curve,
}

#[derive(Deserialize)]
struct Report {
    name: String,
    confusion: Vec<Vec<u64>>,
    names: Option<Vec<String>>,
    text: String,
}

#[derive(Deserialize)]
struct Curve {
    y: Vec<u8>,
    score: Vec<f64>,
    precision: Vec<f64>,
    recall: Vec<f64>,
    thresholds: Vec<f64>,
    average_precision: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/metrics/classification_report.json")).unwrap()
}

/// Labels with the given counts of (truth, prediction).
fn labels(confusion: &[Vec<u64>]) -> (Vec<u8>, Vec<u8>) {
    let mut pairs = Vec::new();
    for (t, row) in confusion.iter().enumerate() {
        for (p, &count) in row.iter().enumerate() {
            pairs.extend((0..count).map(|_| (t as u8, p as u8)));
        }
    }
    pairs.into_iter().unzip()
}

fn matrix(classes: usize, truth: &[u8], prediction: &[u8]) -> ConfusionMatrix {
    let mut matrix = ConfusionMatrix::new(classes).ignore_label(255);
    matrix.update(truth, prediction).unwrap();
    matrix
}

#[test]
fn report_text_equals_that_of_scikit_learn() {
    for Report { name, confusion, names, text } in fixture().reports {
        let (truth, prediction) = labels(&confusion);
        let matrix = matrix(confusion.len(), &truth, &prediction);
        let mut report = ClassificationReport::new(&matrix);
        if let Some(names) = names {
            report = report.with_names(&names);
        }
        assert_eq!(report.to_string(), text, "case {name}");
    }
}

#[test]
fn report_survives_json_under_the_names_of_scikit_learn() {
    let report = ClassificationReport::new(&matrix(3, &[0, 1, 2, 2], &[0, 1, 1, 2]));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["classes"][2]["f1-score"], 2.0 / 3.0);
    assert_eq!(json["macro avg"]["recall"], 2.5 / 3.0);
    assert_eq!(serde_json::from_value::<ClassificationReport>(json).unwrap(), report);
}

#[test]
fn curve_equals_that_of_scikit_learn_with_ties() {
    let Curve { y, score, precision, recall, thresholds, average_precision: ap } = fixture().curve;
    let curve = PrecisionRecallCurve::new(&score, &y, PositiveClass::new(1)).unwrap();
    assert_eq!((&curve.precision, &curve.recall), (&precision, &recall));
    assert_eq!(curve.thresholds, thresholds);
    let value = average_precision(&score, &y, PositiveClass::new(1)).unwrap().unwrap();
    // A sum of at most ten terms below one.
    assert!((value - ap).abs() <= 10.0 * f64::EPSILON, "{value} for {ap}");
}

#[test]
fn a_class_absent_from_both_is_undefined_and_stays_out_of_the_mean() {
    let matrix = matrix(4, &[0, 1, 1, 0], &[0, 1, 0, 3]);
    assert_eq!(matrix.dice(), [Some(0.5), Some(2.0 / 3.0), None, Some(0.0)]);
    assert_eq!(matrix.iou(), [Some(1.0 / 3.0), Some(0.5), None, Some(0.0)]);
    assert_eq!(matrix.binary(3).recall(), None);
    assert_eq!(matrix.binary(3).precision(), Some(0.0));
    assert_eq!(
        Mean::of(matrix.dice().into_iter().skip(1)),
        Mean { value: Some(1.0 / 3.0), n: 2, undefined: 1 }
    );
    assert_eq!(Mean::of([None]), Mean { value: None, n: 0, undefined: 1 });
}

#[test]
fn the_first_label_that_is_no_class_is_named_and_nothing_is_counted() {
    let mut matrix = ConfusionMatrix::new(2);
    let mut truth = vec![0i32; 200_000];
    (truth[70_000], truth[140_000]) = (-100, 7);
    for threads in [1, 4] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let error = pool.install(|| matrix.update(&truth, &vec![0u8; 200_000])).unwrap_err().to_string();
        assert!(error.contains("voxel 70000 of the truth is labelled -100, outside 0 to 1"), "{error}");
    }
    assert_eq!(matrix, ConfusionMatrix::new(2));
    let mut matrix = ConfusionMatrix::new(2).ignore_label(-100);
    let error = matrix.update(&[-100i32, 0], &[9u8, 2]).unwrap_err().to_string();
    assert!(error.contains("voxel 1 of the prediction is labelled 2"), "{error}");
}

#[test]
fn a_score_that_is_nan_is_refused_by_position() {
    let positive = PositiveClass::new(1);
    let (scores, truth) = ([0.0, f32::NAN], [0u8, 1]);
    let mut gathered = AveragePrecision::new(positive);
    let errors = [
        average_precision(&scores, &truth, positive).unwrap_err(),
        PrecisionRecallCurve::new(&scores, &truth, positive).unwrap_err(),
        ScoreHistogram::new().update(&scores, &truth, positive).unwrap_err(),
        gathered.update(&scores, &truth).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("the score of voxel 1 is NaN"), "{error}");
    }
    assert_eq!(gathered.finish().negatives, 0);
}

#[test]
fn without_positives_average_precision_is_undefined() {
    let positive = PositiveClass::new(1);
    assert_eq!(average_precision(&[0.5f32, 1.0], &[0u8, 2], positive).unwrap(), None);
    let mut binned = AveragePrecision::new(positive).exact_limit(0);
    binned.update(&[0.5, 1.0], &[0u8, 2]).unwrap();
    let estimate = binned.finish();
    assert_eq!((estimate.value, estimate.error, estimate.negatives), (None, 0.0, 2));
}

#[test]
fn the_histogram_bound_is_reached_when_a_bin_holds_all() {
    // Positives first or last within one bin: the two ends of what binning can hide.
    let truth = [1u8, 0, 0, 0];
    for (scores, ap) in [([3e-6f32, 2e-6, 1e-6, 0.0], 1.0), ([0.0, 1e-6, 2e-6, 3e-6], 0.25)] {
        let mut histogram = ScoreHistogram::new();
        histogram.update(&scores, &truth, PositiveClass::new(1)).unwrap();
        let estimate = histogram.average_precision();
        assert_eq!((estimate.value, estimate.error), (Some(0.25), 0.75));
        assert_eq!(average_precision(&scores, &truth, PositiveClass::new(1)).unwrap(), Some(ap));
    }
}

#[test]
fn a_stream_longer_than_the_limit_goes_over_to_bins_whole() {
    let (logits, truth): (Vec<f32>, Vec<u8>) =
        (0..1000).map(|i| (((i * 37) % 101) as f32 - 50.0, u8::from(i % 7 == 0))).unzip();
    let mut exact = AveragePrecision::new(PositiveClass::new(1)).exact_limit(1000);
    let mut binned = exact.clone().exact_limit(999);
    for (logits, truth) in logits.chunks(300).zip(truth.chunks(300)) {
        exact.update(logits, truth).unwrap();
        binned.update(logits, truth).unwrap();
    }
    let (exact, binned) = (exact.finish(), binned.finish());
    assert_eq!(exact.error, 0.0);
    // No two whole numbers up to 50 share a bin, so the binned value is the exact one; but the histogram
    // cannot know that its ties are real.
    assert!((binned.value.unwrap() - exact.value.unwrap()).abs() <= 1000.0 * f64::EPSILON);
    assert!(binned.error > 0.0);
    assert_eq!((binned.positives, binned.negatives), (exact.positives, exact.negatives));
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let n = 300_000;
    let key = |i: u32| i.wrapping_mul(2_654_435_761) >> 7;
    let truth: Vec<u8> = (0..n).map(|i| (key(i) % 5 == 0) as u8).collect();
    let prediction: Vec<u8> = (0..n).map(|i| (key(i + 9) % 3 == 0) as u8).collect();
    let logits: Vec<f32> = (0..n).map(|i| key(i + 1) as f32 / 3e6 - 5.0).collect();
    let results = [1, 2, 5].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut binned = AveragePrecision::new(PositiveClass::new(1)).exact_limit(10);
            binned.update(&logits, &truth).unwrap();
            let ap = average_precision(&logits, &truth, PositiveClass::new(1)).unwrap();
            (matrix(2, &truth, &prediction), ap, binned.finish())
        })
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

/// Truth, prediction and logits of one volume, and a place to cut it.
fn volume() -> impl Strategy<Value = (Vec<(u8, u8, f32)>, usize)> {
    let label = || prop_oneof![9 => 0u8..3, 1 => Just(255u8)];
    // Few distinct logits, so that there are ties, and many, so that there are none.
    let logit = prop_oneof![(-4i8..4).prop_map(f32::from), -30.0f32..30.0];
    let voxels = prop::collection::vec((label(), 0u8..3, logit), 1..400);
    voxels.prop_flat_map(|voxels| {
        let n = voxels.len();
        (Just(voxels), 0..=n)
    })
}

fn unzip(voxels: &[(u8, u8, f32)]) -> (Vec<u8>, Vec<u8>, Vec<f32>) {
    let truth = voxels.iter().map(|voxel| voxel.0).collect();
    let prediction = voxels.iter().map(|voxel| voxel.1).collect();
    (truth, prediction, voxels.iter().map(|voxel| voxel.2).collect())
}

fn gather(voxels: &[(u8, u8, f32)], limit: usize) -> AveragePrecision {
    let (truth, _, logits) = unzip(voxels);
    let mut ap = AveragePrecision::new(PositiveClass::new(1).ignore_label(255)).exact_limit(limit);
    ap.update(&logits, &truth).unwrap();
    ap
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_the_voxels_does_not_matter((voxels, cut) in volume()) {
        let mut turned = voxels.clone();
        turned.rotate_left(cut);
        turned.reverse();
        let (a, b) = (unzip(&voxels), unzip(&turned));
        prop_assert_eq!(matrix(3, &a.0, &a.1), matrix(3, &b.0, &b.1));
        for limit in [0, voxels.len()] {
            prop_assert_eq!(gather(&voxels, limit).finish(), gather(&turned, limit).finish());
        }
    }

    #[test]
    fn merged_parts_are_the_whole((voxels, cut) in volume(), limit in 0usize..500) {
        let (truth, prediction, _) = unzip(&voxels);
        let mut merged = matrix(3, &truth[..cut], &prediction[..cut]);
        merged.merge(&matrix(3, &truth[cut..], &prediction[cut..]));
        prop_assert_eq!(merged, matrix(3, &truth, &prediction));

        let whole = gather(&voxels, limit).finish();
        for (first, second) in [voxels.split_at(cut), (&voxels[cut..], &voxels[..cut])] {
            let mut merged = gather(first, limit);
            merged.merge(&gather(second, limit));
            prop_assert_eq!(merged.finish(), whole);
        }
    }

    #[test]
    fn binned_average_precision_is_within_its_stated_error((voxels, _) in volume(), zoom in 0i32..6) {
        // Scores pressed together until hundreds share a bin.
        let pressed: Vec<_> = voxels.iter().map(|&(t, p, x)| (t, p, x * 0.05f32.powi(zoom))).collect();
        let exact = gather(&pressed, usize::MAX).finish();
        let binned = gather(&pressed, 0).finish();
        prop_assert_eq!((binned.positives, binned.negatives), (exact.positives, exact.negatives));
        prop_assert_eq!(binned.value.is_some(), exact.value.is_some());
        if let (Some(exact), Some(value)) = (exact.value, binned.value) {
            let rounding = 4.0 * voxels.len() as f64 * f64::EPSILON;
            prop_assert!((value - exact).abs() <= binned.error + rounding, "{} ± {} for {}", value, binned.error, exact);
        }
    }

    #[test]
    fn average_precision_is_the_area_under_the_steps_of_the_curve((voxels, _) in volume()) {
        let (truth, _, logits) = unzip(&voxels);
        let positive = PositiveClass::new(2).ignore_label(255);
        let curve = PrecisionRecallCurve::new(&logits, &truth, positive).unwrap();
        let n = curve.thresholds.len();
        prop_assert!(curve.thresholds.is_sorted_by(|a, b| a < b));
        if let Some(ap) = average_precision(&logits, &truth, positive).unwrap() {
            let area: f64 = (0..n).map(|i| (curve.recall[i] - curve.recall[i + 1]) * curve.precision[i]).sum();
            prop_assert!((ap - area).abs() <= 4.0 * (n + 1) as f64 * f64::EPSILON);
        }
        // Every point is what a plain count gives.
        for (i, &threshold) in curve.thresholds.iter().enumerate() {
            let chosen = || (0..truth.len()).filter(|&v| truth[v] != 255 && f64::from(logits[v]) >= threshold);
            let tp = chosen().filter(|&v| truth[v] == 2).count();
            prop_assert_eq!(curve.precision[i], tp as f64 / chosen().count() as f64);
        }
    }

    #[test]
    fn one_class_against_the_rest_counts_every_voxel_once((voxels, _) in volume()) {
        let (truth, prediction, _) = unzip(&voxels);
        let matrix = matrix(3, &truth, &prediction);
        prop_assert_eq!(matrix.total() + matrix.ignored(), voxels.len() as u64);
        for class in 0..3u8 {
            let counts = matrix.binary(class.into());
            let count = |t: bool, p: bool| {
                let same = |v: &&(u8, u8, f32)| v.0 != 255 && (v.0 == class) == t && (v.1 == class) == p;
                voxels.iter().filter(same).count() as u64
            };
            prop_assert_eq!(counts.true_positives, count(true, true));
            prop_assert_eq!(counts.false_positives, count(false, true));
            prop_assert_eq!(counts.false_negatives, count(true, false));
            prop_assert_eq!(counts.true_negatives, count(false, false));
        }
    }
}
