//! Scratch memory that is kept from pass to pass, so that no step but the first allocates it.

use autograd::Real;
pub(crate) use autograd::buffer::Scratch;

use super::output::Output;

/// Which of the spare blocks serves a request: the smallest that is large enough, else the largest, which makes room for its
/// successor.
fn choice(spare: impl Iterator<Item = usize> + Clone, wanted: usize) -> Option<usize> {
    let sizes = || spare.clone().enumerate().map(|(i, size)| (size, i));
    let fits = sizes().filter(|(size, _)| *size >= wanted).min();
    fits.or_else(|| sizes().max()).map(|(_, i)| i)
}

/// The sizes of the scratch memory that passes leave behind, without the memory: what a process that ran them keeps.
#[derive(Clone, Debug, Default)]
pub struct ScratchSizes {
    spare: Vec<usize>,
}

impl ScratchSizes {
    /// A pass that holds blocks of so many bytes at once.
    pub fn pass(&mut self, blocks: &[usize]) {
        let taken: Vec<usize> = blocks
            .iter()
            .map(|&wanted| {
                let spare = choice(self.spare.iter().copied(), wanted).map(|i| self.spare.swap_remove(i));
                spare.unwrap_or(0).max(wanted)
            })
            .collect();
        self.spare.extend(taken);
    }

    /// Bytes in all.
    pub fn bytes(&self) -> usize {
        self.spare.iter().sum()
    }
}

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
        let len = Self::part_len(len);
        let threads = rayon::current_num_threads();
        let mut memory = Scratch::new(threads * len);
        let start = Output(memory.as_mut_ptr());
        Self { _memory: memory, start, len, threads }
    }

    /// Numbers that a part takes: parts start on cache lines.
    pub(crate) fn part_len(len: usize) -> usize {
        len.next_multiple_of(64 / size_of::<T>())
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
