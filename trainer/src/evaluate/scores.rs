//! The figures of each case and class, their means over the cases, and the cases that are worst.

use metrics::{BinaryCounts, LesionCounts, Mean};
use serde::{Deserialize, Serialize};

use super::surfaces::{Shapes, SurfaceScores};

/// How many of the worst cases are named.
const WORST: usize = 5;

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
    /// hd95, assd and surface_dice.
    #[serde(flatten)]
    pub surface: SurfaceScores,
    /// Connected components of truth and prediction.
    pub lesions: LesionCounts,
}

/// The means of one class over the cases where each value is defined, and how many those are.
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
    pub hd95: Mean,
    pub assd: Mean,
    pub surface_dice: Mean,
    /// Objects found / objects of each case.
    pub lesion_recall: Mean,
    /// Predicted objects that are none, in each case.
    pub false_positive_lesions: Mean,
    /// The objects of all cases together.
    pub lesions: LesionCounts,
}

/// A class of a case that has a low Dice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstCase {
    /// The file's name without suffix.
    pub case: String,
    /// The class's number in the files.
    pub label: i32,
    /// The class's name.
    pub name: String,
    /// Its Dice there.
    pub dice: f64,
}

/// The figures of one class of one case.
pub(super) fn row(label: i32, name: &str, counts: BinaryCounts, shapes: Shapes) -> ClassEvaluation {
    ClassEvaluation {
        label,
        name: name.to_owned(),
        counts,
        precision: counts.precision(),
        recall: counts.recall(),
        f1: counts.f1(),
        dice: counts.dice(),
        iou: counts.iou(),
        surface: shapes.surface,
        lesions: shapes.lesions,
    }
}

/// The means over the cases, class by class.
pub(super) fn means(cases: &[CaseEvaluation]) -> Vec<ClassMeans> {
    let first = cases.first().map_or(&[][..], |case| &case.classes);
    let of = |class: usize, value: fn(&ClassEvaluation) -> Option<f64>| {
        Mean::of(cases.iter().map(|case| value(&case.classes[class])))
    };
    let lesions = |class: usize| {
        let mut sum = LesionCounts::default();
        cases.iter().for_each(|case| sum.merge(&case.classes[class].lesions));
        sum
    };
    let class_means = |(class, row): (usize, &ClassEvaluation)| ClassMeans {
        label: row.label,
        name: row.name.clone(),
        precision: of(class, |row| row.precision),
        recall: of(class, |row| row.recall),
        f1: of(class, |row| row.f1),
        dice: of(class, |row| row.dice),
        iou: of(class, |row| row.iou),
        hd95: of(class, |row| row.surface.hd95),
        assd: of(class, |row| row.surface.assd),
        surface_dice: of(class, |row| row.surface.surface_dice),
        lesion_recall: of(class, |row| row.lesions.recall()),
        false_positive_lesions: of(class, |row| Some(row.lesions.false_positives as f64)),
        lesions: lesions(class),
    };
    first.iter().enumerate().map(class_means).collect()
}

/// The lowest defined Dice of all cases and classes, lowest first; equal ones in the order of the cases.
pub(super) fn worst(cases: &[CaseEvaluation]) -> Vec<WorstCase> {
    let of_case = |case: &CaseEvaluation| -> Vec<WorstCase> {
        let worst = |row: &ClassEvaluation| {
            row.dice.map(|dice| WorstCase {
                case: case.case.clone(),
                label: row.label,
                name: row.name.clone(),
                dice,
            })
        };
        case.classes.iter().filter_map(worst).collect()
    };
    let mut all: Vec<WorstCase> = cases.iter().flat_map(of_case).collect();
    all.sort_by(|a, b| a.dice.total_cmp(&b.dice));
    all.truncate(WORST);
    all
}
