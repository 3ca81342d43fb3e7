//! The transformed domain of a pass: V, and M or Z, are `[frequency][tile][channel]` in memory.

use autograd::Real;

use super::points::FREQUENCIES;
use super::schedule::Tiles;
use super::weight::Blocks;
use crate::kernels::Output;
use crate::kernels::conv3d::operands::Source;
use crate::kernels::conv3d::plan::Plan;

/// What is read, and how it lies when it is transformed.
pub(super) struct Domain<'a, T> {
    pub(super) plan: &'a Plan,
    pub(super) tiles: Tiles,
    pub(super) sources: &'a [Source<'a, T>],
    pub(super) blocks: Blocks,
    /// Numbers of a tile at one frequency of V, and of M or Z.
    pub(super) strides: [usize; 2],
}

impl<'a, T: Real> Domain<'a, T> {
    /// For tensors of so many channels, side by side, that are written.
    pub(super) fn new(
        plan: &'a Plan,
        sources: &'a [Source<'a, T>],
        written: impl Iterator<Item = usize>,
    ) -> Self {
        let read = sources.iter().map(|source| source.channels);
        let strides = strides::<T>(plan, read, written);
        Self { plan, tiles: Tiles::of(plan), sources, blocks: Blocks::new::<T>(plan), strides }
    }
}

/// See [`Domain::strides`].
pub(super) fn strides<T: Real>(
    plan: &Plan,
    read: impl Iterator<Item = usize>,
    written: impl Iterator<Item = usize>,
) -> [usize; 2] {
    let lanes = plan.lanes::<T>();
    [stride(read, lanes), stride(written, lanes).max(plan.columns.next_multiple_of(lanes))]
}

/// Numbers of a tile at one frequency: each tensor's last vector has room, and tiles start on vectors.
fn stride(channels: impl Iterator<Item = usize>, lanes: usize) -> usize {
    let (mut start, mut end) = (0, 0);
    for channels in channels {
        end = end.max(start + channels.next_multiple_of(lanes));
        start += channels;
    }
    end.next_multiple_of(lanes)
}

/// Where V, and M or Z, are.
#[derive(Clone, Copy)]
pub(super) struct Memory<T> {
    pub(super) v: Output<T>,
    pub(super) m: Output<T>,
    /// Numbers of one frequency of each.
    pub(super) frequencies: [usize; 2],
}

/// Numbers of one frequency, an odd number of cache lines: with a power of two the 36 streams of a tile would fall in
/// one set of the first-level cache.
pub(super) fn frequency_stride<T>(numbers: usize) -> usize {
    let line = 64 / size_of::<T>();
    let lines = numbers.div_ceil(line) + 1;
    (lines | 1) * line
}

/// The numbers of all frequencies, and one vector of slack.
pub(super) fn transformed_len(frequency_stride: usize, lanes: usize) -> usize {
    FREQUENCIES * frequency_stride + lanes
}
