//! Logits of several classes, for their fit: every k-th voxel.

use crate::dataset::IGNORE;

/// So many voxels tell a handful of numbers to three digits.
const MOST: usize = 1 << 17;

/// Logits and labels of evenly spread voxels.
#[derive(Clone, Debug)]
pub struct ClassSample {
    channels: usize,
    every: usize,
    next: usize,
    logits: Vec<f32>,
    labels: Vec<u8>,
}

impl ClassSample {
    /// For `voxels` in all; only several channels are kept.
    pub fn new(channels: usize, voxels: usize) -> Self {
        let every = if channels > 1 { voxels.div_ceil(MOST).max(1) } else { usize::MAX };
        Self { channels, every, next: 0, logits: Vec::new(), labels: Vec::new() }
    }

    /// Adds a case's voxels: `[voxel][channel]` and their labels.
    pub fn update(&mut self, logits: &[f32], labels: &[u8]) {
        if self.channels == 1 {
            return;
        }
        while self.next < labels.len() {
            if labels[self.next] != IGNORE {
                self.logits.extend_from_slice(&logits[self.next * self.channels..][..self.channels]);
                self.labels.push(labels[self.next]);
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

    pub(super) fn for_each(&self, mut visit: impl FnMut(&[f32], usize)) {
        for (z, &label) in self.logits.chunks_exact(self.channels).zip(&self.labels) {
            visit(z, usize::from(label));
        }
    }
}
