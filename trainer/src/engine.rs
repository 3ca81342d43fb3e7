//! The training loop: sample, step, log, validate, keep.

mod augment;
mod objective;
mod sampler;
mod settings;
mod split;
mod train;
mod validate;

pub use objective::Objective;
pub use sampler::{Batch, Sampler};
pub use settings::check_settings;
pub use split::split;
pub use train::{Outcome, Setup, train};
pub use validate::{ClassFigures, Validation};
