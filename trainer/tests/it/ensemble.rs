//! Laws of averaging over networks.

use proptest::prelude::*;
use trainer::predict::calibration::Basis;
use trainer::predict::{Calibration, Decision, Ensemble, Logits, MaskRule, ProbabilityMean, Threshold};

const VOXELS: usize = 12;

fn decision(scale: f64, shift: Vec<f64>, logit: f32) -> Decision {
    let calibration = Calibration { scale, shift, source: Basis::Known };
    let rule = match calibration.shift.len() {
        1 => MaskRule::Above { logit, origin: Threshold::Untouched },
        _ => MaskRule::Foreground,
    };
    Decision { calibration, rule }
}

/// Members that differ in logits, calibration and threshold.
fn members(channels: usize, most: usize) -> impl Strategy<Value = Vec<(Logits, Decision)>> {
    let logits = prop::collection::vec(-60.0f32..60.0, VOXELS * channels).prop_map(move |values| Logits {
        shape: [2, 3, 2],
        channels,
        values,
    });
    let decision = (0.25f64..2.0, prop::collection::vec(-4.0f64..4.0, channels), -3.0f32..3.0)
        .prop_map(|(scale, shift, logit)| decision(scale, shift, logit));
    prop::collection::vec((logits, decision), 1..=most)
}

fn ensemble(members: &[(Logits, Decision)]) -> (Ensemble, Logits) {
    let ensemble = Ensemble::new(members.iter().map(|(_, decision)| decision.clone()).collect());
    let mut mean = ProbabilityMean::default();
    members.iter().for_each(|(logits, decision)| mean.add(logits.clone(), &decision.calibration));
    let logits = mean.logits();
    (ensemble, logits)
}

/// The calibrated logarithms of a voxel's probabilities: of foreground and background, or of each class.
fn log_probabilities(logits: &[f32], decision: &Decision) -> Vec<f64> {
    let Calibration { scale, shift, .. } = &decision.calibration;
    let mut z: Vec<f64> = logits.iter().zip(shift).map(|(&z, shift)| scale * f64::from(z) + shift).collect();
    if z.len() == 1 {
        z.push(0.0);
    }
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = largest + z.iter().map(|z| (z - largest).exp()).sum::<f64>().ln();
    z.into_iter().map(|z| z - total).collect()
}

/// The mean of a voxel's probabilities, naively; logits reach ±124, far from where an f64 ends.
fn mean_probabilities(members: &[(Logits, Decision)], voxel: usize) -> Vec<f64> {
    let channels = members[0].0.channels;
    let mut sum = vec![0.0; channels.max(2)];
    for (logits, decision) in members {
        let own = log_probabilities(&logits.values[voxel * channels..][..channels], decision);
        sum.iter_mut().zip(own).for_each(|(sum, log)| *sum += log.exp());
    }
    sum.iter().map(|sum| sum / members.len() as f64).collect()
}

/// What rounding does to a logarithm: a number up to 60·2 + 4 + 4 and the class's shift is rounded to f32 when it is
/// calibrated and with each further member, whose step shrinks the errors before it, and twice at the end.
fn bound(members: usize) -> f64 {
    f64::from(f32::EPSILON) / 2.0 * 140.0 * (2 * members + 2) as f64
}

