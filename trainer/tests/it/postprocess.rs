//! Laws of what is done to a mask after it was predicted.

mod choose;

use proptest::prelude::*;
use trainer::predict::PostProcessing;

type Place = [usize; 3];

/// Masks of up to three foreground classes, from sparse to dense.
fn masks() -> impl Strategy<Value = (Place, Vec<u8>)> {
    ([1usize..5, 1usize..7, 1usize..7], 1u8..4, 1u32..9).prop_flat_map(|(shape, classes, share)| {
        let voxel = prop_oneof![share => Just(0u8), 10 - share => 1..=classes];
        (Just(shape), prop::collection::vec(voxel, shape.iter().product::<usize>()))
    })
}

fn settings() -> impl Strategy<Value = PostProcessing> {
    (0usize..6, any::<bool>(), any::<bool>()).prop_map(|(min_component, keep_largest, fill_holes)| {
        PostProcessing { min_component, keep_largest, fill_holes }
    })
}

fn place(i: usize, shape: Place) -> Place {
    [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]]
}

/// Whether two voxels touch: by a face, or, with `corners`, also by an edge or a corner.
fn touch(i: usize, j: usize, shape: Place, corners: bool) -> bool {
    let apart: Vec<_> = place(i, shape).iter().zip(place(j, shape)).map(|(a, b)| a.abs_diff(b)).collect();
    apart.iter().all(|&x| x <= 1) && (corners || apart.iter().sum::<usize>() == 1)
}

/// The voxels that one walks to from a voxel without leaving its label.
fn flood(mask: &[u8], shape: Place, start: usize, corners: bool) -> Vec<usize> {
    let (mut found, mut waiting) = (vec![start], vec![start]);
    while let Some(i) = waiting.pop() {
        for j in 0..mask.len() {
            if mask[j] == mask[start] && !found.contains(&j) && touch(i, j, shape, corners) {
                found.push(j);
                waiting.push(j);
            }
        }
    }
    found.sort_unstable();
    found
}

/// The components of the foreground (with corners) or of the background (by faces), by their first voxel.
fn components(mask: &[u8], shape: Place, foreground: bool) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    for start in (0..mask.len()).filter(|&i| (mask[i] > 0) == foreground) {
        if all.iter().all(|component| !component.contains(&start)) {
            all.push(flood(mask, shape, start, foreground));
        }
    }
    all
}

/// What the settings mean, by walking.
fn naive(settings: PostProcessing, mask: &[u8], shape: Place) -> Vec<u8> {
    let mut out = mask.to_vec();
    let all = components(mask, shape, true);
    for component in &all {
        let class = mask[component[0]];
        let rivals = all.iter().filter(|other| mask[other[0]] == class);
        let beaten = rivals.clone().any(|other| {
            other.len() > component.len() || other.len() == component.len() && other[0] < component[0]
        });
        if component.len() < settings.min_component || settings.keep_largest && beaten {
            component.iter().for_each(|&i| out[i] = 0);
        }
    }
    if settings.fill_holes {
        let opened = out.clone();
        for hole in components(&opened, shape, false) {
            let at_border = |&i: &usize| {
                let at = place(i, shape);
                (0..3).any(|a| shape[a] > 1 && (at[a] == 0 || at[a] == shape[a] - 1))
            };
            let around: std::collections::BTreeSet<u8> = (0..opened.len())
                .filter(|&j| opened[j] > 0 && hole.iter().any(|&i| touch(i, j, shape, false)))
                .map(|j| opened[j])
                .collect();
            if !hole.iter().any(at_border) && around.len() == 1 {
                hole.iter().for_each(|&i| out[i] = *around.first().unwrap());
            }
        }
    }
    out
}

