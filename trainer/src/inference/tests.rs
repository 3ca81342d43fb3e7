//! Laws of cutting, covering and putting together.

use autograd::Tensor;
use proptest::prelude::*;

use super::patch::{cut, flipped, inside};
use super::stream::Sums;
use super::{Logits, SlidingWindow};
use crate::calibration::Calibration;

proptest! {
    #[test]
    fn patches_cover_every_voxel_with_at_least_the_overlap(size in 1usize..200, patch in 1usize..64, overlap in 0.0f64..0.9) {
        let window = SlidingWindow { patch: [patch; 3], overlap, mirror: false };
        let starts = window.starts(size, patch);
        let mut covered = vec![false; size];
        for &start in &starts {
            inside(start, patch, size).for_each(|i| covered[(start + i as isize) as usize] = true);
        }
        prop_assert!(covered.iter().all(|&c| c));
        for pair in starts.windows(2) {
            let step = (pair[1] - pair[0]) as f64;
            prop_assert!(step > 0.0 && step <= (patch as f64 * (1.0 - overlap)).max(1.0) + 1.0);
        }
    }

    #[test]
    fn a_volume_is_pasted_as_it_was_cut(shape in prop::array::uniform3(1usize..9), at in prop::array::uniform3(-4isize..4)) {
        // A window lies somewhere over the volume.
        let at: [isize; 3] = std::array::from_fn(|a| at[a].min(shape[a] as isize - 1));
        let image: Vec<f32> = (0..shape.iter().product::<usize>() * 2).map(|i| i as f32).collect();
        let patch = [5, 4, 6];
        let cut = cut(&image, shape, 2, at, patch);
        let window = patch.map(|p| vec![1.0; p]);
        let mut sums = Sums::new(shape, 2, &window, &at.map(|at| vec![at]));
        let mut pasted = Vec::new();
        // Planes in front of the patch are handed on before, as a pass over a volume does.
        sums.finish(at[0].max(0) as usize, &mut |plane| pasted.extend_from_slice(plane));
        sums.add(&cut, at, &window);
        sums.finish(shape[0], &mut |plane| pasted.extend_from_slice(plane));
        prop_assert_eq!(pasted.len(), image.len());
        let covered = |voxel: usize| {
            let place = [voxel / (shape[1] * shape[2]), voxel / shape[2] % shape[1], voxel % shape[2]];
            (0..3).all(|a| (at[a]..at[a] + patch[a] as isize).contains(&(place[a] as isize)))
        };
        for voxel in (0..image.len() / 2).filter(|&voxel| covered(voxel)) {
            prop_assert_eq!(&pasted[voxel * 2..][..2], &image[voxel * 2..][..2]);
        }
    }

    #[test]
    fn mirroring_twice_changes_nothing(flips in prop::array::uniform3(any::<bool>())) {
        let patch = Tensor::from_fn([1, 3, 2, 5, 2], |i| i as f32);
        prop_assert_eq!(flipped(&flipped(&patch, flips), flips), patch);
    }
}

#[test]
fn softmax_scores_are_the_logits_of_their_probabilities() {
    let logits = Logits { shape: [1, 1, 2], channels: 3, values: vec![0.5, -1.0, 2.0, 3.0, 0.1, -0.2] };
    let probabilities = logits.probabilities(&Calibration::identity(3));
    for class in 0..3 {
        for (voxel, score) in logits.scores(class).into_iter().enumerate() {
            let p = probabilities[voxel * 3 + class];
            assert!((autograd::Real::sigmoid(score) - p).abs() < 1e-6);
        }
    }
    assert_eq!(logits.classes(0.0), [2, 0]);
}
