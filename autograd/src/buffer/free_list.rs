//! Which blocks are in use, which wait, and which are given back: of addresses alone, so that what a run will hold can be
//! found without holding it (see `trace.rs`).

use std::collections::{BTreeMap, VecDeque};

use super::arena::Arena;
use super::{ALIGNMENT, BufferUsage, HUGE};

/// The bytes of the block that serves a request.
pub(super) fn block(bytes: usize) -> usize {
    // At least one line, so that an empty buffer is no special case.
    let bytes = bytes.max(ALIGNMENT);
    if bytes >= HUGE { Arena::rounded(bytes) } else { bytes }
}

/// See the header. Sizes are those of [`block`]s.
pub(super) struct FreeList {
    /// Those below [`HUGE`] bytes that wait, by size, each with the tick at which it came back and its address.
    waiting: BTreeMap<usize, VecDeque<(u64, usize)>>,
    /// Those from there on.
    arena: Arena,
    tick: u64,
    usage: BufferUsage,
}

impl Default for FreeList {
    fn default() -> Self {
        Self::new()
    }
}

impl FreeList {
    pub(super) const fn new() -> Self {
        let usage = BufferUsage { live: 0, cached: 0, peak_live: 0, peak_held: 0 };
        Self { waiting: BTreeMap::new(), arena: Arena::new(), tick: 0, usage }
    }

    pub(super) fn usage(&self) -> BufferUsage {
        self.usage
    }

    /// The block of this size that came back last; or none, and what is to be released before a new one is had and
    /// [added](Self::add).
    pub(super) fn take(&mut self, bytes: usize) -> (Option<usize>, Vec<(usize, usize)>) {
        let hit = if bytes >= HUGE {
            self.arena.take(bytes)
        } else {
            self.waiting.get_mut(&bytes).and_then(VecDeque::pop_back).map(|(_, address)| address)
        };
        if hit.is_some() {
            self.usage.cached -= bytes;
            self.hold(bytes);
            return (hit, Vec::new());
        }
        let live = self.usage.live + bytes;
        let peak = self.usage.peak_live.max(live);
        let mut evicted = Vec::new();
        while live + self.usage.cached > peak + peak / 4 {
            let Some(unused) = self.evict() else { break };
            evicted.push(unused);
        }
        (None, evicted)
    }

    /// A new block, in use.
    pub(super) fn add(&mut self, address: usize, bytes: usize) {
        self.hold(bytes);
        if bytes >= HUGE {
            self.arena.add(address, bytes);
        }
    }

    /// A block that is no longer in use.
    pub(super) fn put(&mut self, address: usize, bytes: usize) {
        self.tick += 1;
        self.usage.live -= bytes;
        self.usage.cached += bytes;
        if bytes >= HUGE {
            self.arena.put(address, bytes);
        } else {
            self.waiting.entry(bytes).or_default().push_back((self.tick, address));
        }
    }

    /// Strikes out all blocks that wait, for the caller to release.
    pub(super) fn evict_all(&mut self) -> Vec<(usize, usize)> {
        std::iter::from_fn(|| self.evict()).collect()
    }

    fn hold(&mut self, bytes: usize) {
        let usage = &mut self.usage;
        usage.live += bytes;
        usage.peak_live = usage.peak_live.max(usage.live);
        usage.peak_held = usage.peak_held.max(usage.live + usage.cached);
    }

    /// A large block that is free as a whole, else the small one that has waited longest.
    fn evict(&mut self) -> Option<(usize, usize)> {
        let (address, bytes) = self.arena.remove_unused().or_else(|| self.oldest())?;
        self.usage.cached -= bytes;
        Some((address, bytes))
    }

    fn oldest(&mut self) -> Option<(usize, usize)> {
        let queues = self.waiting.iter_mut().filter(|(_, queue)| !queue.is_empty());
        let (&bytes, queue) = queues.min_by_key(|(_, queue)| queue.front().map(|(tick, _)| *tick))?;
        queue.pop_front().map(|(_, address)| (address, bytes))
    }
}
