//! What is kept of a run.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Aim, BinaryCounts, OperatingPoint, PositiveClass, Reliability, ScoreHistogram};
use serde::{Deserialize, Serialize};
use unet3d::UNet3d;

use super::{Arm, StudyData};
use crate::dataset::IGNORE;
use crate::predict::{Calibration, Pipeline, one_against_rest};
use crate::{Error, Result};

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

/// Predicts the evaluation cases as the pipeline does and measures them in the voxels of their files, plane by plane; `None`
/// if it was stopped.
pub(super) fn measure(
    pipeline: &Pipeline,
    model: &UNet3d<f32>,
    data: &StudyData,
    known: &Calibration,
    scaled: bool,
    stop: &AtomicBool,
) -> Result<Option<Measured>> {
    let positive = PositiveClass::new(1).ignore_label(IGNORE);
    let channels = model.config().out_channels;
    let [mut fitted, mut measured] = [ScoreHistogram::new(), ScoreHistogram::new()];
    let (mut first_mask, mut is_first) = (Vec::new(), true);
    for (case, &planes) in data.evaluation.iter().zip(&data.fitted) {
        let (grids, voxels) = (&case.summary().grids, case.voxels()?);
        let labels = case.part_labels()?;
        let [_, h, w] = grids.part_shape();
        let mut of_plane = labels.chunks_exact(h * w).enumerate();
        let mut updated = Ok(());
        let sink = |plane: &[f32]| {
            let (index, labels) = of_plane.next().expect("a plane of logits for each of labels");
            let half = if index < planes { &mut fitted } else { &mut measured };
            let scores = one_against_rest(plane, channels).swap_remove(0);
            if is_first {
                first_mask.extend(scores.iter().map(|&z| u8::from(z > 0.0)));
            }
            if updated.is_ok() {
                updated = half.update(&scores, labels, positive);
            }
        };
        let is_wanted = |_, _| !stop.load(Ordering::Relaxed);
        match pipeline.logits(model, voxels.image(), grids, is_wanted, sink) {
            Err(_) if stop.load(Ordering::Relaxed) => return Ok(None),
            predicted => predicted?,
        }
        is_first = false;
        updated.map_err(|error: metrics::Error| Error::case(case.name(), error.to_string()))?;
    }
    let calibration = known.fitted(&fitted, scaled, std::slice::from_ref(&data.halves), 0.0);
    Ok(Some(Measured { fitted, measured, calibration, first_mask }))
}

/// What [`measure`] saw.
pub(super) struct Measured {
    /// The scores of one half.
    pub(super) fitted: ScoreHistogram,
    /// Of the other.
    pub(super) measured: ScoreHistogram,
    /// Fitted on the one.
    pub(super) calibration: Calibration,
    /// The first case's mask at probability 1/2, of the part of its file that it is.
    pub(super) first_mask: Vec<u8>,
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
        let Self { fitted, measured, calibration, .. } = self;
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
            at_half: all.counts_above(0.0),
            average_precision: all.average_precision().value,
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

fn curve(histogram: &ScoreHistogram) -> Vec<CurvePoint> {
    let of = |(_, counts): (f32, BinaryCounts)| {
        Some(CurvePoint { recall: counts.recall()?, precision: counts.precision()? })
    };
    histogram.curve(CURVE).into_iter().filter_map(of).collect()
}
