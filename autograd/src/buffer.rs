//! Aligned memory that is used again.
//!
//! A training step asks for the same few hundred large blocks each time. Given back to the system, each would be
//! mapped and faulted in page by page in every step, which costs as much time as the arithmetic. So a dropped
//! [`Buffer`] goes to a free list (`free_list.rs`): below 4 MB keyed by exact size, from there on cut and joined as needed
//! (`arena.rs`). The list is bounded: cached and live memory together stay within 5/4 of the largest amount that was ever
//! live; beyond that, unused blocks are released. Where no block can be had, that is a panic with [`OutOfMemory`].
//!
//! What a network takes is found by recording what a small pass asks for and playing it in the sizes of a large one: see
//! [`traced`].

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::free_list::FreeList;
use crate::Real;

mod arena;
mod free_list;
mod out_of_memory;
mod scratch;
mod trace;

pub use out_of_memory::{OutOfMemory, vec_with_capacity};
pub use scratch::Scratch;
pub use trace::{Peak, Trace, part, traced};

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
    /// The largest number of bytes that the process held at once, in use or waiting.
    pub peak_held: usize,
}

/// What is live, cached, and was live at most. Small buffers (under 16 KiB) are not counted.
pub fn usage() -> BufferUsage {
    free_list().usage()
}

/// Gives every block that waits to be used again back to the system.
pub fn release_unused() {
    scratch::release_unused();
    let unused = free_list().evict_all();
    release_all(unused);
}

/// Has the C library give each large block back to the system when it is freed. glibc else learns to keep blocks of up to
/// 32 MB in heaps, whose holes are the process' as much as what is used. For a program to call at its start.
pub fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it sets a number of the allocator, which is its first value too; that it was set stops the learning.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
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
        Self::untraced(len, poisons_recycled().then_some(T::NAN)).traced()
    }

    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        Self::untraced(len, Some(T::ZERO)).traced()
    }

    /// A buffer whose entry in a trace is made by the caller; recycled memory is filled with `fill`, new memory is zero.
    fn untraced(len: usize, fill: Option<T>) -> Self {
        let (block, recycled) = obtain(bytes_of::<T>(len));
        let mut buffer = Self { data: block.cast(), len };
        if let Some(value) = fill.filter(|_| recycled) {
            buffer.fill(value);
        }
        buffer
    }

    fn traced(self) -> Self {
        trace::took(self.address(), size_of_val(&*self));
        self
    }

    fn address(&self) -> usize {
        self.data.as_ptr() as usize
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
        trace::gave(self.address());
        give_back(self.data.cast(), bytes_of::<T>(self.len));
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

/// The bytes of the block that `len` numbers lie in.
fn bytes_of<T>(len: usize) -> usize {
    let too_large = || OutOfMemory::of::<T>(len).raise();
    let bytes = len.checked_mul(size_of::<T>()).unwrap_or_else(too_large);
    if bytes > isize::MAX as usize - HUGE_PAGE {
        too_large();
    }
    free_list::block(bytes)
}

fn layout(bytes: usize) -> Layout {
    let align = if bytes >= HUGE { HUGE_PAGE } else { ALIGNMENT };
    Layout::from_size_align(bytes, align).expect("an alignment is left below isize::MAX")
}

/// A block and whether it was used before (else it is zero).
fn obtain(bytes: usize) -> (NonNull<u8>, bool) {
    if bytes >= SMALLEST_CACHED {
        let (hit, evicted) = free_list().take(bytes);
        release_all(evicted);
        if let Some(block) = hit.and_then(|address| NonNull::new(address as *mut u8)) {
            return (block, true);
        }
    }
    let block = allocate(bytes).unwrap_or_else(|| {
        // What is cached may be what is lacking.
        let evicted = free_list().evict_all();
        release_all(evicted);
        allocate(bytes).unwrap_or_else(|| OutOfMemory { bytes }.raise())
    });
    if bytes >= SMALLEST_CACHED {
        free_list().add(block.as_ptr() as usize, bytes);
    }
    if bytes >= HUGE {
        ask_for_huge_pages(block, bytes);
        // SAFETY: the block has `bytes` bytes. They are written after the advice, so that huge pages are faulted in.
        unsafe { block.as_ptr().write_bytes(0, bytes) };
    }
    (block, false)
}

/// A block from the system, if it has one; zeroed where it is small.
fn allocate(bytes: usize) -> Option<NonNull<u8>> {
    let layout = layout(bytes);
    // SAFETY: the layout's size is at least `ALIGNMENT`, so not zero.
    NonNull::new(unsafe { if bytes >= HUGE { alloc(layout) } else { alloc_zeroed(layout) } })
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

fn give_back(block: NonNull<u8>, bytes: usize) {
    if bytes >= SMALLEST_CACHED {
        free_list().put(block.as_ptr() as usize, bytes);
    } else {
        release(block, bytes);
    }
}

fn release(block: NonNull<u8>, bytes: usize) {
    // SAFETY: every block came from the allocator with the layout that its size determines, and is on no list.
    unsafe { dealloc(block.as_ptr(), layout(bytes)) };
}

fn release_all(blocks: Vec<(usize, usize)>) {
    for (address, bytes) in blocks {
        NonNull::new(address as *mut u8).into_iter().for_each(|block| release(block, bytes));
    }
}

static FREE: Mutex<FreeList> = Mutex::new(FreeList::new());

fn free_list() -> MutexGuard<'static, FreeList> {
    // Nothing in a critical section can leave the list inconsistent, so a panicking holder is no obstacle.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
