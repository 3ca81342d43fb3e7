//! Compares a folder of predicted label volumes with a folder of true ones, case by case and class by class.
//!
//! Nothing is resampled: a prediction must lie on its label's grid. Label 0 is the background; it has no row of
//! its own, but stands in [`Evaluation::report`], which counts the voxels of all cases together.

mod class_names;
mod folders;
mod table;
mod volume;
mod warning;

pub use volume::{LabelVolume, read_labels};
pub use warning::Warning;

use crate::metrics::{BinaryCounts, ClassificationReport, ConfusionMatrix, Mean};
use crate::{Error, Result};
use class_names::ClassNames;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

/// More distinct labels than this are taken for an image.
const MOST_LABELS: usize = 1000;

/// What [`evaluate`] found. `Display` gives tables, serde the JSON; undefined values are `-` and `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Every case that has a label and a prediction, by name.
    pub cases: Vec<CaseEvaluation>,
    /// For each foreground class, the means over the cases.
    pub classes: Vec<ClassMeans>,
    /// The mean of the classes' mean Dice; `n` counts classes.
    pub foreground_dice: Mean,
    /// All voxels of all cases, the background included.
    pub report: ClassificationReport,
    /// What the reader of these numbers has to know.
    pub warnings: Vec<Warning>,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseEvaluation {
    /// The file's name without suffix.
    pub case: String,
    /// The foreground classes, ascending.
    pub classes: Vec<ClassEvaluation>,
}

/// One class of one case. Ratios are `None` where their denominator is 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassEvaluation {
    /// The class's number in the files.
    pub label: i32,
    /// The class's name in `dataset.json`, else its number.
    pub name: String,
    /// tp, fp, fn and tn, in voxels.
    #[serde(flatten)]
    pub counts: BinaryCounts,
    /// tp / (tp + fp).
    pub precision: Option<f64>,
    /// tp / (tp + fn).
    pub recall: Option<f64>,
    /// The harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// 2 tp / (2 tp + fp + fn).
    pub dice: Option<f64>,
    /// tp / (tp + fp + fn).
    pub iou: Option<f64>,
}

/// The means of one class over the cases where each ratio is defined; `n` counts those cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of `ClassEvaluation`")]
pub struct ClassMeans {
    pub label: i32,
    pub name: String,
    pub precision: Mean,
    pub recall: Mean,
    pub f1: Mean,
    pub dice: Mean,
    pub iou: Mean,
}

/// Compares the NIfTI files of two folders; files with the same name before the suffix belong together.
///
/// Class names and the ignore label come from a `dataset.json` in the labels' folder or the one above.
/// A label without prediction, a prediction without label and an affine matrix that differs are warnings.
///
/// # Errors
/// When a folder or file cannot be read, no label has a prediction, shapes differ, a voxel is no whole number,
/// or a label is not among those of `dataset.json`.
pub fn evaluate(predictions: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Evaluation> {
    let (predictions, labels) = (predictions.as_ref(), labels.as_ref());
    let names = ClassNames::find(labels)?;
    let (pairs, mut warnings) = folders::pair(predictions, labels)?;
    warnings.extend(
        names
            .iter()
            .filter(|names| !names.regions.is_empty())
            .map(|names| Warning::Regions { names: names.regions.clone() }),
    );

    let mut counted = Vec::new();
    for pair in pairs {
        let (truth, prediction) = (read_labels(&pair.label)?, read_labels(&pair.prediction)?);
        warnings.extend(compare_grids(&pair.case, &truth, &prediction)?);
        let (classes, matrix) = count(&pair.case, &truth.labels, &prediction.labels, names.as_ref())?;
        counted.push((pair.case, classes, matrix));
    }
    let seen = counted.iter().flat_map(|(_, classes, _)| classes.iter().copied());
    let classes: Vec<i32> = match &names {
        Some(names) => names.labels().collect(),
        None => seen.chain([0]).collect::<BTreeSet<_>>().into_iter().collect(),
    };
    let name = |label: i32| names.as_ref().map_or_else(|| label.to_string(), |names| names.name(label));
    let names: Vec<String> = classes.iter().map(|&label| name(label)).collect();

    let mut whole = ConfusionMatrix::new(classes.len());
    let mut cases = Vec::new();
    for (case, labels, matrix) in counted {
        let place = |label| classes.binary_search(label).expect("the classes are the union of the cases'");
        let matrix = matrix.relabelled(classes.len(), &labels.iter().map(place).collect::<Vec<_>>());
        whole.merge(&matrix);
        let foreground = (0..classes.len()).filter(|&class| classes[class] != 0);
        let rows = foreground.map(|class| row(classes[class], &names[class], matrix.binary(class)));
        cases.push(CaseEvaluation { case, classes: rows.collect() });
    }
    let classes = means(&cases);
    Ok(Evaluation {
        foreground_dice: Mean::of(classes.iter().map(|class| class.dice.value)),
        classes,
        cases,
        report: ClassificationReport::new(&whole).with_names(&names),
        warnings,
    })
}

fn row(label: i32, name: &str, counts: BinaryCounts) -> ClassEvaluation {
    ClassEvaluation {
        label,
        name: name.to_owned(),
        counts,
        precision: counts.precision(),
        recall: counts.recall(),
        f1: counts.f1(),
        dice: counts.dice(),
        iou: counts.iou(),
    }
}

/// The means over the cases, class by class.
fn means(cases: &[CaseEvaluation]) -> Vec<ClassMeans> {
    let first = cases.first().map_or(&[][..], |case| &case.classes);
    let of = |class: usize, value: fn(&ClassEvaluation) -> Option<f64>| {
        Mean::of(cases.iter().map(|case| value(&case.classes[class])))
    };
    let class_means = |(class, row): (usize, &ClassEvaluation)| ClassMeans {
        label: row.label,
        name: row.name.clone(),
        precision: of(class, |row| row.precision),
        recall: of(class, |row| row.recall),
        f1: of(class, |row| row.f1),
        dice: of(class, |row| row.dice),
        iou: of(class, |row| row.iou),
    };
    first.iter().enumerate().map(class_means).collect()
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
    let allowed = 0.01 * truth.smallest_spacing();
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
        let runs = labels.chunk_by(|a, b| a == b);
        runs.flat_map(|run| std::iter::repeat_n(place(run[0]), run.len())).collect()
    };
    matrix.update(&places(truth), &places(prediction)).map_err(|_| {
        // Every other label has a place.
        let label = ignore.unwrap_or_default();
        let message = format!("the prediction holds the ignore label {label}; predict classes alone");
        Error::case(case, message)
    })?;
    Ok((classes, matrix))
}
