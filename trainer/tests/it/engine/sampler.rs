//! Laws of sampling and augmentation.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use trainer::config::Config;
use trainer::dataset::{CaseFiles, Checksums, IGNORE};
use trainer::preprocess::{Cache, CachedCase, Case, ChannelNorm, Fingerprint, Normalisation, PreparedCase};
use trainer::training::{Batch, Sampler};

use super::small::{self, SHAPE};

/// What leaves patches as they are in the volume.
pub(super) const PLAIN: [&str; 11] = [
    "augmentation.flip=[0,0,0]",
    "augmentation.rotation_probability=0",
    "augmentation.scale_probability=0",
    "augmentation.elastic_probability=0",
    "augmentation.noise_probability=0",
    "augmentation.blur_probability=0",
    "augmentation.brightness_probability=0",
    "augmentation.contrast_probability=0",
    "augmentation.low_resolution_probability=0",
    "augmentation.gamma_probability=0",
    "augmentation.gamma_inverted_probability=0",
];

pub(super) fn config(patch: [usize; 3], set: &[&str]) -> Config {
    let patch = format!("data.patch_size={patch:?}");
    let all: Vec<&str> = PLAIN.into_iter().chain([patch.as_str()]).chain(set.iter().copied()).collect();
    small::config(&all)
}

pub(super) fn labels(batch: &Batch) -> Vec<i32> {
    (0..batch.labels.len()).map(|i| batch.labels.get(i)).collect()
}

/// A case whose every voxel has its own number from 1 on, so that a patch tells where it was cut out.
fn numbered(shape: [usize; 3], label: impl Fn(usize) -> u8) -> Case {
    let mut case = small::case(shape, 1, 2, 0);
    case.image = (0..case.voxels()).map(|i| (i + 1) as f32).collect();
    case.labels = Some((0..case.voxels()).map(label).collect());
    case
}

/// The voxel's number in a volume, or none outside.
fn number(shape: [usize; 3], at: [isize; 3]) -> Option<usize> {
    let inside = (0..3).all(|a| (0..shape[a] as isize).contains(&at[a]));
    inside.then(|| ((at[0] as usize * shape[1]) + at[1] as usize) * shape[2] + at[2] as usize)
}

/// The offset at which a patch, maybe mirrored, was cut out of a [`numbered`] case.
fn offset(shape: [usize; 3], patch: [usize; 3], image: &[f32]) -> Option<([isize; 3], [bool; 3])> {
    let first = image.iter().position(|&v| v != 0.0)?;
    let voxel = image[first] as usize - 1;
    let inside = [first / (patch[1] * patch[2]), first / patch[2] % patch[1], first % patch[2]];
    let at = [voxel / (shape[1] * shape[2]), voxel / shape[2] % shape[1], voxel % shape[2]];
    (0..8).find_map(|bits| {
        let flips: [bool; 3] = std::array::from_fn(|a| bits >> a & 1 == 1);
        let place = |a: usize, i: usize| if flips[a] { patch[a] - 1 - i } else { i };
        let offset: [isize; 3] = std::array::from_fn(|a| at[a] as isize - place(a, inside[a]) as isize);
        let fits = image.iter().enumerate().all(|(i, &value)| {
            let i = [i / (patch[1] * patch[2]), i / patch[2] % patch[1], i % patch[2]];
            let from = std::array::from_fn(|a| offset[a] + place(a, i[a]) as isize);
            value == number(shape, from).map_or(0.0, |voxel| (voxel + 1) as f32)
        });
        fits.then_some((offset, flips))
    })
}

