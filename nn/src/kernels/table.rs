//! Kernels that are compiled once, in this crate.
//!
//! Callers of a generic entry such as [`conv3d::forward`](super::conv3d::forward) would compile its kernel again in each
//! crate. An entry that takes its kernel from a table of function pointers does not: there are two statics of each table,
//! one for each number type, and they are compiled here.

use std::any::Any;

/// The table of type `T`, which one of the two is.
pub(crate) fn table<T: 'static>(single: &'static dyn Any, double: &'static dyn Any) -> &'static T {
    let of_type = single.downcast_ref().or_else(|| double.downcast_ref());
    of_type.expect("`Real` is sealed to f32 and f64, whose tables these are")
}
