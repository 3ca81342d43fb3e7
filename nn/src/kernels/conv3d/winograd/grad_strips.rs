//! The gradient of the weight by strips: a task owns a few rows of tiles, walks along d, and adds to sums of its own.
//!
//! For few channels. The ring of V, the plane of Z and the task's dU together stay in a second-level cache, where the
//! planes of [`super::grad_weight`] go through a third-level cache that other programs share. The tasks' sums are added in
//! their order, in `f64`.

use std::ops::Range;

use autograd::Real;
use autograd::parallel::for_each_slab;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::grad_weight::{Pass, visit};
use super::points::{FREQUENCIES, Points, STEP};
use super::steps::Ring;
use super::transform::{self, Plane, TileRow};
use super::{StripCut, StripLengths};
use crate::kernels::conv3d::tile::{self, Segment};
use crate::kernels::parts;
use crate::kernels::scratch::{PerThread, Scratch};

/// Numbers of dU that a task merges at a time.
const SLAB: usize = 4 << 10;

/// dU, strip by strip.
pub(super) fn run<T: Real>(pass: &Pass<'_, T>, cut: StripCut, du: &mut [T]) {
    let lanes = pass.isa.lanes::<T>();
    let lengths = StripLengths::new::<T>(pass.plan, cut.tile_rows, [pass.v_stride, pass.z_stride], lanes);
    let StripLengths { slots, slab, frequencies: [v_frequency, z_frequency] } = lengths;
    let memory = PerThread::new(lengths.of_task(lanes));
    let mut sums = Scratch::new(pass.plan.n * cut.of_sample() * du.len());
    sums.par_chunks_mut(du.len()).enumerate().for_each(|(task, du)| {
        let (n, rows, ods) = cut.task(task);
        // SAFETY: the task takes it once, and waits for no other.
        let (v, z) = unsafe { memory.part() }.split_at_mut(slots * slab);
        du.fill(T::ZERO);
        simd::dispatch_on(
            pass.isa,
            Strip { pass, n, rows, ods, slots, slab, v, z, v_frequency, z_frequency, du },
        );
    });
    let len = du.len();
    for_each_slab(du, SLAB, |start, du| {
        for (i, du) in du.iter_mut().enumerate() {
            let of_tasks = sums[start + i..].iter().step_by(len);
            *du = T::from_f64(of_tasks.map(|sum| sum.to_f64()).sum());
        }
    });
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
    z: &'a mut [T],
    v_frequency: usize,
    z_frequency: usize,
    du: &'a mut [T],
}

impl<T: Real> Job<T> for Strip<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, n, rows, ods, slots, slab, v, z, v_frequency, z_frequency, du } = self;
        let [d, h, w] = &pass.plan.axes;
        let p = Points::new(s);
        let (columns, layout) = (pass.tiles.columns, &pass.layout);
        let (v, z, du) = (v.as_mut_ptr(), z.as_mut_ptr(), du.as_mut_ptr());
        let heights = parts(layout.k, tile::max_height(S::REGISTERS));
        let plane_len = h.count * w.count * pass.plan.columns;
        let mut ring = Ring::new(slots, slab);
        let input = (&pass.plan.axes, pass.sources);
        let mut taps = Vec::with_capacity(d.taps.len());
        for od in ods {
            // 1. The slabs that this plane reads, and its own gradient.
            taps.clear();
            for (i, tap) in d.taps.iter().enumerate() {
                let Some(id) = d.position(od, *tap) else { continue };
                let (at, tiles) = ([n, id], (rows.clone(), columns));
                // SAFETY: a slab has room for the strip's tiles at all frequencies, and slack.
                let place = unsafe { ring.plane(&p, input, at, tiles, v, [pass.v_stride, v_frequency]) };
                taps.push((place, i));
            }
            for (i, tile_row) in rows.clone().enumerate() {
                let plane = pass.dy[(n * d.count + od) * plane_len..][..plane_len].as_ptr().cast_mut();
                let plane = Plane { start: plane, h: h.count, w: w.count, channels: pass.plan.columns };
                let row = TileRow {
                    start: z.wrapping_add(i * columns * pass.z_stride),
                    tiles: columns,
                    tile_stride: pass.z_stride,
                    frequency_stride: z_frequency,
                };
                // SAFETY: the plane is a slice, which is only read; Z has room for the strip's tiles, and slack.
                unsafe { transform::gradient_row(&p, plane, [tile_row * STEP, 0], row) };
            }
            // 2. The products.
            for f in 0..FREQUENCIES {
                for first in (0..layout.padded()).step_by(layout.block()) {
                    for &(place, i) in &taps {
                        let segments = [Segment {
                            x: v.wrapping_add(place + f * v_frequency),
                            dy: z.wrapping_add(f * z_frequency + first),
                            pixels: rows.len() * columns,
                        }];
                        let du = du.wrapping_add(f * layout.frequency() + layout.start(first, i));
                        // SAFETY: V and Z were filled above, and dU is the task's.
                        unsafe { visit(s, pass, &segments, heights, layout.width(first), du) };
                    }
                }
            }
        }
    }
}
