//! Trains 3-D segmentation networks on volumes of your own: data, engine, metrics, checkpoints and reports.
#![forbid(unsafe_code)]

pub mod data;
pub mod error;
pub mod evaluate;
pub mod inspect;
pub mod metrics;
pub mod nifti;
pub mod report;

pub use error::{Error, Result};
