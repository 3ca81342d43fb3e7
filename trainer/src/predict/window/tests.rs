//! Laws of cutting, covering and putting together.

use autograd::Tensor;
use proptest::prelude::*;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::patch::{cut, flipped, gaussian, inside};
use super::stream::Sums;
use crate::config::Mirror;
use crate::predict::SlidingWindow;

/// Weighted sums of a volume, all in memory.
struct Whole {
    shape: [usize; 3],
    channels: usize,
    sums: Vec<f32>,
}

impl Whole {
    fn new(shape: [usize; 3], channels: usize) -> Self {
        Self { shape, channels, sums: vec![0.0; shape.iter().product::<usize>() * channels] }
    }

    /// The voxel of the volume that the patch's voxel at `place` lies on.
    fn voxel(&self, at: [isize; 3], place: [usize; 3]) -> Option<usize> {
        (0..3).try_fold(0, |voxel, a| {
            let i = usize::try_from(at[a] + place[a] as isize).ok()?;
            (i < self.shape[a]).then_some(voxel * self.shape[a] + i)
        })
    }

    fn add(&mut self, logits: &Tensor<f32>, at: [isize; 3], window: &[Vec<f32>; 3]) {
        let [_, _, ph, pw, _] = logits.dims5();
        for (i, logit) in logits.data().chunks_exact(self.channels).enumerate() {
            let place = [i / (ph * pw), i / pw % ph, i % pw];
            let Some(voxel) = self.voxel(at, place) else { continue };
            let share = window[0][place[0]] * window[1][place[1]] * window[2][place[2]];
            let sum = &mut self.sums[voxel * self.channels..][..self.channels];
            sum.iter_mut().zip(logit).for_each(|(sum, z)| *sum += share * z);
        }
    }

    fn means(mut self, starts: &[Vec<isize>; 3], window: &[Vec<f32>; 3]) -> Vec<f32> {
        let [_, h, w] = self.shape;
        // The patches that reach a place along an axis, in their order.
        let weight = |axis: usize, place: usize| {
            let reaches = starts[axis]
                .iter()
                .filter_map(|&start| window[axis].get(usize::try_from(place as isize - start).ok()?));
            reaches.fold(0.0, |sum, share| sum + share)
        };
        for (i, sums) in self.sums.chunks_exact_mut(self.channels).enumerate() {
            let weight = weight(0, i / (h * w)) * weight(1, i / w % h) * weight(2, i % w);
            sums.iter_mut().for_each(|sum| *sum /= weight);
        }
        self.sums
    }
}

proptest! {
    #[test]
    fn patches_cover_every_voxel_with_at_least_the_overlap(size in 1usize..200, patch in 1usize..64, overlap in 0.0f64..0.9) {
        let window = SlidingWindow { patch: [patch; 3], overlap, mirror: Mirror::NONE };
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
    fn sums_of_a_patchs_planes_are_the_bits_of_sums_of_the_whole_volume(
        shape in prop::array::uniform3(1usize..20),
        patch in prop::array::uniform3(1usize..8),
        overlap in 0.0f64..0.9,
        channels in 1usize..4,
        seed in any::<u64>(),
    ) {
        let cover = SlidingWindow { patch, overlap, mirror: Mirror::NONE };
        let window = patch.map(gaussian);
        let starts: [Vec<isize>; 3] = std::array::from_fn(|a| cover.starts(shape[a], patch[a]));
        let mut sums = Sums::new(shape, channels, &window, &starts);
        let (mut streamed, mut whole) = (Vec::new(), Whole::new(shape, channels));
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for (i, &d) in starts[0].iter().enumerate() {
            for &h in &starts[1] {
                for &w in &starts[2] {
                    let dims = [1, patch[0], patch[1], patch[2], channels];
                    let logits = Tensor::from_fn(dims, |_| rng.random_range(-9.0f32..9.0));
                    sums.add(&logits, [d, h, w], &window);
                    whole.add(&logits, [d, h, w], &window);
                }
            }
            let end = starts[0].get(i + 1).map_or(shape[0], |&next| next as usize);
            sums.finish(end, &mut |plane| streamed.extend_from_slice(plane));
        }
        prop_assert_eq!(streamed, whole.means(&starts, &window));
    }

    #[test]
    fn mirroring_twice_changes_nothing(flips in prop::array::uniform3(any::<bool>())) {
        let patch = Tensor::from_fn([1, 3, 2, 5, 2], |i| i as f32);
        prop_assert_eq!(flipped(&flipped(&patch, flips), flips), patch);
    }
}
