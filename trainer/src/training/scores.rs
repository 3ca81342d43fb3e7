//! What is gathered from logits as they pass by.

use metrics::{BinaryCounts, PositiveClass, ScoreHistogram};
use rayon::prelude::*;

use super::validation::ClassFigures;
use crate::Result;
use crate::dataset::IGNORE;
use crate::predict::{ClassSample, Evidence, one_against_rest};

/// Of each foreground class a histogram, and of several channels a sample.
pub(super) struct Scores {
    channels: usize,
    /// By class, whether the network was trained on it.
    learnt: Vec<bool>,
    histograms: Vec<ScoreHistogram>,
    sample: ClassSample,
}

impl Scores {
    /// For so many voxels in all.
    pub(super) fn new(channels: usize, learnt: &[bool], voxels: usize) -> Self {
        let histograms = vec![ScoreHistogram::new(); learnt.len() - 1];
        let sample = ClassSample::new(channels, voxels).of_learnt(learnt);
        Self { channels, learnt: learnt.to_vec(), histograms, sample }
    }

    pub(super) fn update(&mut self, logits: &[f32], labels: &[u8]) -> Result<()> {
        self.sample.update(logits, labels);
        let scores = one_against_rest(logits, self.channels);
        let each = self.histograms.par_iter_mut().zip(&scores).enumerate();
        let updated: Vec<metrics::Result<()>> = each
            .map(|(index, (histogram, scores))| {
                let positive = PositiveClass::new(index as i64 + 1).ignore_label(IGNORE);
                histogram.update(scores, labels, positive)
            })
            .collect();
        Ok(updated.into_iter().collect::<metrics::Result<()>>()?)
    }

    pub(super) fn evidence<'a>(&'a self, cases: &'a [String]) -> Evidence<'a> {
        Evidence { histogram: &self.histograms[0], sample: &self.sample, cases }
    }

    pub(super) fn figures(&self, class: usize, name: &str, counts: BinaryCounts) -> ClassFigures {
        ClassFigures::new(name, self.learnt[class], counts, &self.histograms[class - 1])
    }
}
