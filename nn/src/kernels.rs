//! The fast loops: slices and a spec in, slices out. They know neither tape nor tensor.
//!
//! The folders of convolutions hold `reference.rs`, the naive loops that define the operation and that every fast version
//! is tested against. Loops are written once in the vocabulary of [`autograd::simd`], for all instruction sets
//! and both number types. Work is cut by shape alone, so results do not depend on the number of threads.
//!
//! # Denormal numbers
//!
//! They are kept, in every thread and on every instruction set: the processor's switch for that belongs to a thread, compiled
//! code may take it to be off (`_mm_setcsr` says so), and bits would depend on it. There is little to gain: on AVX-512 a pass
//! of a U-Net whose gradients are all denormal takes 1.02 times as long as one without.

pub mod activation;
mod affine;
pub mod conv3d;
pub mod conv_transpose3d;
pub mod linear;
pub mod norm;
mod output;
pub mod pool;
pub mod resample;
pub(crate) mod scratch;
mod table;
pub mod tasks;

pub use affine::{Affine, Pairs};
pub(crate) use output::Output;
pub(crate) use table::table;

/// Part `i` of `len` things cut into `parts` as equal as can be.
#[inline(always)]
pub(crate) fn part(len: usize, parts: usize, i: usize) -> std::ops::Range<usize> {
    len * i / parts..len * (i + 1) / parts
}

/// The fewest parts of at most `most` things that `len` things are cut into.
#[inline(always)]
pub(crate) fn parts(len: usize, most: usize) -> usize {
    len.div_ceil(most)
}