proptest! {
    #[test]
    fn the_logit_is_that_of_the_mean_probability(members in members(1, 5)) {
        let (_, logits) = ensemble(&members);
        for (voxel, &z) in logits.values.iter().enumerate() {
            let mean = mean_probabilities(&members, voxel);
            let want = (mean[0] / mean[1]).ln();
            prop_assert!((f64::from(z) - want).abs() <= bound(members.len()), "{z} for {want}");
        }
    }

    #[test]
    fn of_several_classes_the_mean_is_that_of_their_probabilities(members in members(3, 5)) {
        let (ensemble, logits) = ensemble(&members);
        let shift = ensemble.decision().calibration.shift;
        let found = logits.probabilities(&ensemble.decision().calibration);
        for voxel in 0..VOXELS {
            let mean = mean_probabilities(&members, voxel);
            for class in 0..3 {
                let z = f64::from(logits.values[voxel * 3 + class]) + shift[class];
                prop_assert!((z - mean[class].ln()).abs() <= bound(members.len()), "{z} for {}", mean[class].ln());
                // p·e is what an error e of its logarithm does to p; softmax doubles it, and rounds a few times itself.
                let p = f64::from(found[voxel * 3 + class]);
                let bound = mean[class] * 2.0 * bound(members.len()) + 8.0 * f64::from(f32::EPSILON);
                prop_assert!((p - mean[class]).abs() <= bound, "{p} for {}", mean[class]);
            }
        }
    }

    #[test]
    fn alone_and_with_itself_a_member_says_what_it_says(
        one in prop_oneof![members(1, 1), members(3, 1)],
        times in 1usize..5,
    ) {
        let (logits, own) = &one[0];
        let (ensemble, together) = ensemble(&vec![one[0].clone(); times]);
        let read = ensemble.decision();
        let (found, want) = (together.probabilities(&read.calibration), logits.probabilities(&own.calibration));
        // A step of the logarithm moves a probability at most as far, and less where it is small; the calibration's
        // products are rounded once more on the way that does not go through the ensemble.
        let bound = |p: f32| f64::from(p) * 2.0 * bound(times + 1) + 8.0 * f64::from(f32::EPSILON);
        for (&p, &q) in found.iter().zip(&want) {
            prop_assert!((f64::from(p) - f64::from(q)).abs() <= bound(q), "{p} for {q}");
        }
        prop_assert!(own.probability().is_none_or(|p| (ensemble.threshold() - p).abs() < 1e-12));
        // And so are the masks, but where two numbers are all but equal.
        let (masks, own_masks) = (read.classes(&together.values), own.classes(&logits.values));
        for voxel in 0..VOXELS {
            let z = &logits.values[voxel * logits.channels..][..logits.channels];
            let close = match z {
                [z] => (z - own.logit().unwrap()).abs() < 1e-3,
                z => {
                    let p = log_probabilities(z, own);
                    let foreground = (p[1].exp() + p[2].exp()).ln();
                    (p[0] - foreground).abs() < 1e-3 || (p[1] - p[2]).abs() < 1e-3
                }
            };
            prop_assert!(close || masks[voxel] == own_masks[voxel], "{z:?}");
        }
    }

    #[test]
    fn the_order_of_the_members_is_rounding(members in prop_oneof![members(1, 4), members(3, 4)]) {
        let turned: Vec<_> = members.iter().rev().cloned().collect();
        let ((_, a), (_, b)) = (ensemble(&members), ensemble(&turned));
        for (a, b) in a.values.iter().zip(&b.values) {
            prop_assert!(f64::from((a - b).abs()) <= 2.0 * bound(members.len()), "{a} {b}");
        }
    }

    #[test]
    fn the_threshold_is_the_mean_of_the_members_or_as_given(members in members(1, 4), given in 0.01f64..0.99) {
        let (ensemble, logits) = ensemble(&members);
        let mean = members.iter().map(|(_, own)| own.probability().unwrap()).sum::<f64>() / members.len() as f64;
        prop_assert!((ensemble.threshold() - mean).abs() < 1e-12);
        for (ensemble, threshold) in [(ensemble.clone(), mean), (ensemble.at(given), given)] {
            let decision = ensemble.decision();
            prop_assert!((decision.probability().unwrap() - threshold).abs() < 1e-6);
            for (mask, z) in decision.classes(&logits.values).iter().zip(&logits.values) {
                let logit = (threshold / (1.0 - threshold)).ln();
                let close = (f64::from(*z) - logit).abs() < 1e-5 * (1.0 + logit.abs());
                prop_assert!(close || (*mask == 1) == (f64::from(*z) > logit));
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for channels in [1, 3] {
        let shape = [8, 40, 40];
        let voxels: usize = shape.iter().product();
        let member = |index: usize| {
            let wave = |i: usize| ((i * (index + 3)) as f32 * 0.37).sin() * 9.0;
            let logits = Logits { shape, channels, values: (0..voxels * channels).map(wave).collect() };
            (logits, decision(1.0 + index as f64 / 4.0, vec![0.3; channels], 0.0))
        };
        let members: Vec<_> = (0..3).map(member).collect();
        let [one, two, three] = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| ensemble(&members).1)
        });
        assert!(one == two && one == three);
    }
}

#[test]
fn it_says_what_it_does_in_a_sentence() {
    let (a, b) = (decision(1.0, vec![0.0], 0.0), decision(2.0, vec![-1.0], 0.5));
    let fitted = |own: &Decision| {
        let source = Basis::Fitted(vec!["case_1".into()]);
        Decision { calibration: Calibration { source, ..own.calibration.clone() }, ..own.clone() }
    };
    let text = Ensemble::new(vec![a.clone(), b.clone()]).to_string();
    let want = "probabilities are the mean of 2 runs', each calibrated by its loss's weights alone\n\
                a voxel is foreground above calibrated probability 0.5000, the mean of the runs' 0.5000, 0.5000";
    assert_eq!(text, want);
    let text = Ensemble::new(vec![fitted(&a), fitted(&b)]).at(0.3).to_string();
    let want = "probabilities are the mean of 2 runs', each calibrated on its own validation cases\n\
                a voxel is foreground above calibrated probability 0.3000, as given";
    assert_eq!(text, want);
    let classes = decision(1.0, vec![0.0, -1.0], 0.0);
    let text = Ensemble::new(vec![classes.clone(), fitted(&classes)]).to_string();
    let want = "probabilities are the mean of 2 runs', each calibrated: 1 on validation cases, the others by the loss's weights alone\n\
                a voxel has the class of its largest mean probability";
    assert_eq!(text, want);
}

#[test]
fn members_of_an_older_rule_are_read_together_as_each_of_them_is() {
    let member = |rule: MaskRule| Decision { rule, ..decision(1.0, vec![0.0; 3], 0.0) };
    let rule =
        |rules: &[MaskRule]| Ensemble::new(rules.iter().map(|&rule| member(rule)).collect()).decision().rule;
    assert_eq!(rule(&[MaskRule::MostProbable; 2]), MaskRule::MostProbable);
    assert_eq!(rule(&[MaskRule::MostProbable, MaskRule::Foreground]), MaskRule::Foreground);
}
