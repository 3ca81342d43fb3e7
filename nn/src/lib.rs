//! Layers, initialisation, optimisers and schedules for 3-D networks, channels last, on the CPU.

mod error;
pub mod functional;
pub mod init;
pub mod kernels;
pub mod layers;
mod module;
pub mod optim;
pub mod schedule;

pub use error::Error;
pub use module::{Layout, Module, join};
