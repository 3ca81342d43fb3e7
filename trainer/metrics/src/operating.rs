//! Where to cut: the threshold that serves an aim, found on a histogram of logits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BinaryCounts, ScoreHistogram};

/// What a threshold is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Aim {
    /// `max-f1`: the largest f1.
    MaxF1,
    /// `recall>=r`: the highest precision among thresholds of at least this recall.
    Recall(f64),
    /// `precision>=q`: the highest recall among thresholds of at least this precision.
    Precision(f64),
}

/// A threshold with what it does to the voxels that it was chosen on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// A voxel is positive where its logit is above this.
    pub logit: f32,
    /// What came of it.
    pub counts: BinaryCounts,
    /// Whether the aim is reached; where it cannot be, this is the nearest.
    pub reached: bool,
}

impl OperatingPoint {
    /// The point of a histogram's voxels that serves the aim; of equals the highest threshold. `None` where no voxel is
    /// positive, since then no threshold is better than another.
    pub fn find(histogram: &ScoreHistogram, aim: Aim) -> Option<Self> {
        let mut best: Option<((bool, f64, f64), Self)> = None;
        histogram.for_each_threshold(|logit, counts| {
            let value = |ratio: Option<f64>| ratio.unwrap_or(0.0);
            let (f1, recall, precision) =
                (value(counts.f1()), value(counts.recall()), value(counts.precision()));
            // Reached first; then what is asked for; where it is out of reach, as near as can be.
            let rank = match aim {
                Aim::MaxF1 => (true, f1, 0.0),
                Aim::Recall(r) if recall >= r => (true, precision, f1),
                Aim::Recall(_) => (false, recall, precision),
                Aim::Precision(q) if precision >= q && counts.true_positives > 0 => (true, recall, f1),
                Aim::Precision(_) => (false, precision, recall),
            };
            if counts.support() > 0 && best.as_ref().is_none_or(|(other, _)| rank > *other) {
                best = Some((rank, Self { logit, counts, reached: rank.0 }));
            }
        });
        best.map(|(_, point)| point)
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxF1 => f.write_str("max-f1"),
            Self::Recall(r) => write!(f, "recall>={r}"),
            Self::Precision(q) => write!(f, "precision>={q}"),
        }
    }
}

impl FromStr for Aim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = |text: &str| text.trim().parse().ok().filter(|share: &f64| *share > 0.0 && *share <= 1.0);
        let aim = match text.trim().split_once(">=") {
            None if text.trim() == "max-f1" => Some(Self::MaxF1),
            Some(("recall", r)) => share(r).map(Self::Recall),
            Some(("precision", q)) => share(q).map(Self::Precision),
            _ => None,
        };
        aim.ok_or_else(|| {
            format!(
                "{text:?} is no aim: max-f1, recall>=0.9 or precision>=0.9, with a share above 0 and up to 1"
            )
        })
    }
}

impl From<Aim> for String {
    fn from(aim: Aim) -> Self {
        aim.to_string()
    }
}

impl TryFrom<String> for Aim {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
