//! Aligned memory that is used again.
//!
//! A training step asks for the same few hundred large blocks each time. Given back to the system, each would be
//! mapped and faulted in page by page in every step, which costs as much time as the arithmetic. So a dropped
//! [`Buffer`] goes to a free list: below 4 MB keyed by exact size, from there on cut and joined as needed (see
//! `arena.rs`). The list is bounded: cached and live memory together stay within 5/4 of the largest amount that was ever
//! live; beyond that, unused blocks are released. Where no block can be had, that is a panic with [`OutOfMemory`].

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::collections::{BTreeMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::arena::Arena;
use crate::Real;

mod arena;
mod out_of_memory;

pub use out_of_memory::{OutOfMemory, vec_with_capacity};

/// Every buffer starts at a multiple of this: a cache line, and the widest vector register.
pub const ALIGNMENT: usize = 64;
/// Blocks below this size are left to the allocator, which is fast for them.
const SMALLEST_CACHED: usize = 16 << 10;
/// Blocks from this size on are aligned to, and ask for, huge pages.
const HUGE: usize = 4 << 20;
const HUGE_PAGE: usize = 2 << 20;

static POISON: AtomicBool = AtomicBool::new(false);

/// Fills recycled buffers with NaN, so that a kernel that forgets to write an element is seen. For tests.
pub fn poison_recycled(on: bool) {
    POISON.store(on, Ordering::Relaxed);
}

/// Whether recycled memory is to be filled with NaN: for kernels that keep memory of their own.
pub fn poisons_recycled() -> bool {
    POISON.load(Ordering::Relaxed)
}

/// How much memory the process holds in buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferUsage {
    /// Bytes in use.
    pub live: usize,
    /// Bytes waiting on the free list.
    pub cached: usize,
    /// The largest number of bytes that were in use at once.
    pub peak_live: usize,
}

/// What is live, cached, and was live at most. Small buffers (under 16 KiB) are not counted.
pub fn usage() -> BufferUsage {
    let list = free_list();
    BufferUsage { live: list.live, cached: list.cached, peak_live: list.peak_live }
}

/// `len` numbers, aligned to [`ALIGNMENT`] bytes, recycled on drop. Where they cannot be had, making one panics with
/// [`OutOfMemory`].
pub struct Buffer<T: Real> {
    data: NonNull<T>,
    len: usize,
}

// SAFETY: a `Buffer` owns its memory exclusively, as a `Box<[T]>` does, and `T` is `f32` or `f64`.
unsafe impl<T: Real> Send for Buffer<T> {}
// SAFETY: as above; shared access only reads.
unsafe impl<T: Real> Sync for Buffer<T> {}

impl<T: Real> Buffer<T> {
    /// `len` numbers of unspecified (but initialised) content: for outputs that a kernel writes whole.
    pub fn scratch(len: usize) -> Self {
        let (block, recycled) = obtain(layout_of::<T>(len));
        let mut buffer = Self { data: block.cast(), len };
        if recycled && poisons_recycled() {
            buffer.fill(T::NAN);
        }
        buffer
    }

    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let (block, recycled) = obtain(layout_of::<T>(len));
        let mut buffer = Self { data: block.cast(), len };
        if recycled {
            buffer.fill(T::ZERO);
        }
        buffer
    }
}

