use std::borrow::Cow;

use proptest::prelude::*;
use volumes::{AxisOrder, Header};

use super::*;
use crate::dataset::IGNORE;
use crate::preprocess::{Case, Geometry, Preprocessing, Region};
use crate::random::{Purpose, generator};

fn case(shape: [usize; 3], channels: usize, spacing: [f32; 3]) -> Case {
    let voxels: usize = shape.iter().product();
    Case {
        name: "case".into(),
        image: (0..voxels * channels).map(|i| (i % 101) as f32 - 50.0).collect(),
        shape,
        channels,
        spacing,
        labels: Some((0..voxels).map(|i| (i % 5) as u8).collect()),
        file_labels: None,
        background: None,
        lost: Default::default(),
        geometry: Geometry::new(Header::new(&[1; 3], [[1.0; 4]; 4]), AxisOrder::ZYX, Preprocessing::NATIVE),
    }
}

/// A block of a case by itself.
fn cut(case: &Case, block: Block) -> Region<'static> {
    let (mut image, mut labels) = (Vec::new(), Vec::new());
    let whole = Region::of(case);
    for d in block.start[0]..block.start[0] + block.size[0] {
        for h in block.start[1]..block.start[1] + block.size[1] {
            for w in block.start[2]..block.start[2] + block.size[2] {
                let voxel = whole.index([d, h, w]);
                image.extend_from_slice(&case.image[voxel * case.channels..][..case.channels]);
                labels.push(whole.labels().expect("the case has labels")[voxel]);
            }
        }
    }
    Region {
        block,
        shape: case.shape,
        channels: case.channels,
        image: Cow::Owned(image),
        labels: Some(Cow::Owned(labels)),
    }
}

/// Bits of a patch's intensities, and its labels.
fn patch(region: &Region<'_>, size: [usize; 3], placement: &Placement) -> (Vec<u32>, Vec<u8>) {
    let voxels: usize = size.iter().product();
    let (mut image, mut labels) = (vec![f32::NAN; voxels * region.channels], vec![77; voxels]);
    extract(region, size, placement, &mut image, &mut labels);
    (image.into_iter().map(f32::to_bits).collect(), labels)
}

/// Everything that moves voxels, as strongly as it may, each with probability `p`.
fn moving(p: [bool; 3]) -> Augmentation {
    let [rotation_probability, scale_probability, elastic_probability] = p.map(|p| f64::from(u8::from(p)));
    Augmentation {
        rotation_probability,
        rotation_degrees: 180.0,
        scale_probability,
        scale_range: [0.4, 2.5],
        elastic_probability,
        elastic_spacing: 5.0,
        elastic_magnitude: 2.0,
        ..crate::config::Config::default().augmentation
    }
}

/// The place in the volume that a patch's voxel shows, by the formula.
fn place(placement: &Placement, size: [usize; 3], at: [usize; 3]) -> [f64; 3] {
    let Transform { matrix, elastic, .. } = &placement.transform;
    let mut bent = vec![[0.0; 3]; size[2]];
    if let Some(elastic) = elastic {
        let mut sums = elastic::Sums::default();
        elastic.plane(at[0], &mut sums);
        elastic.row(at[1], &mut sums, &mut bent);
    }
    let half = size.map(|p| (p as f64 - 1.0) / 2.0);
    let from: [f64; 3] = std::array::from_fn(|b| at[b] as f64 - half[b] + f64::from(bent[at[2]][b]));
    std::array::from_fn(|a| {
        placement.offset[a] as f64 + half[a] + (0..3).map(|b| matrix[a][b] * from[b]).sum::<f64>()
    })
}

/// The trilinear mean at a place, and the nearest label.
fn reference(case: &Case, at: [f64; 3], channel: usize) -> (f64, u8) {
    let index = |at: [f64; 3]| {
        let inside = (0..3).all(|a| at[a] >= 0.0 && at[a] < case.shape[a] as f64);
        inside.then(|| (0..3).fold(0, |i, a| i * case.shape[a] + at[a] as usize))
    };
    let mut value = 0.0;
    for corner in 0..8 {
        let step = [corner >> 2, corner >> 1 & 1, corner & 1].map(f64::from);
        let voxel: [f64; 3] = std::array::from_fn(|a| at[a].floor() + step[a]);
        let share: f64 = (0..3).map(|a| 1.0 - (at[a] - voxel[a]).abs()).product();
        value += share * index(voxel).map_or(0.0, |i| f64::from(case.image[i * case.channels + channel]));
    }
    let truth = case.labels.as_ref().expect("the case has labels");
    (value, index(at.map(|x| (x + 0.5).floor())).map_or(IGNORE, |i| truth[i]))
}

