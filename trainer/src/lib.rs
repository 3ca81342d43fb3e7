//! Trains 3-D segmentation networks on volumes of your own.
//!
//! - [`config`]: what the user says.
//! - [`dataset`]: folders of volumes; [`curate`]: how they are made, verified and counted.
//! - [`preprocess`]: from files to what a network sees.
//! - [`predict`]: from a network and an image to a mask.
//! - [`run`]: what a run leaves behind; [`training`]: the loop.
//! - [`evaluate`], [`study`], [`report`]: figures, and how they are shown.
//! - [`cli`], [`commands`]: the program `trainer`; [`threads`]: how many it takes.
#![forbid(unsafe_code)]

pub mod cli;
mod codec;
pub mod commands;
pub mod config;
pub mod curate;
pub mod dataset;
pub mod error;
pub mod evaluate;
pub mod predict;
pub mod preprocess;
pub mod random;
pub mod report;
pub mod run;
pub mod study;
pub mod threads;
pub mod training;
mod words;

pub use error::{Error, Result};

/// The README's example, compiled and run with the other documentation.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
