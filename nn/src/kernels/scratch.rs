//! Scratch memory that a thread keeps from task to task, so that a kernel neither allocates nor takes a lock.

use std::cell::RefCell;

use autograd::Real;
use autograd::buffer::Buffer;

thread_local! {
    static SPARE: RefCell<Vec<Buffer<f64>>> = const { RefCell::new(Vec::new()) };
}

/// `f` of `len` numbers of unspecified content, aligned to a cache line.
///
/// Calls may nest; no borrow is held while `f` runs.
pub(crate) fn with<T: Real, R>(len: usize, f: impl FnOnce(&mut [T]) -> R) -> R {
    let words = (len * size_of::<T>()).div_ceil(size_of::<f64>());
    let spare = SPARE.with_borrow_mut(Vec::pop).filter(|spare| spare.len() >= words);
    let mut buffer = spare.unwrap_or_else(|| Buffer::scratch(words));
    // SAFETY: the buffer holds at least `len` numbers of type `T`, which is `f32` or `f64`: any bits are a number, and
    // the alignment is a cache line's.
    let numbers = unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<T>(), len) };
    let result = f(numbers);
    SPARE.with_borrow_mut(|spare| spare.push(buffer));
    result
}