proptest! {
    #[test]
    fn the_voxels_that_a_patch_can_touch_are_all_that_it_needs(
        shape in prop::array::uniform3(1usize..14),
        size in prop::array::uniform3(1usize..9),
        channels in 1usize..3,
        offset in prop::array::uniform3(-10isize..14),
        thick in any::<bool>(),
        moves in prop::array::uniform3(any::<bool>()),
        seed in any::<u64>(),
    ) {
        let spacing = if thick { [5.0, 1.0, 0.7] } else { [1.0, 1.5, 1.2] };
        let case = case(shape, channels, spacing);
        let recipe = Recipe::new(&moving(moves), size, spacing);
        let transform = recipe.draw(&mut generator(seed, Purpose::Augmentation, 0));
        let placement = Placement { offset, transform };
        let block = placement.block(size, shape);
        prop_assert_eq!(
            patch(&cut(&case, block), size, &placement),
            patch(&Region::of(&case), size, &placement)
        );
        if moves == [false; 3] {
            // A copy needs no more than the voxels of the patch that lie in the volume.
            prop_assert!(block.voxels() <= size.iter().product());
        }
    }

    #[test]
    fn a_patch_shows_the_trilinear_mean_and_the_nearest_label_at_the_place_of_the_formula(
        shape in prop::array::uniform3(1usize..10),
        size in prop::array::uniform3(1usize..7),
        channels in 1usize..3,
        offset in prop::array::uniform3(-3isize..6),
        moves in prop::array::uniform3(any::<bool>()),
        seed in any::<u64>(),
    ) {
        let spacing = [1.0, 1.5, 1.2];
        let case = case(shape, channels, spacing);
        let recipe = Recipe::new(&moving(moves), size, spacing);
        let transform = recipe.draw(&mut generator(seed, Purpose::Augmentation, 0));
        let placement = Placement { offset, transform };
        let (image, labels) = patch(&Region::of(&case), size, &placement);
        for voxel in 0..labels.len() {
            let at = place(&placement, size, [voxel / (size[1] * size[2]), voxel / size[2] % size[1], voxel % size[2]]);
            // Three shares that are each rounded, of differences up to 100, and seven means of two.
            let slack = 16.0 * f64::from(f32::EPSILON) * 100.0;
            for channel in 0..channels {
                let (want, got) = (reference(&case, at, channel).0, f32::from_bits(image[voxel * channels + channel]));
                prop_assert!((f64::from(got) - want).abs() <= slack, "{} for {} at {:?}", got, want, at);
            }
            // Half-way between two voxels either is the nearest.
            if at.iter().all(|x| (x - x.floor() - 0.5).abs() > 1e-6) {
                prop_assert_eq!(labels[voxel], reference(&case, at, 0).1);
            }
        }
    }

    #[test]
    fn no_voxel_moves_further_than_a_control_point_and_none_passes_its_neighbour(
        size in prop::array::uniform3(1usize..20),
        knots in prop::array::uniform3(1.0f64..30.0),
        share in 0.0f64..=0.4,
        seed in any::<u64>(),
    ) {
        let most = knots.map(|knots| knots * share);
        let field = Elastic::draw(size, knots, most, &mut generator(seed, Purpose::Augmentation, 0));
        let [d, h, w] = size;
        let (mut all, mut row, mut sums) = (Vec::new(), vec![[0.0; 3]; w], elastic::Sums::default());
        for d in 0..d {
            field.plane(d, &mut sums);
            for h in 0..h {
                field.row(h, &mut sums, &mut row);
                all.extend_from_slice(&row);
            }
        }
        let step = [h * w, w, 1];
        for (i, u) in all.iter().enumerate() {
            let at = [i / (h * w), i / w % h, i % w];
            for a in 0..3 {
                prop_assert!(f64::from(u[a].abs()) <= field.reach()[a], "{} of {}", u[a], most[a]);
                if at[a] + 1 < size[a] {
                    // A spline's slope is at most the difference of two control points over their distance: 0.8.
                    let way = f64::from(all[i + step[a]][a] - u[a]);
                    prop_assert!(way.abs() <= 2.0 * share + 1e-5 * (1.0 + most[a]), "{} in one voxel", way);
                }
            }
        }
    }
}

