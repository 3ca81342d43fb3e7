//! Large blocks, cut and joined.
//!
//! The activations of a network halve in size from level to level, and a training step holds different ones at different
//! times: lists by exact size would keep the largest number of each size that was ever held. So a large block from the
//! system is cut where less is asked for, and neighbouring free parts of it are joined again.

use std::collections::BTreeMap;

/// Parts start at multiples of this: a page.
const GRAIN: usize = 4 << 10;

/// Which addresses are whose. It moves no memory itself.
pub(super) struct Arena {
    /// Blocks of the system: address → bytes.
    blocks: BTreeMap<usize, usize>,
    /// Free parts: address → bytes. No two of one block are neighbours.
    free: BTreeMap<usize, usize>,
}

impl Arena {
    pub(super) const fn new() -> Self {
        Self { blocks: BTreeMap::new(), free: BTreeMap::new() }
    }

    /// What a part of at least `bytes` takes.
    pub(super) fn rounded(bytes: usize) -> usize {
        bytes.next_multiple_of(GRAIN)
    }

    /// The start of a part of `bytes` (rounded): of the smallest that is large enough.
    pub(super) fn take(&mut self, bytes: usize) -> Option<usize> {
        let fits = self.free.iter().filter(|(_, len)| **len >= bytes);
        let (&start, &len) = fits.min_by_key(|(start, len)| (**len, **start))?;
        self.free.remove(&start);
        if len > bytes {
            self.free.insert(start + bytes, len - bytes);
        }
        Some(start)
    }

    /// Takes a part back.
    pub(super) fn put(&mut self, mut start: usize, bytes: usize) {
        let mut end = start + bytes;
        // A block's first address is never inside another block, so parts of two blocks are not joined.
        if !self.blocks.contains_key(&start)
            && let Some((&before, &len)) = self.free.range(..start).next_back()
            && before + len == start
        {
            start = before;
        }
        if !self.blocks.contains_key(&end)
            && let Some(len) = self.free.remove(&end)
        {
            end += len;
        }
        self.free.insert(start, end - start);
    }

    /// Adds a block of the system, all of it in use.
    pub(super) fn add(&mut self, start: usize, bytes: usize) {
        self.blocks.insert(start, bytes);
    }

    /// Removes a block of the system that is free as a whole, the largest; the caller gives it back.
    pub(super) fn remove_unused(&mut self) -> Option<(usize, usize)> {
        let unused = self.free.iter().filter(|(start, len)| self.blocks.get(start) == Some(len));
        let (&start, &len) = unused.max_by_key(|(start, len)| (**len, **start))?;
        self.free.remove(&start);
        self.blocks.remove(&start);
        Some((start, len))
    }
}

#[cfg(test)]
mod tests;
