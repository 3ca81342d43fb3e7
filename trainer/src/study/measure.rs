//! What is kept of a run.

use metrics::{
    Aim, AveragePrecision, BinaryCounts, OperatingPoint, PositiveClass, Reliability, ScoreHistogram,
};
use serde::{Deserialize, Serialize};
use unet3d::UNet3d;

use super::{Arm, StudyData};
use crate::Result;
use crate::dataset::IGNORE;
use crate::predict::{Calibration, Logits, SlidingWindow, one_against_rest};

/// Points of a curve that are kept.
const CURVE: usize = 256;

/// One run's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The arm.
    pub arm: Arm,
    /// The seed.
    pub seed: u64,
    /// After each epoch, over all evaluation voxels.
    pub epochs: Vec<EpochFigures>,
    /// At probability 1/2, uncalibrated, over all evaluation voxels.
    pub at_half: BinaryCounts,
    /// Over all evaluation voxels, from the share to 1.
    pub average_precision: Option<f64>,
    /// At the threshold of the fitted half's best f1, on the other half.
    pub best_f1: Option<Point>,
    /// At the fitted half's highest precision with the wanted recall, on the other half.
    pub precise: Option<Point>,
    /// The other half's probabilities as the network gives them.
    pub before: Reliability,
    /// And after calibration.
    pub after: Reliability,
    /// The calibration, fitted on the first half.
    pub calibration: Calibration,
    /// The precision-recall curve over all evaluation voxels, thinned.
    pub curve: Vec<CurvePoint>,
    /// Seconds that training took.
    pub seconds: f64,
}

/// A threshold with what it did to voxels that it was not chosen on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The threshold, as a calibrated probability.
    pub probability: f64,
    /// What it did.
    pub counts: BinaryCounts,
}

/// A point of a precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CurvePoint {
    pub recall: f64,
    pub precision: f64,
}

/// One epoch's report of the positive class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct EpochFigures {
    pub epoch: u64,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    pub average_precision: Option<f64>,
    pub mean_probability: f64,
    pub share: f64,
}

/// The scores of both halves.
pub(super) struct Halves {
    pub(super) fitted: ScoreHistogram,
    pub(super) measured: ScoreHistogram,
    pub(super) precision: AveragePrecision,
    pub(super) at_half: BinaryCounts,
}

/// Predicts the evaluation cases and measures them; the second is the first case's logits, for its picture.
pub(super) fn measure(
    model: &UNet3d<f32>,
    data: &StudyData,
    window: &SlidingWindow,
    known: &Calibration,
    scaled: bool,
) -> Result<(Measured, Logits)> {
    let positive = PositiveClass::new(1).ignore_label(IGNORE);
    let mut halves = Halves {
        fitted: ScoreHistogram::new(),
        measured: ScoreHistogram::new(),
        precision: AveragePrecision::new(positive),
        at_half: BinaryCounts::default(),
    };
    let mut first = None;
    for (case, planes) in data.evaluation.iter().zip(&data.fitted) {
        let Some(truth) = &case.labels else { continue };
        let logits = window.run(model, &case.image, case.shape, |_, _| true)?;
        let scores = one_against_rest(&logits.values, logits.channels).swap_remove(0);
        halves.precision.update(&scores, truth)?;
        count(&mut halves.at_half, &scores, truth);
        let plane = case.shape[1] * case.shape[2];
        let end = planes * plane;
        halves.fitted.update(&scores[..end], &truth[..end], positive)?;
        halves.measured.update(&scores[end..], &truth[end..], positive)?;
        first.get_or_insert(Logits { shape: case.shape, channels: 1, values: scores });
    }
    let logits = first.expect("there are labelled evaluation cases");
    let calibration = known.fitted(&halves.fitted, scaled, std::slice::from_ref(&data.halves), 0.0);
    Ok((Measured { halves, calibration }, logits))
}

/// What [`measure`] saw.
pub(super) struct Measured {
    pub(super) halves: Halves,
    pub(super) calibration: Calibration,
}

impl Measured {
    pub(super) fn result(
        self,
        arm: Arm,
        seed: u64,
        recall: f64,
        epochs: Vec<EpochFigures>,
        seconds: f64,
    ) -> RunResult {
        let Self { halves: Halves { fitted, measured, precision, at_half }, calibration } = self;
        let point = |aim| {
            let point = OperatingPoint::find(&fitted, aim)?;
            // Just above the cut lies the bin that it ends below.
            let counts = measured.counts_above(point.logit);
            Some(Point { probability: calibration.probability(f64::from(point.logit)), counts })
        };
        let mut all = fitted.clone();
        all.merge(&measured);
        RunResult {
            arm,
            seed,
            epochs,
            at_half,
            average_precision: precision.finish().value,
            best_f1: point(Aim::MaxF1),
            precise: point(Aim::Recall(recall)),
            before: Reliability::new(&measured, |logit| Calibration::identity(1).probability(logit)),
            after: Reliability::new(&measured, |logit| calibration.probability(logit)),
            calibration,
            curve: curve(&all),
            seconds,
        }
    }
}

/// Adds the voxels of a case, called positive above logit 0.
fn count(counts: &mut BinaryCounts, scores: &[f32], truth: &[u8]) {
    for (&score, &label) in scores.iter().zip(truth).filter(|(_, label)| **label != IGNORE) {
        *match (score > 0.0, label == 1) {
            (true, true) => &mut counts.true_positives,
            (true, false) => &mut counts.false_positives,
            (false, true) => &mut counts.false_negatives,
            (false, false) => &mut counts.true_negatives,
        } += 1;
    }
}

/// The curve, by evenly spaced recall.
fn curve(histogram: &ScoreHistogram) -> Vec<CurvePoint> {
    let mut points: Vec<CurvePoint> = Vec::new();
    histogram.for_each_threshold(|_, counts| {
        let (Some(recall), Some(precision)) = (counts.recall(), counts.precision()) else { return };
        let far = points.last().is_none_or(|last| recall - last.recall >= 1.0 / CURVE as f64);
        if far || counts.false_negatives == 0 && points.last().is_some_and(|last| last.recall < 1.0) {
            points.push(CurvePoint { recall, precision });
        }
    });
    points
}
