//! What a run holds beside the network's passes: cases, batches that lie ready, a validation.

use serde::Serialize;

use super::probe::{MemoryProbe, StepMemory};
use crate::Result;
use crate::preprocess::{CaseSummary, MOST_SAMPLES, MOST_VOXELS};
use crate::run::Plan;
use crate::training::READY;

/// The program itself, its threads' stacks, and small blocks, measured.
const PROGRAM: usize = 20 << 20;
/// Weights while they are read: as in the file, as a network begins, and turned for it.
const LOADING: usize = 3;
/// A histogram of a validation; see [`metrics::ScoreHistogram`].
const HISTOGRAM: usize = 1 << 20;
/// Bytes of a voxel of a file: its mask, its label, and that of a part; components are found in the box around a class.
const MASKS: usize = 3;
/// What the cases of a run are, as far as memory is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaseMemory {
    /// Bytes of all images, labels and lists of voxels by class.
    pub bytes: usize,
    /// Bytes of all images and labels while cases are prepared, each on its file's grid or on its own, whichever is larger.
    pub preparing: usize,
    /// The shape `[d, h, w]` of the largest case.
    pub largest: [usize; 3],
    /// Voxels of the largest file.
    pub largest_file: usize,
    /// Channels of the images.
    pub channels: usize,
    /// How many cases there are.
    pub count: usize,
    /// Bytes of the largest case where cases lie in a cache's files and are read one at a time; else 0.
    pub read_whole: usize,
    /// Channels that are normalised by intensities of the foreground.
    pub foreground_channels: usize,
}

impl CaseMemory {
    /// Of training and validation cases that were read.
    pub fn of(training: &[CaseSummary], validation: &[CaseSummary], classes: usize) -> Self {
        let listed = |case: &CaseSummary| {
            let (counts, ignored) = case.class_counts(classes);
            let annotated = if ignored > 0 { case.annotated() } else { 0 };
            let lists = counts.iter().skip(1).copied().chain([annotated]);
            lists.map(|voxels| (voxels as usize).min(MOST_VOXELS) * size_of::<u32>()).sum::<usize>()
        };
        let all = || training.iter().chain(validation);
        let largest = all().max_by_key(|case| case.voxels());
        let preparing = |case: &CaseSummary| {
            let part: usize = case.grids.part_shape().iter().product();
            case.bytes() / case.voxels().max(1) * part.max(case.voxels())
        };
        Self {
            preparing: all().map(preparing).sum(),
            bytes: all().map(CaseSummary::bytes).sum::<usize>() + training.iter().map(listed).sum::<usize>(),
            largest: largest.map_or([0; 3], |case| case.shape),
            largest_file: all().map(|case| case.grids.whole_shape().iter().product()).max().unwrap_or(0),
            channels: largest.map_or(0, |case| case.channels),
            count: all().count(),
            read_whole: 0,
            foreground_channels: 0,
        }
    }

    /// The same cases in the files of a cache.
    #[must_use]
    pub fn in_files(self) -> Self {
        let voxels: usize = self.largest.iter().product();
        let read_whole = voxels * (size_of::<f32>() * self.channels + 1);
        Self { bytes: 0, preparing: 0, read_whole, ..self }
    }

    /// The same cases, where so many channels are normalised by intensities of the foreground.
    #[must_use]
    pub fn sampling_foreground(self, foreground_channels: usize) -> Self {
        Self { foreground_channels, ..self }
    }

    /// Bytes that these intensities take: the foreground of one case and channel, which a sample is taken of, the samples of
    /// all, and those of one channel once more, with their weights.
    fn samples(&self) -> usize {
        if self.foreground_channels == 0 {
            return 0;
        }
        let of_case = MOST_SAMPLES * size_of::<f32>() * (self.foreground_channels + 2);
        self.largest_file * size_of::<f32>() + self.count * of_case
    }

    /// Bytes that reading the cases takes at most, each thread being at one of the largest.
    fn reading(&self, threads: usize) -> usize {
        let at_once = if self.read_whole > 0 { 1 } else { threads.min(self.count) };
        self.bytes.max(self.preparing) + self.read_whole + at_once * self.reading_one() + self.samples()
    }

    /// The file's numbers, as `f32`, turned; where the case is resampled, the file's grid and, as many as the larger's voxels,
    /// the coefficients of a spline through it. What comes of that is among the cases that are held.
    fn reading_one(&self) -> usize {
        let (voxel, case) = (size_of::<f32>() * self.channels, self.largest.iter().product::<usize>());
        let file = self.largest_file * (voxel + 6);
        if case == self.largest_file {
            return file;
        }
        file.max((self.largest_file + self.largest_file.max(case)) * voxel + self.largest_file)
    }
}

