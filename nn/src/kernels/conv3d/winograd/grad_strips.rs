//! The gradient of the weight by strips: a task owns a few rows of tiles, walks along d, and adds to sums of its own.
//!
//! For few channels. The ring of V, the plane of Z and the task's dU together stay in a second-level cache, where the
//! planes of [`super::grad_planes`] go through a third-level cache that other programs share. The tasks' sums are added in
//! their order, in `f64`.

use autograd::Real;
use autograd::parallel::for_each_slab;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::points::{FREQUENCIES, Points};
use super::ring::{Strip, StripLengths};
use super::schedule::StripCut;
use super::steps::GradPass;
use crate::kernels::conv3d::tile::Segment;
use crate::kernels::scratch::{PerThread, Scratch};

/// Numbers of dU that a task merges at a time.
const SLAB: usize = 4 << 10;

/// dU, strip by strip.
pub(super) fn run<T: Real>(pass: &GradPass<'_, T>, cut: StripCut, du: &mut [T]) {
    let (domain, plan) = (&pass.domain, pass.domain.plan);
    let lengths = StripLengths::new::<T>(plan, cut.tile_rows, domain.strides);
    let memory = PerThread::new(lengths.task);
    let mut sums = Scratch::new(plan.n * cut.of_sample() * du.len());
    sums.par_chunks_mut(du.len()).enumerate().for_each(|(task, du)| {
        // SAFETY: the task takes it once, and waits for no other.
        let strip = Strip::new(domain, cut, task, lengths, unsafe { memory.part() });
        du.fill(T::ZERO);
        simd::dispatch_on(plan.isa, GradWeight { pass, strip, du });
    });
    let len = du.len();
    for_each_slab(du, SLAB, |start, du| {
        for (i, du) in du.iter_mut().enumerate() {
            let of_tasks = sums[start + i..].iter().step_by(len);
            *du = T::from_f64(of_tasks.map(|sum| sum.to_f64()).sum());
        }
    });
}

struct GradWeight<'a, 'p, T> {
    pass: &'a GradPass<'p, T>,
    strip: Strip<'a, T>,
    du: &'a mut [T],
}

impl<T: Real> Job<T> for GradWeight<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, mut strip, du } = self;
        let (blocks, columns) = (&pass.domain.blocks, pass.domain.tiles.columns);
        let p = Points::new(s);
        let (du, memory) = (du.as_mut_ptr(), strip.memory);
        for od in strip.ods.clone() {
            // 1. The slabs that this plane reads, and its own gradient.
            strip.seek(&p, od);
            for (i, tile_row) in strip.rows.clone().enumerate() {
                let z = memory.m.at(i * columns * pass.domain.strides[1]).0;
                let at = [strip.n(), od, tile_row];
                // SAFETY: Z has room for the strip's tiles, and slack.
                unsafe { pass.load_row(&p, at, 0..columns, z, memory.frequencies[1]) };
            }
            // 2. The products.
            for f in 0..FREQUENCIES {
                for first in (0..blocks.padded()).step_by(blocks.block()) {
                    for &(place, i) in &strip.taps {
                        let segments = [Segment {
                            x: memory.v.at(place + f * memory.frequencies[0]).0.cast_const(),
                            dy: memory.m.at(f * memory.frequencies[1] + first).0.cast_const(),
                            pixels: strip.tiles(),
                        }];
                        let du = du.wrapping_add(f * blocks.frequency() + blocks.start(first, i));
                        // SAFETY: V and Z were filled above, and dU is the task's.
                        unsafe { pass.visit(s, &segments, first, du) };
                    }
                }
            }
        }
    }
}
