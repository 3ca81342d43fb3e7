//! Laws of the distances between surfaces: values that a hand can check, and the definitions, word by word.

use metrics::{Connectivity, SurfaceDistances, distance_transform};
use proptest::prelude::*;

type Place = [usize; 3];

/// A mask with these voxels.
fn mask(shape: Place, voxels: &[Place]) -> Vec<bool> {
    let mut mask = vec![false; shape.iter().product()];
    voxels.iter().for_each(|&[d, h, w]| mask[(d * shape[1] + h) * shape[2] + w] = true);
    mask
}

/// The voxels of a box from `start`, `size` of them along d, h and w.
fn block(start: Place, size: Place) -> Vec<Place> {
    let along = |axis: usize| start[axis]..start[axis] + size[axis];
    along(0).flat_map(|d| along(1).flat_map(move |h| along(2).map(move |w| [d, h, w]))).collect()
}

fn places(shape: Place) -> Vec<Place> {
    block([0; 3], shape)
}

fn distances(truth: &[bool], prediction: &[bool], shape: Place, spacing: [f64; 3]) -> SurfaceDistances {
    SurfaceDistances::new(truth, prediction, shape, spacing, Connectivity::Six).unwrap()
}

/// √Σ(s·x)² between two voxels.
fn between(a: Place, b: Place, spacing: [f64; 3]) -> f64 {
    (0..3).map(|axis| (spacing[axis] * (a[axis] as f64 - b[axis] as f64)).powi(2)).sum::<f64>().sqrt()
}

/// Rounding of a root of a sum of three squares, found along two ways.
fn near(value: f64, want: f64) -> bool {
    value == want || (value - want).abs() <= 8.0 * f64::EPSILON * want
}

#[test]
fn a_cube_beside_itself_has_the_distances_of_a_hand_count() {
    let shape = [5, 5, 6];
    let (truth, prediction) =
        (mask(shape, &block([1, 1, 1], [3, 3, 3])), mask(shape, &block([1, 1, 2], [3, 3, 3])));
    let found = distances(&truth, &prediction, shape, [10.0, 1.5, 2.0]);
    // 26 of 27 voxels are surface. Of the truth's, the 9 on the far side are 2 mm off; the middle of the near
    // side lies on the prediction's centre, which is none of its surface, 1.5 mm from it; 16 coincide.
    assert_eq!((found.truth_to_prediction.len(), found.prediction_to_truth.len()), (26, 26));
    assert_eq!(found.asd_to_prediction(), Some(19.5 / 26.0));
    assert_eq!(found.asd_to_truth(), Some(19.5 / 26.0));
    assert_eq!(found.assd(), Some(19.5 / 26.0));
    assert_eq!((found.hd(), found.hd95()), (Some(2.0), Some(2.0)));
    let dice = [1.0, 1.5, 2.0].map(|tolerance| found.surface_dice(tolerance));
    assert_eq!(dice, [Some(16.0 / 26.0), Some(17.0 / 26.0), Some(1.0)]);
}

#[test]
fn the_two_directions_of_a_point_and_a_line_differ() {
    let shape = [1, 1, 10];
    let (point, line) = (mask(shape, &[[0, 0, 0]]), vec![true; 10]);
    let found = distances(&point, &line, shape, [1.0, 1.0, 1.0]);
    assert_eq!((found.asd_to_prediction(), found.asd_to_truth()), (Some(0.0), Some(4.5)));
    assert_eq!((found.assd(), found.hd()), (Some(45.0 / 11.0), Some(9.0)));
    // Of 0, 0, 1, …, 9 the 95th percentile lies at place 9.5, between 8 and 9.
    assert_eq!(found.hd95(), Some(8.5));
    assert_eq!(found.surface_dice(2.0), Some(4.0 / 11.0));
}

