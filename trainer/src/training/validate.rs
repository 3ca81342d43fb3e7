//! Whole cases, predicted as `trainer predict` does and counted in the voxels of their files.
//!
//! The network is asked once, by one of the ranks. Its logits, restored to the file's voxels, are spilled to disk plane by plane.
//! The first rank has those of all cases then: what threshold and calibration are chosen on is gathered from them in the order
//! of the cases. Then the masks are made by what was chosen,
//! post-processing is chosen on the masks, and the masks that come of it are counted. So what is counted is what
//! `trainer predict` will write with this model.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::path::Path;

use metrics::{ClassificationReport, ConfusionMatrix};
use ranks::Ranks;
use unet3d::UNet3d;

use super::objects::{CaseObjects, Peaks};
use super::scores::Scores;
use super::spill::Spill;
use super::validation::{CaseCounts, CaseDetail, ValidationFigures};
use crate::Result;
use crate::dataset::IGNORE;
use crate::predict::{Asked, ByClass, Calibration, Candidates, Choice, Decision, Evidence, Pipeline, finish};
use crate::preprocess::{Grids, PackedLabels, PreparedCase};

/// Cases that were predicted, by one network or each by another, and wait for what is chosen on all of them.
pub struct WholeCases<'a> {
    /// The classes, background first.
    names: &'a [String],
    /// Which of them the networks were trained on.
    learnt: &'a [bool],
    /// A folder for files that are gone afterwards.
    scratch: &'a Path,
    channels: usize,
    scores: Scores,
    cases: Vec<Predicted>,
}

/// A case whose logits lie on the disk.
struct Predicted {
    name: String,
    grids: Grids,
    /// Of the whole file.
    labels: PackedLabels,
    spill: Spill,
}

/// What is done with predicted cases.
pub struct Choices<'a> {
    /// What is asked of post-processing; the rest is chosen.
    pub asked: Asked,
    /// Chooses how logits are read.
    pub decide: &'a dyn Fn(Evidence<'_>) -> Decision,
    /// Whether the network was trained on these very cases. Then nothing is chosen on them but what `decide` says.
    pub on_training_cases: bool,
}

impl<'a> WholeCases<'a> {
    /// None so far, of so many channels of logits and so many voxels to come. Of each class, the background among them, there
    /// is its name and whether the networks were trained on it: else nothing is chosen by it.
    pub fn new(
        (names, learnt): (&'a [String], &'a [bool]),
        channels: usize,
        voxels: usize,
        scratch: &'a Path,
    ) -> Self {
        let scores = Scores::new(channels, learnt, voxels);
        Self { names, learnt, scratch, channels, scores, cases: Vec::new() }
    }

