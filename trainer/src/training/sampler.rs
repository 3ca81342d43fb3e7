//! Where patches come from.
//!
//! A share of each batch is placed around a foreground voxel, of a case and class that [`Balance`] chooses; the rest lies
//! anywhere, or, in a case of which voxels are ignored, around any that is not: no patch is without voxels that count,
//! unless no case holds any. Everything follows from (seed, step, slot), so batches can be prepared in any order
//! and a run goes on from its step number.

use std::ops::Range;

use autograd::Tensor;
use losses::Labels;
use rand::{Rng, RngExt};
use rayon::prelude::*;

use super::augment::{Placement, Recipe, augment_intensity, extract};
use super::balance::Balance;
use crate::Result;
use crate::config::Config;
use crate::dataset::IGNORE;
use crate::preprocess::PatchSource;
use crate::random::{Purpose, generator};

/// What a training step is fed with.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[n, d, h, w, c]`, normalised.
    pub image: Tensor<f32>,
    /// `[n, d, h, w]`, [`IGNORE`] for padding.
    pub labels: Labels,
    /// Where each patch was cut.
    pub patches: Vec<PatchPlace>,
}

impl Batch {
    /// How many of its patches hold no voxel that counts.
    pub fn empty_patches(&self) -> u64 {
        self.patches.iter().filter(|patch| patch.is_empty).count() as u64
    }
}

/// Where a patch was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchPlace {
    /// The number of the case among those that are sampled.
    pub case: usize,
    /// The case's voxel `[d, h, w]` under the patch's first, before it was turned or scaled.
    pub offset: [isize; 3],
    /// Whether no voxel of it counts: all are padding or to be ignored.
    pub is_empty: bool,
}

/// Draws batches from training cases, in memory or cached.
pub struct Sampler<'a> {
    cases: Vec<PatchSource<'a>>,
    balance: Balance,
    patch: [usize; 3],
    batch_size: usize,
    /// The slots of a batch that are filled.
    slots: Range<usize>,
    share: f64,
    /// One for each case: spacings may differ.
    recipes: Vec<Recipe>,
    seed: u64,
}

