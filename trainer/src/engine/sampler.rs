//! Where patches come from.
//!
//! A share of each batch is placed around a foreground voxel, whose class is chosen evenly among those that the case
//! holds; the rest lies anywhere. Everything follows from (seed, step, slot), so batches can be prepared in any order
//! and a run goes on from its step number.

use autograd::Tensor;
use losses::Labels;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use super::augment::{Placement, Recipe, augment_intensity, extract};
use crate::config::Config;
use crate::data::{Case, IGNORE};
use crate::random::{Purpose, generator};

/// What a training step is fed with.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[n, d, h, w, c]`, normalised.
    pub image: Tensor<f32>,
    /// `[n, d, h, w]`, [`IGNORE`] for padding.
    pub labels: Labels,
}

/// Draws batches from training cases.
pub struct Sampler<'a> {
    cases: &'a [Case],
    foreground: Vec<Foreground>,
    /// The cases that hold any foreground.
    with_foreground: Vec<usize>,
    patch: [usize; 3],
    batch_size: usize,
    share: f64,
    /// One for each case: spacings may differ.
    recipes: Vec<Recipe>,
    seed: u64,
}

/// A case's foreground voxels by class, as flat indices; large classes are thinned evenly.
struct Foreground {
    classes: Vec<Vec<u32>>,
}

/// More voxels than this of one class in one case teach a sampler nothing.
const MOST_VOXELS: usize = 1 << 18;

impl<'a> Sampler<'a> {
    /// A sampler of patches of this size from these (normalised, labelled) cases.
    ///
    /// # Panics
    /// Without cases.
    pub fn new(cases: &'a [Case], patch: [usize; 3], config: &Config) -> Self {
        assert!(!cases.is_empty(), "there is nothing to sample from");
        let foreground: Vec<_> = cases.iter().map(Foreground::of).collect();
        let with_foreground = (0..cases.len()).filter(|&i| !foreground[i].classes.is_empty()).collect();
        let recipes = cases.iter().map(|case| Recipe::new(&config.augmentation, case.spacing)).collect();
        let share = config.data.foreground_share;
        let (batch_size, seed) = (config.data.batch(), config.training.seed);
        Self { cases, foreground, with_foreground, patch, batch_size, share, recipes, seed }
    }

    /// The batch of a step.
    pub fn batch(&self, step: u64) -> Batch {
        let [pd, ph, pw] = self.patch;
        let channels = self.cases[0].channels;
        let voxels = pd * ph * pw;
        let mut image = Tensor::scratch([self.batch_size, pd, ph, pw, channels]);
        let mut labels = vec![IGNORE; self.batch_size * voxels];
        let images = image.data_mut().chunks_exact_mut(voxels * channels);
        let wanted = self.foreground_slots(step);
        for (slot, (image, labels)) in images.zip(labels.chunks_exact_mut(voxels)).enumerate() {
            let counter = step * self.batch_size as u64 + slot as u64;
            let mut rng = generator(self.seed, Purpose::Patch, counter);
            let (index, offset) = self.place(slot < wanted, &mut rng);
            let mut rng = generator(self.seed, Purpose::Augmentation, counter);
            let (case, recipe) = (&self.cases[index], &self.recipes[index]);
            let placement = Placement { offset, transform: recipe.draw(&mut rng) };
            extract(case, self.patch, &placement, image, labels);
            augment_intensity(recipe, channels, image, &mut rng);
        }
        Batch { image, labels: Labels::from_vec([self.batch_size, pd, ph, pw], labels) }
    }

    /// How many of a step's patches hold foreground: the share, rounded up or down at random so that its mean is exact.
    fn foreground_slots(&self, step: u64) -> usize {
        let exact = self.share * self.batch_size as f64;
        let up: f64 = generator(self.seed, Purpose::Batch, step).random();
        (exact + up).floor().min(self.batch_size as f64) as usize
    }

    /// A case, and where the patch's first voxel lies in it (negative where the patch is larger).
    fn place(&self, foreground: bool, rng: &mut impl Rng) -> (usize, [isize; 3]) {
        if foreground && let Some(&index) = self.with_foreground.choose(rng) {
            let case = &self.cases[index];
            let class = self.foreground[index].classes.choose(rng).expect("the case holds foreground");
            let voxel = *class.choose(rng).expect("an empty class is not listed") as usize;
            let [_, height, width] = case.shape;
            let at = [voxel / (height * width), voxel / width % height, voxel % width];
            let offset = std::array::from_fn(|a| {
                let room = rng.random_range(0..self.patch[a]);
                around(at[a], room, case.shape[a], self.patch[a])
            });
            return (index, offset);
        }
        let index = rng.random_range(0..self.cases.len());
        let case = &self.cases[index];
        let offset = std::array::from_fn(|a| {
            let last = case.shape[a] as isize - self.patch[a] as isize;
            let room = rng.random_range(0..=last.unsigned_abs()) as isize;
            room * last.signum()
        });
        (index, offset)
    }
}

/// The patch that has the voxel `at` in its `room`-th place, moved into the volume where it fits.
fn around(at: usize, room: usize, size: usize, patch: usize) -> isize {
    let start = at as isize - room as isize;
    let last = size as isize - patch as isize;
    start.clamp(last.min(0), last.max(0))
}

impl Foreground {
    fn of(case: &Case) -> Self {
        let labels = case.labels.as_deref().unwrap_or_default();
        let mut voxels: Vec<Vec<u32>> = Vec::new();
        for (i, &label) in labels.iter().enumerate() {
            if label == 0 || label == IGNORE {
                continue;
            }
            voxels.resize_with(voxels.len().max(usize::from(label)), Vec::new);
            voxels[usize::from(label) - 1]
                .push(u32::try_from(i).expect("a volume has fewer than 2^32 voxels"));
        }
        let thinned = voxels.into_iter().filter(|class| !class.is_empty()).map(|class| {
            let step = class.len().div_ceil(MOST_VOXELS);
            class.into_iter().step_by(step).collect()
        });
        Self { classes: thinned.collect() }
    }
}
