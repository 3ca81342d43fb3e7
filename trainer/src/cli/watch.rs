//! `trainer watch`.

use std::path::PathBuf;

use clap::Args;

/// `trainer watch`
#[derive(Clone, Debug, Args)]
pub struct Watch {
    /// The run folder of `trainer train`; or a folder of runs, such as that of --all-folds or of a study.
    pub run: PathBuf,
    /// Print the state once; on a terminal it is otherwise shown until the run ends.
    #[arg(long)]
    pub once: bool,
    /// Print the state once, as a JSON array with one object a run.
    #[arg(long)]
    pub json: bool,
}
