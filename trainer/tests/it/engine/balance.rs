//! Laws of which cases and classes are met how often. Every number follows from the seed of the configuration, so a test
//! that passes passes always.

use trainer::preprocess::Case;
use trainer::training::Sampler;

use super::sampler::{config, labels};
use super::small;

/// Patches for one frequency.
const PATCHES: usize = 1200;

/// A case whose voxels hold its index, and the labels in turn.
fn case(index: usize, labels: &[u8]) -> Case {
    let mut case = small::case([4, 6, 6], 1, 2, 0);
    case.image.fill(index as f32);
    case.labels = Some((0..case.voxels()).map(|i| labels[i % labels.len()]).collect());
    case
}

/// How often patches of one voxel are of each case and label.
fn met(cases: &[Case], set: &[&str]) -> Vec<Vec<f64>> {
    let set = [set, &["data.batch_size=4"]].concat();
    let sampler = Sampler::new(cases, [1; 3], &config([1; 3], &set));
    let mut counts = vec![vec![0u32; 4]; cases.len()];
    for step in 0..PATCHES as u64 / 4 {
        let batch = sampler.batch(step).unwrap();
        for (index, label) in batch.image.data().iter().zip(labels(&batch)) {
            counts[*index as usize][label as usize] += 1;
        }
    }
    let share = |count: u32| f64::from(count) / PATCHES as f64;
    counts.into_iter().map(|labels| labels.into_iter().map(share).collect()).collect()
}

/// Within five standard errors of a Bernoulli mean.
fn near(share: f64, probability: f64) -> bool {
    let error = (probability * (1.0 - probability) / PATCHES as f64).sqrt();
    // Sums of shares are rounded.
    (share - probability).abs() <= 5.0 * error + 8.0 * f64::EPSILON
}

/// Cases with foreground of one to three classes, and one without.
fn cases() -> Vec<Case> {
    let sets: [&[u8]; 5] = [&[0, 1], &[0, 1, 1, 2], &[0], &[0, 0, 0, 3, 1], &[0, 1, 1, 1, 1, 1, 1, 1, 2, 3]];
    sets.iter().enumerate().map(|(index, labels)| case(index, labels)).collect()
}

/// Which classes each of [`cases`] holds.
const HELD: [&[usize]; 5] = [&[1], &[1, 2], &[], &[1, 3], &[1, 2, 3]];

#[test]
fn by_case_each_case_with_foreground_and_each_of_its_classes_is_met_as_often() {
    let shares = met(&cases(), &["data.foreground_share=1", "data.balance=case"]);
    for (case, shares) in shares.iter().enumerate() {
        for (class, &share) in shares.iter().enumerate() {
            let held = HELD[case].contains(&class);
            let want = if held { 1.0 / 4.0 / HELD[case].len() as f64 } else { 0.0 };
            assert!(near(share, want), "case {case}, class {class}: {share} for {want}");
        }
    }
}

#[test]
fn by_class_each_class_and_each_case_that_holds_it_is_met_as_often() {
    let shares = met(&cases(), &["data.foreground_share=1", "data.balance=class"]);
    for (case, shares) in shares.iter().enumerate() {
        for (class, &share) in shares.iter().enumerate() {
            let holders = HELD.iter().filter(|held| held.contains(&class)).count() as f64;
            let want = if HELD[case].contains(&class) { 1.0 / 3.0 / holders } else { 0.0 };
            assert!(near(share, want), "case {case}, class {class}: {share} for {want}");
        }
    }
}

#[test]
fn cases_without_foreground_are_met_as_they_come_or_no_more_often_than_is_said() {
    let cases: Vec<Case> = (0..5).map(|index| case(index, if index == 2 { &[0, 1] } else { &[0] })).collect();
    for (bound, want) in [("auto", 0.8), ("1", 0.8), ("0.8", 0.8), ("0.3", 0.3), ("0", 0.0)] {
        let bound = format!("data.empty_share={bound}");
        let shares = met(&cases, &["data.foreground_share=0", &bound]);
        let of_case: Vec<f64> = shares.iter().map(|labels| labels.iter().sum()).collect();
        for case in [0, 1, 3, 4] {
            assert!(near(of_case[case], want / 4.0), "{bound}, case {case}: {of_case:?}");
        }
        assert!(near(of_case[2], 1.0 - want), "{bound}: {of_case:?}");
    }
}

#[test]
fn a_bound_on_cases_without_foreground_leaves_the_foreground_s_share_alone() {
    let cases: Vec<Case> =
        (0..4).map(|index| case(index, if index == 0 { &[0, 0, 0, 1] } else { &[0] })).collect();
    let shares = met(&cases, &["data.foreground_share=0.5", "data.empty_share=0.2"]);
    // Half around the foreground; of the other half a fifth without any, and a quarter of the rest meets it by chance.
    assert!(near(shares[0][1], 0.5 + 0.5 * 0.8 * 0.25), "{shares:?}");
    assert!(near(shares[1..].iter().flatten().sum(), 0.5 * 0.2), "{shares:?}");
}

#[test]
fn without_any_foreground_every_case_is_met_whatever_is_said() {
    let cases: Vec<Case> = (0..3).map(|index| case(index, &[0])).collect();
    for balance in ["data.balance=case", "data.balance=class"] {
        let shares = met(&cases, &["data.foreground_share=1", "data.empty_share=0", balance]);
        assert!(shares.iter().all(|labels| near(labels[0], 1.0 / 3.0)), "{balance}: {shares:?}");
    }
    // And with foreground in all, there is nothing to bound.
    let cases: Vec<Case> = (0..3).map(|index| case(index, &[0, 1])).collect();
    let shares = met(&cases, &["data.foreground_share=0", "data.empty_share=0.5"]);
    assert!(shares.iter().all(|labels| near(labels.iter().sum(), 1.0 / 3.0)), "{shares:?}");
}