#[test]
fn a_voxel_is_surface_if_a_neighbour_of_the_connectivity_is_missing() {
    // A cube without one corner: only by that corner does the middle touch the outside.
    let shape = [3, 3, 3];
    let mut cube = vec![true; 27];
    cube[0] = false;
    for (connectivity, surface) in [(Connectivity::Six, 25), (Connectivity::TwentySix, 26)] {
        let found = SurfaceDistances::new(&cube, &cube, shape, [1.0; 3], connectivity).unwrap();
        assert_eq!(found.truth_to_prediction, vec![0.0; surface]);
    }
    assert_eq!(Connectivity::default(), Connectivity::Six);
}

#[test]
fn an_empty_mask_leaves_distances_undefined_and_surface_dice_zero() {
    let (some, none) = (mask([2, 2, 2], &[[0, 1, 1]]), vec![false; 8]);
    for (truth, prediction) in [(&some, &none), (&none, &some), (&none, &none)] {
        let found = distances(truth, prediction, [2, 2, 2], [1.0; 3]);
        let values =
            [found.hd(), found.hd95(), found.assd(), found.asd_to_truth(), found.asd_to_prediction()];
        assert_eq!(values, [None; 5]);
        let both_empty = truth == prediction;
        assert_eq!(found.surface_dice(100.0), (!both_empty).then_some(0.0));
    }
    assert_eq!(distance_transform(&none, [2, 2, 2], [1.0; 3]), [f64::INFINITY; 8]);
}

#[test]
fn spacings_that_measure_nothing_are_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-200, 1e200] {
        let error =
            SurfaceDistances::new(&[true], &[true], [1; 3], [1.0, bad, 1.0], Connectivity::Six).unwrap_err();
        assert!(error.to_string().contains("mm apart along d, h and w"), "{error}");
    }
}

#[test]
fn distances_have_the_same_bits_for_any_number_of_threads() {
    let shape = [9, 31, 17];
    let pick = |factor: usize| (0..9 * 31 * 17).map(|i: usize| i * factor % 101 < 7).collect::<Vec<_>>();
    let found = [1, 2, 5].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| distances(&pick(37), &pick(53), shape, [0.3, 0.7, 1.1]))
    });
    assert!(found[0] == found[1] && found[0] == found[2]);
}

/// Two masks of one shape, from empty to full, and the voxels' spacing.
fn pair() -> impl Strategy<Value = (Place, [f64; 3], Vec<bool>, Vec<bool>)> {
    let shape = [1usize..5, 1usize..7, 1usize..9];
    let spacing = prop::array::uniform3(0.1f64..7.0);
    (shape, spacing, 0.0f64..1.0, 0.0f64..1.0).prop_flat_map(|(shape, spacing, a, b)| {
        let voxels = shape.iter().product::<usize>();
        let mask = move |share| prop::collection::vec(prop::bool::weighted(share), voxels);
        (Just(shape), Just(spacing), mask(a), mask(b))
    })
}

