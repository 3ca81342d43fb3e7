//! What a segmentation is judged by: counts, and the ratios made of them.
//!
//! Everything starts from exact `u64` counts, so results are the same for any number of threads and for any
//! way of cutting the voxels into pieces.
//! A ratio whose denominator is zero is `None`, never a number made up for the occasion; the one exception is
//! [`ClassificationReport`], which repeats scikit-learn's table and so its `zero_division = 0`.

mod average_precision;
mod binary;
mod classification;
mod confusion;
mod curve;
mod histogram;
mod operating;
mod reliability;

pub use average_precision::{AveragePrecision, PrecisionEstimate};
pub use binary::{BinaryCounts, Mean};
pub use classification::{AverageScores, ClassScores, ClassificationReport};
pub use confusion::ConfusionMatrix;
pub use curve::{PositiveClass, PrecisionRecallCurve, Score, average_precision};
pub use histogram::{Bin, ScoreHistogram};
pub use operating::{Aim, OperatingPoint};
pub use reliability::{GROUPS, Group, Reliability};
