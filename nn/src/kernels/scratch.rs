//! Scratch memory that is kept from pass to pass, so that no step but the first allocates it.

use autograd::Real;
pub(crate) use autograd::buffer::Scratch;

use super::output::Output;

/// A part of a pass' scratch memory for each thread, so that its tasks neither allocate nor take a lock.
pub(crate) struct PerThread<T: Real> {
    /// Held, and not looked at: a reference to all of it would overlap those to its parts, which other threads hold.
    _memory: Scratch<T>,
    start: Output<T>,
    len: usize,
    threads: usize,
}

impl<T: Real> PerThread<T> {
    /// `len` numbers for each thread of the pool that runs the tasks of this pass.
    pub(crate) fn new(len: usize) -> Self {
        // Parts start on cache lines.
        let len = len.next_multiple_of(64 / size_of::<T>());
        let threads = rayon::current_num_threads();
        let mut memory = Scratch::new(threads * len);
        let start = Output(memory.as_mut_ptr());
        Self { _memory: memory, start, len, threads }
    }

    /// The part of the thread that asks, of unspecified content.
    ///
    /// # Safety
    ///
    /// A task of this pass may hold one at a time, and must not wait for other tasks while it does: the thread might run
    /// one of them meanwhile.
    #[expect(clippy::mut_from_ref, reason = "each thread has a part of its own; see Safety")]
    pub(crate) unsafe fn part(&self) -> &mut [T] {
        let thread = rayon::current_thread_index().unwrap_or(0);
        assert!(thread < self.threads, "a thread of the pool");
        // SAFETY: `new` made room for `threads` parts, and no other thread has this index; the caller vouches for this one.
        unsafe { std::slice::from_raw_parts_mut(self.start.at(thread * self.len).0, self.len) }
    }
}