/// The surface, as its definition reads.
fn surface(mask: &[bool], shape: Place, connectivity: Connectivity) -> Vec<Place> {
    let all = places(shape);
    let of_mask: Vec<Place> =
        all.iter().zip(mask).filter(|(_, set)| **set).map(|(&place, _)| place).collect();
    let (steps, full) = match connectivity {
        Connectivity::Six => (1, 6),
        Connectivity::TwentySix => (3, 26),
    };
    let are_neighbours = |a: &Place, b: &Place| {
        let apart = [0, 1, 2].map(|axis| a[axis].abs_diff(b[axis]));
        apart.iter().all(|&x| x <= 1) && (1..=steps).contains(&apart.iter().sum::<usize>())
    };
    let neighbours = |a: &Place| of_mask.iter().filter(|b| are_neighbours(a, b)).count();
    of_mask.iter().filter(|place| neighbours(place) < full).copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_transform_is_the_least_distance_of_all((shape, spacing, mask, _) in pair()) {
        let found = distance_transform(&mask, shape, spacing);
        let all = places(shape);
        for (&value, &from) in found.iter().zip(&all) {
            let to = all.iter().zip(&mask).filter(|(_, set)| **set);
            let want = to.map(|(&to, _)| between(from, to, spacing)).fold(f64::INFINITY, f64::min);
            prop_assert!(near(value, want), "{value} for {want} at {from:?}");
        }
    }

    #[test]
    fn distances_are_those_of_the_definition((shape, spacing, truth, prediction) in pair()) {
        for connectivity in [Connectivity::Six, Connectivity::TwentySix] {
            let found = SurfaceDistances::new(&truth, &prediction, shape, spacing, connectivity).unwrap();
            let (a, b) = (surface(&truth, shape, connectivity), surface(&prediction, shape, connectivity));
            for (values, from, to) in
                [(&found.truth_to_prediction, &a, &b), (&found.prediction_to_truth, &b, &a)]
            {
                prop_assert_eq!(values.len(), from.len());
                for (&value, &from) in values.iter().zip(from) {
                    let want = to.iter().map(|&to| between(from, to, spacing)).fold(f64::INFINITY, f64::min);
                    prop_assert!(near(value, want), "{value} for {want} at {from:?}");
                }
            }
        }
    }

    #[test]
    fn values_are_symmetric_ordered_and_reached((shape, spacing, truth, prediction) in pair()) {
        let there = distances(&truth, &prediction, shape, spacing);
        let back = distances(&prediction, &truth, shape, spacing);
        prop_assert_eq!((there.hd(), there.hd95()), (back.hd(), back.hd95()));
        // The sums run in another order.
        let rounding = (truth.len() * 2) as f64 * f64::EPSILON;
        let apart = there.assd().zip(back.assd()).map_or(0.0, |(a, b)| (a - b).abs() / a.max(1e-300));
        prop_assert!(apart <= rounding && there.assd().is_some() == back.assd().is_some(), "{apart}");
        prop_assert_eq!(there.asd_to_truth(), back.asd_to_prediction());
        prop_assert_eq!(there.surface_dice(1.0), back.surface_dice(1.0));
        if let (Some(hd), Some(hd95), Some(assd)) = (there.hd(), there.hd95(), there.assd()) {
            prop_assert!(hd95 <= hd && assd <= hd * (1.0 + 1e-12), "{hd95} and {assd} within {hd}");
            prop_assert_eq!(there.surface_dice(hd), Some(1.0));
            prop_assert_eq!(there.surface_dice(0.0) == Some(1.0), hd == 0.0);
        }
    }

    #[test]
    fn identical_masks_have_no_distance((shape, spacing, mask, _) in pair()) {
        let found = distances(&mask, &mask, shape, spacing);
        let some = mask.contains(&true);
        let values = [found.hd(), found.hd95(), found.assd()];
        prop_assert_eq!(values, [some.then_some(0.0); 3]);
        prop_assert_eq!(found.surface_dice(0.0), some.then_some(1.0));
    }

    #[test]
    fn a_shifted_voxel_is_as_far_as_it_was_shifted(
        axis in 0usize..3, k in 0usize..9, spacing in prop::array::uniform3(0.1f64..7.0),
    ) {
        let shape = [11, 10, 9];
        let mut to = [1, 0, 0];
        to[axis] += k;
        let found = distances(&mask(shape, &[[1, 0, 0]]), &mask(shape, &[to]), shape, spacing);
        let want = Some(k as f64 * spacing[axis]);
        prop_assert_eq!([found.hd(), found.hd95(), found.assd()], [want; 3]);
    }

    #[test]
    fn nothing_depends_on_the_volume_around_the_masks((shape, spacing, truth, prediction) in pair()) {
        let around = shape.map(|side| side + 3);
        let inside = |mask: &[bool]| {
            let mut wide = vec![false; around.iter().product()];
            for ([d, h, w], &set) in places(shape).into_iter().zip(mask) {
                wide[((d + 1) * around[1] + h + 2) * around[2] + w + 1] = set;
            }
            wide
        };
        let found = distances(&inside(&truth), &inside(&prediction), around, spacing);
        prop_assert_eq!(found, distances(&truth, &prediction, shape, spacing));
    }
}