/// Bytes that training holds at most, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TrainingMemory {
    /// Images, labels and lists of voxels by class.
    pub cases: usize,
    /// Batches that are made or lie ready while one is trained on.
    pub batches: usize,
    /// A step; see [`StepMemory`].
    pub step: StepMemory,
    /// Logits, probabilities and histograms of a validation.
    pub between: usize,
    /// Gradients that ranks send each other; 0 of a process by itself.
    pub exchange: usize,
    /// The program itself.
    pub program: usize,
    /// All together, or what reading the cases takes if that is more.
    pub total: usize,
}

impl TrainingMemory {
    /// Of a plan with so many patches in a batch.
    ///
    /// # Errors
    /// As [`MemoryProbe::training`].
    pub fn new(plan: &Plan, batch: usize, cases: &CaseMemory, probe: &MemoryProbe<'_>) -> Result<Self> {
        let step = probe.training(plan, batch)?;
        let voxels = batch * plan.patch_size.iter().product::<usize>();
        let one_batch = voxels * (plan.model.in_channels * size_of::<f32>() + 1);
        let between = cases.read_whole + validation(plan, cases);
        // Blocks that turned patches are cut from; they reach further than the patch.
        let blocks = if cases.read_whole > 0 { 2 * one_batch } else { 0 };
        let mut memory = Self {
            cases: cases.bytes,
            // Those that lie ready, and the one that waits for room.
            batches: (READY + 1) * one_batch + blocks,
            step,
            between,
            exchange: 0,
            program: PROGRAM,
            total: 0,
        };
        let together = memory.cases + memory.batches + step.total() + between + PROGRAM;
        memory.total = together.max(PROGRAM + cases.reading(probe.threads()));
        Ok(memory)
    }

    /// Of one of several ranks, of a network with so many parameters: of their gradients the sample's that are gathered, packets
    /// on their way there and back, and what is added.
    #[must_use]
    pub(crate) fn of_rank(self, parameters: usize) -> Self {
        let exchange = 4 * parameters * size_of::<f32>();
        Self { exchange, total: self.total + exchange, ..self }
    }
}

/// What a validation holds: of a case the sums of the planes that patches reach or, later, the image that slices are drawn of,
/// mask and labels of its file, and what post-processing makes of them; of each class a histogram.
fn validation(plan: &Plan, cases: &CaseMemory) -> usize {
    let channels = plan.model.out_channels;
    let [d, h, w] = cases.largest;
    let planes = (plan.patch_size[0].min(d) + 4) * h * w * channels * size_of::<f32>();
    let image = cases.largest_file * size_of::<f32>();
    planes.max(image) + MASKS * cases.largest_file + 2 * (channels.max(2) - 1) * HISTOGRAM
}

/// Bytes that predicting the mask of the largest case holds at most, by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PredictionMemory {
    /// The shape `[d, h, w]` of that case.
    pub shape: [usize; 3],
    /// Its images.
    pub image: usize,
    /// Weighted sums of the planes that patches still reach.
    pub sums: usize,
    /// One patch, and its mirror images.
    pub step: StepMemory,
    /// The mask, on the grids of case and file.
    pub mask: usize,
    /// The program itself.
    pub program: usize,
    /// All together, or what reading the image or the weights takes if that is more.
    pub total: usize,
}

impl PredictionMemory {
    /// Of a plan.
    ///
    /// # Errors
    /// As [`MemoryProbe::prediction`].
    pub fn new(plan: &Plan, cases: &CaseMemory, probe: &MemoryProbe<'_>) -> Result<Self> {
        let (model, step) = (&plan.model, probe.prediction(plan)?);
        let shape = cases.largest;
        let voxels: usize = shape.iter().product();
        let plane = shape[1] * shape[2] * model.out_channels * size_of::<f32>();
        let image = voxels * model.in_channels * size_of::<f32>();
        let mut memory = Self {
            shape,
            image,
            sums: (plan.patch_size[0].min(shape[0]) + 4) * plane,
            step,
            mask: voxels.max(cases.largest_file) + cases.largest_file,
            program: PROGRAM,
            total: 0,
        };
        let together = image + memory.sums + step.total() + memory.mask;
        let one = CaseMemory { bytes: image, preparing: 0, count: 1, foreground_channels: 0, ..*cases };
        memory.total = PROGRAM + together.max(step.weights + one.reading(1)).max(LOADING * step.weights);
        Ok(memory)
    }
}