#[test]
fn a_field_is_the_sum_of_splines_over_its_control_points() {
    // The cubic B-spline, centred at 0.
    let spline = |t: f64| match t.abs() {
        t if t < 1.0 => 2.0 / 3.0 - t * t + t * t * t / 2.0,
        t if t < 2.0 => (2.0 - t).powi(3) / 6.0,
        _ => 0.0,
    };
    let (size, knots) = ([5, 9, 7], [2.5, 3.0, 4.0]);
    let draw = || Elastic::draw(size, knots, [1.0; 3], &mut generator(3, Purpose::Augmentation, 0));
    // The control points, drawn again in their order.
    let grid = [0, 1, 2].map(|a| ((size[a] - 1) as f64 / knots[a]).floor() as usize + 4);
    let mut rng = generator(3, Purpose::Augmentation, 0);
    let mut point = || [(); 3].map(|()| rng.random_range(-1.0..=1.0));
    let control: Vec<[f64; 3]> = (0..grid.iter().product()).map(|_| point()).collect();
    let (field, mut sums, mut row) = (draw(), elastic::Sums::default(), vec![[0.0; 3]; size[2]]);
    for (d, h) in (0..size[0]).flat_map(|d| (0..size[1]).map(move |h| (d, h))) {
        field.plane(d, &mut sums);
        field.row(h, &mut sums, &mut row);
        for w in 0..size[2] {
            let mut want = [0.0; 3];
            for (i, c) in control.iter().enumerate() {
                let at = [i / (grid[1] * grid[2]), i / grid[2] % grid[1], i % grid[2]];
                let t = |a: usize| [d, h, w][a] as f64 / knots[a] - (at[a] as f64 - 1.0);
                let weight: f64 = (0..3).map(|a| spline(t(a))).product();
                (0..3).for_each(|a| want[a] += weight * c[a]);
            }
            for a in 0..3 {
                // 12 products of numbers up to 1, rounded to f32.
                assert!((f64::from(row[w][a]) - want[a]).abs() < 16.0 * f64::from(f32::EPSILON));
            }
        }
    }
}

/// A channel of a patch of this shape.
fn channel(shape: [usize; 3], seed: u64) -> Vec<f32> {
    let mut rng = generator(seed, Purpose::Augmentation, 1);
    (0..shape.iter().product()).map(|_| rng.random_range(-3.0..5.0)).collect()
}

fn bounds(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)))
}

fn moments(values: &[f32]) -> (f64, f64) {
    crate::preprocess::mean_sd(values.iter().copied())
}

