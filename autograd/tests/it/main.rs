//! What the engine and its operations obey, seen from outside.

mod batch;
mod engine;
mod gradcheck;
mod laws;
mod memory;
mod numbers;
mod out_of_memory;
mod refusals;
mod trace;
mod values;
mod watch;
