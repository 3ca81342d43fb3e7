//! What a strip walks along d with: a ring of transformed slabs, each transformed once.

use std::ops::Range;

use autograd::Real;
use autograd::simd::Simd;

use super::domain::{Domain, Memory, frequency_stride, transformed_len};
use super::points::Points;
use super::schedule::{StripCut, Tiles};
use super::steps;
use crate::kernels::Output;
use crate::kernels::conv3d::plan::Plan;

/// The transformed planes of the input that a strip keeps: as many as the taps along d span, each in the slot of its number
/// modulo theirs.
pub(super) struct Ring {
    /// The plane that each slot holds.
    held: Vec<usize>,
    /// Numbers of a slot.
    slab: usize,
}

impl Ring {
    pub(super) fn new(slots: usize, slab: usize) -> Self {
        Self { held: vec![usize::MAX; slots], slab }
    }

    /// Where plane `id` lies, and whether it was there before: its slot is its own from now on.
    #[inline(always)]
    pub(super) fn seek(&mut self, id: usize) -> (usize, bool) {
        let slot = id % self.held.len();
        let held = std::mem::replace(&mut self.held[slot], id) == id;
        (slot * self.slab, held)
    }
}

/// What a task of a strip works in: a ring of slabs of V, and one of M or Z.
#[derive(Clone, Copy)]
pub(super) struct StripLengths {
    /// Slabs in the ring.
    slots: usize,
    /// Numbers of a slab.
    slab: usize,
    /// Numbers of one frequency of both.
    frequencies: [usize; 2],
    /// Numbers of a task.
    pub(super) task: usize,
}

impl StripLengths {
    /// For so many rows of tiles, and so many numbers of a tile of both.
    pub(super) fn new<T: Real>(plan: &Plan, tile_rows: usize, strides: [usize; 2]) -> Self {
        let tiles = tile_rows * Tiles::of(plan).columns;
        let frequencies = strides.map(|stride| frequency_stride::<T>(tiles * stride));
        let [slab, other] = frequencies.map(|frequency| transformed_len(frequency, plan.lanes::<T>()));
        let slots = plan.axes[0].span().max(1);
        Self { slots, slab, frequencies, task: slots * slab + other }
    }
}

/// One strip: some rows of tiles by some planes of the output.
pub(super) struct Strip<'a, T> {
    domain: &'a Domain<'a, T>,
    n: usize,
    /// Of tiles.
    pub(super) rows: Range<usize>,
    /// Planes of the output.
    pub(super) ods: Range<usize>,
    pub(super) memory: Memory<T>,
    ring: Ring,
    /// Where the slab of each tap of the plane at hand starts, and the tap's number.
    pub(super) taps: Vec<(usize, usize)>,
}

impl<'a, T: Real> Strip<'a, T> {
    /// Strip `task`, in memory of these lengths.
    pub(super) fn new(
        domain: &'a Domain<'a, T>,
        cut: StripCut,
        task: usize,
        lengths: StripLengths,
        memory: &'a mut [T],
    ) -> Self {
        let StripLengths { slots, slab, frequencies, .. } = lengths;
        let (n, rows, ods) = cut.task(task);
        let (v, m) = memory[..lengths.task].split_at_mut(slots * slab);
        let memory = Memory { v: Output(v.as_mut_ptr()), m: Output(m.as_mut_ptr()), frequencies };
        let taps = Vec::with_capacity(domain.plan.axes[0].taps.len());
        Self { domain, n, rows, ods, memory, ring: Ring::new(slots, slab), taps }
    }

    /// The sample.
    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// Tiles of a plane.
    pub(super) fn tiles(&self) -> usize {
        self.rows.len() * self.domain.tiles.columns
    }

    /// Finds the slabs that output plane `od` reads, and transforms those that are not there.
    #[inline(always)]
    pub(super) fn seek<S: Simd<Elem = T>>(&mut self, p: &Points<S>, od: usize) {
        let (d, columns) = (&self.domain.plan.axes[0], self.domain.tiles.columns);
        self.taps.clear();
        for (i, tap) in d.taps.iter().enumerate() {
            let Some(id) = d.position(od, *tap) else { continue };
            let (place, held) = self.ring.seek(id);
            self.taps.push((place, i));
            if held {
                continue;
            }
            for (i, tile_row) in self.rows.clone().enumerate() {
                let v = self.memory.v.at(place + i * columns * self.domain.strides[0]);
                // SAFETY: a slab of the ring has room for the strip's tiles at all frequencies, and slack.
                unsafe {
                    let at = [self.n, id, tile_row];
                    steps::load_row(p, self.domain, at, 0..columns, v.0, self.memory.frequencies[0]);
                }
            }
        }
    }
}
