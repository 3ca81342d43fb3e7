//! What a report shows of a model: the validation that the model was kept for, case by case and object by object.
//!
//! It lies beside the model in a checkpoint's folder, as JSON, so that a page can be made anew from a run's folder alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use metrics::{BinaryCounts, LesionCounts, Mean, Reliability, ScoreHistogram};
use serde::{Deserialize, Serialize};

/// Points of a curve that are kept.
const CURVE: usize = 256;

/// A validation of whole cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// The epoch that it came after.
    pub epoch: u64,
    /// Steps taken until then.
    pub step: u64,
    /// What "best" is judged by, in words.
    pub metric: String,
    /// Its value; none where the network was trained on these cases.
    pub value: Option<f64>,
    /// Whether the network was trained on these cases.
    pub on_training_cases: bool,
    /// Each foreground class over the voxels of all cases together.
    pub classes: Vec<ClassReport>,
    /// Each case.
    pub cases: Vec<CaseReport>,
    /// Slices of some of them.
    pub pictures: Vec<Picture>,
}

/// A class over the voxels of all cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// The class.
    pub name: String,
    /// Whether a training case holds it.
    pub learnt: bool,
    /// Of the masks that are written.
    pub counts: BinaryCounts,
    /// The area under the precision-recall curve, from the class's share to 1.
    pub average_precision: Option<f64>,
    /// Of the voxels.
    pub share: f64,
    /// Precision and recall at every threshold, thinned, from the highest threshold down.
    pub curve: Vec<CutPoint>,
    /// At the cut that masks are made with, before post-processing; none of several classes.
    pub cut: Option<CutPoint>,
    /// Of the probabilities as the network gives them.
    pub as_trained: Reliability,
    /// Of calibrated ones; none of several classes.
    pub calibrated: Option<Reliability>,
}

/// A threshold on the probability of a class, and what it does to the voxels of all cases together.
///
/// Of one foreground class probabilities are calibrated, of several they are those of the class against the rest, as trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CutPoint {
    /// What is above it has the class.
    pub probability: f64,
    /// tp / (tp + fp)
    pub precision: Option<f64>,
    /// tp / (tp + fn)
    pub recall: Option<f64>,
}

/// A case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// Cubic millimetres of a voxel of its file.
    pub voxel_volume: f64,
    /// Each foreground class in it.
    pub classes: Vec<CaseClassReport>,
}

/// A class of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseClassReport {
    /// In voxels.
    pub counts: BinaryCounts,
    /// In objects.
    pub objects: LesionCounts,
    /// Each object of the truth.
    pub truth: Vec<ObjectReport>,
}

/// An object of the truth: voxels of a class that touch, also at a corner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectReport {
    /// How many.
    pub voxels: u64,
    /// Whether a voxel of the mask that is written lies in it.
    pub found: bool,
    /// The highest threshold that finds it, which is the highest probability inside, and what it does to all voxels; none
    /// where nothing of it was predicted, as it lies outside what the network sees.
    pub cut: Option<CutPoint>,
}

/// Slices of a case with truth and prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Picture {
    /// Of this case.
    pub case: String,
    /// A PNG file, in base64.
    pub png: String,
}

impl Picture {
    /// Of a PNG file.
    pub fn new(case: &str, file: &[u8]) -> Self {
        Self { case: case.to_owned(), png: STANDARD.encode(file) }
    }

    /// The PNG file; `None` where the text is not one.
    pub fn file(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.png).ok()
    }
}

impl CutPoint {
    /// Of counts.
    pub fn new(probability: f64, counts: &BinaryCounts) -> Self {
        Self { probability, precision: counts.precision(), recall: counts.recall() }
    }

    /// The curve of a histogram, whose logits `probability` makes probabilities of.
    pub fn curve(histogram: &ScoreHistogram, probability: impl Fn(f64) -> f64) -> Vec<Self> {
        let of = |(logit, counts): &(f32, BinaryCounts)| Self::new(probability(f64::from(*logit)), counts);
        histogram.curve(CURVE).iter().map(of).collect()
    }
}

impl CaseReport {
    /// The mean of the Dice of its classes where that is defined.
    pub fn mean_dice(&self) -> Option<f64> {
        Mean::of(self.classes.iter().map(|class| class.counts.dice())).value
    }
}

impl ModelReport {
    /// The cases from the lowest mean Dice up; those without any come last.
    pub fn worst_first(&self) -> Vec<&CaseReport> {
        let mut cases: Vec<&CaseReport> = self.cases.iter().collect();
        let rank = |case: &CaseReport| case.mean_dice().unwrap_or(f64::INFINITY);
        cases.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        cases
    }
}