proptest! {
    #[test]
    fn blur_is_the_mean_under_a_gaussian_in_three_dimensions(
        shape in prop::array::uniform3(1usize..7),
        sigma in prop::array::uniform3(prop_oneof![Just(0.0), 0.3f64..1.5]),
        seed in any::<u64>(),
    ) {
        let before = channel(shape, seed);
        let mut after = before.clone();
        filter::blur(&mut after, shape, sigma);
        let radius = sigma.map(|s| (3.0 * s).ceil() as isize);
        let weight = |a: usize, i: isize| if sigma[a] > 0.0 { (-0.5 * (i as f64 / sigma[a]).powi(2)).exp() } else { 1.0 };
        for (voxel, &got) in after.iter().enumerate() {
            let at = [voxel / (shape[1] * shape[2]), voxel / shape[2] % shape[1], voxel % shape[2]];
            let (mut sum, mut weights) = (0.0, 0.0);
            for d in -radius[0]..=radius[0] {
                for h in -radius[1]..=radius[1] {
                    for w in -radius[2]..=radius[2] {
                        let from = |a: usize, i: isize| (at[a] as isize + i).clamp(0, shape[a] as isize - 1) as usize;
                        let index = (from(0, d) * shape[1] + from(1, h)) * shape[2] + from(2, w);
                        let share = weight(0, d) * weight(1, h) * weight(2, w);
                        sum += share * f64::from(before[index]);
                        weights += share;
                    }
                }
            }
            // Three sums of up to 11 products of numbers up to 5.
            let slack = 3.0 * 12.0 * 5.0 * f64::from(f32::EPSILON);
            prop_assert!((f64::from(got) - sum / weights).abs() <= slack, "{} for {}", got, sum / weights);
        }
    }

    #[test]
    fn low_resolution_stays_between_the_voxels_that_it_keeps(
        shape in prop::array::uniform3(1usize..9),
        zoom in prop::array::uniform3(prop_oneof![Just(1.0), 0.05f64..1.0]),
        seed in any::<u64>(),
    ) {
        let before = channel(shape, seed);
        let mut after = before.clone();
        filter::low_resolution(&mut after, shape, zoom);
        let ((low, high), (least, most)) = (bounds(&before), bounds(&after));
        let slack = 8.0 * 5.0 * f32::EPSILON;
        prop_assert!(least >= low - slack && most <= high + slack);
        if zoom == [1.0; 3] {
            prop_assert_eq!(&after, &before);
        }
        if zoom.iter().all(|zoom| zoom * 8.0 < 0.5) {
            prop_assert!(after.iter().all(|&v| v == after[0]), "one voxel is kept, the same everywhere");
        }
        let mut flat = vec![2.5; before.len()];
        filter::low_resolution(&mut flat, shape, zoom);
        prop_assert!(flat.iter().all(|v| (v - 2.5).abs() <= slack));
    }

    #[test]
    fn contrast_keeps_the_mean_or_the_range(
        factor in 0.0f32..3.0,
        clip in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let before = channel([3, 4, 5], seed);
        let mut after = before.clone();
        intensity::contrast(&mut after, factor, clip);
        let ((low, high), (least, most)) = (bounds(&before), bounds(&after));
        // Of numbers up to 3 x 8 + 5.
        let slack = 4.0 * 29.0 * f32::EPSILON;
        if clip {
            prop_assert!(least >= low && most <= high);
        } else {
            let ((mean, sd), (same, wider)) = (moments(&before), moments(&after));
            prop_assert!((same - mean).abs() <= f64::from(slack));
            prop_assert!((wider - f64::from(factor) * sd).abs() <= f64::from(slack));
        }
    }

    #[test]
    fn gamma_keeps_the_order_the_mean_and_the_deviation(
        exponent in 0.2f32..5.0,
        inverted in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let before = channel([3, 4, 5], seed);
        let mut after = before.clone();
        intensity::gamma(&mut after, exponent, inverted);
        let ((mean, sd), (same_mean, same_sd)) = (moments(&before), moments(&after));
        // Numbers below 64, rounded once: their range is at most sqrt(60) deviations.
        let slack = 64.0 * f64::from(f32::EPSILON);
        prop_assert!((same_mean - mean).abs() <= slack && (same_sd - sd).abs() <= slack);
        let mut order: Vec<usize> = (0..before.len()).collect();
        order.sort_by(|&a, &b| before[a].total_cmp(&before[b]));
        prop_assert!(order.windows(2).all(|pair| after[pair[0]] <= after[pair[1]]));
    }
}

#[test]
fn every_second_voxel_of_a_ramp_is_kept_and_the_way_between_them_is_straight() {
    let mut ramp: Vec<f32> = (0..8).map(|i| i as f32).collect();
    filter::low_resolution(&mut ramp, [1, 1, 8], [1.0, 1.0, 0.5]);
    // 1, 3, 5 and 7 are kept, and lie at 0.5, 2.5, 4.5 and 6.5.
    assert_eq!(ramp, [1.0, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.0]);
}

#[test]
fn gamma_above_1_darkens_and_inverted_brightens_the_middle() {
    let ramp: Vec<f32> = (0..=100).map(|i| i as f32).collect();
    let middle = |inverted| {
        let mut values = ramp.clone();
        intensity::gamma(&mut values, 2.0, inverted);
        // Where the middle lies between the ends, which a change of mean and deviation does not alter.
        (values[50] - values[0]) / (values[100] - values[0])
    };
    assert!((middle(false) - 0.25).abs() < 1e-5 && (middle(true) - 0.75).abs() < 1e-5);
    let mut flat = vec![3.0; 9];
    intensity::gamma(&mut flat, 2.0, false);
    assert_eq!(flat, [3.0; 9]);
}
