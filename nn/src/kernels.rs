//! The fast loops: slices and a spec in, slices out. They know neither tape nor tensor.
//!
//! Each folder holds `reference.rs`, the naive loops that define the operation and that every fast version is
//! tested against. Loops are written once in the vocabulary of [`autograd::simd`], for all instruction sets
//! and both number types. Work is cut by shape alone, so results do not depend on the number of threads.

use std::any::TypeId;

use autograd::Real;

pub mod activation;
pub mod conv3d;
pub mod conv_transpose3d;
pub mod norm;
pub mod pool;
pub mod resample;
pub(crate) mod scratch;
pub mod tasks;

/// A table of functions that are generic over the number type.
///
/// Callers of a generic entry such as [`conv3d::forward`] would compile its kernel again in each crate. An
/// entry that takes its kernel from a table does not: the two tables are compiled here, once.
pub(crate) trait Table {
    /// The functions for numbers of type `T`.
    type Of<T: Real>: Sync + 'static;

    /// Those for `f32`.
    fn single() -> &'static Self::Of<f32>;

    /// Those for `f64`.
    fn double() -> &'static Self::Of<f64>;
}

/// The functions of table `M` for `T`.
pub(crate) fn table<M: Table, T: Real>() -> &'static M::Of<T> {
    let table: *const M::Of<T> = if TypeId::of::<T>() == TypeId::of::<f32>() {
        std::ptr::from_ref(M::single()).cast()
    } else {
        std::ptr::from_ref(M::double()).cast()
    };
    // SAFETY: `Real` is sealed to `f32` and `f64`, so `T` is the type whose table was chosen; it is 'static.
    unsafe { &*table }
}

/// Where the tasks of one kernel write; each writes elements that no other task touches.
#[derive(Clone, Copy)]
pub(crate) struct Output<T>(pub(crate) *mut T);

impl<T> Output<T> {
    /// The place `offset` elements on.
    #[inline(always)]
    pub(crate) fn at(self, offset: usize) -> Self {
        Self(self.0.wrapping_add(offset))
    }
}

// SAFETY: a task writes only its own elements (see each use), and `T` is `f32` or `f64`.
unsafe impl<T: Real> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T: Real> Sync for Output<T> {}

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
