//! Laws of sliding-window inference with real networks.

use autograd::{Tape, Tensor};
use losses::{LossConfig, WeightConfig};
use nn::Module;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use trainer::config::Mirror;
use trainer::predict::{Calibration, Decision, Logits, SlidingWindow};
use trainer::preprocess::Grids;
use unet3d::{Norm, UNet3d, UNet3dConfig};
use volumes::Grid;

use crate::support::small;

const PATCH: [usize; 3] = [4, 8, 8];

fn network(in_channels: usize, out_channels: usize) -> UNet3d<f32> {
    let config =
        UNet3dConfig { in_channels, out_channels, base_channels: 2, levels: 2, ..Default::default() };
    UNet3d::new(config, &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
}

/// A network that sees one voxel at a time, so that its logits do not depend on where a patch lies.
fn voxelwise() -> UNet3d<f32> {
    let config = UNet3dConfig {
        base_channels: 3,
        levels: 1,
        kernels: vec![[1; 3]],
        norm: Norm::Batch,
        out_channels: 2,
        ..Default::default()
    };
    let mut model = UNet3d::new(config, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    model.set_head_bias(&[0.5, -0.25]).unwrap();
    model
}

fn image(shape: [usize; 3], channels: usize) -> Vec<f32> {
    (0..shape.iter().product::<usize>() * channels).map(small::noise).collect()
}

/// The logits of a whole volume in one pass.
fn at_once(model: &UNet3d<f32>, image: &[f32], shape: [usize; 3]) -> Vec<f32> {
    let [d, h, w] = shape;
    let tape = Tape::no_grad();
    let input = Tensor::from_slice([1, d, h, w, model.config().in_channels], image);
    model.forward(tape.constant(input)).unwrap().into_value().data().to_vec()
}

fn window(patch: [usize; 3], overlap: f64, mirror: bool) -> SlidingWindow {
    let mirror = if mirror { Mirror::ALL } else { Mirror::NONE };
    SlidingWindow { patch, overlap, mirror }
}

fn run(window: SlidingWindow, model: &UNet3d<f32>, image: &[f32], shape: [usize; 3]) -> Logits {
    window.run(model, image, shape, |_, _| true).unwrap()
}

/// The largest difference, as a share of the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(f32::MIN_POSITIVE, |m, v| m.max(v.abs()));
    a.iter().zip(b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

/// A volume's voxels mirrored along some axes.
fn mirrored(values: &[f32], shape: [usize; 3], channels: usize, flips: [bool; 3]) -> Vec<f32> {
    let place = |a: usize, i: usize| if flips[a] { shape[a] - 1 - i } else { i };
    let voxels = values.len() / channels;
    let from = (0..voxels).map(|i| [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]]);
    from.flat_map(|[d, h, w]| {
        let voxel = (place(0, d) * shape[1] + place(1, h)) * shape[2] + place(2, w);
        values[voxel * channels..][..channels].to_vec()
    })
    .collect()
}

#[test]
fn a_volume_of_the_patchs_size_is_one_plain_pass() {
    for (inputs, outputs) in [(1, 1), (2, 3)] {
        let model = network(inputs, outputs);
        let image = image(PATCH, inputs);
        for overlap in [0.0, 0.5, 0.9] {
            let logits = run(window(PATCH, overlap, false), &model, &image, PATCH);
            assert_eq!((logits.shape, logits.channels), (PATCH, outputs));
            // z · g / g is rounded twice.
            assert!(difference(&logits.values, &at_once(&model, &image, PATCH)) <= 2.0 * f32::EPSILON);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_each_voxel_is_does_not_depend_on_how_the_volume_is_covered(
        shape in prop::array::uniform3(1usize..14),
        patch in prop::array::uniform3(1usize..9),
        overlap in 0.0f64..0.9,
        mirror in any::<bool>(),
    ) {
        // Smaller than the patch, equal, larger: per axis. The padding must not leak into the mean.
        let model = voxelwise();
        let image = image(shape, 1);
        let logits = run(window(patch, overlap, mirror), &model, &image, shape);
        // At most 8³ patches cover a voxel with overlap below 0.9 along three axes of 8 voxels; each sum rounds once.
        let bound = (512.0 + 16.0) * f32::EPSILON;
        let difference = difference(&logits.values, &at_once(&model, &image, shape));
        prop_assert!(difference <= bound, "{difference} > {bound}");
    }
}

#[test]
fn a_volume_smaller_than_the_patch_is_padded_with_0_on_both_sides() {
    let model = network(1, 1);
    let shape = [2, 5, 8];
    let image = image(shape, 1);
    let mut padded = vec![0.0; PATCH.iter().product()];
    // (4 − 2)/2 and (8 − 5)/2 rounded down are in front.
    let at = |d: usize, h: usize, w: usize| ((d + 1) * 8 + h + 1) * 8 + w;
    let voxels = || (0..2).flat_map(|d| (0..5).flat_map(move |h| (0..8).map(move |w| (d, h, w))));
    voxels().zip(&image).for_each(|((d, h, w), &v)| padded[at(d, h, w)] = v);
    let whole = at_once(&model, &padded, PATCH);
    let want: Vec<f32> = voxels().map(|(d, h, w)| whole[at(d, h, w)]).collect();
    let logits = run(window(PATCH, 0.5, false), &model, &image, shape);
    assert_eq!(logits.shape, shape);
    assert!(difference(&logits.values, &want) <= 2.0 * f32::EPSILON);
}

#[test]
fn without_overlap_each_patch_is_a_pass_of_its_own() {
    let model = network(1, 2);
    let shape = [4, 8, 16];
    let image = image(shape, 1);
    let logits = run(window(PATCH, 0.0, false), &model, &image, shape);
    for half in 0..2 {
        let part = |values: &[f32], channels: usize| -> Vec<f32> {
            values
                .chunks_exact(16 * channels)
                .flat_map(|row| row[half * 8 * channels..][..8 * channels].to_vec())
                .collect()
        };
        let alone = at_once(&model, &part(&image, 1), PATCH);
        assert!(difference(&part(&logits.values, 2), &alone) <= 2.0 * f32::EPSILON);
    }
}

#[test]
fn the_mean_over_mirror_images_mirrors_with_its_volume() {
    let model = network(2, 3);
    for shape in [PATCH, [7, 8, 13], [3, 5, 6]] {
        let image = image(shape, 2);
        let logits = run(window(PATCH, 0.5, true), &model, &image, shape);
        let plain = run(window(PATCH, 0.5, false), &model, &image, shape);
        assert!(difference(&plain.values, &logits.values) > 1e-3, "mirroring does something");
        for flips in [[true, false, false], [false, true, false], [false, false, true], [true; 3]] {
            // Patches lie in the same places from both ends only where the gaps come out even.
            if shape != PATCH
                && (0..3).any(|a| flips[a] && (shape[a] < PATCH[a] || (shape[a] - PATCH[a]) % 2 == 1))
            {
                continue;
            }
            let turned = run(window(PATCH, 0.5, true), &model, &mirrored(&image, shape, 2, flips), shape);
            let back = mirrored(&turned.values, shape, 3, flips);
            // The same eight passes are added in another order, and at most 27 patches.
            let bound = 64.0 * f32::EPSILON;
            let difference = difference(&back, &logits.values);
            assert!(difference <= bound, "{shape:?} {flips:?}: {difference} > {bound}");
        }
    }
}

#[test]
fn a_mask_that_is_streamed_is_the_mask_of_all_logits() {
    let mut seen = std::collections::BTreeSet::new();
    for (outputs, shape) in [(1, [9, 17, 12]), (4, [11, 8, 9]), (3, [2, 5, 30])] {
        let model = network(1, outputs);
        let image = image(shape, 1);
        let window = window(PATCH, 0.6, true);
        let logits = run(window, &model, &image, shape);
        let pipeline = small::pipeline(window, outputs);
        let grids = Grids::of_whole(Grid { size: shape, spacing: [1.0; 3] });
        let mask = pipeline.mask(&model, &image, &grids, |_, _| true).unwrap();
        assert_eq!(mask, pipeline.decision.classes(&logits.values));
        seen.extend(mask);
    }
    assert!(seen.len() > 1, "there is something to see");
}

#[test]
fn the_number_of_threads_changes_no_logit() {
    let model = network(1, 3);
    let shape = [9, 17, 12];
    let image = image(shape, 1);
    let [one, two, three] = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(window(PATCH, 0.5, true), &model, &image, shape))
    });
    assert!(one == two && one == three);
}

#[test]
fn progress_counts_the_patches_and_can_stop_the_work() {
    let model = network(1, 1);
    let shape = [4, 16, 16];
    let mut seen = Vec::new();
    let count = |done, total| {
        seen.push((done, total));
        true
    };
    window(PATCH, 0.5, false).run(&model, &image(shape, 1), shape, count).unwrap();
    assert_eq!(seen, (1..=9).map(|i| (i, 9)).collect::<Vec<_>>());
    let mut calls = 0;
    let stopped = window(PATCH, 0.5, false).run(&model, &image(shape, 1), shape, |_, _| {
        calls += 1;
        calls < 2
    });
    assert_eq!((stopped.unwrap_err().to_string(), calls), ("stopped".into(), 2));
}

#[test]
fn a_volume_with_other_channels_is_refused() {
    let model = network(2, 1);
    let error = window(PATCH, 0.5, false).run(&model, &image(PATCH, 3), PATCH, |_, _| true).unwrap_err();
    assert_eq!(error.to_string(), "the volume has 3 channels, the model expects 2");
    let error = window(PATCH, 0.5, false).run(&model, &[], [0, 8, 8], |_, _| true).unwrap_err();
    assert!(error.to_string().contains("the model expects 2"), "{error}");
    assert_eq!(model.parameter_count(), network(2, 1).parameter_count());
}

#[test]
fn probabilities_sum_to_1_and_the_threshold_is_on_them() {
    let model = network(1, 3);
    let image = image(PATCH, 1);
    let logits = run(window(PATCH, 0.5, false), &model, &image, PATCH);
    for p in logits.probabilities(&Calibration::identity(3)).chunks_exact(3) {
        // Three quotients and two sums, each rounded once.
        assert!((p.iter().sum::<f32>() - 1.0).abs() <= 5.0 * f32::EPSILON, "{p:?}");
        assert!(p.iter().all(|p| (0.0..=1.0).contains(p)));
    }
    let one = network(1, 1);
    let logits = run(window(PATCH, 0.5, false), &one, &image, PATCH);
    let probabilities = logits.probabilities(&Calibration::identity(1));
    let near = |p: f32, t: f64| (f64::from(p) - t).abs() < 4.0 * f64::from(f32::EPSILON);
    for threshold in [0.0, 0.2, 0.5, 0.8, 1.0] {
        let loss = LossConfig::Bce { pos_weight: WeightConfig::Scalar(1.0) };
        let decision = Decision::untouched(&loss, 1).at(threshold);
        for (&mask, &p) in decision.classes(&logits.values).iter().zip(&probabilities) {
            assert!(mask == u8::from(f64::from(p) > threshold) || near(p, threshold), "{p} at {threshold}");
        }
    }
}
