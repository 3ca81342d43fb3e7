//! Trains 3-D segmentation networks on volumes of your own.
//!
//! - [`data`], [`nifti`]: folders of volumes, and the cases they hold in memory.
//! - [`volume`], [`info`]: volumes of other programs (NRRD, MetaImage, NumPy, TIFF, PNG), and what a file holds.
//! - [`config`], [`plan`]: what the user says, and what follows from the data.
//! - [`engine`]: sampling, the training loop, validation.
//! - [`checkpoint`], [`inference`]: what a run leaves behind, and what is done with it.
//! - [`calibration`], [`decision`]: from logits to probabilities and masks.
//! - [`metrics`], [`evaluate`], [`report`], [`inspect`]: figures, and how they are shown.
//! - [`convert`]: a data set made of images and masks in any format; [`verify`]: everything that is wrong with one.
//! - [`folds`]: what a cross-validation says; [`ensemble`]: what its runs say together; [`postprocess`]: what is done to masks.
//! - [`memory`]: large blocks, which are had or refused in a sentence.
//! - [`explain`]: what a weight will do, before training; [`study`]: what it did.
//! - [`cli`], [`commands`]: the program `trainer`.
#![forbid(unsafe_code)]

pub mod calibration;
pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod config;
pub mod convert;
pub mod data;
pub mod decision;
pub mod engine;
pub mod ensemble;
pub mod error;
pub mod evaluate;
pub mod explain;
mod failures;
mod files;
pub mod folds;
mod gzip;
pub mod inference;
pub mod info;
pub mod inspect;
pub mod memory;
pub mod metrics;
pub mod nifti;
pub mod plan;
pub mod postprocess;
pub mod random;
pub mod report;
pub mod study;
pub mod verify;
pub mod volume;

pub use error::{Error, Result};

/// The README's example, compiled and run with the other documentation.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
