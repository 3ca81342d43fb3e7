//! Planes: a few whole planes of the output at once, in three parallel phases.
//!
//! Transform the input planes they read; multiply, one task for each frequency and block of columns, so that a block of
//! U is read once for all tiles; transform back. For deep levels, whose planes are small and whose U is large.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::points::{FREQUENCIES, Points};
use super::weight::Layout;
use super::{Pass, SampleSums, Tiles, frequency_stride, steps};
use crate::kernels::conv3d::fuse::TaskSums;
use crate::kernels::conv3d::geometry::Axis;
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::scratch::Scratch;
use crate::kernels::tasks::Tasks;
use crate::kernels::{Output, part};

/// `depth` planes at a time.
pub(super) fn run<T: Real>(pass: &Pass<'_, T>, depth: usize) -> SampleSums<T> {
    let d = &pass.plan.axes[0];
    // One piece of memory for all chunks; the first is as large as any.
    let [v_frequency, m_frequency] =
        frequencies::<T>(pass.plan, pass.tiles.rows, depth, [pass.v_stride, pass.m_stride]);
    let lanes = pass.isa.lanes::<T>();
    let mut v = Scratch::<T>::new(steps::transformed_len(v_frequency, lanes));
    let mut m = Scratch::<T>::new(steps::transformed_len(m_frequency, lanes));
    let memory =
        Memory { v: Output(v.as_mut_ptr()), m: Output(m.as_mut_ptr()), strides: [v_frequency, m_frequency] };
    let mut all = Vec::with_capacity(pass.plan.n);
    for n in 0..pass.plan.n {
        let mut sums = vec![];
        for first in (0..d.count).step_by(depth) {
            sums.extend(chunk(pass, n, first..d.count.min(first + depth), memory));
        }
        all.push(sums);
    }
    all
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
pub(super) fn tasks(plan: &Plan, layout: &Layout, depth: usize) -> Vec<Tasks> {
    let ods = 0..plan.axes[0].count.min(depth);
    let rows = Tiles::of(plan).rows;
    let blocks = layout.padded().div_ceil(layout.block());
    let mut products = Tasks::of_pieces("products", &[(layout.padded(), layout.block())]);
    products.count *= FREQUENCIES * product_cuts(blocks, ods.len());
    let columns = Tiles::of(plan).columns;
    let transform = |phase, rows: usize| {
        let piece = columns.div_ceil(row_cuts(rows, columns));
        Tasks::of_pieces(phase, &[(rows, 1), (columns, piece)])
    };
    let ids = input_planes(&plan.axes[0], &ods).len();
    vec![transform("transform", ids * rows), products, transform("transform back", ods.len() * rows)]
}

/// Parts that each of so many rows of tiles is cut into.
pub(super) fn row_cuts(rows: usize, columns: usize) -> usize {
    super::TASKS.div_ceil(rows.max(1)).min(columns)
}

/// Parts that the planes of a product are cut into.
fn product_cuts(blocks: usize, planes: usize) -> usize {
    super::TASKS.div_ceil(FREQUENCIES * blocks).min(planes)
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

/// Where V and M are, and the numbers of one frequency of each.
#[derive(Clone, Copy)]
struct Memory<T> {
    v: Output<T>,
    m: Output<T>,
    strides: [usize; 2],
}

fn chunk<T: Real>(pass: &Pass<'_, T>, n: usize, ods: Range<usize>, memory: Memory<T>) -> Vec<TaskSums<T>> {
    let Memory { v, m, strides: [v_frequency, m_frequency] } = memory;
    let ids = input_planes(&pass.plan.axes[0], &ods);
    let rows = pass.tiles.rows;
    let columns = pass.tiles.columns;
    // 1. V, rows of tiles cut where there are few. Tiles are whole vectors apart, so that none reaches into another's.
    let cuts = row_cuts(ids.len() * rows, columns);
    (0..ids.len() * rows * cuts).into_par_iter().for_each(|task| {
        let (row, tiles) = (task / cuts, part(columns, cuts, task % cuts));
        let at = [n, ids.start + row / rows, row % rows];
        let v = v.at((row * columns + tiles.start) * pass.v_stride);
        let (axes, sources, strides) = (&pass.plan.axes, pass.sources, [pass.v_stride, v_frequency]);
        simd::dispatch_on(pass.isa, steps::LoadRow { axes, sources, at, tiles, v, strides });
    });
    // 2. M
    let blocks = pass.layout.padded().div_ceil(pass.layout.block());
    let cuts = product_cuts(blocks, ods.len());
    (0..FREQUENCIES * blocks * cuts).into_par_iter().for_each(|task| {
        let (f, block, cut) = (task / cuts / blocks, task / cuts % blocks, task % cuts);
        let cut = part(ods.len(), cuts, cut);
        let job = Multiply {
            pass,
            f,
            first: block * pass.layout.block(),
            ods: ods.start + cut.start..ods.start + cut.end,
            first_od: ods.start,
            first_id: ids.start,
            v,
            m,
            strides: [v_frequency, m_frequency],
        };
        simd::dispatch_on(pass.isa, job);
    });
    // 3. y
    let cuts = row_cuts(ods.len() * rows, columns);
    (0..ods.len() * rows * cuts)
        .into_par_iter()
        .map(|task| {
            let (row, tiles) = (task / cuts, part(columns, cuts, task % cuts));
            let at = [n, ods.start + row / rows, row % rows];
            let m = m.at((row * columns + tiles.start) * pass.m_stride);
            let mut sums = TaskSums::new(pass.plan.columns);
            simd::dispatch_on(pass.isa, Write { pass, at, tiles, m, m_frequency, sums: &mut sums });
            sums
        })
        .collect()
}

struct Multiply<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
    f: usize,
    first: usize,
    ods: Range<usize>,
    first_od: usize,
    first_id: usize,
    v: Output<T>,
    m: Output<T>,
    strides: [usize; 2],
}

impl<T: Real> Job<T> for Multiply<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, f, first, ods, first_od, first_id, v, m, strides } = self;
        let d = &pass.plan.axes[0];
        let plane = pass.tiles.rows * pass.tiles.columns;
        let mut taps = Vec::with_capacity(d.taps.len());
        let mut operands = Vec::with_capacity(d.taps.len());
        for od in ods {
            taps.clear();
            for (i, tap) in d.taps.iter().enumerate() {
                let Some(id) = d.position(od, *tap) else { continue };
                taps.push(((id - first_id) * plane * pass.v_stride, i));
            }
            let m = m.0.wrapping_add((od - first_od) * plane * pass.m_stride);
            // SAFETY: V was filled by the phase before; this frequency, block and plane of M are this task's.
            unsafe {
                steps::multiply(s, pass, f, first, &taps, plane, [v.0, m], strides, &mut operands);
            }
        }
    }
}

struct Write<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
    at: [usize; 3],
    tiles: Range<usize>,
    m: Output<T>,
    m_frequency: usize,
    sums: &'a mut TaskSums<T>,
}

impl<T: Real> Job<T> for Write<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, at, tiles, m, m_frequency, sums } = self;
        // SAFETY: M was filled by the phase before; the row's lines are this task's.
        unsafe { steps::write_row(&Points::new(s), pass, at, tiles, m.0, m_frequency, sums) }
    }
}
