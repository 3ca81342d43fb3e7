//! Planes: a few whole planes of the output at once, in three parallel phases.
//!
//! Transform the input planes they read; multiply, one task for each frequency and block of columns, so that a block of
//! U is read once for all tiles; transform back. For deep levels, whose planes are small and whose U is large.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::domain::{Domain, Memory, frequency_stride, transformed_len};
use super::points::{FREQUENCIES, Points};
use super::schedule::{TASKS, Tiles};
use super::steps::{self, Pass};
use super::weight::Blocks;
use crate::kernels::conv3d::geometry::Axis;
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::conv3d::sums::TaskSums;
use crate::kernels::conv3d::tile;
use crate::kernels::scratch::Scratch;
use crate::kernels::tasks::Tasks;
use crate::kernels::{Output, part};

/// `depth` planes at a time.
pub(super) fn run<T: Real>(pass: &Pass<'_, T>, depth: usize) -> Vec<TaskSums<T>> {
    let Domain { plan, tiles, strides, .. } = pass.domain;
    // One piece of memory for all chunks; the first is as large as any.
    let frequencies = frequencies::<T>(plan, tiles.rows, depth, strides);
    let [mut v, mut m] = frequencies.map(|f| Scratch::<T>::new(transformed_len(f, plan.lanes::<T>())));
    let memory = Memory { v: Output(v.as_mut_ptr()), m: Output(m.as_mut_ptr()), frequencies };
    let mut sums = vec![];
    for n in 0..plan.n {
        for first in (0..plan.axes[0].count).step_by(depth) {
            sums.extend(chunk(pass, n, first..plan.axes[0].count.min(first + depth), memory));
        }
    }
    sums
}

fn chunk<T: Real>(pass: &Pass<'_, T>, n: usize, ods: Range<usize>, memory: Memory<T>) -> Vec<TaskSums<T>> {
    let Domain { plan, tiles: Tiles { rows, columns }, blocks, strides, .. } = pass.domain;
    let ids = input_planes(&plan.axes[0], &ods);
    // 1. V
    map_rows(ids.len() * rows, columns, |row, tiles| {
        load(&pass.domain, [n, ids.start], &(0..rows), (row, tiles), memory);
    });
    // 2. M
    let cuts = product_cuts(blocks.count(), ods.len());
    (0..FREQUENCIES * blocks.count() * cuts).into_par_iter().for_each(|task| {
        let (f, block, cut) = (task / cuts / blocks.count(), task / cuts % blocks.count(), task % cuts);
        let cut = part(ods.len(), cuts, cut);
        let job = Multiply {
            pass,
            at: [f, block * blocks.block()],
            ods: ods.start + cut.start..ods.start + cut.end,
            first_od: ods.start,
            first_id: ids.start,
            memory,
        };
        simd::dispatch_on(plan.isa, job);
    });
    // 3. y
    map_rows(ods.len() * rows, columns, |row, tiles| {
        let at = [n, ods.start + row / rows, row % rows];
        let m = memory.m.at((row * columns + tiles.start) * strides[1]);
        let mut sums = TaskSums::new(pass.correlation.epilogue, plan.columns);
        let frequency = memory.frequencies[1];
        simd::dispatch_on(plan.isa, Write { pass, at, tiles, m, frequency, sums: &mut sums });
        sums
    })
}

/// The numbers of one frequency of what is read and of what is written, for so many rows of tiles of `depth` planes.
pub(super) fn frequencies<T: Real>(
    plan: &Plan,
    tile_rows: usize,
    depth: usize,
    [read, written]: [usize; 2],
) -> [usize; 2] {
    let d = &plan.axes[0];
    let tiles = tile_rows * Tiles::of(plan).columns;
    let most_ids = (depth.saturating_sub(1) * d.step + d.span()).min(d.input);
    [most_ids * tiles * read, depth.min(d.count) * tiles * written].map(frequency_stride::<T>)
}

/// The three phases of the first planes.
pub(super) fn tasks<T: Real>(plan: &Plan, depth: usize) -> Vec<Tasks> {
    let ods = 0..plan.axes[0].count.min(depth);
    let (tiles, blocks) = (Tiles::of(plan), Blocks::new::<T>(plan));
    let mut products = Tasks::of_pieces("products", &[(blocks.padded(), blocks.block())]);
    products.count *= FREQUENCIES * product_cuts(blocks.count(), ods.len());
    let ids = input_planes(&plan.axes[0], &ods).len();
    let back = row_tasks("transform back", ods.len() * tiles.rows, tiles.columns);
    vec![row_tasks("transform", ids * tiles.rows, tiles.columns), products, back]
}

