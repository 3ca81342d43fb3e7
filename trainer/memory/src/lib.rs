//! How much memory there is ([`Machine`]), and large blocks of it, which are had or refused in a sentence ([`within`]).
#![forbid(unsafe_code)]

mod block;
mod machine;

pub use block::{Exhausted, OutOfMemory, collected, filled, in_parallel, with_capacity, with_room, within};
pub use machine::{Limit, Machine, in_words, peak_memory, share_machine};
