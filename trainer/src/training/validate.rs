//! A validation of whole cases: predicted as `trainer predict` does, and counted in the voxels of their files.
//!
//! The network is asked once. Its logits, restored to the file's voxels, pass by plane by plane: what threshold and
//! calibration are chosen on is gathered from them, and they are spilled to disk. Then the masks are made by what was chosen,
//! post-processing is chosen on the masks, and the masks that come of it are counted. So what is counted is what
//! `trainer predict` will write with this model.

use std::path::Path;

use metrics::{BinaryCounts, ClassificationReport, ConfusionMatrix, PositiveClass, ScoreHistogram};
use rayon::prelude::*;
use unet3d::UNet3d;

use super::spill::Spill;
use super::validation::{CaseCounts, ClassFigures, Validation};
use crate::Result;
use crate::dataset::IGNORE;
use crate::predict::{
    Asked, ByClass, Candidates, Choice, ClassSample, Decision, Evidence, Pipeline, finish, one_against_rest,
};
use crate::preprocess::{Grids, PackedLabels, PreparedCase};

/// What a validation is made of.
pub struct Validator<'a> {
    /// How cases are predicted; its decision and post-processing are what stands where nothing is chosen.
    pub pipeline: &'a Pipeline,
    /// Labelled cases.
    pub cases: &'a [PreparedCase],
    /// Whether the model was trained on these very cases: then nothing is chosen on them.
    pub on_training_cases: bool,
    /// What is asked of post-processing; the rest is chosen.
    pub asked: Asked,
    /// Chooses how logits are read.
    pub decide: &'a dyn Fn(Evidence<'_>) -> Decision,
    /// A folder for a file that is gone afterwards.
    pub scratch: &'a Path,
}

/// A case between the passes.
struct Predicted<'a> {
    case: &'a PreparedCase,
    spill: Spill,
}

