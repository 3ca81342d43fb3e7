//! Thresholds and reliability against definitions that walk over every voxel.

use losses::{LossConfig, WeightConfig};
use metrics::{Aim, BinaryCounts, GROUPS, OperatingPoint, PositiveClass, Reliability, ScoreHistogram};
use proptest::prelude::*;
use trainer::predict::{Calibration, ClassSample, Decision, Evidence, MaskRule, Threshold};

fn histogram(logits: &[f32], labels: &[u8]) -> ScoreHistogram {
    let mut histogram = ScoreHistogram::new();
    histogram.update(logits, labels, PositiveClass::new(1)).unwrap();
    histogram
}

fn count(mask: &[u8], labels: &[u8]) -> BinaryCounts {
    let pairs = |m: u8, l: u8| mask.iter().zip(labels).filter(|&(&a, &b)| (a, b) == (m, l)).count() as u64;
    BinaryCounts {
        true_positives: pairs(1, 1),
        false_positives: pairs(1, 0),
        false_negatives: pairs(0, 1),
        true_negatives: pairs(0, 0),
    }
}

/// Coarse logits, so that many are equal; far enough apart for bins of their own.
fn voxels() -> impl Strategy<Value = (Vec<f32>, Vec<u8>)> {
    prop::collection::vec((-40i32..40, 0.0f64..1.0), 1..200).prop_map(|voxels| {
        let label = |&(z, u): &(i32, f64)| u8::from(u < 0.5 + f64::from(z) / 100.0 - 0.2);
        (voxels.iter().map(|&(z, _)| z as f32 / 4.0).collect(), voxels.iter().map(label).collect())
    })
}

