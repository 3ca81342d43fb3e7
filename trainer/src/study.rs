//! Arms that differ in the loss alone, trained side by side on one data set, and what may be concluded.
//!
//! Every arm begins with the same weights, sees the same patches in the same order with the same augmentation, and is
//! measured on the same voxels: all of that follows from the seed, and only the loss from the arm. A run that is finished
//! leaves `runs/ARM-seed/result.json`; a study that was stopped goes on from its runs' checkpoints.

mod arm;
mod compare;
mod data;
pub mod explain;
mod measure;
mod page;
mod run;
mod table;
mod verdict;

use serde::{Deserialize, Serialize};

pub use arm::Arm;
pub use compare::{Difference, Figure};
pub use data::StudyData;
pub use measure::{CurvePoint, EpochFigures, Point, RunResult};
pub use page::html;
pub use run::run_arm;

/// A study: what was asked, and every run's figures. `Display` is the table and the verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// The data set's name.
    pub dataset: String,
    /// The training cases.
    pub training: Vec<String>,
    /// The cases that are measured.
    pub evaluation: Vec<String>,
    /// What they are, in words: validation cases, test cases, or the training cases themselves.
    pub evaluation_kind: String,
    /// How they are divided: thresholds and calibrations are fitted on one half, and measured on the other.
    pub halves: String,
    /// Positive voxels of the training cases.
    pub positives: u64,
    /// Negative ones.
    pub negatives: u64,
    /// The recall that the precise operating point keeps.
    pub recall: f64,
    /// Steps of each run.
    pub steps: u64,
    /// The runs: arms in their order, each with its seeds.
    pub runs: Vec<RunResult>,
}

impl Study {
    /// The arms, in the order of their first runs.
    pub fn arms(&self) -> Vec<Arm> {
        let mut arms: Vec<Arm> = Vec::new();
        for run in &self.runs {
            if !arms.contains(&run.arm) {
                arms.push(run.arm);
            }
        }
        arms
    }

    /// The runs of an arm, by seed.
    pub fn of(&self, arm: Arm) -> Vec<&RunResult> {
        self.runs.iter().filter(|run| run.arm == arm).collect()
    }
}

#[cfg(test)]
mod tests;
