//! What the library and the program obey, seen from outside.

mod cache;
mod calibration;
mod checkpoint;
mod cli;
mod cluster;
mod convert;
mod data;
mod decision;
mod engine;
mod ensemble;
mod evaluate;
mod explain;
mod folds;
mod fuzz_smoke;
mod hostile;
mod imbalanced_classifier;
mod inference;
mod inference_memory;
mod inspect;
mod kill;
#[cfg(feature = "mpi")]
mod mpi;
mod plan;
mod postprocess;
mod preparation;
mod reading_threads;
mod report;
mod study;
mod support;
mod synthetic;
mod verify;
mod volume;
