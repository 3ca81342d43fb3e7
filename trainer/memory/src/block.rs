//! Large blocks of memory: what cannot be had ends the work in a sentence.
//!
//! The standard collections abort the program where memory runs out. A block whose size follows from a file or a volume is
//! therefore taken here: where it cannot be had, the thread unwinds with [`OutOfMemory`], as it does for a tensor, and
//! [`within`] makes an error of that, to which a caller adds the file or the case. Small blocks are the standard library's
//! as ever; so that none of them is the first to fail, a large one is refused unless a few megabytes are left beside it.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::LazyLock;

use rayon::iter::IndexedParallelIterator;

use crate::{Machine, in_words};

pub use autograd::OutOfMemory;

/// What a large block leaves for what cannot be refused: messages, lists, the buffers of files.
const SPARE: usize = 8 << 20;
/// From here on a block is large.
const LARGE: usize = 1 << 20;

/// Whether the process has a limit of its own. Without one, Linux grants more than there is.
static IS_LIMITED: LazyLock<bool> = LazyLock::new(Machine::limits_the_process);

/// An empty vector with room for `len` values.
pub fn with_capacity<T>(len: usize) -> Vec<T> {
    let mut block = Vec::new();
    let had = block.try_reserve_exact(len).is_ok();
    check(block, len, had)
}

/// A vector with room for so many values more.
pub fn with_room<T>(mut block: Vec<T>, more: usize) -> Vec<T> {
    let (len, had) = (block.len().saturating_add(more), block.try_reserve(more).is_ok());
    check(block, len, had)
}

/// The block of so many values, if it was had and leaves enough.
fn check<T>(block: Vec<T>, len: usize, had: bool) -> Vec<T> {
    let bytes = len.saturating_mul(size_of::<T>());
    if !had || (bytes >= LARGE && *IS_LIMITED && !spare_is_left()) {
        // Before a message is made.
        drop(block);
        panic_any(OutOfMemory { bytes });
    }
    block
}

/// `len` times a value.
pub fn filled<T: Clone>(value: T, len: usize) -> Vec<T> {
    let mut block = with_capacity(len);
    block.resize(len, value);
    block
}

/// The values of an iterator that knows how many they are.
pub fn collected<T>(values: impl ExactSizeIterator<Item = T>) -> Vec<T> {
    let mut block = with_capacity(values.len());
    block.extend(values);
    block
}

/// The same of a parallel iterator.
pub fn in_parallel<T: Send>(values: impl IndexedParallelIterator<Item = T>) -> Vec<T> {
    let mut block = with_capacity(values.len());
    values.collect_into_vec(&mut block);
    block
}

fn spare_is_left() -> bool {
    let mut spare = Vec::<u8>::new();
    let is_left = spare.try_reserve_exact(SPARE).is_ok();
    // Or the compiler would leave out a block that nothing is written to.
    black_box(spare);
    is_left
}

/// A large block of memory could not be had.
#[derive(Debug, thiserror::Error)]
#[error("a block of {} of memory cannot be had beside what is held: {machine}; {}", in_words(*bytes), machine.remedy())]
pub struct Exhausted {
    /// Its size.
    pub bytes: usize,
    /// What there was at that moment.
    pub machine: Machine,
}

/// Does `work`; a large block that cannot be had, in this thread or in those that work for it, is an error.
///
/// # Errors
/// [`Exhausted`], and those of `work`.
pub fn within<R, E: From<Exhausted>>(work: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
    // What `work` was at is dropped with it.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| match payload.downcast::<OutOfMemory>() {
        Ok(exhausted) => Err(Exhausted { bytes: exhausted.bytes, machine: Machine::here() }.into()),
        Err(other) => resume_unwind(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_cannot_be_had_is_an_error_with_its_size() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let bytes = usize::MAX / 4 / size_of::<f32>() * size_of::<f32>();
        let refused = within::<_, Exhausted>(|| Ok(filled(0.0f32, bytes / size_of::<f32>()).len()));
        std::panic::set_hook(hook);
        assert!(matches!(refused, Err(Exhausted { bytes: b, .. }) if b == bytes), "{refused:?}");
        assert_eq!(within::<_, Exhausted>(|| Ok(collected([1, 2, 3].into_iter()))).unwrap(), [1, 2, 3]);
    }
}