impl<T: Real> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `data` points to `len` initialised numbers (zeroed at first, or written by an earlier owner).
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T: Real> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<T: Real> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::scratch(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Real> Drop for Buffer<T> {
    fn drop(&mut self) {
        give_back(self.data.cast(), layout_of::<T>(self.len));
    }
}

/// `len` bytes out of recycled memory: what an operation notes in less than a number for each element.
pub struct Bytes {
    words: Buffer<f32>,
    len: usize,
}

impl Bytes {
    /// `len` bytes of unspecified (but initialised) content.
    pub fn scratch(len: usize) -> Self {
        Self { words: Buffer::scratch(len.div_ceil(size_of::<f32>())), len }
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer holds at least `len` initialised bytes, and any bits are a byte.
        unsafe { std::slice::from_raw_parts(self.words.data.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Bytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; any bytes are numbers, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.words.data.as_ptr().cast(), self.len) }
    }
}

fn layout_of<T>(len: usize) -> Layout {
    let too_large = || OutOfMemory::of::<T>(len).raise();
    // At least one line, so that an empty buffer is no special case.
    let bytes = len.checked_mul(size_of::<T>()).unwrap_or_else(too_large).max(ALIGNMENT);
    if bytes > isize::MAX as usize - HUGE_PAGE {
        too_large();
    }
    let (bytes, align) = if bytes >= HUGE { (Arena::rounded(bytes), HUGE_PAGE) } else { (bytes, ALIGNMENT) };
    Layout::from_size_align(bytes, align).expect("an alignment is left below isize::MAX")
}

/// A block and whether it was used before (else it is zero).
fn obtain(layout: Layout) -> (NonNull<u8>, bool) {
    let counted = layout.size() >= SMALLEST_CACHED;
    if counted {
        let (hit, evicted) = free_list().take(layout);
        release_all(evicted);
        if let Some(block) = hit {
            return (block.0, true);
        }
    }
    let block = allocate(layout).unwrap_or_else(|| {
        // What is cached may be what is lacking.
        let evicted = free_list().evict_all();
        release_all(evicted);
        allocate(layout).unwrap_or_else(|| OutOfMemory { bytes: layout.size() }.raise())
    });
    if counted {
        free_list().hold(layout.size());
    }
    if layout.size() >= HUGE {
        free_list().arena.add(block.as_ptr() as usize, layout.size());
        ask_for_huge_pages(block, layout.size());
        // SAFETY: the block has `size` bytes. They are written after the advice, so that huge pages are faulted in.
        unsafe { block.as_ptr().write_bytes(0, layout.size()) };
    }
    (block, false)
}

/// A block from the system, if it has one; zeroed where it is small.
fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    // SAFETY: the layout's size is at least `ALIGNMENT`, so not zero.
    NonNull::new(unsafe { if layout.size() >= HUGE { alloc(layout) } else { alloc_zeroed(layout) } })
}

