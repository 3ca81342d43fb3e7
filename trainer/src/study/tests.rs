//! What may be concluded from made-up runs.

use metrics::{BinaryCounts, PositiveClass, Reliability, ScoreHistogram};
use proptest::prelude::*;

use super::measure::Measured;
use super::verdict::verdict;
use super::{Arm, Difference, Figure, Point, RunResult, Study, html};
use crate::config::Config;
use crate::predict::Calibration;

/// A run with this recall and average precision.
fn made_up(arm: Arm, seed: u64, recall: f64, average_precision: f64) -> RunResult {
    let found = (recall * 1000.0).round() as u64;
    let counts = BinaryCounts {
        true_positives: found,
        false_positives: 500,
        false_negatives: 1000 - found,
        true_negatives: 100_000,
    };
    let reliability = Reliability::new(&ScoreHistogram::new(), |logit| logit);
    RunResult {
        arm,
        seed,
        epochs: Vec::new(),
        at_half: counts,
        average_precision: Some(average_precision),
        best_f1: None,
        precise: None,
        before: reliability.clone(),
        after: reliability,
        calibration: Calibration::identity(1),
        curve: Vec::new(),
        seconds: 1.0,
    }
}

fn study(runs: Vec<RunResult>) -> Study {
    Study {
        dataset: "made <up> & so on".into(),
        training: vec!["a".into()],
        evaluation: vec!["b".into()],
        evaluation_kind: "made up".into(),
        halves: "halves".into(),
        positives: 10,
        negatives: 4990,
        recall: 0.8,
        steps: 1,
        runs,
    }
}

fn pairs(recalls: &[(f64, f64)]) -> Study {
    let runs = recalls.iter().enumerate().flat_map(|(seed, &(base, other))| {
        let run = |arm, recall| made_up(arm, seed as u64, recall, 0.5);
        [run(Arm::Bce, base), run(Arm::PosWeight, other)]
    });
    study(runs.collect())
}

fn difference(study: &Study) -> Difference {
    Difference::new(study, Figure::RecallAtHalf, Arm::PosWeight, Arm::Bce).unwrap()
}

#[test]
fn one_seed_proves_nothing() {
    let one = pairs(&[(0.0, 0.9)]);
    assert!(!difference(&one).beyond_noise);
    assert!(one.to_string().contains("with one seed, from which nothing follows"));
}

#[test]
fn two_seeds_must_agree_and_differ_by_more_than_one_arm_does() {
    for (recalls, beyond) in [
        ([(0.1, 0.5), (0.2, 0.6)], true),
        // They disagree.
        ([(0.1, 0.5), (0.6, 0.2)], false),
        // One arm's seeds are as far apart as the arms.
        ([(0.1, 0.3), (0.3, 0.4)], false),
    ] {
        let study = pairs(&recalls);
        assert_eq!(difference(&study).beyond_noise, beyond, "{recalls:?}");
        let words =
            if beyond { "more than the noise" } else { "within the noise: no difference can be claimed" };
        assert!(study.to_string().contains(words), "{recalls:?}");
    }
}

#[test]
fn from_three_seeds_on_the_interval_is_students() {
    // Differences 0.1, 0.2, 0.3: mean 0.2, deviation 0.1, half width 4.303·0.1/√3.
    let three = difference(&pairs(&[(0.1, 0.2), (0.1, 0.3), (0.1, 0.4)]));
    let half = 4.303 * 0.1 / 3f64.sqrt();
    assert!(
        (three.interval[0] - (0.2 - half)).abs() < 1e-9 && (three.interval[1] - (0.2 + half)).abs() < 1e-9
    );
    assert!(!three.beyond_noise);
    let narrow = difference(&pairs(&[(0.1, 0.3), (0.1, 0.31), (0.1, 0.29)]));
    assert!(narrow.beyond_noise, "{narrow:?}");
}

#[test]
fn seeds_that_one_arm_lacks_are_left_out() {
    let mut study = pairs(&[(0.1, 0.5), (0.2, 0.6)]);
    study.runs.retain(|run| (run.arm, run.seed) != (Arm::Bce, 0));
    assert_eq!(difference(&study).seeds.iter().map(|s| s.0).collect::<Vec<_>>(), [1]);
}

/// A run whose threshold for the wanted recall had this precision.
fn precise(arm: Arm, precision: f64) -> RunResult {
    let found = (precision * 1000.0).round() as u64;
    let counts =
        BinaryCounts { true_positives: found, false_positives: 1000 - found, ..BinaryCounts::default() };
    RunResult { precise: Some(Point { probability: 0.5, counts }), ..made_up(arm, 0, 0.8, 0.5) }
}

