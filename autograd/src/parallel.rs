//! Work cut into slabs whose size depends on the amount of work alone, so that results do not depend on threads.
//!
//! Elementwise operations may be cut anywhere. Sums are not associative in floating point: each slab yields a
//! partial result, and the partials are combined in slab order.

use std::ops::Range;

use rayon::prelude::*;

/// Elements in a slab of an elementwise operation: 64 KiB of `f32`, a comfortable share of an L2 cache.
pub const SLAB: usize = 16 << 10;

/// The elements of a slab of whole rows of `width` elements: about [`SLAB`], at least one row.
pub fn slab_of_rows(width: usize) -> usize {
    let width = width.max(1);
    width * (SLAB / width).max(1)
}

/// Calls `f(start, slab)` for the slabs of `y`, each of `slab` elements but the last, in parallel.
pub fn for_each_slab<Y: Send>(y: &mut [Y], slab: usize, f: impl Fn(usize, &mut [Y]) + Sync) {
    assert!(slab > 0, "a slab holds at least one element");
    if y.len() <= slab {
        if !y.is_empty() {
            f(0, y);
        }
        return;
    }
    share_slabs(y, slab, &f);
}

/// As [`for_each_slab`]. A slab is large enough for a call through a pointer, which spares each operation its own copy of
/// rayon's splitting, three quarters of the code of this crate.
fn share_slabs<Y: Send>(y: &mut [Y], slab: usize, f: &(dyn Fn(usize, &mut [Y]) + Sync)) {
    y.par_chunks_mut(slab).enumerate().for_each(|(i, chunk)| f(i * slab, chunk));
}

/// `f` of each range of `slab` indices of `0..len`, in order.
pub fn map_slabs<R: Send>(len: usize, slab: usize, f: impl Fn(Range<usize>) -> R + Sync) -> Vec<R> {
    assert!(slab > 0, "a slab holds at least one element");
    let slabs = len.div_ceil(slab);
    let range = |i: usize| i * slab..((i + 1) * slab).min(len);
    if slabs <= 1 {
        return (0..slabs).map(|i| f(range(i))).collect();
    }
    (0..slabs).into_par_iter().map(|i| f(range(i))).collect()
}

/// The sum over `0..len` of the slabs' partial sums, added in slab order in `f64`.
pub fn sum_slabs(len: usize, slab: usize, f: impl Fn(Range<usize>) -> f64 + Sync) -> f64 {
    map_slabs(len, slab, f).into_iter().sum()
}
