//! Laws of the training engine.

mod augmentation;
mod balance;
mod configurations;
mod runs;
mod sampler;
mod treat;

use crate::support::small;
