//! Laws of augmentation, whatever is switched on.

use std::collections::BTreeSet;

use proptest::prelude::*;
use trainer::dataset::IGNORE;
use trainer::preprocess::Case;
use trainer::training::{Batch, Sampler};

use super::sampler::{config, labels};
use super::small::{self, SHAPE};

/// Everything that moves voxels, always.
const MOVING: [&str; 6] = [
    "augmentation.rotation_probability=1",
    "augmentation.scale_probability=1",
    "augmentation.scale_range=[0.5,2]",
    "augmentation.elastic_probability=1",
    "augmentation.elastic_spacing=5",
    "augmentation.elastic_magnitude=2",
];

/// Everything that changes intensities.
const CHANGING: [&str; 7] = [
    "augmentation.noise_probability=1",
    "augmentation.blur_probability=1",
    "augmentation.brightness_probability=1",
    "augmentation.contrast_probability=1",
    "augmentation.low_resolution_probability=1",
    "augmentation.gamma_probability=1",
    "augmentation.gamma_inverted_probability=1",
];

fn batch(cases: &[Case], set: &[&str], step: u64) -> Batch {
    Sampler::new(cases, SHAPE, &config(SHAPE, set)).batch(step).unwrap()
}

fn thick(mut case: Case, thick: bool) -> Case {
    if thick {
        case.spacing = [5.0, 1.0, 1.0];
    }
    case
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn moving_voxels_invents_no_label_and_no_intensity(
        step in 0u64..1000,
        rotation in 0.0f64..180.0,
        is_thick in any::<bool>(),
    ) {
        let cases = [thick(small::case([9, 15, 13], 1, 3, 0), is_thick)];
        let rotation = format!("augmentation.rotation_degrees={rotation:?}");
        let batch = batch(&cases, &[&MOVING[..], &[&rotation]].concat(), step);
        let known = BTreeSet::from([0, 1, 2, i32::from(IGNORE)]);
        prop_assert!(labels(&batch).into_iter().collect::<BTreeSet<_>>().is_subset(&known));
        // A trilinear mean, with the 0 beyond the border, stays within what it is a mean of, but for the rounding of
        // seven means of two.
        let bound = |f: fn(f32, f32) -> f32| cases[0].image.iter().copied().fold(0.0, f);
        let (low, high) = (bound(f32::min), bound(f32::max));
        let slack = 16.0 * f32::EPSILON * high.max(-low);
        for &v in batch.image.data() {
            prop_assert!((low - slack..=high + slack).contains(&v), "{} outside {}..{}", v, low, high);
        }
    }

    #[test]
    fn changed_intensities_are_finite_and_leave_the_labels_alone(
        step in 0u64..1000,
        constant in prop_oneof![Just(None), (-1e3f32..1e3).prop_map(Some)],
        is_thick in any::<bool>(),
        change in prop::sample::subsequence(&CHANGING[..], 1..=7),
    ) {
        let mut case = thick(small::case([9, 15, 13], 2, 3, 0), is_thick);
        if let Some(value) = constant {
            case.image.fill(value);
        }
        let cases = [case];
        let plain = batch(&cases, &[], step);
        // A zoom nearer to 1 leaves all of so few voxels.
        let changed = batch(&cases, &[&change[..], &["augmentation.low_resolution_zoom=[0.7,0.9]"]].concat(), step);
        prop_assert!(changed.image.is_finite());
        if constant.is_none() {
            prop_assert_ne!(&changed.image, &plain.image);
        }
        prop_assert_eq!(changed.labels, plain.labels);
    }

    #[test]
    fn thick_slices_stay_apart(step in 0u64..1000) {
        // What a voxel holds tells its slice.
        let mut case = thick(small::case([9, 15, 13], 1, 3, 0), true);
        let slice = |voxel: usize| voxel / (15 * 13);
        case.image = (0..case.voxels()).map(|voxel| 1.0 + slice(voxel) as f32).collect();
        case.labels = Some((0..case.voxels()).map(|voxel| slice(voxel) as u8).collect());
        let cases = [case];
        let flat = ["augmentation.blur_probability=1", "augmentation.low_resolution_probability=1"];
        let moved = batch(&cases, &MOVING, step);
        let filtered = batch(&cases, &flat, step);
        let plain = batch(&cases, &[], step);
        let [d, h, w] = SHAPE;
        for d in 0..d {
            let voxels = d * h * w..(d + 1) * h * w;
            let first = labels(&plain)[voxels.clone()].iter().copied().find(|&l| l != i32::from(IGNORE));
            let first = first.expect("the patch holds every slice in part");
            for voxel in voxels {
                let label = labels(&moved)[voxel];
                prop_assert!(label == first || label == i32::from(IGNORE), "{} for {}", label, first);
                // Padding at the ends of rows makes what lies beside it darker, nothing makes it another slice's.
                prop_assert!(filtered.image.data()[voxel] <= (1 + first) as f32 * (1.0 + 32.0 * f32::EPSILON));
            }
        }
    }
}

#[test]
fn each_change_changes_something() {
    let cases = [small::case([9, 20, 20], 2, 3, 0)];
    let plain = batch(&cases, &[], 1);
    let elastic = "augmentation.elastic_probability=1";
    let flips = "augmentation.flip=[1,1,1]";
    for set in [&MOVING[..2], &CHANGING, &[elastic, flips]].concat() {
        assert_ne!(batch(&cases, &[set], 1).image, plain.image, "{set}");
    }
}

#[test]
fn changes_by_nothing_give_the_patch_itself() {
    let cases = [small::case([9, 15, 13], 2, 3, 0)];
    let plain = batch(&cases, &[], 1);
    let still = [
        "augmentation.rotation_probability=1",
        "augmentation.rotation_degrees=0",
        "augmentation.scale_probability=1",
        "augmentation.scale_range=[1,1]",
        "augmentation.elastic_probability=1",
        "augmentation.elastic_magnitude=0",
        "augmentation.noise_probability=1",
        "augmentation.noise_deviation=[0,0]",
        "augmentation.blur_probability=1",
        "augmentation.blur_sigma=[0,0]",
        "augmentation.brightness_probability=1",
        "augmentation.brightness_range=[1,1]",
        "augmentation.low_resolution_probability=1",
        "augmentation.low_resolution_zoom=[1,1]",
    ];
    let batch = batch(&cases, &still, 1);
    assert_eq!(batch.labels, plain.labels);
    // Places are exact in f64 (halves of small whole numbers), so each voxel is taken with weight 1.
    assert_eq!(batch.image, plain.image);
}

#[test]
fn switched_off_nothing_is_changed_whatever_the_probabilities() {
    let cases = [small::case([9, 15, 13], 2, 3, 0)];
    let all = [&MOVING[..], &CHANGING, &["augmentation.flip=[1,1,1]", "augmentation.enabled=false"]].concat();
    let (plain, off) = (batch(&cases, &[], 3), batch(&cases, &all, 3));
    assert_eq!((off.image, off.labels), (plain.image, plain.labels));
}

#[test]
fn the_number_of_threads_that_prepare_a_batch_changes_no_bit() {
    let cases = [small::case([9, 20, 20], 2, 3, 0)];
    let set = [&MOVING[..], &CHANGING, &["data.batch_size=5"]].concat();
    let batches = [1, 2, 3, 7].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let batch = pool.install(|| batch(&cases, &set, 11));
        let bits: Vec<u32> = batch.image.data().iter().map(|v| v.to_bits()).collect();
        (bits, batch.labels)
    });
    assert!(batches.iter().all(|batch| *batch == batches[0]));
}
