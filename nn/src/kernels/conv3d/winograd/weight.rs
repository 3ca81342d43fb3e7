//! The transform of weights, U = G·g·Gᵀ, and of their gradient, dg = Gᵀ·dU·G.
//!
//! U is `[frequency][block of columns][tap along d][k][column in block]`, blocks two vectors wide, the last one
//! padded to whole vectors with zeros: what the register tile reads from front to back.

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::points::{FREQUENCIES, G, SIZE};
use crate::kernels::Output;
use crate::kernels::conv3d::operands::Weight;
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::conv3d::tile::WIDTH;
use crate::kernels::scratch::{PerThread, Scratch};

/// k in a task.
const ROWS: usize = 16;

/// How U lies in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocks {
    /// Taps along d.
    pub(super) taps: usize,
    pub(super) k: usize,
    pub(super) columns: usize,
    lanes: usize,
}

impl Blocks {
    pub(super) fn new<T: Real>(plan: &Plan) -> Self {
        let lanes = plan.lanes::<T>();
        Self { taps: plan.axes[0].taps.len(), k: plan.k_channels, columns: plan.columns, lanes }
    }

    /// Columns in a block, at most.
    #[inline(always)]
    pub(super) fn block(&self) -> usize {
        WIDTH * self.lanes
    }

    /// Blocks of columns.
    pub(super) fn count(&self) -> usize {
        self.padded().div_ceil(self.block())
    }

    /// Columns, padded to whole vectors.
    #[inline(always)]
    pub(super) fn padded(&self) -> usize {
        self.columns.next_multiple_of(self.lanes)
    }

    /// Numbers of one frequency.
    #[inline(always)]
    pub(super) fn frequency(&self) -> usize {
        self.taps * self.k * self.padded()
    }

    /// Numbers of U.
    pub(super) fn len(&self) -> usize {
        FREQUENCIES * self.frequency()
    }

    /// Padded columns of the block that starts at column `first`.
    #[inline(always)]
    pub(super) fn width(&self, first: usize) -> usize {
        (self.padded() - first).min(self.block())
    }

    /// Where, in a frequency, the numbers of block `first`, tap `tap` start.
    #[inline(always)]
    pub(super) fn start(&self, first: usize, tap: usize) -> usize {
        (first * self.taps + tap * self.width(first)) * self.k
    }
}

/// U
pub(super) fn transform<T: Real>(plan: &Plan, weight: Weight<'_, T>) -> Scratch<T> {
    let blocks = Blocks::new::<T>(plan);
    let mut u = Scratch::new(blocks.len());
    let out = Output(u.as_mut_ptr());
    let nine = PerThread::new(9 * ROWS * blocks.padded());
    let chunks = blocks.k.div_ceil(ROWS);
    (0..blocks.taps * chunks).into_par_iter().for_each(|task| {
        let (tap, k) = (task / chunks, task % chunks * ROWS);
        let rows = k..blocks.k.min(k + ROWS);
        // SAFETY: the task takes it once, and waits for no other.
        let g = unsafe { &mut nine.part()[..9 * rows.len() * blocks.padded()] };
        simd::dispatch_on(plan.isa, Forward { plan, blocks, weight, tap, rows, u: out, g });
    });
    u
}

/// The gradient of the weight from that of U, written at tap·(their number) + k·`strides[0]` + column·`strides[1]`.
pub(super) fn transform_back<T: Real>(plan: &Plan, du: &[T], strides: [usize; 2], dw: &mut [T]) {
    let blocks = Blocks::new::<T>(plan);
    assert_eq!(du.len(), blocks.len(), "length of the transformed gradient");
    let out = Output(dw.as_mut_ptr());
    let chunks = blocks.k.div_ceil(ROWS);
    (0..blocks.taps * chunks).into_par_iter().for_each(|task| {
        let (tap, k) = (task / chunks, task % chunks * ROWS);
        let rows = k..blocks.k.min(k + ROWS);
        simd::dispatch_on(plan.isa, Back { plan, blocks, du, tap, rows, strides, dw: out });
    });
}

struct Forward<'a, T> {
    plan: &'a Plan,
    blocks: Blocks,
    weight: Weight<'a, T>,
    /// Along d.
    tap: usize,
    /// Of k.
    rows: std::ops::Range<usize>,
    u: Output<T>,
    /// 9 · rows · padded columns.
    g: &'a mut [T],
}