    /// Asks a network about a prepared case. `calibrated` makes logits of different networks alike. `progress` is called with
    /// (patches done, patches in all) and ends the work by returning false.
    ///
    /// # Errors
    /// If the case and the network do not fit, the disk refuses, or the work was stopped.
    pub fn predict(
        &self,
        pipeline: &Pipeline,
        model: &UNet3d<f32>,
        case: &PreparedCase,
        calibrated: Option<&Calibration>,
        progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<Spill> {
        let (voxels, grids) = (case.voxels()?, &case.summary().grids);
        let mut spill = Spill::new(self.scratch)?;
        let mut failed = None;
        let mut take = |plane: &[f32]| match calibrated {
            Some(calibration) => spill.push(&calibration.applied(plane)),
            None => spill.push(plane),
        };
        pipeline.logits(model, voxels.image(), grids, progress, |plane| {
            if failed.is_none() {
                failed = take(plane).err();
            }
        })?;
        failed.map_or(Ok(spill), Err)
    }

    /// Takes the logits of a labelled case, and gathers what is chosen on.
    ///
    /// # Errors
    /// If scores are NaN, or the disk refuses.
    pub fn add(&mut self, case: &PreparedCase, mut spill: Spill) -> Result<()> {
        let grids = &case.summary().grids;
        let unknown = || vec![IGNORE; grids.whole_shape().iter().product()];
        let whole = case.file_labels()?.unwrap_or_else(unknown);
        let labels = grids.part_of(&whole);
        let whole = PackedLabels::new(&whole);
        let mut planes = labels.chunks_exact(self.plane(grids));
        spill.read(self.channels * self.plane(grids), |plane| {
            self.scores.update(plane, planes.next().expect("a plane of logits for each of labels"))
        })?;
        let name = case.name().to_owned();
        self.cases.push(Predicted { name, grids: grids.clone(), labels: whole, spill });
        Ok(())
    }

    /// Shares so many cases out among ranks, for their prediction. `case` gives the case of a number, of some twice; `predict` asks
    /// a network about it, and gives none where the work was stopped. Gives whether all were predicted; the first rank has
    /// [taken](Self::add) them then, in their order.
    ///
    /// # Errors
    /// Those of the two and of [`add`](Self::add), or if a rank is lost.
    pub fn share<C: Borrow<PreparedCase>>(
        &mut self,
        ranks: &Ranks,
        count: usize,
        mut case: impl FnMut(usize) -> Result<C>,
        mut predict: impl FnMut(&Self, &PreparedCase) -> Result<Option<Spill>>,
    ) -> Result<bool> {
        let rank_of = |number: usize| number % ranks.size();
        let (mut spills, mut is_stopped) = (BTreeMap::new(), false);
        for number in (0..count).filter(|&number| rank_of(number) == ranks.rank()) {
            let case = case(number)?;
            let Some(spill) = predict(self, case.borrow())? else {
                is_stopped = true;
                break;
            };
            if ranks.is_alone() {
                self.add(case.borrow(), spill)?;
            } else {
                spills.insert(number, spill);
            }
        }
        if ranks.any(is_stopped)? {
            return Ok(false);
        }
        for number in (0..count).filter(|_| !ranks.is_alone()) {
            let (stream, from) = (number as u64, rank_of(number));
            if from != ranks.rank() && !ranks.is_first() {
                continue;
            }
            let case = case(number)?;
            let (case, grids) = (case.borrow(), &case.borrow().summary().grids);
            match spills.remove(&number) {
                Some(mut spill) if !ranks.is_first() => {
                    spill.send(ranks, 0, stream, self.channels * self.plane(grids))?;
                }
                Some(spill) => self.add(case, spill)?,
                None => {
                    let planes = grids.part_shape()[0];
                    self.add(case, Spill::receive(self.scratch, ranks, from, stream, planes)?)?;
                }
            }
        }
        Ok(true)
    }

    /// Voxels of a plane of the part of the file that a case is.
    fn plane(&self, grids: &Grids) -> usize {
        let [_, h, w] = grids.part_shape();
        h * w
    }

    /// Chooses, makes the masks and counts them.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn finish(self, choices: &Choices<'_>) -> Result<ValidationFigures> {
        let Self { names, learnt, scores, cases, .. } = self;
        let listed: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
        let decision = (choices.decide)(scores.evidence(&listed));
        let masks: Vec<(Case, PackedLabels)> =
            cases.into_iter().map(|case| masked(case, &decision)).collect::<Result<_>>()?;
        let postprocess = choose(names, learnt, choices, &masks);
        let postprocessing = ByClass::new(&names[1..], &choices.asked, &[postprocess.as_ref()]);
        let mut matrix = ConfusionMatrix::new(names.len()).ignore_label(IGNORE);
        let (mut by_case, mut details) = (Vec::new(), Vec::new());
        for (case, part) in masks {
            let mask = finish(unpacked(&part), &case.grids, &postprocessing);
            let (packed, labels) = (PackedLabels::new(&mask), unpacked(&case.labels));
            let mut own = ConfusionMatrix::new(names.len()).ignore_label(IGNORE);
            own.update(&labels, &mask)?;
            matrix.merge(&own);
            let classes = (1..names.len()).map(|class| own.binary(class)).collect();
            by_case.push(CaseCounts { name: case.name, classes });
            let objects = CaseObjects::new(&labels, mask, &case.grids, names.len(), &case.peaks);
            details.push(CaseDetail { mask: packed, objects });
        }
        let classes =
            (1..names.len()).map(|class| scores.figures(class, &names[class], matrix.binary(class)));
        Ok(ValidationFigures {
            on_training_cases: choices.on_training_cases,
            classes: classes.collect(),
            report: ClassificationReport::new(&matrix).with_names(names),
            cases: listed,
            by_case,
            details,
            decision,
            postprocess,
        })
    }
}

/// A case whose mask was made.
struct Case {
    name: String,
    grids: Grids,
    labels: PackedLabels,
    /// The highest logit in each object of the labels.
    peaks: Vec<Option<f32>>,
}

fn unpacked(labels: &PackedLabels) -> Vec<u8> {
    labels.unpack().expect("they were packed here")
}

/// The classes of the part of the file that a case is.
fn masked(predicted: Predicted, decision: &Decision) -> Result<(Case, PackedLabels)> {
    let Predicted { name, grids, labels, mut spill } = predicted;
    let [d, h, w] = grids.part_shape();
    let mut part = memory::with_capacity(d * h * w);
    let channels = decision.calibration.shift.len();
    let mut peaks = Peaks::new(&unpacked(&labels), &grids, channels);
    spill.read(h * w * channels, |plane| {
        peaks.see(plane);
        part.extend(decision.classes(plane));
        Ok(())
    })?;
    let peaks = peaks.highest();
    Ok((Case { name, grids, labels, peaks }, PackedLabels::new(&part)))
}

/// Chooses post-processing on the masks, where something is left to choose.
fn choose(
    names: &[String],
    learnt: &[bool],
    choices: &Choices<'_>,
    masks: &[(Case, PackedLabels)],
) -> Option<Choice> {
    if choices.on_training_cases || choices.asked.is_settled() {
        return None;
    }
    let mut candidates = Candidates::new(&choices.asked, &names[1..]).of_learnt(&learnt[1..]);
    for (case, part) in masks {
        let (mask, labels) = (case.grids.uncropped(unpacked(part), &[0]), unpacked(&case.labels));
        let ratio = case.grids.file_voxels_per_voxel();
        candidates.add(&case.name, &mask, &labels, case.grids.whole_shape(), ratio);
    }
    candidates.choose()
}
