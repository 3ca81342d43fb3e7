//! Layers, initialisation, optimisers and schedules for 3-D networks, channels last, on the CPU.

mod error;
mod module;

pub use error::Error;
pub use module::{Layout, Module, join};
