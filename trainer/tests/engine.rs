//! Laws of the training engine.

#[path = "engine/augmentation.rs"]
mod augmentation;
#[path = "engine/balance.rs"]
mod balance;
#[path = "engine/configurations.rs"]
mod configurations;
#[path = "engine/runs.rs"]
mod runs;
#[path = "engine/sampler.rs"]
mod sampler;
#[path = "support/small.rs"]
mod small;
#[path = "engine/treat.rs"]
mod treat;
