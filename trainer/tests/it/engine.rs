//! Laws of the training engine.

mod accumulate;
mod augmentation;
mod balance;
mod choices;
mod configurations;
mod patience;
mod ranks;
mod runs;
mod sampler;

use crate::support::small;