/// The tasks of [`map_rows`].
pub(super) fn row_tasks(phase: &'static str, rows: usize, columns: usize) -> Tasks {
    Tasks::of_pieces(phase, &[(rows, 1), (columns, columns.div_ceil(row_cuts(rows, columns)))])
}

/// Parts that each of so many rows of tiles is cut into: several where rows are few.
fn row_cuts(rows: usize, columns: usize) -> usize {
    TASKS.div_ceil(rows.max(1)).min(columns)
}

/// Calls `work` in parallel for each of `rows` rows of tiles, or parts of it, with the row and the tiles.
pub(super) fn map_rows<R: Send>(
    rows: usize,
    columns: usize,
    work: impl Fn(usize, Range<usize>) -> R + Sync,
) -> Vec<R> {
    let cuts = row_cuts(rows, columns);
    let task = |task| work(task / cuts, part(columns, cuts, task % cuts));
    (0..rows * cuts).into_par_iter().map(task).collect()
}

/// V of some tiles of row `row`, counted from the first of `rows` of the input plane `first_id` of sample `n`.
pub(super) fn load<T: Real>(
    domain: &Domain<'_, T>,
    [n, first_id]: [usize; 2],
    rows: &Range<usize>,
    (row, tiles): (usize, Range<usize>),
    memory: Memory<T>,
) {
    let at = [n, first_id + row / rows.len(), rows.start + row % rows.len()];
    // Tiles are whole vectors apart, so that none reaches into another's.
    let v = memory.v.at((row * domain.tiles.columns + tiles.start) * domain.strides[0]);
    simd::dispatch_on(domain.plan.isa, Load { domain, at, tiles, v, frequency: memory.frequencies[0] });
}

struct Load<'a, 'p, T> {
    domain: &'a Domain<'p, T>,
    /// Sample, input plane, row of tiles.
    at: [usize; 3],
    tiles: Range<usize>,
    v: Output<T>,
    frequency: usize,
}

impl<T: Real> Job<T> for Load<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { domain, at, tiles, v, frequency } = self;
        // SAFETY: V has room for all tiles of all planes at all frequencies, and slack.
        unsafe { steps::load_row(&Points::new(s), domain, at, tiles, v.0, frequency) }
    }
}

/// Parts that the planes of a product are cut into.
fn product_cuts(blocks: usize, planes: usize) -> usize {
    TASKS.div_ceil(FREQUENCIES * blocks).min(planes)
}

/// The input planes that these outputs read.
pub(super) fn input_planes(d: &Axis, ods: &Range<usize>) -> Range<usize> {
    let at = |od: usize, offset: isize| ((od * d.step) as isize + offset).clamp(0, d.input as isize) as usize;
    match (d.taps.first(), d.taps.last()) {
        (Some(first), Some(last)) if !ods.is_empty() => {
            let start = at(ods.start, first.offset);
            start..at(ods.end - 1, last.offset + 1).max(start)
        }
        _ => 0..0,
    }
}

struct Multiply<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
    /// Frequency, and first column of the block.
    at: [usize; 2],
    ods: Range<usize>,
    first_od: usize,
    first_id: usize,
    memory: Memory<T>,
}

impl<T: Real> Job<T> for Multiply<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, at, ods, first_od, first_id, memory } = self;
        let Domain { plan, tiles, blocks, strides, .. } = &pass.domain;
        let (d, plane) = (&plan.axes[0], tiles.rows * tiles.columns);
        let mut taps = Vec::with_capacity(d.taps.len());
        let mut operands = Vec::with_capacity(d.taps.len());
        for od in ods {
            taps.clear();
            for (i, tap) in d.taps.iter().enumerate() {
                let Some(id) = d.position(od, *tap) else { continue };
                taps.push(((id - first_id) * plane * strides[0], i));
            }
            let memory = Memory { m: memory.m.at((od - first_od) * plane * strides[1]), ..memory };
            let product = pass.product(s, at, &taps, memory, &mut operands);
            // SAFETY: V was filled by the phase before; this frequency, block and plane of M are this task's.
            unsafe { tile::run(&product, plane, blocks.width(at[1]) / S::LANES) };
        }
    }
}

struct Write<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
    at: [usize; 3],
    tiles: Range<usize>,
    m: Output<T>,
    frequency: usize,
    sums: &'a mut TaskSums<T>,
}

impl<T: Real> Job<T> for Write<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, at, tiles, m, frequency, sums } = self;
        // SAFETY: M was filled by the phase before; the row's lines are this task's.
        unsafe { steps::write_row(&Points::new(s), pass, at, tiles, m.0, frequency, sums) }
    }
}