fn applied(settings: PostProcessing, mask: &[u8], shape: Place) -> Vec<u8> {
    let mut mask = mask.to_vec();
    settings.apply(&mut mask, shape);
    mask
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_is_what_walking_from_voxel_to_voxel_gives((shape, mask) in masks(), settings in settings()) {
        prop_assert_eq!(applied(settings, &mask, shape), naive(settings, &mask, shape));
    }

    #[test]
    fn nothing_is_done_where_nothing_is_asked((shape, mask) in masks(), min_component in 0usize..2) {
        let off = PostProcessing { min_component, ..Default::default() };
        prop_assert!(off.is_off());
        prop_assert_eq!(applied(off, &mask, shape), mask);
    }

    #[test]
    fn twice_is_once((shape, mask) in masks(), settings in settings()) {
        let once = applied(settings, &mask, shape);
        prop_assert_eq!(applied(settings, &once, shape), once);
    }

    #[test]
    fn components_only_go_and_holes_only_fill((shape, mask) in masks(), settings in settings()) {
        let without = applied(PostProcessing { fill_holes: false, ..settings }, &mask, shape);
        prop_assert!(without.iter().zip(&mask).all(|(&after, &before)| after == before || after == 0));
        let only = PostProcessing { fill_holes: true, ..Default::default() };
        let filled = applied(only, &mask, shape);
        prop_assert!(filled.iter().zip(&mask).all(|(&after, &before)| after == before || before == 0));
    }

    #[test]
    fn no_class_comes_before_another((shape, mask) in masks(), settings in settings()) {
        let renamed = |mask: &[u8]| -> Vec<u8> { mask.iter().map(|&m| [0, 3, 1, 2][usize::from(m)]).collect() };
        prop_assert_eq!(
            applied(settings, &renamed(&mask), shape),
            renamed(&applied(settings, &mask, shape))
        );
    }
}

/// A plane, from digits.
fn plane(rows: &[&str]) -> (Place, Vec<u8>) {
    let mask = rows.iter().flat_map(|row| row.bytes().map(|digit| digit - b'0')).collect();
    ([1, rows.len(), rows[0].len()], mask)
}

#[test]
fn a_hole_is_filled_by_the_one_class_around_it() {
    let fill = PostProcessing { fill_holes: true, ..Default::default() };
    let rows = [
        "11111000", //
        "10001022", "10301020", "10001022", "11110022", "22222022", "20112020", "22222022",
    ];
    // The ring of ones closes by a corner, but the hole in it also borders a three; the second is bordered by two
    // classes; what touches the border is open.
    let (shape, mask) = plane(&rows);
    let (_, want) = plane(&rows);
    assert_eq!(applied(fill, &mask, shape), want);
    // Without the three the first is a hole of ones, also where the background leaks by a corner only.
    let ring = ["11111", "10001", "10001", "11110"];
    let full = ["11111", "11111", "11111", "11110"];
    let ((shape, mask), (_, want)) = (plane(&ring), plane(&full));
    assert_eq!(applied(fill, &mask, shape), want);
    // In a volume of several slices the same ring has no lid.
    let volume = [mask.clone(), mask.clone()].concat();
    assert_eq!(applied(fill, &volume, [2, shape[1], shape[2]]), volume);
}

#[test]
fn what_was_dropped_inside_another_class_is_a_hole_of_it() {
    let rows = ["1111", "1211", "1111"];
    let (shape, mask) = plane(&rows);
    let settings = PostProcessing { min_component: 2, fill_holes: true, ..Default::default() };
    assert_eq!(applied(settings, &mask, shape), vec![1; 12]);
}

#[test]
fn of_equally_large_components_the_first_stays() {
    let (shape, mask) = plane(&["110110", "000000", "020020"]);
    let (_, want) = plane(&["110000", "000000", "020000"]);
    let settings = PostProcessing { keep_largest: true, ..Default::default() };
    assert_eq!(applied(settings, &mask, shape), want);
    assert_eq!(settings.to_string(), "of each foreground class only the largest component is kept");
    let all = PostProcessing { min_component: 9, fill_holes: true, ..settings };
    let want = "of each foreground class components of fewer than 9 voxels are dropped, then only the largest component is kept, then holes are filled";
    assert_eq!(all.to_string(), want);
}
