//! Memory of one pass of a kernel, kept from pass to pass, so that no step but the first allocates it.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use super::{Buffer, poisons_recycled, trace};
use crate::Real;
use crate::parallel::for_each_slab;

static SPARE: Mutex<Vec<Buffer<f64>>> = Mutex::new(Vec::new());

/// Memory of one pass, aligned to a cache line; it goes back when it is dropped.
///
/// Passes ask for many sizes, one after the other. A block serves every size up to its own, so that there are as many
/// blocks as a pass holds at once, each as large as the largest request was.
pub struct Scratch<T: Real> {
    /// Taken on drop only.
    buffer: Option<Buffer<f64>>,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Real> Scratch<T> {
    /// `len` numbers of unspecified content.
    pub fn new(len: usize) -> Self {
        let words = len.div_ceil(size_of::<f64>() / size_of::<T>());
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = choice(spare.iter().map(|spare| spare.len()), words).map(|i| spare.swap_remove(i));
        drop(spare);
        let buffer =
            taken.filter(|spare| spare.len() >= words).unwrap_or_else(|| Buffer::untraced(words, None));
        trace::borrowed(buffer.address(), words * size_of::<f64>());
        let mut scratch = Self { buffer: Some(buffer), len, of: PhantomData };
        if poisons_recycled() {
            scratch.fill(T::NAN);
        }
        scratch
    }

    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let mut zeros = Self::new(len);
        for_each_slab(&mut zeros, 64 << 10, |_, slab| slab.fill(T::ZERO));
        zeros
    }
}

/// Which of the spare blocks serves a request: the smallest that is large enough, else the largest, which makes room for its
/// successor.
pub(super) fn choice(spare: impl Iterator<Item = usize> + Clone, wanted: usize) -> Option<usize> {
    let sizes = || spare.clone().enumerate().map(|(i, size)| (size, i));
    let fits = sizes().filter(|(size, _)| *size >= wanted).min();
    fits.or_else(|| sizes().max()).map(|(_, i)| i)
}

/// Puts the blocks that no pass holds among those that wait.
pub(super) fn release_unused() {
    let unused = std::mem::take(&mut *SPARE.lock().unwrap_or_else(PoisonError::into_inner));
    drop(unused);
}

impl<T: Real> Drop for Scratch<T> {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            trace::returned(buffer.address());
            SPARE.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        }
    }
}

impl<T: Real> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let buffer = self.buffer.as_ref().expect("it is taken on drop only");
        // SAFETY: the buffer holds at least `len` numbers of type `T`, which is `f32` or `f64`: any bits are a number, and
        // the alignment is a cache line's.
        unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<T>(), self.len) }
    }
}

impl<T: Real> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let buffer = self.buffer.as_mut().expect("it is taken on drop only");
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<T>(), self.len) }
    }
}
