//! Laws of what a cross-validation says.

use metrics::BinaryCounts;
use proptest::prelude::*;
use trainer::dataset::Fold;
use trainer::evaluate::folds::{FoldClass, FoldFigures, Spread, Summary};

fn counts([tp, fp, fn_, tn]: [u64; 4]) -> BinaryCounts {
    BinaryCounts { true_positives: tp, false_positives: fp, false_negatives: fn_, true_negatives: tn }
}

fn figures(fold: [usize; 2], cases: &[&str], class: FoldClass) -> FoldFigures {
    let cases = cases.iter().map(|&case| case.to_owned()).collect();
    FoldFigures { fold: Fold { index: fold[0], of: fold[1] }, cases, classes: vec![class] }
}

fn lesion(voxels: [u64; 4]) -> FoldClass {
    FoldClass::new("lesion".into(), counts(voxels))
}

/// The cases that each fold holds out, separated by spaces.
fn held_out(folds: &[&str]) -> Vec<Vec<String>> {
    folds.iter().map(|cases| cases.split(' ').map(str::to_owned).collect()).collect()
}

/// The second fold's cases hold nothing, and nothing is found there.
fn three() -> Vec<FoldFigures> {
    vec![
        figures([0, 3], &["a", "d"], lesion([6, 2, 2, 90])),
        figures([1, 3], &["c"], lesion([0, 0, 0, 50])),
        figures([2, 3], &["b"], lesion([1, 3, 1, 45])),
    ]
}

#[test]
fn what_is_undefined_in_a_fold_is_in_no_mean_but_counted() {
    let summary = Summary::new(three(), &held_out(&["a d", "c", "b"]), Some(0.5)).unwrap();
    let class = &summary.classes[0];
    assert_eq!((class.dice.mean.n, class.dice.mean.undefined), (2, 1));
    // (12/16 + 2/6) / 2, and half their distance times √2.
    let [a, b] = [0.75, 1.0 / 3.0];
    assert!((class.dice.mean.value.unwrap() - (a + b) / 2.0).abs() < 1e-15);
    assert!((class.dice.deviation.unwrap() - (a - b) / 2f64.sqrt()).abs() < 1e-15);
    assert_eq!(class.all_cases.counts, counts([7, 5, 3, 185]));
    assert_eq!(class.all_cases.dice, Some(14.0 / 22.0));
    let text = summary.to_string();
    for row in [
        "3 folds, each of 4 cases counted in the one that held it out, as the model of all folds reads it, foreground above calibrated probability 0.5000\n",
        "0     a, d   lesion  0.7500     0.7500  0.7500\n",
        "1     c      lesion       -          -       -\n",
        "lesion  0.5417 ± 0.2946 (2, 1)  0.5000 ± 0.3536 (2, 1)",
        "lesion   7   5   3  0.6364     0.5833  0.7000\n",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }
    assert_eq!(serde_json::from_str::<Summary>(&serde_json::to_string(&summary).unwrap()).unwrap().folds, 3);
}

/// Folds of a file may overlap.
#[test]
fn a_case_that_several_folds_hold_out_is_counted_in_each() {
    let mut overlapping = three();
    overlapping[1].cases = vec!["c".into(), "a".into()];
    let summary = Summary::new(overlapping, &held_out(&["a d", "c a", "b"]), Some(0.5)).unwrap();
    assert_eq!(summary.cases, 4);
    let text = summary.to_string();
    assert!(text.contains("each of 4 cases counted in every one that held it out"), "{text}");
}

#[test]
fn folds_that_were_measured_on_other_cases_or_are_of_two_cross_validations_have_no_summary() {
    let error = |folds: Vec<FoldFigures>, cases: &[&str]| {
        Summary::new(folds, &held_out(cases), Some(0.5)).unwrap_err().to_string()
    };
    let other = error(three(), &["a d", "b", "c"]);
    assert!(other.starts_with("fold 1 (of 0 to 2) was measured on c and now holds out b"), "{other}");
    assert!(other.contains("train all folds into a new --out"), "{other}");
    let more = error(three(), &["a d e", "c", "b"]);
    assert!(more.starts_with("fold 0 (of 0 to 2) was measured on a, d and now holds out a, d, e"), "{more}");
    for missing in [error(three()[..2].to_vec(), &["a d", "c", "b"]), error(three(), &["a d", "c"])] {
        assert!(missing.contains("are not of one cross-validation"), "{missing}");
    }
    let mut renamed = three();
    renamed[1].classes[0].name = "vessel".into();
    assert!(error(renamed, &["a d", "c", "b"]).contains("are not of one cross-validation"));
}

proptest! {
    #[test]
    fn the_spread_does_not_see_what_all_values_share(
        values in prop::collection::vec(prop::option::of(0.0f64..1.0), 0..9),
        shift in -1.0f64..1.0,
    ) {
        let defined = values.iter().flatten().count();
        let (spread, moved) =
            (Spread::of(&values), Spread::of(&values.iter().map(|v| v.map(|v| v + shift)).collect::<Vec<_>>()));
        prop_assert_eq!(spread.deviation.is_some(), defined > 1);
        prop_assert_eq!((spread.mean.n, spread.mean.undefined), (defined as u64, (values.len() - defined) as u64));
        if let (Some(a), Some(b)) = (spread.deviation, moved.deviation) {
            prop_assert!((a - b).abs() < 1e-14);
            prop_assert!((moved.mean.value.unwrap() - spread.mean.value.unwrap() - shift).abs() < 1e-14);
        }
    }
}