/// Advice only: where it is refused, the pages are small.
fn ask_for_huge_pages(block: NonNull<u8>, bytes: usize) {
    #[cfg(target_os = "linux")]
    // SAFETY: the range is one block of the allocator, aligned to a page, and the advice does not change content.
    unsafe {
        libc::madvise(block.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (block, bytes);
}

fn give_back(block: NonNull<u8>, layout: Layout) {
    if layout.size() >= SMALLEST_CACHED {
        free_list().put(Block(block), layout);
    } else {
        release(block, layout);
    }
}

fn release(block: NonNull<u8>, layout: Layout) {
    // SAFETY: every block came from the allocator with the layout that its length determines.
    unsafe { dealloc(block.as_ptr(), layout) };
}

fn release_all(blocks: Vec<(Block, Layout)>) {
    for (block, layout) in blocks {
        release(block.0, layout);
    }
}

#[derive(Clone, Copy)]
struct Block(NonNull<u8>);
// SAFETY: a block on the free list is owned by the list alone.
unsafe impl Send for Block {}

/// Freed blocks by size, each with the tick at which it came back.
struct FreeList {
    blocks: BTreeMap<usize, VecDeque<(u64, Block)>>,
    /// Those from [`HUGE`] bytes on.
    arena: Arena,
    tick: u64,
    live: usize,
    cached: usize,
    peak_live: usize,
}

static FREE: Mutex<FreeList> = Mutex::new(FreeList {
    blocks: BTreeMap::new(),
    arena: Arena::new(),
    tick: 0,
    live: 0,
    cached: 0,
    peak_live: 0,
});

fn free_list() -> MutexGuard<'static, FreeList> {
    // Nothing in a critical section can leave the list inconsistent, so a panicking holder is no obstacle.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FreeList {
    /// The block of this size that came back last, or room for a new one, which counts when it is there (see
    /// [`hold`](Self::hold)).
    fn take(&mut self, layout: Layout) -> (Option<Block>, Vec<(Block, Layout)>) {
        let bytes = layout.size();
        let hit = if bytes >= HUGE {
            self.arena.take(bytes).and_then(|start| NonNull::new(start as *mut u8)).map(Block)
        } else {
            self.blocks.get_mut(&bytes).and_then(VecDeque::pop_back).map(|(_, block)| block)
        };
        if hit.is_some() {
            self.cached -= bytes;
            self.hold(bytes);
            return (hit, Vec::new());
        }
        let live = self.live + bytes;
        let peak = self.peak_live.max(live);
        let mut evicted = Vec::new();
        while live + self.cached > peak + peak / 4 {
            let Some(unused) = self.evict_unused().or_else(|| self.evict_oldest()) else { break };
            evicted.push(unused);
        }
        (None, evicted)
    }

    /// Counts a block that is in use from now on.
    fn hold(&mut self, bytes: usize) {
        self.live += bytes;
        self.peak_live = self.peak_live.max(self.live);
    }

    fn evict_all(&mut self) -> Vec<(Block, Layout)> {
        std::iter::from_fn(|| self.evict_unused().or_else(|| self.evict_oldest())).collect()
    }

    fn evict_unused(&mut self) -> Option<(Block, Layout)> {
        let (start, bytes) = self.arena.remove_unused()?;
        self.cached -= bytes;
        NonNull::new(start as *mut u8).map(|start| (Block(start), layout_of::<u8>(bytes)))
    }

    fn put(&mut self, block: Block, layout: Layout) {
        self.tick += 1;
        self.live -= layout.size();
        self.cached += layout.size();
        if layout.size() >= HUGE {
            self.arena.put(block.0.as_ptr() as usize, layout.size());
        } else {
            self.blocks.entry(layout.size()).or_default().push_back((self.tick, block));
        }
    }

    fn evict_oldest(&mut self) -> Option<(Block, Layout)> {
        let (&bytes, queue) = self
            .blocks
            .iter_mut()
            .filter(|(_, q)| !q.is_empty())
            .min_by_key(|(_, q)| q.front().map(|b| b.0))?;
        let (_, block) = queue.pop_front()?;
        self.cached -= bytes;
        Some((block, layout_of::<u8>(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_block_is_used_again_and_zeroed_on_request() {
        let len = 123_457; // a size that no other test asks for
        let mut first = Buffer::<f32>::zeroed(len);
        first.fill(7.0);
        let address = first.as_ptr();
        drop(first);
        let second = Buffer::<f32>::zeroed(len);
        assert_eq!(second.as_ptr(), address);
        assert!(second.iter().all(|&v| v == 0.0));
        assert_eq!(address as usize % ALIGNMENT, 0);
    }

    #[test]
    fn a_large_block_is_zeroed_at_first_and_on_request_and_starts_on_a_huge_page() {
        let len = 3 * HUGE / size_of::<f32>() + 1;
        let zeroed = || {
            let block = Buffer::<f32>::zeroed(len);
            assert!(block.len() == len && block.iter().all(|&v| v == 0.0));
            block
        };
        let mut first = zeroed();
        assert_eq!(first.as_ptr() as usize % HUGE_PAGE, 0);
        first.fill(7.0);
        drop(first);
        zeroed();
    }

    #[test]
    fn cached_memory_stays_within_a_quarter_of_the_peak() {
        for i in 1..200 {
            drop(Buffer::<f64>::scratch(40_000 + 1000 * i));
            let usage = usage();
            assert!(usage.cached <= usage.peak_live + usage.peak_live / 4 + (1 << 20), "{usage:?}");
        }
    }
}
