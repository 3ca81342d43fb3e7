//! What the network obeys, seen from outside.

mod class_weights;
mod memory;
mod network;
