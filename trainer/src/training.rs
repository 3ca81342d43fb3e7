//! The training loop: sample, step, log, validate, keep; and what that will take of memory and time.

mod augment;
mod balance;
mod cost;
mod model_report;
mod objective;
mod objects;
mod sampler;
mod schedule;
mod scores;
mod settings;
mod setup;
mod slices;
mod spill;
mod train;
mod validate;
mod validation;

pub use cost::{
    CaseMemory, Length, Link, MemoryProbe, Outlook, Pace, Pieces, PredictionMemory, RunTime, Settled,
    SharedStep, Sharing, SharingBasis, StepMemory, TimeTable, TrainingMemory,
};
pub use model_report::Judgement;
pub use objective::Objective;
pub use objects::{CaseObjects, TrueObject};
pub use sampler::{Batch, PatchPlace, Sampler};
pub use schedule::{ValidationSchedule, Work, settled_mirror};
pub use settings::check_settings;
pub(crate) use settings::optimizer;
pub(crate) use setup::digest;
pub use setup::{End, Outcome, Setup};
pub use slices::draw_slices;
pub use spill::Spill;
pub(crate) use train::{PassSettings, Passes};
pub use train::{READY, train};
pub use validate::{Choices, WholeCases};
pub use validation::{CaseCounts, CaseDetail, ClassFigures, ValidationFigures};
