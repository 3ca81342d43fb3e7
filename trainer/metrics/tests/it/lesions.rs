//! Laws of connected components and of what is counted with them.

use metrics::{Components, Connectivity, LesionCounts};
use proptest::prelude::*;

type Place = [usize; 3];

const BOTH: [Connectivity; 2] = [Connectivity::Six, Connectivity::TwentySix];

/// A mask of one row, from `#` and anything else.
fn row(text: &str) -> Vec<bool> {
    text.chars().map(|c| c == '#').collect()
}

fn counts(truth: &str, prediction: &str) -> LesionCounts {
    LesionCounts::new(&row(truth), &row(prediction), [1, 1, truth.len()], Connectivity::TwentySix)
}

/// Components by walking from voxel to voxel.
fn flood(mask: &[bool], shape: Place, connectivity: Connectivity) -> (Vec<u32>, u32) {
    let place = |i: usize| [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
    let steps = if connectivity == Connectivity::Six { 1 } else { 3 };
    let are_neighbours = |i: usize, j: usize| {
        let apart: Vec<_> = place(i).iter().zip(place(j)).map(|(a, b)| a.abs_diff(b)).collect();
        apart.iter().all(|&x| x <= 1) && apart.iter().sum::<usize>() <= steps
    };
    let (mut labels, mut count) = (vec![0; mask.len()], 0);
    for start in 0..mask.len() {
        if !mask[start] || labels[start] > 0 {
            continue;
        }
        count += 1;
        labels[start] = count;
        let mut waiting = vec![start];
        while let Some(i) = waiting.pop() {
            for j in 0..mask.len() {
                if mask[j] && labels[j] == 0 && are_neighbours(i, j) {
                    labels[j] = count;
                    waiting.push(j);
                }
            }
        }
    }
    (labels, count)
}

#[test]
fn lesions_are_found_missed_and_invented_one_by_one() {
    // Found, missed, and one covered together with its neighbour; one predicted where nothing is.
    let found = counts("##..#..#.##....", ".#.....####..##");
    assert_eq!(found, LesionCounts { lesions: 4, found: 3, predicted: 3, false_positives: 1 });
    assert_eq!((found.recall(), found.precision()), (Some(0.75), Some(2.0 / 3.0)));
    let mut sum = found;
    sum.merge(&counts("#.#", "..."));
    assert_eq!(sum, LesionCounts { lesions: 6, found: 3, predicted: 3, false_positives: 1 });
}

#[test]
fn a_neighbour_that_does_not_overlap_finds_nothing() {
    let found = counts("##..", "..##");
    assert_eq!(found, LesionCounts { lesions: 1, found: 0, predicted: 1, false_positives: 1 });
}

#[test]
fn without_lesions_recall_and_without_predictions_precision_is_undefined() {
    let (invented, missed) = (counts("...", "#.#"), counts("#.#", "..."));
    assert_eq!((invented.recall(), invented.precision()), (None, Some(0.0)));
    assert_eq!((missed.recall(), missed.precision()), (Some(0.0), None));
    assert_eq!((LesionCounts::default().recall(), LesionCounts::default().precision()), (None, None));
}

#[test]
fn a_spiral_is_one_component_whatever_order_its_parts_are_met_in() {
    let rows = [
        "#########", //
        "#.......#",
        "#.#####.#",
        "#.#...#.#",
        "#.#.#.#.#",
        "#.#.###.#",
        "#.#.....#",
        "#.#######",
    ];
    let mask: Vec<bool> = rows.iter().flat_map(|text| row(text)).collect();
    for connectivity in BOTH {
        assert_eq!(Components::new(&mask, [1, 8, 9], connectivity).count, 1);
        assert_eq!(Components::new(&mask, [8, 1, 9], connectivity).count, 1);
    }
}

/// Masks from empty to full.
fn masks() -> impl Strategy<Value = (Place, Vec<bool>, Vec<bool>)> {
    ([1usize..5, 1usize..6, 1usize..7], 0.0f64..1.0).prop_flat_map(|(shape, share)| {
        let mask = || prop::collection::vec(prop::bool::weighted(share), shape.iter().product::<usize>());
        (Just(shape), mask(), mask())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn components_are_those_of_a_flood_fill((shape, mask, _) in masks()) {
        for connectivity in BOTH {
            let found = Components::new(&mask, shape, connectivity);
            prop_assert_eq!((found.labels, found.count), flood(&mask, shape, connectivity));
        }
    }

    #[test]
    fn counts_are_those_of_a_flood_fill((shape, truth, prediction) in masks()) {
        for connectivity in BOTH {
            let met = |of: &[bool], by: &[bool]| {
                let (labels, count) = flood(of, shape, connectivity);
                let met = (1..=count).filter(|&label| {
                    labels.iter().zip(by).any(|(&other, &set)| other == label && set)
                });
                (u64::from(count), met.count() as u64)
            };
            let (lesions, found) = met(&truth, &prediction);
            let (predicted, right) = met(&prediction, &truth);
            let want = LesionCounts { lesions, found, predicted, false_positives: predicted - right };
            prop_assert_eq!(LesionCounts::new(&truth, &prediction, shape, connectivity), want);
        }
    }
}