impl Validator<'_> {
    /// Predicts every case and compares with its labels. `progress` is called with (patches done, patches in all) of a case
    /// and ends the work by returning false.
    ///
    /// # Errors
    /// If a case and the model do not fit, scores are NaN, the disk refuses, or the work was stopped.
    pub fn run(
        &self,
        model: &UNet3d<f32>,
        mut progress: impl FnMut(&str, usize, usize) -> bool,
    ) -> Result<Validation> {
        let description = &self.pipeline.preparation.reader.description;
        let names = &description.classes;
        let mut scores = Scores::new(model.config().out_channels, names.len(), self.cases);
        let mut predicted = Vec::new();
        for case in self.cases {
            predicted.push(self.predict(model, case, &mut scores, &mut progress)?);
        }
        let cases: Vec<String> = predicted.iter().map(|p| p.case.name().to_owned()).collect();
        let decision = match self.on_training_cases {
            true => self.pipeline.decision.clone(),
            false => (self.decide)(Evidence { cases: &cases, ..scores.evidence() }),
        };
        let masks: Vec<(&PreparedCase, PackedLabels)> = predicted
            .into_iter()
            .map(|predicted| masked(predicted, &decision, model.config().out_channels))
            .collect::<Result<_>>()?;
        let postprocess = self.choose(&masks)?;
        let postprocessing = match self.on_training_cases {
            true => self.pipeline.postprocessing.clone(),
            false => ByClass::new(&names[1..], &self.asked, &[postprocess.as_ref()]),
        };
        let mut matrix = ConfusionMatrix::new(names.len()).ignore_label(IGNORE);
        let mut by_case = Vec::new();
        for (case, part) in masks {
            let grids = &case.summary().grids;
            let mask = finish(part.unpack().expect("it was packed here"), grids, &postprocessing);
            let labels = labels(case)?;
            let mut own = ConfusionMatrix::new(names.len()).ignore_label(IGNORE);
            own.update(&labels, &mask)?;
            matrix.merge(&own);
            let classes = (1..names.len()).map(|class| own.binary(class)).collect();
            by_case.push(CaseCounts { name: case.name().to_owned(), classes });
        }
        let classes =
            (1..names.len()).map(|class| scores.figures(class, &names[class], matrix.binary(class)));
        Ok(Validation {
            on_training_cases: self.on_training_cases,
            classes: classes.collect(),
            report: ClassificationReport::new(&matrix).with_names(names),
            cases,
            by_case,
            decision,
            postprocess,
        })
    }

    /// Asks the network about a case.
    fn predict<'c>(
        &self,
        model: &UNet3d<f32>,
        case: &'c PreparedCase,
        scores: &mut Scores,
        progress: &mut impl FnMut(&str, usize, usize) -> bool,
    ) -> Result<Predicted<'c>> {
        let (voxels, grids) = (case.voxels()?, &case.summary().grids);
        let labels = grids.part_of(&labels(case)?);
        let mut spill = Spill::new(self.scratch)?;
        let [_, h, w] = grids.part_shape();
        let (mut planes, mut failed) = (labels.chunks_exact(h * w), None);
        let mut take = |plane: &[f32]| -> Result<()> {
            scores.update(plane, planes.next().expect("a plane of logits for each of labels"))?;
            spill.push(plane)
        };
        self.pipeline.logits(
            model,
            voxels.image(),
            grids,
            |done, total| progress(case.name(), done, total),
            |plane| {
                if failed.is_none() {
                    failed = take(plane).err();
                }
            },
        )?;
        match failed {
            Some(error) => Err(error),
            None => Ok(Predicted { case, spill }),
        }
    }

    /// Chooses post-processing on the masks, where something is left to choose.
    fn choose(&self, masks: &[(&PreparedCase, PackedLabels)]) -> Result<Option<Choice>> {
        if self.on_training_cases || self.asked.is_settled() {
            return Ok(None);
        }
        let names = &self.pipeline.preparation.reader.description.classes;
        let mut candidates = Candidates::new(&self.asked, &names[1..]);
        for (case, part) in masks {
            let grids = &case.summary().grids;
            let mask = grids.uncropped(part.unpack().expect("it was packed here"), &[0]);
            let ratio = grids.file_voxels_per_voxel();
            candidates.add(case.name(), &mask, &labels(case)?, grids.whole_shape(), ratio);
        }
        Ok(candidates.choose())
    }
}

/// The labels of a case's whole file.
fn labels(case: &PreparedCase) -> Result<Vec<u8>> {
    let unknown = || vec![IGNORE; case.summary().grids.whole_shape().iter().product()];
    Ok(case.file_labels()?.unwrap_or_else(unknown))
}

/// The classes of the part of the file that a case is.
fn masked<'c>(
    predicted: Predicted<'c>,
    decision: &Decision,
    channels: usize,
) -> Result<(&'c PreparedCase, PackedLabels)> {
    let Predicted { case, spill } = predicted;
    let grids: &Grids = &case.summary().grids;
    let [d, h, w] = grids.part_shape();
    let mut part = memory::with_capacity(d * h * w);
    spill.read(h * w * channels, |plane| part.extend(decision.classes(plane)))?;
    Ok((case, PackedLabels::new(&part)))
}

/// What is gathered from the logits as they pass by.
struct Scores {
    channels: usize,
    histograms: Vec<ScoreHistogram>,
    sample: ClassSample,
}

impl Scores {
    fn new(channels: usize, classes: usize, cases: &[PreparedCase]) -> Self {
        let voxels =
            cases.iter().map(|case| case.summary().grids.part_shape().iter().product::<usize>()).sum();
        Self {
            channels,
            histograms: vec![ScoreHistogram::new(); classes - 1],
            sample: ClassSample::new(channels, voxels),
        }
    }

    fn update(&mut self, logits: &[f32], labels: &[u8]) -> Result<()> {
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

    fn evidence(&self) -> Evidence<'_> {
        Evidence { histogram: &self.histograms[0], sample: &self.sample, cases: &[] }
    }

    fn figures(&self, class: usize, name: &str, counts: BinaryCounts) -> ClassFigures {
        ClassFigures::new(name, counts, &self.histograms[class - 1])
    }
}
