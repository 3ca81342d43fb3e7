//! `trainer train`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{time, whole};
use crate::run::folder::Which;

/// `trainer train`
#[derive(Clone, Debug, Args)]
pub struct Train {
    /// An nnU-Net folder: dataset.json, imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz.
    pub dataset: PathBuf,
    /// The run folder to make.
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// A TOML file with the keys that differ from `trainer config`.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Sets one key after the file is read, such as loss.pos_weight=auto.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// training.epochs
    #[arg(long, value_parser = whole::<usize>)]
    pub epochs: Option<usize>,
    /// Train for so long, such as 30m or 1h30m, in place of training.epochs: before the first step it is resolved into epochs
    /// whose steps, validations and choices end within it, reading the cases included, and written to the run's configuration.
    /// An epoch has at most training.steps_per_epoch steps. With --all-folds it is the time of all folds together.
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with_all = ["epochs", "resume"])]
    pub time: Option<Duration>,
    /// training.steps_per_epoch
    #[arg(long, value_parser = whole::<usize>)]
    pub steps_per_epoch: Option<usize>,
    /// training.seed
    #[arg(long, value_parser = whole::<u64>)]
    pub seed: Option<u64>,
    /// training.threads; 0: all that are available
    #[arg(long, value_parser = whole::<usize>)]
    pub threads: Option<usize>,
    /// Start from these weights.
    #[arg(long, value_name = "WEIGHTS.safetensors")]
    pub init: Option<PathBuf>,
    /// Validate on the labelled cases of this nnU-Net folder instead of a part of the training cases.
    #[arg(long, value_name = "DIR")]
    pub validation: Option<PathBuf>,
    /// Hold out this fold of a cross-validation, counted from 0.
    #[arg(long, value_name = "K", conflicts_with = "all_folds", value_parser = whole::<usize>)]
    pub fold: Option<usize>,
    /// Into so many folds the cases are divided; 5 by default, or as many as there are cases where they are fewer.
    #[arg(long, value_name = "N", value_parser = whole::<usize>)]
    pub folds: Option<usize>,
    /// Train each fold into RUN/fold_0, RUN/fold_1, … and write the figures of all into RUN/summary.json; the same command
    /// goes on where it was stopped.
    #[arg(long)]
    pub all_folds: bool,
    /// Go on with the run in --out, with its own configuration.
    #[arg(
        long,
        conflicts_with_all = ["config", "set", "seed", "init", "steps_per_epoch", "fold", "folds", "all_folds"]
    )]
    pub resume: bool,
    /// Begin, or go on where the run in --out was stopped: one command for a job that is started again until it is done. A
    /// run with other settings than those given is refused, one that is done is left as it is; --init and --time are of its
    /// beginning alone.
    #[arg(long = "continue", conflicts_with_all = ["resume", "all_folds"])]
    pub go_on: bool,
    /// Print the lines of RUN/log.jsonl as they are written; words go to standard error.
    #[arg(long, conflicts_with = "all_folds")]
    pub json: bool,
    /// training.check_numerics
    #[arg(long)]
    pub check_numerics: bool,
    /// Go on from this checkpoint instead of the last.
    #[arg(long, requires = "resume")]
    pub checkpoint: Option<Which>,
    /// Where cases are kept.
    #[command(flatten)]
    pub loading: Loading,
}

/// How cases are loaded.
#[derive(Clone, Debug, Default, Args)]
pub struct Loading {
    /// Keep the preprocessed cases in files of this folder instead of in memory, and read from them what patches need. Any
    /// runs may share it: folds, seeds and settings have the same files as far as their cases come out the same, which CT
    /// normalisation's do where the training cases are the same. The result is that from memory, bit for bit.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Go on even where memory will not suffice by the plan.
    #[arg(long)]
    pub force: bool,
}
