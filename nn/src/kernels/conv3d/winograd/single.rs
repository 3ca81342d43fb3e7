//! Correlations of a single channel by F(4, 3) along h, as in the first layer of a network.
//!
//! With one channel there is no matrix product that would pay for transforms along both axes of the plane. Four lines of
//! the output and the six lines of the input that they depend on are transformed along h alone, and the taps along d and
//! w are summed in the transformed domain:
//!
//! ```text
//! V = Bᵀ·x    U = G·g    M[f][w][co] = Σ_kd Σ_kw V[f][d + kd][w + kw] · U[f][kd][kw][co]    y = Aᵀ·M
//! ```
//!
//! That is 6/4 multiplications for each output and pair of taps (kd, kw) instead of 3: a half. The lanes of V are
//! neighbours along w, those of U, M and y are columns.
//!
//! Layout: U is `[vector of columns][kd][f][kw][lane]`, the last vector padded with zeros; V is `[f][w]` for each input
//! plane, with the zeros that windows read beyond both ends of w.
//!
//! Loop order, from the outside: tasks of one row of tiles by some planes of the output (rayon) → planes, with a ring of
//! transformed slabs → tiles along w → vectors of columns → kd → f → kw. A tile of 4 lines × 4 pixels × 1 vector keeps 24
//! sums in AVX-512's 32 registers, 4 × 2 × 1 keeps 12 of the 16 of the other sets; for 12 multiply-adds it loads
//! 3 vectors of U and broadcasts 6 numbers of V. The transform back, 16 operations for 4 vectors of the output, is done
//! in those registers, and each vector goes through the epilogue on its way to memory: nothing transformed but V and U is
//! ever stored, and both fit a first-level cache.
//!
//! **Error.** For |x|, |w| ≤ 1 and P = 3·kd products at a frequency, |computed − exact| ≤ (P + 20)·u·27.4·P, u = ε/2: as
//! in [`super`], with the growth along one axis only.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::points::{G, Points, SIZE, STEP};
use super::ring::Ring;
use super::schedule::{StripCut, fits_single, strip_depth};
use crate::kernels::conv3d::direct::streams;
use crate::kernels::conv3d::lines::copy_line;
use crate::kernels::conv3d::operands::{Correlation, Target, Weight};
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::conv3d::sums::TaskSums;
use crate::kernels::scratch::PerThread;
use crate::kernels::tasks::Tasks;
use crate::kernels::{Output, Pairs};

mod row;

use row::{OutputRow, Pass, TAPS, WIDEST};

/// See [`Correlation`]; and the epilogue's sums.
///
/// # Panics
///
/// If a length does not fit the plan, or the plan does not [fit](fits_single).
pub(crate) fn correlate<T: Real>(correlation: &Correlation<'_, T>, targets: &mut [Target<'_, T>]) -> Pairs {
    correlation.check(targets);
    let &Correlation { plan, weight, epilogue, .. } = correlation;
    assert!(fits_single(plan), "a window of 3x3 in the plane, stride 1, and one channel");
    let [Target { y, .. }] = targets else { panic!("one target") };
    let [d, _, w] = &plan.axes;
    let lanes = plan.lanes::<T>();
    let u = transform(plan, weight, lanes);
    let bias = correlation.start(plan.columns.next_multiple_of(lanes));
    let line = (w.count.next_multiple_of(WIDEST) + TAPS - 1).next_multiple_of(lanes);
    let slots = d.span().max(1);
    let memory = PerThread::new((slots + 1) * SIZE * line);
    let (stream, y) = (streams(plan, y), Output(y.as_mut_ptr()));
    let pass = Pass { correlation, u: &u, bias: &bias, line, slots, y, stream };
    let cut = cut(plan);
    let task = |task: usize| {
        let (n, rows, ods) = cut.task(task);
        let mut sums = TaskSums::new(epilogue, plan.columns);
        // SAFETY: the task takes it once, and waits for no other.
        let memory = unsafe { memory.part() };
        simd::dispatch_on(plan.isa, Strip { pass: &pass, n, rows, ods, memory, sums: &mut sums });
        sums
    };
    let sums: Vec<_> = (0..plan.n * cut.of_sample()).into_par_iter().map(task).collect();
    TaskSums::merge(epilogue, plan.n, &sums)
}

/// How the correlation is cut.
pub(crate) fn tasks(plan: &Plan) -> Tasks {
    cut(plan).tasks(plan)
}

