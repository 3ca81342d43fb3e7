//! Kernels that are compiled once, in this crate.

use std::any::TypeId;

use autograd::Real;

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
