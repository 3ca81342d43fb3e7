//! What the losses must obey, beside the reference values of others.

mod bridges;
mod configuration;
mod errors;
mod extremes;
mod goldens;
mod gradients;
mod parts;
mod regions;
mod rules;
mod support;