#[test]
fn the_way_to_go_is_the_highest_precision_not_the_first_nor_the_last() {
    let runs = vec![precise(Arm::Bce, 0.3), precise(Arm::Shares, 0.6), precise(Arm::PosWeight, 0.1)];
    let text = verdict(&study(runs));
    assert!(text.contains("The highest mean precision has shares: 0.600 at recall 1.000"), "{text}");
    assert!(text.contains("Not to be told from it with 1 seed: bce (0.300), pos_weight (0.100)"), "{text}");
}

#[test]
fn thresholds_are_measured_on_the_other_half() {
    let positive = PositiveClass::new(1);
    let (mut fitted, mut measured) = (ScoreHistogram::new(), ScoreHistogram::new());
    // Above 0 lies all that is positive in the one half, and half of it in the other.
    fitted.update(&[1.0, 2.0, -1.0], &[1, 1, 0], positive).unwrap();
    measured.update(&[1.5, -1.0, 3.0, -2.0], &[1, 1, 0, 0], positive).unwrap();
    let calibration = Calibration::identity(1);
    let result = Measured { fitted, measured, calibration, first_mask: Vec::new() }.result(
        Arm::Bce,
        0,
        0.8,
        vec![],
        1.0,
    );
    let wanted =
        BinaryCounts { true_positives: 1, false_positives: 1, false_negatives: 1, true_negatives: 1 };
    assert_eq!(result.precise.unwrap().counts, wanted);
    assert_eq!(result.best_f1.unwrap().counts, wanted);
    let probabilities = [1.5, -1.0, 3.0, -2.0].map(|z: f64| 1.0 / (1.0 + (-z).exp()));
    let brier =
        probabilities.iter().zip([1.0, 1.0, 0.0, 0.0]).map(|(p, y)| (p - y) * (p - y)).sum::<f64>() / 4.0;
    assert!((result.before.brier.unwrap() - brier).abs() < 1e-3, "{:?} {brier}", result.before.brier);
}

#[test]
fn arms_differ_in_the_loss_alone() {
    let config = Config::default();
    for arm in Arm::ALL {
        let mut changed = arm.configure(&config, 10, 4990);
        assert_eq!(arm.name().parse::<Arm>(), Ok(arm));
        changed.loss = config.loss.clone();
        assert_eq!(changed, config, "{arm}");
    }
    assert_eq!(Arm::PosWeight.weight(10, 4990), 499.0);
    assert_eq!(Arm::Shares.weight(10, 4990), 0.998);
    assert!("pos-weight".parse::<Arm>().unwrap_err().contains("bce, shares, pos_weight"));
}

#[test]
fn the_page_holds_no_markup_of_the_data() {
    let page = html(&pairs(&[(0.1, 0.5)]), &[(Arm::Bce, "AQID".to_owned())]);
    assert!(page.contains("made &lt;up&gt; &amp; so on") && !page.contains("<up>"));
    assert!(page.contains("data:image/png;base64,AQID"));
    assert!(
        !page.contains("http://") || !page.replace("http://www.w3.org", "").contains("http://"),
        "needs no network"
    );
}

#[test]
fn nothing_is_said_of_what_was_not_trained() {
    let one = study(vec![made_up(Arm::Focal, 0, 0.5, 0.5)]);
    let (text, page) = (one.to_string(), html(&one, &[]));
    for said in ["Differences", "pos_weight", "three runs", "±"] {
        assert!(!text.contains(said) && !page.contains(said), "{said}: {text}");
    }
    let two = pairs(&[(0.1, 0.5), (0.2, 0.6)]);
    let (text, page) = (two.to_string(), html(&two, &[]));
    assert!(text.contains("What is the difference between bce and pos_weight?"), "{text}");
    assert!(text.contains("Differences to bce, paired by seed") && text.contains("* marks it."), "{text}");
    // The page's cells are the text's.
    assert!(text.contains("0.150±0.050") && page.contains("0.150±0.050"), "{text}");
    let narrow = pairs(&[(0.1, 0.5), (0.6, 0.2)]).to_string();
    assert!(!narrow.contains('*'), "no star, no explanation: {narrow}");
}

proptest! {
    #[test]
    fn a_difference_turns_its_sign_with_its_sides(recalls in prop::collection::vec((0.0f64..1.0, 0.0f64..1.0), 1..6)) {
        let study = pairs(&recalls);
        let (there, back) = (
            difference(&study),
            Difference::new(&study, Figure::RecallAtHalf, Arm::Bce, Arm::PosWeight).unwrap(),
        );
        prop_assert!((there.mean + back.mean).abs() < 1e-12);
        prop_assert!((there.interval[0] + back.interval[1]).abs() < 1e-12);
        prop_assert_eq!(there.beyond_noise, back.beyond_noise);
        prop_assert!(there.interval[0] <= there.mean + 1e-12 && there.mean <= there.interval[1] + 1e-12);
    }
}
