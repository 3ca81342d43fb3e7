//! What training and prediction will take of the machine.

mod duration;
mod footprint;
mod outlook;
mod pace;
mod probe;
mod run_time;
mod sharing;
mod trial;

pub use duration::{Length, Pieces};
pub use footprint::{CaseMemory, PredictionMemory, TrainingMemory};
pub use outlook::{Outlook, Settled};
pub use pace::Pace;
pub use probe::{MemoryProbe, StepMemory};
pub use run_time::{RunTime, TimeTable};
pub use sharing::{Basis as SharingBasis, Link, SharedStep, Sharing};
