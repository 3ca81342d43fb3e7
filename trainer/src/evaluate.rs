//! Compares a folder of predicted label volumes with a folder of true ones, case by case and class by class.
//!
//! Voxels are counted, the distances between surfaces measured in mm, and objects counted: connected components, such as lesions.
//! A value that is undefined for a case is in no mean, and every mean says how many such cases there are.
//!
//! Nothing is resampled: a prediction must lie on its label's grid. Label 0 is the background; it has no row of
//! its own, but stands in [`Evaluation::report`], which counts the voxels of all cases together.

mod class_names;
mod folders;
pub mod folds;
mod merges;
mod scores;
mod surfaces;
mod table;
mod volume;
mod warning;

pub use merges::Merges;
pub use scores::{CaseEvaluation, ClassEvaluation, ClassMeans, WorstCase};
pub use surfaces::SurfaceScores;
pub use volume::{LabelVolume, read_labels};
pub use warning::Warning;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use class_names::ClassNames;
use folders::Pair;
use metrics::{ClassificationReport, ConfusionMatrix, Connectivity, Mean};
use serde::{Deserialize, Serialize};
use surfaces::Shapes;

use crate::report::Failures;
use crate::{Error, Result};

/// More distinct labels than this are taken for an image.
const MOST_LABELS: usize = 1000;

/// What pairs could not be.
const NOT_COMPARED: &str = "pairs could not be compared";

/// What [`evaluate`] found. `Display` gives tables, serde the JSON; undefined values are `-` and `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Every case that has a label and a prediction, by name.
    pub cases: Vec<CaseEvaluation>,
    /// For each foreground class, the means over the cases.
    pub classes: Vec<ClassMeans>,
    /// The mean of the classes' mean Dice; `n` counts classes.
    pub foreground_dice: Mean,
    /// Where Dice is lowest: up to five of all cases and classes, lowest first.
    pub worst: Vec<WorstCase>,
    /// The tolerance of the surface Dice, in mm.
    pub tolerance: f64,
    /// All voxels of all cases, the background included.
    pub report: ClassificationReport,
    /// What the reader of these numbers has to know.
    pub warnings: Vec<Warning>,
}

/// What [`evaluate`] can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How far, in mm, a surface may lie from the other for the surface Dice.
    pub tolerance: f64,
    /// The neighbours whose absence makes a voxel part of the surface.
    pub surface: Connectivity,
    /// The neighbours that belong to the same object.
    pub lesions: Connectivity,
    /// Labels that are one class.
    pub merges: Merges,
}

impl Default for Options {
    /// 1 mm; surfaces as MedPy has them, and objects that hang together by a corner.
    fn default() -> Self {
        Self {
            tolerance: 1.0,
            surface: Connectivity::Six,
            lesions: Connectivity::TwentySix,
            merges: Merges::default(),
        }
    }
}

/// Compares the volumes of two folders; those with the same name before the ending belong together.
///
/// Class names and the ignore label come from a `dataset.json` in the labels' folder or the one above.
/// A label without prediction, a prediction without label and an affine matrix that differs are warnings. So is a pair that
/// cannot be compared, where others can ([`Evaluation::complete`]): a file cannot be read, shapes differ, a voxel is no whole
/// number, a label is not among those of `dataset.json`.
///
/// # Errors
/// When a folder cannot be read, no label has a prediction that it can be compared with, or the tolerance is no length.
pub fn evaluate(
    predictions: impl AsRef<Path>,
    labels: impl AsRef<Path>,
    options: &Options,
) -> Result<Evaluation> {
    let (predictions, labels) = (predictions.as_ref(), labels.as_ref());
    let tolerance = options.tolerance;
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        let message = format!("a tolerance of {tolerance} mm is no length; give 0 or more, such as 1");
        return Err(metrics::Error(message).into());
    }
    let names = ClassNames::find(labels)?.map(|names| names.merged(&options.merges)).transpose()?;
    let (pairs, mut warnings) = folders::pair(predictions, labels)?;
    warnings.extend(
        names
            .iter()
            .filter(|names| !names.regions.is_empty())
            .map(|names| Warning::Regions { names: names.regions.clone() }),
    );

    let (mut compared, mut failures) = (Vec::new(), Failures::default());
    for pair in &pairs {
        match memory::within(|| Compared::read(pair, names.as_ref(), options)) {
            Ok((case, found)) => {
                warnings.extend(found);
                compared.push(case);
            }
            Err(error) => {
                let reason = error.of_case(&pair.case).to_string();
                failures.add(&reason);
                warnings.push(Warning::NotCompared { case: pair.case.clone(), reason });
            }
        }
    }
    if compared.is_empty() {
        failures.end(pairs.len(), NOT_COMPARED)?;
    }
    let seen = compared.iter().flat_map(|case| case.classes.iter().copied());
    let classes: Vec<i32> = match &names {
        Some(names) => names.labels().collect(),
        None => seen.chain([0]).collect::<BTreeSet<_>>().into_iter().collect(),
    };
    let name = |label: i32| names.as_ref().map_or_else(|| label.to_string(), |names| names.name(label));
    let names: Vec<String> = classes.iter().map(|&label| name(label)).collect();

    let mut whole = ConfusionMatrix::new(classes.len());
    let mut cases = Vec::new();
    for case in compared {
        let place = |label| classes.binary_search(label).expect("the classes are the union of the cases'");
        let places: Vec<_> = case.classes.iter().map(place).collect();
        let matrix = case.matrix.relabelled(classes.len(), &places);
        whole.merge(&matrix);
        let foreground = (0..classes.len()).filter(|&class| classes[class] != 0);
        let rows = foreground.map(|class| {
            let shapes = case.shapes.get(&classes[class]).copied().unwrap_or_default();
            scores::row(classes[class], &names[class], matrix.binary(class), shapes)
        });
        cases.push(CaseEvaluation { case: case.name, classes: rows.collect() });
    }
    let classes = scores::means(&cases);
    Ok(Evaluation {
        foreground_dice: Mean::of(classes.iter().map(|class| class.dice.value)),
        classes,
        worst: scores::worst(&cases),
        cases,
        tolerance,
        report: ClassificationReport::new(&whole).with_names(&names),
        warnings,
    })
}

