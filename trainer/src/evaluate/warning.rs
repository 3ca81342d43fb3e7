//! What does not stop an evaluation, but changes what its numbers mean.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::words::counted;

/// Names that are written out in a message; the rest is counted.
const SHOWN: usize = 5;

/// A warning, with what to do about it in `Display`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// Labels without prediction are in no mean.
    MissingPredictions {
        /// Their names.
        cases: Vec<String>,
    },
    /// Predictions without label cannot be judged.
    ExtraPredictions {
        /// Their names.
        cases: Vec<String>,
    },
    /// The predictions lie in a data set's folder and the labels do not.
    Swapped,
    /// Label and prediction are said to lie at different places; voxels were compared by their indices.
    DifferentAffine {
        /// The case.
        case: String,
        /// How far apart their farthest corners are.
        millimetres: f64,
    },
    /// A volume is a part of the other by its header; what it does not reach counts as background.
    Part {
        /// The case.
        case: String,
        /// Which of the two.
        side: String,
    },
    /// The case is in no figure: its files cannot be compared.
    NotCompared {
        /// The case.
        case: String,
        /// Why, with the remedy.
        reason: String,
    },
    /// `dataset.json` has regions made of several labels; the labels were compared, not the regions.
    Regions {
        /// The regions' names.
        names: Vec<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingPredictions { cases } => write!(
                f,
                "{} without prediction, in no mean: {}; predict {} too",
                counted(cases.len(), "label"),
                list(cases),
                if cases.len() == 1 { "it" } else { "them" }
            ),
            Self::ExtraPredictions { cases } => write!(
                f,
                "{} without label, left out: {}; add labels of the same name to judge them",
                counted(cases.len(), "prediction"),
                list(cases)
            ),
            Self::Swapped => f.write_str(
                "the predictions lie in a data set and the labels do not: if the two are swapped, so are precision and \
                 recall; --predictions is what `trainer predict` wrote, --labels the truth",
            ),
            Self::DifferentAffine { case, millimetres } => write!(
                f,
                "case {case}: the affine matrices of label and prediction differ by {millimetres:.3} mm at a \
                 corner, voxels were compared by index; write predictions with the header of their image"
            ),
            Self::Part { case, side } => write!(
                f,
                "case {case}: the {side} covers a part of the other volume by its header; what it does not reach \
                 counts as background"
            ),
            Self::NotCompared { case, reason } => write!(f, "{case} is in no figure: {reason}"),
            Self::Regions { names } => write!(
                f,
                "dataset.json has regions of several labels ({}); single labels were compared, not regions",
                list(names)
            ),
        }
    }
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