#[test]
fn the_same_seed_and_step_give_the_same_bits_and_other_steps_others() {
    let cases: Vec<_> = (0..2).map(|i| small::case([12, 20, 20], 2, 3, i)).collect();
    let config = small::config(&["augmentation.rotation_probability=1", "data.batch_size=2"]);
    let batches = |config: &Config| -> Vec<_> {
        let sampler = Sampler::new(&cases, SHAPE, config);
        (0..4).map(|step| sampler.batch(step).unwrap()).collect()
    };
    let first = batches(&config);
    let sampler = Sampler::new(&cases, SHAPE, &config);
    // In another order: a batch depends on nothing but its step.
    for step in [3, 0, 2, 1] {
        let again = sampler.batch(step as u64).unwrap();
        assert_eq!(again.image, first[step].image);
        assert_eq!(again.labels, first[step].labels);
    }
    assert!((1..4).all(|step| first[step].image != first[0].image));
    let mut other = config;
    other.training.seed = 1;
    assert!(batches(&other).iter().zip(&first).all(|(a, b)| a.image != b.image));
}

#[test]
fn a_batch_goes_on_where_the_slots_of_the_step_before_ended() {
    let cases = [small::case([12, 20, 20], 1, 2, 0)];
    // With a share of 0 or 1, the slots of a step differ in their number alone.
    for share in ["data.foreground_share=0", "data.foreground_share=1"] {
        let one = Sampler::new(&cases, SHAPE, &small::config(&[share])).batch(5).unwrap();
        let two =
            Sampler::new(&cases, SHAPE, &small::config(&[share, "data.batch_size=2"])).batch(2).unwrap();
        assert_eq!(one.image.data(), &two.image.data()[one.image.numel()..]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn without_augmentation_a_patch_is_a_part_of_the_volume_and_padding_is_ignored(
        shape in prop::array::uniform3(1usize..9),
        patch in prop::array::uniform3(1usize..9),
        step in 0u64..1000,
        share in 0.0f64..=1.0,
    ) {
        let cases = [numbered(shape, |i| u8::from(i % 7 == 0))];
        let mut config = small::config(&PLAIN);
        config.data.foreground_share = share;
        let batch = Sampler::new(&cases, patch, &config).batch(step).unwrap();
        let [d, h, w] = patch;
        prop_assert_eq!(batch.image.dims(), [1, d, h, w, 1]);
        let found = offset(shape, patch, batch.image.data());
        prop_assert!(found.is_some_and(|(_, flips)| flips == [false; 3]), "no part of the volume");
        let (offset, _) = found.unwrap();
        for a in 0..3 {
            // A patch reaches over the border only where the volume is smaller, and then holds all of it.
            let room = shape[a] as isize - patch[a] as isize;
            prop_assert!((room.min(0)..=room.max(0)).contains(&offset[a]), "{:?}", offset);
        }
        let want = |v: f32| if v == 0.0 { i32::from(IGNORE) } else { i32::from((v as usize - 1).is_multiple_of(7)) };
        for (label, &value) in labels(&batch).into_iter().zip(batch.image.data()) {
            prop_assert_eq!(label, want(value));
        }
    }

    #[test]
    fn a_share_of_1_gives_foreground_in_every_patch_if_any_case_has_some(
        shape in prop::array::uniform3(1usize..12),
        patch in prop::array::uniform3(1usize..9),
        step in 0u64..1000,
        place in 0usize..1728,
    ) {
        let foreground = place % shape.iter().product::<usize>();
        let cases = [numbered(shape, |_| 0), numbered(shape, |i| 2 * u8::from(i == foreground))];
        let config = config([1; 3], &["data.foreground_share=1", "data.batch_size=3"]);
        let batch = Sampler::new(&cases, patch, &config).batch(step).unwrap();
        for patch in labels(&batch).chunks_exact(patch.iter().product()) {
            prop_assert!(patch.contains(&2));
        }
    }

    #[test]
    fn mirroring_permutes_the_voxels_and_carries_the_labels_along(
        flip in prop::array::uniform3(any::<bool>()),
        step in 0u64..1000,
    ) {
        let (shape, patch) = ([7, 9, 8], [4, 5, 6]);
        let cases = [numbered(shape, |i| (i % 3) as u8)];
        let mut config = small::config(&PLAIN);
        let plain = Sampler::new(&cases, patch, &config).batch(step).unwrap();
        config.augmentation.flip = flip.map(|f| f64::from(u8::from(f)));
        let batch = Sampler::new(&cases, patch, &config).batch(step).unwrap();
        let (at, flips) = offset(shape, patch, batch.image.data()).expect("a mirrored part of the volume");
        prop_assert_eq!(flips, flip);
        prop_assert_eq!(at, offset(shape, patch, plain.image.data()).expect("a part of the volume").0);
        for (label, &value) in labels(&batch).into_iter().zip(batch.image.data()) {
            prop_assert_eq!(label, (value as i32 - 1) % 3);
        }
    }
}

#[test]
fn the_share_of_patches_with_foreground_is_exact_on_average() {
    // One voxel of foreground in a volume so large that a patch placed anywhere hardly meets it.
    let cases = [numbered([8, 64, 64], |i| u8::from(i == 0))];
    let config = config([1, 1, 1], &["data.foreground_share=0.3", "data.batch_size=4"]);
    let sampler = Sampler::new(&cases, [1, 1, 1], &config);
    let steps = 400;
    let counts: Vec<usize> = (0..steps)
        .map(|step| labels(&sampler.batch(step).unwrap()).iter().filter(|&&l| l == 1).count())
        .collect();
    // 0.3 x 4 = 1.2 patches: one or two in each step, but for the one in 32768 that finds the voxel by chance.
    let odd = counts.iter().filter(|&&n| n != 1 && n != 2).count();
    assert!(odd <= 1, "{odd}");
    let mean = counts.iter().sum::<usize>() as f64 / steps as f64;
    // Five standard errors of a Bernoulli mean.
    assert!((mean - 1.2).abs() < 5.0 * (0.2f64 * 0.8 / steps as f64).sqrt(), "{mean}");
}

#[test]
fn every_class_is_met_as_often_however_rare_it_is() {
    // A thousand voxels of class 1, one of class 2.
    let cases = [numbered([8, 16, 16], |i| if i == 2000 { 2 } else { u8::from(i < 1000) })];
    let config = config([1, 1, 1], &["data.foreground_share=1"]);
    let sampler = Sampler::new(&cases, [1, 1, 1], &config);
    let rare = (0..400).filter(|&step| labels(&sampler.batch(step).unwrap()) == [2]).count() as f64;
    // Five standard errors of a fair coin.
    assert!((rare - 200.0).abs() < 5.0 * 10.0, "{rare}");
}

#[test]
fn cases_without_foreground_are_sampled_anywhere() {
    let cases = [numbered([8, 16, 16], |_| 0)];
    let sampler = Sampler::new(&cases, [4, 4, 4], &config([4, 4, 4], &["data.foreground_share=1"]));
    let places: BTreeSet<_> =
        (0..32).map(|step| sampler.batch(step).unwrap().image.data()[0] as usize).collect();
    assert!(places.len() > 8, "{places:?}");
    assert!(labels(&sampler.batch(0).unwrap()).iter().all(|&l| l == 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_patch_holds_a_voxel_that_counts_however_few_there_are_and_however_it_is_augmented(
        shape in prop::array::uniform3(1usize..12),
        patch in prop::array::uniform3(1usize..9),
        steps in 0u64..1000,
        share in prop::sample::select(vec![0.0, 0.5, 1.0]),
        (axis, plane, is_foreground) in (0usize..3, 0usize..12, any::<bool>()),
        cached in any::<bool>(),
    ) {
        // One slice is annotated in the first case, one voxel in the second, none in the third.
        let at = |i: usize| [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
        let label = |i: usize| u8::from(is_foreground && i.is_multiple_of(5));
        let slice = numbered(shape, |i| if at(i)[axis] == plane % shape[axis] { label(i) } else { IGNORE });
        let voxels: usize = shape.iter().product();
        let voxel = numbered(shape, |i| if i == plane * 7 % voxels { 0 } else { IGNORE });
        let mut cases = vec![slice, voxel, numbered(shape, |_| IGNORE)];
        for (index, case) in cases.iter_mut().enumerate() {
            case.name = format!("case_{index}");
        }
        // What moves a patch's corner out of it.
        let far = [
            "augmentation.rotation_probability=0.8",
            "augmentation.rotation_degrees=180",
            "augmentation.scale_probability=0.8",
            "augmentation.scale_range=[0.4,2.5]",
            "augmentation.elastic_probability=0.5",
            "augmentation.elastic_magnitude=8",
            "data.batch_size=3",
        ];
        let mut config = small::config(&far);
        config.data.foreground_share = share;
        let folder = tempfile::tempdir().unwrap();
        let cases: Vec<PreparedCase> = match cached {
            false => cases.into_iter().map(PreparedCase::from).collect(),
            true => cases.iter().map(|case| cached_case(folder.path(), case).into()).collect(),
        };
        let sampler = Sampler::new(&cases, patch, &config);
        for step in steps..steps + 4 {
            let batch = sampler.batch(step).unwrap();
            prop_assert_eq!(batch.empty_patches(), 0);
            prop_assert!(batch.patches.iter().all(|patch| patch.case < 2));
            for patch in labels(&batch).chunks_exact(patch.iter().product()) {
                prop_assert!(patch.iter().any(|&label| label != i32::from(IGNORE)));
            }
        }
        // Where no case has any, there is nothing else to draw.
        let none = Sampler::new(&cases[2..], patch, &config).batch(steps).unwrap();
        prop_assert_eq!(none.empty_patches(), 3);
    }
}

/// A case in a cache's file.
fn cached_case(folder: &Path, case: &Case) -> CachedCase {
    let files = CaseFiles { name: case.name.clone(), images: vec![], label: None };
    let normalisation = Normalisation { channels: vec![ChannelNorm::None] };
    let fingerprint = Fingerprint::of(&files, b"", &Checksums::default()).unwrap();
    Cache::new(folder).write(case, &normalisation, &fingerprint).unwrap()
}

#[test]
fn annotated_voxels_are_met_as_often_wherever_they_are() {
    // In patches of one voxel, each of the four that are not ignored.
    let cases = [numbered([4, 6, 6], |i| if [0, 50, 51, 143].contains(&i) { 0 } else { IGNORE })];
    let sampler = Sampler::new(&cases, [1; 3], &config([1; 3], &["data.batch_size=4"]));
    let mut counts = BTreeMap::new();
    for step in 0..100 {
        for &value in sampler.batch(step).unwrap().image.data() {
            *counts.entry(value as usize - 1).or_insert(0u32) += 1;
        }
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [0, 50, 51, 143]);
    // Five standard errors of a quarter of 400.
    assert!(counts.values().all(|&n| (f64::from(n) - 100.0).abs() < 5.0 * 75f64.sqrt()), "{counts:?}");
}

#[test]
fn where_nothing_is_ignored_patches_lie_where_they_lay_before() {
    // The places of patches are part of what a seed means; these are those of earlier versions.
    let cases = [numbered([12, 20, 20], |i| u8::from(i % 97 == 0)), numbered([9, 14, 18], |_| 0)];
    let sampler = Sampler::new(&cases, [4, 8, 8], &config([4, 8, 8], &["data.batch_size=3"]));
    let places: Vec<_> = (0..2)
        .flat_map(|step| sampler.batch(step).unwrap().patches)
        .map(|patch| (patch.case, patch.offset))
        .collect();
    let want = [
        (0, [2, 1, 12]),
        (0, [5, 11, 7]),
        (0, [5, 4, 12]),
        (0, [8, 2, 11]),
        (0, [0, 10, 10]),
        (1, [2, 4, 9]),
    ];
    assert_eq!(places, want);
}
