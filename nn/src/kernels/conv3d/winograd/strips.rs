//! Strips: a task owns a few rows of tiles and walks along d.
//!
//! It keeps a ring of transformed input slabs, as many as the taps along d span, each transformed once. For each output
//! plane: the products of all 36 frequencies, then the transform back. V, M and U of 32 channels together fit a
//! second-level cache of 1 MB.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::points::{FREQUENCIES, Points};
use super::steps::{self, Ring};
use super::{Pass, SampleSums, StripCut, StripLengths};
use crate::kernels::conv3d::fuse::TaskSums;
use crate::kernels::scratch::PerThread;

/// The targets, and the sums of each strip.
pub(super) fn run<T: Real>(pass: &Pass<'_, T>, cut: StripCut) -> SampleSums<T> {
    let lanes = pass.isa.lanes::<T>();
    let lengths = StripLengths::new::<T>(pass.plan, cut.tile_rows, [pass.v_stride, pass.m_stride], lanes);
    let StripLengths { slots, slab, frequencies: [v_frequency, m_frequency] } = lengths;
    let memory = PerThread::new(lengths.of_task(lanes));
    let task = |task: usize| {
        let (n, rows, ods) = cut.task(task);
        let mut sums = TaskSums::new(pass.plan.columns);
        // SAFETY: the task takes it once, and waits for no other.
        let memory = unsafe { memory.part() };
        let (v, m) = memory.split_at_mut(slots * slab);
        let strip =
            Strip { pass, n, rows, ods, slots, slab, v, m, v_frequency, m_frequency, sums: &mut sums };
        simd::dispatch_on(pass.isa, strip);
        sums
    };
    (0..pass.plan.n)
        .map(|n| {
            let tasks = n * cut.of_sample()..(n + 1) * cut.of_sample();
            tasks.into_par_iter().map(task).collect()
        })
        .collect()
}

struct Strip<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
    n: usize,
    /// Of tiles.
    rows: Range<usize>,
    /// Planes of the output.
    ods: Range<usize>,
    /// Slabs in the ring.
    slots: usize,
    /// Numbers of a slab.
    slab: usize,
    v: &'a mut [T],
    m: &'a mut [T],
    v_frequency: usize,
    m_frequency: usize,
    sums: &'a mut TaskSums<T>,
}

impl<T: Real> Job<T> for Strip<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, n, rows, ods, slots, slab, v, m, v_frequency, m_frequency, sums } = self;
        let [d, ..] = &pass.plan.axes;
        let p = Points::new(s);
        let columns = pass.tiles.columns;
        let (v, m) = (v.as_mut_ptr(), m.as_mut_ptr());
        let mut taps = Vec::with_capacity(d.taps.len());
        let mut operands = Vec::with_capacity(d.taps.len());
        let mut ring = Ring::new(slots, slab);
        let input = (&pass.plan.axes, pass.sources);
        for od in ods {
            // 1. The slabs that this plane reads.
            taps.clear();
            for (i, tap) in d.taps.iter().enumerate() {
                let Some(id) = d.position(od, *tap) else { continue };
                let (at, tiles) = ([n, id], (rows.clone(), columns));
                // SAFETY: a slab has room for the strip's tiles at all frequencies, and slack.
                let place = unsafe { ring.plane(&p, input, at, tiles, v, [pass.v_stride, v_frequency]) };
                taps.push((place, i));
            }
            // 2. The products.
            for f in 0..FREQUENCIES {
                for first in (0..pass.layout.padded()).step_by(pass.layout.block()) {
                    // SAFETY: V holds the slabs of the taps; M has room for the strip's tiles.
                    unsafe {
                        steps::multiply(
                            s,
                            pass,
                            f,
                            first,
                            &taps,
                            rows.len() * columns,
                            [v, m],
                            [v_frequency, m_frequency],
                            &mut operands,
                        );
                    }
                }
            }
            // 3. Back.
            for (i, tile_row) in rows.clone().enumerate() {
                let m = m.wrapping_add(i * columns * pass.m_stride);
                // SAFETY: M was written above; the strip's lines are this task's.
                unsafe { steps::write_row(&p, pass, [n, od, tile_row], 0..columns, m, m_frequency, sums) };
            }
        }
    }
}
