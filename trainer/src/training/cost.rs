//! What training and prediction will take of the machine.

mod footprint;
mod outlook;
mod probe;

pub use footprint::{CaseMemory, PredictionMemory, TrainingMemory};
pub use outlook::{Outlook, Settled};
pub use probe::{MemoryProbe, StepMemory};
