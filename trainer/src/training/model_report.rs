//! From the figures of a validation to what a report shows of the model.

use std::collections::BTreeSet;

use metrics::Reliability;

use super::draw_slices;
use super::objects::TrueObject;
use super::validation::{CaseDetail, ClassFigures, ValidationFigures};
use crate::Result;
use crate::predict::Decision;
use crate::preprocess::{CaseReader, PreparedCase};
use crate::report::{CaseClassReport, CaseReport, ClassReport, CutPoint, ModelReport, ObjectReport, Picture};

/// Objects of a class in a case that are listed, the largest.
const LISTED: usize = 1000;

/// When a validation was, and how its model is judged.
#[derive(Debug)]
pub struct Judgement {
    /// The epoch that it came after.
    pub epoch: u64,
    /// Steps taken until then.
    pub step: u64,
    /// What "best" is judged by, in words.
    pub metric: String,
    /// Its value.
    pub value: Option<f64>,
}

impl ValidationFigures {
    /// What a report shows, of the cases that were validated, in their order, read with `reader`; with slices of the worst, the
    /// middle and the best of them.
    ///
    /// # Errors
    /// If the voxels of a case cannot be read.
    pub fn model_report(
        &self,
        judgement: Judgement,
        cases: &[PreparedCase],
        reader: &CaseReader,
    ) -> Result<ModelReport> {
        let Judgement { epoch, step, metric, value } = judgement;
        let classes = self.classes.iter().map(|class| class_report(class, &self.decision)).collect();
        let of_case =
            |((case, counts), detail): ((&PreparedCase, _), _)| self.case_report(case, counts, detail);
        let listed = cases.iter().zip(&self.by_case).zip(&self.details).map(of_case).collect();
        let on_training_cases = self.on_training_cases;
        let mut report = ModelReport {
            epoch,
            step,
            metric,
            value,
            on_training_cases,
            classes,
            cases: listed,
            pictures: Vec::new(),
        };
        for name in shown(&report) {
            let position = cases.iter().position(|case| case.name() == name);
            let Some((case, detail)) = position.and_then(|at| Some((&cases[at], self.details.get(at)?)))
            else {
                continue;
            };
            let Some(mask) = detail.mask.unpack() else { continue };
            let mask = case.summary().grids.part_of(&mask);
            report.pictures.push(Picture::new(&name, &draw_slices(case, reader, &mask)?));
        }
        Ok(report)
    }

    fn case_report(
        &self,
        case: &PreparedCase,
        counts: &super::CaseCounts,
        detail: &CaseDetail,
    ) -> CaseReport {
        let class = |index: usize| {
            let own = detail.objects.truth.iter().filter(|object| usize::from(object.class) == index + 1);
            let figures = &self.classes[index];
            let mut truth: Vec<ObjectReport> =
                own.map(|object| object_report(object, figures, &self.decision)).collect();
            truth.sort_by_key(|object| std::cmp::Reverse(object.voxels));
            truth.truncate(LISTED);
            CaseClassReport { counts: counts.classes[index], objects: detail.objects.counts[index], truth }
        };
        CaseReport {
            name: counts.name.clone(),
            voxel_volume: case.summary().grids.spacing_of_file().iter().product(),
            classes: (0..self.classes.len()).map(class).collect(),
        }
    }
}

/// The worst, the middle and the best case.
fn shown(report: &ModelReport) -> Vec<String> {
    let ranked = report.worst_first();
    let places: BTreeSet<usize> = match ranked.len() {
        0 => BTreeSet::new(),
        n => BTreeSet::from([0, n / 2, n - 1]),
    };
    places.into_iter().map(|place| ranked[place].name.clone()).collect()
}

/// What makes the probability of a class that reports speak of.
fn probability(decision: &Decision) -> impl Fn(f64) -> f64 + '_ {
    let calibration = (decision.calibration.shift.len() == 1).then_some(&decision.calibration);
    move |logit| match calibration {
        Some(calibration) => calibration.probability(logit),
        None => autograd::Real::sigmoid(logit),
    }
}

fn class_report(class: &ClassFigures, decision: &Decision) -> ClassReport {
    let ClassFigures { histogram, counts, .. } = class;
    let is_single = decision.calibration.shift.len() == 1;
    let probability = probability(decision);
    let at = |logit: f32| CutPoint::new(probability(f64::from(logit)), &histogram.counts_above(logit));
    ClassReport {
        name: class.name.clone(),
        learnt: class.learnt,
        counts: *counts,
        average_precision: class.average_precision,
        share: class.share,
        curve: CutPoint::curve(histogram, &probability),
        cut: decision.logit().map(at),
        as_trained: Reliability::new(histogram, autograd::Real::sigmoid),
        calibrated: is_single.then(|| Reliability::new(histogram, &probability)),
    }
}

fn object_report(object: &TrueObject, class: &ClassFigures, decision: &Decision) -> ObjectReport {
    let of_peak =
        |peak: f32| CutPoint::new(probability(decision)(f64::from(peak)), &class.histogram.counts_with(peak));
    ObjectReport { voxels: object.voxels, found: object.found, cut: object.peak.map(of_peak) }
}