/// One row of tiles a task, cut along d where there are few.
fn cut(plan: &Plan) -> StripCut {
    StripCut::new(plan, 1, strip_depth(plan, 1))
}

/// U
fn transform<T: Real>(plan: &Plan, weight: Weight<'_, T>, lanes: usize) -> Vec<T> {
    let [d, h, w] = &plan.axes;
    let [_, kernel_h, kernel_w] = weight.kernel;
    let vector = d.taps.len() * SIZE * TAPS * lanes;
    let mut u = vec![T::ZERO; plan.columns.div_ceil(lanes) * vector];
    for (i, u) in u.chunks_exact_mut(lanes).enumerate() {
        let (first, rest) = (i * lanes / vector * lanes, i % (vector / lanes));
        let (td, f, tw) = (rest / (SIZE * TAPS), rest / TAPS % SIZE, rest % TAPS);
        for (lane, u) in u.iter_mut().take(plan.columns - first).enumerate() {
            let g = |th: usize| {
                let tap = (d.taps[td].index * kernel_h + h.taps[th].index) * kernel_w + w.taps[tw].index;
                weight.data[tap * plan.columns + (first + lane) * weight.column_stride].to_f64()
            };
            *u = T::from_f64(G[f][0] * g(0) + G[f][1] * g(1) + G[f][2] * g(2));
        }
    }
    u
}

/// The work of one task.
struct Strip<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
    n: usize,
    /// Of tiles.
    rows: Range<usize>,
    /// Planes of the output.
    ods: Range<usize>,
    /// The ring, and six lines of the input.
    memory: &'a mut [T],
    sums: &'a mut TaskSums<T>,
}

impl<T: Real> Job<T> for Strip<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, n, rows, ods, memory, sums } = self;
        let plan = pass.correlation.plan;
        let [d, h, w] = &plan.axes;
        let p = Points::new(s);
        let slab = SIZE * pass.line;
        let (v, lines) = memory[..(pass.slots + 1) * slab].split_at_mut(pass.slots * slab);
        let mut slabs = Vec::with_capacity(d.taps.len());
        for row in rows {
            let mut ring = Ring::new(pass.slots, slab);
            for od in ods.clone() {
                // 1. The slabs that this plane reads.
                slabs.clear();
                for (i, tap) in d.taps.iter().enumerate() {
                    let Some(id) = d.position(od, *tap) else { continue };
                    let (place, held) = ring.seek(id);
                    if !held {
                        pass.load(&p, [n, id, row], lines, &mut v[place..place + slab]);
                    }
                    slabs.push((place, i));
                }
                // 2. The row of the output.
                let place = n * d.out_len + od * d.out_step + d.out_start;
                let offset = place * h.count * w.count * plan.columns;
                let h0 = row * STEP;
                let row = OutputRow {
                    pass,
                    slabs: &slabs,
                    v: v.as_ptr(),
                    plane: pass.y.at(offset).0,
                    h0,
                    lines: (h.count - h0).min(STEP),
                };
                // SAFETY: V holds the slabs; the plane is one of the output (`Correlation::check`), and these
                // lines of it are this task's. Sums are padded to whole vectors; x of a gradient has the output's shape.
                unsafe { row.write_with(&p, n, offset, sums) };
            }
        }
        if pass.stream {
            s.fence();
        }
    }
}

impl<T: Real> Pass<'_, T> {
    /// V of row `row` of tiles of input plane `id` of sample `n`; `lines` is room for what it reads.
    #[inline(always)]
    fn load<S: Simd<Elem = T>>(&self, p: &Points<S>, [n, id, row]: [usize; 3], lines: &mut [T], v: &mut [T]) {
        let &Correlation { plan, sources, .. } = self.correlation;
        let (s, h) = (p.s, &plan.axes[1]);
        let first = (row * STEP) as isize + h.taps[0].offset;
        for (j, line) in lines.chunks_exact_mut(self.line).enumerate() {
            match usize::try_from(first + j as isize) {
                Ok(ih) if ih < h.input => copy_line(s, plan, sources, [n, id, ih], line),
                _ => line.fill(T::ZERO),
            }
        }
        for w in (0..self.line).step_by(S::LANES) {
            let mut x = [s.zero(); SIZE];
            for j in 0..SIZE {
                x[j] = s.load(&lines[j * self.line + w..]);
            }
            let x = p.input(x);
            for f in 0..SIZE {
                s.store(x[f], &mut v[f * self.line + w..]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
