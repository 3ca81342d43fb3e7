//! Laws of resampling; values are held against SciPy's.

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Reference {
    size: [usize; 3],
    to: [usize; 3],
    orders: [u8; 3],
    values: Vec<f32>,
    expected: Vec<f32>,
}

#[test]
fn values_are_those_of_scipy() {
    let text = include_str!("../../../tests/fixtures/resample/expected.json");
    let references: Vec<Reference> = serde_json::from_str(text).unwrap();
    assert_eq!(references.len(), 10);
    for Reference { size, to, orders, values, expected } in references {
        let interpolation = orders.map(|order| match order {
            0 => Interpolation::Nearest,
            1 => Interpolation::Linear,
            _ => Interpolation::Cubic,
        });
        let found = resample(values, size, 1, to, interpolation);
        let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // Values reach 40, the gain of a filter 6 a pass: some 200 roundings of half an f32.
        assert!(found.len() == expected.len() && worst < 2e-4, "{size:?} to {to:?}: {worst}");
    }
}

#[test]
fn only_one_thick_axis_keeps_its_slices() {
    use Interpolation::{Cubic, Nearest};
    assert_eq!(per_axis([6.5, 0.78, 0.78], Cubic), [Nearest, Cubic, Cubic]);
    assert_eq!(per_axis([3.0, 1.0, 1.0], Cubic), [Cubic; 3]);
    assert_eq!(per_axis([1.0, 3.5, 1.0], Cubic), [Cubic, Nearest, Cubic]);
    assert_eq!(per_axis([4.0, 4.0, 1.0], Cubic), [Cubic; 3]);
}

#[test]
fn a_tie_is_not_the_background_s() {
    let to =
        |labels: &[u8]| resample_labels(labels, [1, 1, labels.len()], [1, 1, 1], [Interpolation::Linear; 3]);
    assert_eq!(to(&[0, 2]), [2]);
    assert_eq!(to(&[3, 0]), [3]);
    assert_eq!(to(&[7, 7]), [7]);
}

fn size() -> impl Strategy<Value = [usize; 3]> {
    prop::array::uniform3(1usize..9)
}

fn any_interpolation() -> impl Strategy<Value = [Interpolation; 3]> {
    let one = prop::sample::select(vec![Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic]);
    prop::array::uniform3(one)
}

proptest! {
    #[test]
    fn a_constant_stays_constant_and_channels_stay_apart(
        from in size(),
        to in size(),
        interpolation in any_interpolation(),
        value in -100.0f32..100.0,
    ) {
        let voxels: usize = from.iter().product();
        let image: Vec<f32> = (0..voxels).flat_map(|_| [value, -2.0 * value]).collect();
        for pair in resample(image, from, 2, to, interpolation).chunks_exact(2) {
            prop_assert!((pair[0] - value).abs() <= 1e-4 * value.abs().max(1.0), "{pair:?} {value}");
            prop_assert!((pair[1] + 2.0 * value).abs() <= 2e-4 * value.abs().max(1.0), "{pair:?} {value}");
        }
    }

    /// A line that rises evenly rises evenly on every grid, away from the borders.
    #[test]
    fn a_ramp_stays_a_ramp(n in 8usize..40, m in 8usize..40, axis in 0usize..3, cubic: bool) {
        let shape = |n: usize| std::array::from_fn(|a| if a == axis { n } else { 2 });
        let (from, to): ([usize; 3], [usize; 3]) = (shape(n), shape(m));
        let along = |shape: [usize; 3], i: usize| {
            [i / shape[2] / shape[1], i / shape[2] % shape[1], i % shape[2]][axis]
        };
        let image = (0..from.iter().product()).map(|i| along(from, i) as f32).collect();
        let kind = if cubic { Interpolation::Cubic } else { Interpolation::Linear };
        for (i, value) in resample(image, from, 1, to, [kind; 3]).into_iter().enumerate() {
            let at = (along(to, i) as f64 + 0.5) * n as f64 / m as f64 - 0.5;
            // The spline bends at the border, where the signal stops rising; half as much a voxel further in, and so on.
            let inside = at.min(n as f64 - 1.0 - at);
            let slack = if cubic { 0.3 * 0.27f64.powf(inside.max(0.0)) + 1e-4 } else { 1e-4 };
            if inside >= 0.0 {
                prop_assert!((f64::from(value) - at).abs() <= slack, "{value} for {at} of {n}");
            }
        }
    }

    #[test]
    fn no_label_is_invented(
        from in size(),
        to in size(),
        thick in prop::array::uniform3(any::<bool>()),
        seed in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 255]), 512),
    ) {
        let labels = &seed[..from.iter().product()];
        let kinds = thick.map(|t| if t { Interpolation::Nearest } else { Interpolation::Linear });
        let found = resample_labels(labels, from, to, kinds);
        prop_assert_eq!(found.len(), to.iter().product::<usize>());
        prop_assert!(found.iter().all(|label| labels.contains(label)));
    }

    /// Two classes: the label is where the interpolated indicator is at least one half.
    #[test]
    fn the_label_is_the_one_with_the_largest_share(
        from in size(),
        to in size(),
        seed in prop::collection::vec(0u8..2, 512),
    ) {
        let labels = &seed[..from.iter().product()];
        let found = resample_labels(labels, from, to, [Interpolation::Linear; 3]);
        let share = resample(labels.iter().map(|&l| f32::from(l)).collect(), from, 1, to, [Interpolation::Linear; 3]);
        for (label, share) in found.into_iter().zip(share) {
            prop_assert!((share - 0.5).abs() < 1e-5 || label == u8::from(share > 0.5), "{label} {share}");
        }
    }

    #[test]
    fn the_same_grid_changes_nothing(from in size(), seed in prop::collection::vec(-9.0f32..9.0, 512)) {
        let image = seed[..from.iter().product()].to_vec();
        prop_assert_eq!(resample(image.clone(), from, 1, from, [Interpolation::Cubic; 3]), image);
    }
}
