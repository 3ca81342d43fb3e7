//! The training loop: sample, step, log, validate, keep.

mod augment;
mod balance;
mod objective;
mod sampler;
mod settings;
mod setup;
mod split;
mod train;
mod treat;
mod validate;

pub use objective::Objective;
pub use sampler::{Batch, PatchPlace, Sampler};
pub use settings::check_settings;
pub(crate) use settings::optimizer;
pub use setup::{End, Outcome, Setup};
pub use split::{Fold, split};
pub(crate) use train::Passes;
pub use train::{READY, train};
pub use validate::{ClassFigures, Validation};
