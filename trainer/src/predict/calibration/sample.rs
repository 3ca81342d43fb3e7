//! Logits of several classes, for their fit: every k-th voxel.

use rayon::prelude::*;

use super::{Calibration, ClassReading};
use crate::dataset::IGNORE;

/// So many voxels tell a handful of numbers to three digits.
const MOST: usize = 1 << 17;
/// Voxels that one thread takes at a time.
const PART: usize = 1 << 12;

/// Logits and labels of evenly spread voxels.
#[derive(Clone, Debug)]
pub struct ClassSample {
    channels: usize,
    /// By class.
    learnt: Vec<bool>,
    every: usize,
    next: usize,
    logits: Vec<f32>,
    labels: Vec<u8>,
}

impl ClassSample {
    /// For `voxels` in all; only several channels are kept.
    pub fn new(channels: usize, voxels: usize) -> Self {
        let every = if channels > 1 { voxels.div_ceil(MOST).max(1) } else { usize::MAX };
        let learnt = vec![true; channels];
        Self { channels, learnt, every, next: 0, logits: Vec::new(), labels: Vec::new() }
    }

    /// Leaves out the voxels of classes that the network was not trained on: what it says of them means nothing, and nothing
    /// is fitted where they are.
    #[must_use]
    pub fn of_learnt(self, learnt: &[bool]) -> Self {
        Self { learnt: learnt.to_vec(), ..self }
    }

    /// Adds a case's voxels: `[voxel][channel]` and their labels.
    pub fn update(&mut self, logits: &[f32], labels: &[u8]) {
        if self.channels == 1 {
            return;
        }
        while self.next < labels.len() {
            let label = labels[self.next];
            if label != IGNORE && self.learnt[usize::from(label)] {
                self.logits.extend_from_slice(&logits[self.next * self.channels..][..self.channels]);
                self.labels.push(label);
            }
            self.next += self.every;
        }
        self.next -= labels.len();
    }

    /// How many voxels were kept.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    pub(super) fn holds(&self, class: usize) -> bool {
        self.labels.iter().any(|&label| usize::from(label) == class)
    }

    /// The mean Dice 2tp / (2tp + fp + fn) of the foreground classes that the sample holds, in the mask that [`ClassReading`]
    /// makes; 0 without any.
    pub(crate) fn mean_dice(&self, calibration: &Calibration) -> f64 {
        let reading = ClassReading::new(calibration.scale, &calibration.shift);
        // By class: voxels that agree, and voxels of truth and mask together.
        let count = |mut counts: Vec<[u64; 2]>, (z, truth): (&[f32], usize)| {
            let class = reading.class(z);
            counts[class][0] += u64::from(class == truth);
            counts[class][1] += 1;
            counts[truth][1] += 1;
            counts
        };
        let none = || vec![[0; 2]; self.channels];
        let parts: Vec<_> = self.parts().map(|part| part.voxels().fold(none(), count)).collect();
        let mut counts = none();
        for part in parts {
            counts.iter_mut().zip(part).for_each(|(sum, more)| *sum = [sum[0] + more[0], sum[1] + more[1]]);
        }
        let held = (1..self.channels).filter(|&class| self.holds(class));
        let dice: Vec<f64> =
            held.map(|class| 2.0 * counts[class][0] as f64 / counts[class][1] as f64).collect();
        dice.iter().sum::<f64>() / dice.len().max(1) as f64
    }

    /// The voxels in parts, which are worked on in parallel.
    pub(super) fn parts(&self) -> impl IndexedParallelIterator<Item = Part<'_>> {
        let logits = self.logits.par_chunks(PART * self.channels);
        let parts = logits.zip(self.labels.par_chunks(PART));
        parts.map(|(logits, labels)| Part { channels: self.channels, logits, labels })
    }
}

/// Some voxels of a sample.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    channels: usize,
    logits: &'a [f32],
    labels: &'a [u8],
}

impl<'a> Part<'a> {
    /// Logits and class of each voxel.
    pub(super) fn voxels(self) -> impl Iterator<Item = (&'a [f32], usize)> {
        self.logits.chunks_exact(self.channels).zip(self.labels.iter().map(|&label| usize::from(label)))
    }
}