impl<'a> Sampler<'a> {
    /// A sampler of patches of this size from these (normalised, labelled) cases: `&Case`s or
    /// [`&CachedCase`](crate::preprocess::CachedCase)s, which give the same patches, or [`PatchSource`]s of both kinds.
    ///
    /// # Panics
    /// Without cases.
    pub fn new<C: Into<PatchSource<'a>>>(
        cases: impl IntoIterator<Item = C>,
        patch: [usize; 3],
        config: &Config,
    ) -> Self {
        let cases: Vec<PatchSource<'a>> = cases.into_iter().map(Into::into).collect();
        assert!(!cases.is_empty(), "there is nothing to sample from");
        let balance = Balance::new(&cases, &config.data);
        let recipes =
            cases.iter().map(|case| Recipe::new(&config.augmentation, patch, case.spacing())).collect();
        let share = config.data.foreground_share;
        let (batch_size, seed) = (config.data.batch(), config.training.seed);
        Self { cases, balance, patch, batch_size, slots: 0..batch_size, share, recipes, seed }
    }

    /// Of each batch these slots alone, with the patches that they have in the whole.
    #[must_use]
    pub fn of_slots(self, slots: Range<usize>) -> Self {
        Self { slots, ..self }
    }

    /// The batch of a step. Its patches are made in parallel, on the rayon pool of the caller; they do not depend on it.
    ///
    /// # Errors
    /// If a cached case cannot be read.
    pub fn batch(&self, step: u64) -> Result<Batch> {
        let [pd, ph, pw] = self.patch;
        let channels = self.cases[0].channels();
        let voxels = pd * ph * pw;
        let samples = self.slots.len();
        let mut image = Tensor::scratch([samples, pd, ph, pw, channels]);
        let mut labels = vec![IGNORE; samples * voxels];
        let wanted = self.foreground_slots(step);
        let images = image.data_mut().par_chunks_exact_mut(voxels * channels);
        let slots = images.zip(labels.par_chunks_exact_mut(voxels)).zip(self.slots.clone());
        // Collected whole, so that the error is that of the first slot for any number of threads.
        let made: Vec<Result<PatchPlace>> = slots
            .map(|((image, labels), slot)| {
                let counter = step * self.batch_size as u64 + slot as u64;
                self.patch(counter, slot < wanted, image, labels)
            })
            .collect();
        let patches = made.into_iter().collect::<Result<_>>()?;
        Ok(Batch { image, labels: Labels::from_vec([samples, pd, ph, pw], labels), patches })
    }

    /// Fills one patch.
    fn patch(
        &self,
        counter: u64,
        foreground: bool,
        image: &mut [f32],
        labels: &mut [u8],
    ) -> Result<PatchPlace> {
        let (index, offset) = self.place(foreground, &mut generator(self.seed, Purpose::Patch, counter))?;
        let mut rng = generator(self.seed, Purpose::Augmentation, counter);
        let (case, recipe) = (&self.cases[index], &self.recipes[index]);
        let mut cut = |transform| -> Result<bool> {
            let placement = Placement { offset, transform };
            let region = case.region(placement.block(self.patch, case.shape()))?;
            extract(&region, self.patch, &placement, image, labels);
            Ok(labels.iter().all(|&label| label == IGNORE))
        };
        let transform = recipe.draw(&mut rng);
        let mirroring = transform.mirroring_alone();
        let mut is_empty = cut(transform)?;
        if is_empty && case.annotated() != Some(0) {
            // Turned, scaled or bent it has lost the voxels that it was placed around; as it lies it holds them.
            is_empty = cut(mirroring)?;
        }
        augment_intensity(recipe, case.channels(), image, &mut rng);
        Ok(PatchPlace { case: index, offset, is_empty })
    }

    /// How many of a step's patches hold foreground: the share, rounded up or down at random so that its mean is exact.
    fn foreground_slots(&self, step: u64) -> usize {
        let exact = self.share * self.batch_size as f64;
        let up: f64 = generator(self.seed, Purpose::Batch, step).random();
        (exact + up).floor().min(self.batch_size as f64) as usize
    }

    /// A case, and where the patch's first voxel lies in it (negative where the patch is larger).
    fn place(&self, foreground: bool, rng: &mut impl Rng) -> Result<(usize, [isize; 3])> {
        if foreground && let Some((index, class)) = self.balance.foreground(rng) {
            let case = &self.cases[index];
            let listed = case.foreground()[class].voxels as usize;
            let voxel = case.foreground_voxel(class, rng.random_range(0..listed))?;
            return Ok((index, self.around(voxel, case.shape(), rng)));
        }
        let index = self.balance.anywhere(rng);
        let case = &self.cases[index];
        let shape = case.shape();
        if let Some(listed @ 1..) = case.annotated() {
            let voxel = case.annotated_voxel(rng.random_range(0..listed as usize))?;
            return Ok((index, self.around(voxel, shape, rng)));
        }
        let offset = std::array::from_fn(|a| {
            let last = shape[a] as isize - self.patch[a] as isize;
            let room = rng.random_range(0..=last.unsigned_abs()) as isize;
            room * last.signum()
        });
        Ok((index, offset))
    }

    /// A patch that has a voxel of a volume anywhere in it.
    fn around(&self, voxel: usize, shape: [usize; 3], rng: &mut impl Rng) -> [isize; 3] {
        let [_, height, width] = shape;
        let at = [voxel / (height * width), voxel / width % height, voxel % width];
        std::array::from_fn(|a| {
            let room = rng.random_range(0..self.patch[a]);
            start_around(at[a], room, shape[a], self.patch[a])
        })
    }
}

/// The patch that has the voxel `at` in its `room`-th place, moved into the volume where it fits.
fn start_around(at: usize, room: usize, size: usize, patch: usize) -> isize {
    let start = at as isize - room as isize;
    let last = size as isize - patch as isize;
    start.clamp(last.min(0), last.max(0))
}