impl Evaluation {
    /// Refuses an evaluation in which pairs are missing that could not be compared.
    ///
    /// # Errors
    /// With their number, and why the first are missing.
    pub fn complete(&self) -> Result<()> {
        let mut failures = Failures::default();
        let mut missing = 0;
        for warning in &self.warnings {
            if let Warning::NotCompared { reason, .. } = warning {
                failures.add(reason);
                missing += 1;
            }
        }
        failures.end(self.cases.len() + missing, NOT_COMPARED)
    }
}

/// One case, measured, its classes not yet in line with those of the others.
struct Compared {
    name: String,
    classes: Vec<i32>,
    matrix: ConfusionMatrix,
    shapes: BTreeMap<i32, Shapes>,
}

impl Compared {
    fn read(pair: &Pair, names: Option<&ClassNames>, options: &Options) -> Result<(Self, Vec<Warning>)> {
        let read = |path: &Path| read_labels(path).map(|volume| options.merges.apply(volume));
        let truth = read(&pair.label)?;
        let (prediction, prediction_is_part) = read(&pair.prediction)?.on_grid_of(&truth);
        // A program that cuts masks to their segments may have written the labels.
        let (truth, truth_is_part) = truth.on_grid_of(&prediction);
        let mut warnings: Vec<_> = compare_grids(&pair.case, &truth, &prediction)?.into_iter().collect();
        for (side, is_part) in [("prediction", prediction_is_part), ("label", truth_is_part)] {
            if is_part {
                warnings.push(Warning::Part { case: pair.case.clone(), side: side.into() });
            }
        }
        let (classes, matrix) = count(&pair.case, &truth.labels, &prediction.labels, names)?;
        let ignore = names.and_then(|names| names.ignore);
        let shapes = surfaces::measure(&truth, &prediction, ignore, options)?;
        Ok((Self { name: pair.case.clone(), classes, matrix, shapes }, warnings))
    }
}

/// Refuses another shape, and warns of another place in space.
fn compare_grids(case: &str, truth: &LabelVolume, prediction: &LabelVolume) -> Result<Option<Warning>> {
    let (t, p) = (truth.shape, prediction.shape);
    if t != p {
        let message = format!(
            "the prediction has shape {p:?} (x, y, z), the label {t:?}; \
             predict on the grid of the original image, or resample the prediction to it"
        );
        return Err(Error::case(case, message));
    }
    let millimetres = truth.farthest_corner(&prediction.affine);
    // A hundredth of a voxel allows for matrices that were rounded to f32, or rebuilt from a quaternion. NaN warns.
    let allowed = 0.01 * truth.spacing().into_iter().fold(f64::INFINITY, f64::min);
    let near = millimetres <= allowed;
    Ok((!near).then(|| Warning::DifferentAffine { case: case.to_owned(), millimetres }))
}

/// The classes of one case, ascending, and their confusion matrix.
fn count(
    case: &str,
    truth: &[i32],
    prediction: &[i32],
    names: Option<&ClassNames>,
) -> Result<(Vec<i32>, ConfusionMatrix)> {
    let ignore = names.and_then(|names| names.ignore);
    let mut classes = BTreeSet::from([0]);
    for (side, labels) in [("label", truth), ("prediction", prediction)] {
        for run in labels.chunk_by(|a, b| a == b) {
            let label = run[0];
            if !classes.insert(label) || Some(label) == ignore {
                continue;
            }
            if names.is_some_and(|names| !names.labels().any(|known| known == label)) {
                let message = format!(
                    "the {side} holds the label {label}, which dataset.json does not name; \
                     add it there, or correct the file"
                );
                return Err(Error::case(case, message));
            }
            if classes.len() > MOST_LABELS {
                let message = format!(
                    "the {side} holds more than {MOST_LABELS} distinct labels, as an image would; \
                     name the folder that holds the labels"
                );
                return Err(Error::case(case, message));
            }
        }
    }
    let classes: Vec<i32> = classes.into_iter().filter(|&label| Some(label) != ignore).collect();
    // The ignore label goes behind the classes.
    let ignored = classes.len();
    let mut matrix = ConfusionMatrix::new(classes.len()).ignore_label(ignored as i64);
    let place = |label: i32| classes.binary_search(&label).unwrap_or(ignored) as u16;
    let places = |labels: &[i32]| -> Vec<u16> {
        let mut places = memory::with_capacity(labels.len());
        let runs = labels.chunk_by(|a, b| a == b);
        places.extend(runs.flat_map(|run| std::iter::repeat_n(place(run[0]), run.len())));
        places
    };
    matrix.update(&places(truth), &places(prediction)).map_err(|_| {
        // Every other label has a place.
        let label = ignore.unwrap_or_default();
        let message = format!("the prediction holds the ignore label {label}; predict classes alone");
        Error::case(case, message)
    })?;
    Ok((classes, matrix))
}
