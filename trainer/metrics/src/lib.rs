//! What a segmentation is judged by: counts and the ratios made of them, and distances between surfaces.
//!
//! Ratios start from exact `u64` counts and distances are gathered in the order of memory, so results are the
//! same for any number of threads, and those of voxels for any way of cutting them into pieces.
//! A ratio whose denominator is zero is `None`, never a number made up for the occasion; the one exception is
//! [`ClassificationReport`], which repeats scikit-learn's table and so its `zero_division = 0`.
#![forbid(unsafe_code)]

mod average_precision;
mod binary;
mod classification;
mod components;
mod confusion;
mod curve;
mod error;
pub mod grid;
mod histogram;
mod lesions;
mod objects;
mod operating;
mod reliability;
mod roc;
mod surface;

pub use average_precision::{AveragePrecision, PrecisionEstimate};
pub use binary::{BinaryCounts, Mean};
pub use classification::{AverageScores, ClassScores, ClassificationReport};
pub use components::Components;
pub use confusion::ConfusionMatrix;
pub use curve::{PositiveClass, PrecisionRecallCurve, Score, average_precision};
pub use error::{Error, Result};
pub use grid::{BoundingBox, Connectivity};
pub use histogram::{Bin, ScoreHistogram};
pub use lesions::LesionCounts;
pub use objects::{Object, Objects};
pub use operating::{Aim, OperatingPoint};
pub use reliability::{GROUPS, Group, Reliability};
pub use roc::RocCurve;
pub use surface::{SurfaceDistances, distance_transform};