fn aims() -> impl Strategy<Value = Aim> {
    prop_oneof![
        Just(Aim::MaxF1),
        (0.05f64..1.0).prop_map(Aim::Recall),
        (0.05f64..1.0).prop_map(Aim::Precision)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_chosen_threshold_is_the_best_of_all_and_does_to_a_mask_what_it_says((logits, labels) in voxels(), aim in aims()) {
        let point = OperatingPoint::find(&histogram(&logits, &labels), aim);
        let Some(point) = point else {
            prop_assert!(!labels.contains(&1));
            return Ok(());
        };
        let above = |logit: f32| {
            let rule = MaskRule::Above { logit, origin: Threshold::Untouched };
            Decision { calibration: Calibration::identity(1), rule }.classes(&logits)
        };
        prop_assert_eq!(count(&above(point.logit), &labels), point.counts);
        // Every cut that there is.
        let cuts = logits.iter().map(|z| count(&above(z.next_down()), &labels));
        let all: Vec<_> = cuts.map(|c| (c.f1().unwrap_or(0.0), c.recall().unwrap(), c.precision().unwrap())).collect();
        let (f1, recall, precision) =
            (point.counts.f1().unwrap(), point.counts.recall().unwrap(), point.counts.precision().unwrap());
        let largest = |values: Vec<f64>| values.into_iter().fold(f64::NEG_INFINITY, f64::max);
        match aim {
            Aim::MaxF1 => prop_assert_eq!(f1, largest(all.iter().map(|c| c.0).collect())),
            Aim::Recall(r) => {
                // All voxels together have recall 1.
                prop_assert!(point.reached && recall >= r);
                prop_assert_eq!(precision, largest(all.iter().filter(|c| c.1 >= r).map(|c| c.2).collect()));
            }
            Aim::Precision(q) => {
                let reaching: Vec<f64> = all.iter().filter(|c| c.2 >= q && c.1 > 0.0).map(|c| c.1).collect();
                prop_assert_eq!(point.reached, !reaching.is_empty());
                let (got, want) = if reaching.is_empty() {
                    (precision, largest(all.iter().map(|c| c.2).collect()))
                } else {
                    (recall, largest(reaching))
                };
                prop_assert_eq!(got, want);
            }
        }
    }

    #[test]
    fn brier_and_calibration_error_are_what_every_voxel_gives(
        (logits, labels) in voxels(), scale in 0.3f64..2.0, shift in -2.0f64..2.0,
    ) {
        let calibration = Calibration { scale, shift: vec![shift], ..Calibration::identity(1) };
        let got = Reliability::new(&histogram(&logits, &labels), |logit| calibration.probability(logit));
        let p: Vec<f64> = logits.iter().map(|&z| calibration.probability(f64::from(z))).collect();
        let n = p.len() as f64;
        let brier = p.iter().zip(&labels).map(|(p, &y)| (p - f64::from(y)).powi(2)).sum::<f64>() / n;
        // A bin's middle is within 1.3e-3 of its logits at |z| = 10, and p moves by at most scale/4 of that.
        prop_assert!((got.brier.unwrap() - brier).abs() < 2e-3, "{:?} for {brier}", got.brier);
        prop_assert!((got.mean_probability.unwrap() - p.iter().sum::<f64>() / n).abs() < 1e-3);

        // Groups: in the order of p, a run of equals is never cut, and a group ends where it crosses a fifteenth.
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        let (mut error, mut groups, mut start) = (0.0, 0, 0);
        for end in 1..=order.len() {
            let tied = end < order.len() && logits[order[end]] == logits[order[end - 1]];
            if !tied && end * GROUPS / order.len() > start * GROUPS / order.len() {
                let group = &order[start..end];
                let sum = |f: &dyn Fn(usize) -> f64| group.iter().map(|&i| f(i)).sum::<f64>();
                error += (sum(&|i| p[i]) - sum(&|i| f64::from(labels[i]))).abs() / n;
                (groups, start) = (groups + 1, end);
            }
        }
        prop_assert_eq!(start, order.len());
        prop_assert!((got.calibration_error.unwrap() - error).abs() < 2e-3, "{:?} for {error}", got.calibration_error);
        prop_assert_eq!(got.groups.len(), groups);
    }

    #[test]
    fn an_aim_is_read_as_it_is_written(aim in aims()) {
        prop_assert_eq!(aim.to_string().parse::<Aim>(), Ok(aim));
    }
}

#[test]
fn what_is_no_aim_is_refused_with_those_that_are() {
    for text in ["f1", "recall>=1.5", "recall>=0", "precision>0.9", "recall>=x", ""] {
        let error = text.parse::<Aim>().unwrap_err();
        assert!(error.contains("max-f1, recall>=0.9 or precision>=0.9"), "{error}");
    }
}

#[test]
fn a_threshold_by_hand_is_on_the_calibrated_probability() {
    let loss = LossConfig::Bce { pos_weight: WeightConfig::Scalar(9.0) };
    let untouched = Decision::untouched(&loss, 1);
    // Logit 0 under weight 9 is one in ten.
    assert!((untouched.probability().unwrap() - 0.1).abs() < 1e-12 && untouched.logit() == Some(0.0));
    let half = untouched.at(0.5);
    let MaskRule::Above { logit, origin: Threshold::Given(0.5) } = half.rule else { panic!("{half}") };
    assert!((f64::from(logit) - 9f64.ln()).abs() < 1e-6, "{logit}");
}

#[test]
fn a_validation_moves_probabilities_and_threshold_and_says_so() {
    // One in eleven of the voxels at logit 0 is positive, one in two at logit 2.
    let (mut logits, mut labels) = (vec![0.0f32; 1100], vec![0u8; 1100]);
    labels[..100].fill(1);
    logits.extend([2.0; 200]);
    labels.extend([vec![1u8; 100], vec![0; 100]].concat());
    let histogram = histogram(&logits, &labels);
    let (sample, cases) = (ClassSample::new(1, 1), ["case_7", "case_8", "case_9"].map(str::to_owned));
    let evidence = Evidence { histogram: &histogram, sample: &sample, cases: &cases };
    let dice = LossConfig::Dice { regions: Default::default(), smooth: 1e-5, squared: false };
    let decision = Decision::fitted(&dice, 1, evidence, Aim::MaxF1);
    for (logit, share) in [(0.0, 1.0 / 11.0), (2.0, 0.5)] {
        let p = decision.calibration.probability(logit);
        // Platt's targets move each class by one voxel of hundreds.
        assert!((p - share).abs() < 5e-3, "{p} for {share}");
    }
    let logit = decision.logit().unwrap();
    assert!(logit > 0.0 && logit < 2.0);
    let text = decision.to_string();
    assert!(
        text.contains("fitted on 3 cases: case_7, ")
            && text.contains("chosen for max-f1: precision 0.5000, recall 0.5000"),
        "{text}"
    );
}

/// What few cases say counts where it counts much, or was asked for.
#[test]
fn few_cases_move_a_threshold_only_by_a_margin_or_where_an_aim_was_asked_for() {
    let (logits, labels) = (vec![-1.0f32, -0.5, 0.5, 1.0], vec![0u8, 1, 1, 1]);
    let logits = logits.repeat(50);
    let labels = labels.repeat(50);
    let histogram = histogram(&logits, &labels);
    let sample = ClassSample::new(1, 1);
    let loss = LossConfig::Bce { pos_weight: WeightConfig::Scalar(1.0) };
    let fitted = |cases: usize, aim: Aim| {
        let cases: Vec<String> = (0..cases).map(|i| format!("case_{i}")).collect();
        Decision::fitted(&loss, 1, Evidence { histogram: &histogram, sample: &sample, cases: &cases }, aim)
    };
    // Above -1 F1 is 1, above 0 it is 0.8: worth it on a single case.
    assert!(fitted(1, Aim::MaxF1).logit().unwrap() < -0.5);
    let near = ([-1.0f32, 1.0].repeat(100), [0u8, 1].repeat(100));
    let mut labels = near.1;
    labels[0] = 1;
    let histogram = self::histogram(&near.0, &labels);
    let fitted = |cases: usize, aim: Aim| {
        let cases: Vec<String> = (0..cases).map(|i| format!("case_{i}")).collect();
        Decision::fitted(&loss, 1, Evidence { histogram: &histogram, sample: &sample, cases: &cases }, aim)
    };
    // The best threshold gains nothing to speak of, and stays as trained on two cases, but not on three.
    assert_eq!(fitted(2, Aim::MaxF1).logit(), Some(0.0));
    assert!(fitted(3, Aim::MaxF1).logit().unwrap() != 0.0);
    assert!(fitted(1, Aim::Recall(1.0)).logit().unwrap() < -1.0);
}

/// Likely probabilities are no aim of a mask: of several classes a fit that spoils the mask is left.
#[test]
fn a_fit_to_classes_is_not_taken_where_the_mask_is_worse_by_it() {
    let loss = LossConfig::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
    let cases = ["a", "b", "c"].map(str::to_owned);
    let sample = |groups: &[([f32; 3], u8, usize)]| {
        let voxels: usize = groups.iter().map(|group| group.2).sum();
        let mut sample = ClassSample::new(3, voxels);
        for &(z, label, count) in groups {
            sample.update(&z.repeat(count), &vec![label; count]);
        }
        sample
    };
    let decide = |groups: &[([f32; 3], u8, usize)]| {
        let (histogram, sample) = (ScoreHistogram::new(), sample(groups));
        let evidence = Evidence { histogram: &histogram, sample: &sample, cases: &cases };
        Decision::fitted(&loss, 3, evidence, Aim::MaxF1)
    };
    let sure = [([6.0, 0.0, 0.0], 0, 4000), ([0.0, 0.0, 6.0], 2, 400)];
    // 180 of 400 are class 1: background is more likely, and a mask without them has Dice 0 for that class.
    let torn = [([0.0, 0.5, -6.0], 1, 180), ([0.0, 0.5, -6.0], 0, 220)];
    let groups = [sure, torn].concat();
    let fit = Calibration::identity(3).fitted_to_classes(&sample(&groups), false, &cases, 0.0);
    let mask = |calibration: &Calibration| {
        Decision { calibration: calibration.clone(), rule: MaskRule::Foreground }.classes(&torn[0].0)
    };
    assert_eq!((mask(&fit), mask(&Calibration::identity(3))), (vec![0], vec![1]), "{fit:?}");
    let decision = decide(&groups);
    assert_eq!(decision.calibration, Calibration::identity(3), "{decision}");
    assert!(decision.to_string().contains("a fit makes a worse mask"), "{decision}");
    // Where it is class 2 that is mistaken for class 1, the fit mends mask and probabilities alike.
    let mistaken = [([-6.0, 0.5, 0.4], 2, 300), ([-6.0, 0.5, 0.4], 1, 100), ([0.0, 6.0, 0.0], 1, 300)];
    let decision = decide(&[&sure[..], &mistaken].concat());
    assert!(decision.to_string().contains("fitted on 3 cases"), "{decision}");
    assert_eq!(decision.classes(&[-6.0, 0.5, 0.4]), [2]);
}

proptest! {
    /// By the definition, in f64: background where its probability is at least one half.
    #[test]
    fn a_voxel_of_several_classes_is_background_where_that_is_as_probable_as_the_rest(
        z in prop::collection::vec(-6.0f32..6.0, 2..6),
        scale in 0.3f64..3.0,
        shift in prop::collection::vec(-3.0f64..3.0, 6),
    ) {
        let shift = shift[..z.len()].to_vec();
        let calibrated: Vec<f64> = z.iter().zip(&shift).map(|(z, s)| scale * f64::from(*z) + s).collect();
        let total: f64 = calibrated.iter().map(|z| z.exp()).sum();
        let p: Vec<f64> = calibrated.iter().map(|z| z.exp() / total).collect();
        let mut foreground = p[1..].to_vec();
        foreground.sort_by(f64::total_cmp);
        let is_close = |a: f64, b: f64| (a - b).abs() < 1e-5;
        let tie = foreground.len() > 1 && is_close(foreground[foreground.len() - 2], foreground[foreground.len() - 1]);
        prop_assume!(!is_close(p[0], 0.5) && !tie);
        let most = (1..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap();
        let want = if p[0] > 0.5 { 0 } else { most as u8 };
        let calibration = Calibration { scale, shift, ..Calibration::identity(z.len()) };
        prop_assert_eq!(Decision { calibration, rule: MaskRule::Foreground }.classes(&z), vec![want]);
    }
}
