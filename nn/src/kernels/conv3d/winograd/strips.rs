//! Strips: a task owns a few rows of tiles and walks along d.
//!
//! It keeps a ring of transformed input slabs, as many as the taps along d span, each transformed once. For each output
//! plane: the products of all 36 frequencies, then the transform back. V, M and U of 32 channels together fit a
//! second-level cache of 1 MB.

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::points::{FREQUENCIES, Points};
use super::ring::{Strip, StripLengths};
use super::schedule::StripCut;
use super::steps::{self, Pass};
use crate::kernels::conv3d::sums::TaskSums;
use crate::kernels::conv3d::tile;
use crate::kernels::scratch::PerThread;

/// The targets, and the sums of each strip.
pub(super) fn run<T: Real>(pass: &Pass<'_, T>, cut: StripCut) -> Vec<TaskSums<T>> {
    let (domain, plan) = (&pass.domain, pass.domain.plan);
    let lengths = StripLengths::new::<T>(plan, cut.tile_rows, domain.strides);
    let memory = PerThread::new(lengths.task);
    let task = |task: usize| {
        let mut sums = TaskSums::new(pass.correlation.epilogue, plan.columns);
        // SAFETY: the task takes it once, and waits for no other.
        let strip = Strip::new(domain, cut, task, lengths, unsafe { memory.part() });
        simd::dispatch_on(plan.isa, Correlate { pass, strip, sums: &mut sums });
        sums
    };
    (0..plan.n * cut.of_sample()).into_par_iter().map(task).collect()
}

struct Correlate<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
    strip: Strip<'a, T>,
    sums: &'a mut TaskSums<T>,
}

impl<T: Real> Job<T> for Correlate<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, mut strip, sums } = self;
        let (blocks, columns) = (&pass.domain.blocks, pass.domain.tiles.columns);
        let p = Points::new(s);
        let memory = strip.memory;
        let mut operands = Vec::with_capacity(blocks.taps);
        for od in strip.ods.clone() {
            // 1. The slabs that this plane reads.
            strip.seek(&p, od);
            // 2. The products.
            for f in 0..FREQUENCIES {
                for first in (0..blocks.padded()).step_by(blocks.block()) {
                    let product = pass.product(s, [f, first], &strip.taps, memory, &mut operands);
                    // SAFETY: V holds the slabs of the taps; M has room for the strip's tiles; a block is at most two
                    // vectors wide.
                    unsafe { tile::run(&product, strip.tiles(), blocks.width(first) / S::LANES) };
                }
            }
            // 3. Back.
            for (i, tile_row) in strip.rows.clone().enumerate() {
                let m = memory.m.at(i * columns * pass.domain.strides[1]).0;
                let at = [strip.n(), od, tile_row];
                // SAFETY: M was written above; the strip's lines are this task's.
                unsafe { steps::write_row(&p, pass, at, 0..columns, m, memory.frequencies[1], sums) };
            }
        }
    }
}