impl<T: Real> Job<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { plan, blocks, weight, tap, rows, u, g } = self;
        let padded = blocks.padded();
        // 1. The nine taps of each k, columns contiguous and padded: [kh, kw, k, column].
        if padded > blocks.columns {
            g.fill(T::ZERO);
        }
        let tap_size = plan.k_channels * plan.columns;
        let [_, kernel_h, kernel_w] = weight.kernel;
        for (i, g) in g.chunks_exact_mut(rows.len() * padded).enumerate() {
            let (th, tw) = (plan.axes[1].taps[i / 3].index, plan.axes[2].taps[i % 3].index);
            let index = (plan.axes[0].taps[tap].index * kernel_h + th) * kernel_w + tw;
            let source = &weight.data[index * tap_size..][..tap_size];
            if weight.column_stride == 1 {
                for (g, k) in g.chunks_exact_mut(padded).zip(rows.clone()) {
                    g[..blocks.columns].copy_from_slice(&source[k * weight.k_stride..][..blocks.columns]);
                }
            } else {
                for column in 0..blocks.columns {
                    let source = &source[column * weight.column_stride..];
                    for (i, k) in rows.clone().enumerate() {
                        g[i * padded + column] = source[k * weight.k_stride];
                    }
                }
            }
        }
        // 2. U, a vector of columns at a time.
        let rows_g = constants(s);
        for (i, k) in rows.clone().enumerate() {
            for column in (0..padded).step_by(S::LANES) {
                let first = column / blocks.block() * blocks.block();
                let place = blocks.start(first, tap) + k * blocks.width(first) + column - first;
                // SAFETY: `g` is padded to whole vectors; `place` and its vector are inside a frequency of U, and no
                // other task has this (tap, k).
                unsafe {
                    let g = g.as_ptr().add(i * padded + column);
                    let mut half = [s.zero(); SIZE * 3];
                    for kw in 0..3 {
                        let mut taps = [s.zero(); 3];
                        for kh in 0..3 {
                            taps[kh] = s.load_ptr(g.add((kh * 3 + kw) * rows.len() * padded));
                        }
                        for j in 0..SIZE {
                            half[j * 3 + kw] = dot(s, taps, rows_g[j]);
                        }
                    }
                    for j in 0..SIZE {
                        let row = [half[j * 3], half[j * 3 + 1], half[j * 3 + 2]];
                        for k in 0..SIZE {
                            let out = u.0.add((j * SIZE + k) * blocks.frequency() + place);
                            s.store_ptr(dot(s, row, rows_g[k]), out);
                        }
                    }
                }
            }
        }
    }
}

struct Back<'a, T> {
    plan: &'a Plan,
    blocks: Blocks,
    du: &'a [T],
    tap: usize,
    rows: std::ops::Range<usize>,
    strides: [usize; 2],
    dw: Output<T>,
}

impl<T: Real> Job<T> for Back<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { plan, blocks, du, tap, rows, strides, dw } = self;
        let rows_g = constants(s);
        let tap_size = plan.k_channels * plan.columns;
        let mut lanes = vec![T::ZERO; S::LANES];
        for k in rows {
            for column in (0..blocks.padded()).step_by(S::LANES) {
                let first = column / blocks.block() * blocks.block();
                let place = blocks.start(first, tap) + k * blocks.width(first) + column - first;
                let columns = (blocks.columns - column).min(S::LANES);
                let mut half = [s.zero(); 3 * SIZE];
                for w in 0..SIZE {
                    let mut taps = [s.zero(); 3];
                    for h in 0..SIZE {
                        // SAFETY: `place` and its vector are inside a frequency of dU.
                        let du = unsafe {
                            s.load_ptr(du.as_ptr().add((h * SIZE + w) * blocks.frequency() + place))
                        };
                        for t in 0..3 {
                            taps[t] = s.mul_add(du, rows_g[h][t], taps[t]);
                        }
                    }
                    for t in 0..3 {
                        half[t * SIZE + w] = taps[t];
                    }
                }
                for kh in 0..3 {
                    let mut taps = [s.zero(); 3];
                    for w in 0..SIZE {
                        for t in 0..3 {
                            taps[t] = s.mul_add(half[kh * SIZE + w], rows_g[w][t], taps[t]);
                        }
                    }
                    for kw in 0..3 {
                        let to = (tap * 3 + kh) * 3 + kw;
                        let to = to * tap_size + k * strides[0] + column * strides[1];
                        // SAFETY: the place of (tap, kh, kw, k, column …) in dw; no other task has this (tap, k).
                        unsafe {
                            if strides[1] == 1 {
                                s.store_partial_ptr(taps[kw], dw.0.add(to), columns);
                            } else {
                                s.store(taps[kw], &mut lanes);
                                for (i, value) in lanes[..columns].iter().enumerate() {
                                    *dw.0.add(to + i * strides[1]) = *value;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// G, each entry in a vector.
#[inline(always)]
fn constants<S: Simd>(s: S) -> [[S::V; 3]; SIZE] {
    let mut rows = [[s.zero(); 3]; SIZE];
    for j in 0..SIZE {
        for t in 0..3 {
            rows[j][t] = s.splat(S::Elem::from_f64(G[j][t]));
        }
    }
    rows
}

#[inline(always)]
fn dot<S: Simd>(s: S, a: [S::V; 3], b: [S::V; 3]) -> S::V {
    s.mul_add(a[2], b[2], s.mul_add(a[1], b[1], a[0] * b[0]))
}
