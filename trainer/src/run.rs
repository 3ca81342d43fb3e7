//! What a run is and leaves behind: its plan, its folder, its record and its checkpoints.

pub mod checkpoint;
pub(crate) mod folder;
mod plan;
pub(crate) mod record;

pub use plan::Facts;

pub use crate::predict::Plan;
