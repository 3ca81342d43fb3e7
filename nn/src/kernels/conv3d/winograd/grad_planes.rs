//! The gradient of the weight by planes: dU\[f\]\[kd\]\[ci\]\[co\] = Σ_tiles V\[f\]\[d + kd\]\[tile\]\[ci\] · Z\[f\]\[tile\]\[co\],
//! then dg = Gᵀ·dU·G.
//!
//! With few channels by strips: see [`super::grad_strips`]. Else a few planes of the output at a time: V and Z are
//! computed in parallel rows of tiles, then each task adds the products of one frequency, tap along d and block of columns
//! to sums of its own, over all tiles of the planes. So there are no partial sums to merge, and the order of each sum is
//! that of the tiles.
//!
//! A sum over tiles is taken in visits of [`VISIT`] in registers, and the visits are added up in memory: rounding errors
//! grow with the length of a visit and the number of visits, not with their product.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::domain::{Domain, Memory, transformed_len};
use super::planes::{self, frequencies, input_planes, map_rows, row_tasks};
use super::points::{FREQUENCIES, Points};
use super::schedule::Tiles;
use super::steps::GradPass;
use super::weight::Blocks;
use crate::kernels::Output;
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::conv3d::tile::Segment;
use crate::kernels::scratch::Scratch;
use crate::kernels::tasks::Tasks;

/// Tiles of a visit: V and Z of one frequency stay in the first-level cache.
const VISIT: usize = 96;
/// V and Z of the planes at work, in bytes.
const CHUNK_BYTES: usize = 6 << 20;

/// Adds to dU, some planes at a time.
pub(super) fn run<T: Real>(pass: &GradPass<'_, T>, du: &mut [T]) {
    let Domain { plan, tiles, strides, .. } = pass.domain;
    let cut = Cut::of::<T>(plan, strides);
    // One piece of memory for all chunks; the first is as large as any.
    let frequencies = frequencies::<T>(plan, cut.tile_rows, cut.depth, strides);
    let [mut v, mut z] = frequencies.map(|f| Scratch::<T>::new(transformed_len(f, plan.lanes::<T>())));
    let memory = Memory { v: Output(v.as_mut_ptr()), m: Output(z.as_mut_ptr()), frequencies };
    for n in 0..plan.n {
        for rows in pieces(tiles.rows, cut.tile_rows) {
            for ods in pieces(plan.axes[0].count, cut.depth) {
                chunk(pass, n, &rows, &ods, memory, Output(du.as_mut_ptr()));
            }
        }
    }
}

/// The phases of the first planes, for one source.
pub(super) fn tasks<T: Real>(plan: &Plan) -> Vec<Tasks> {
    let (blocks, columns) = (Blocks::new::<T>(plan), Tiles::of(plan).columns);
    let cut = Cut::of::<T>(plan, [plan.k_channels.next_multiple_of(plan.lanes::<T>()), blocks.padded()]);
    let ods = 0..cut.depth;
    let ids = input_planes(&plan.axes[0], &ods);
    let mut products = Tasks::of_pieces("products", &[(blocks.padded(), blocks.block())]);
    products.count *= FREQUENCIES * blocks.taps;
    vec![row_tasks("transform", (ids.len() + ods.len()) * cut.tile_rows, columns), products]
}

fn pieces(len: usize, piece: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(piece).map(move |start| start..len.min(start + piece))
}

/// How much is transformed at a time.
struct Cut {
    tile_rows: usize,
    depth: usize,
}

impl Cut {
    /// As many rows of tiles as leave room for 16 planes (each further plane needs no other slab of V), then as many
    /// planes as there is room for.
    fn of<T: Real>(plan: &Plan, [v_stride, z_stride]: [usize; 2]) -> Self {
        let tiles = Tiles::of(plan);
        let row = FREQUENCIES * tiles.columns * (v_stride + z_stride) * size_of::<T>();
        let rows = (CHUNK_BYTES / row.max(1)).max(1);
        let planes = plan.axes[0].count.max(1);
        let tile_rows = (rows / planes.min(16)).clamp(1, tiles.rows.max(1));
        let depth = (rows / tile_rows).clamp(1, planes);
        Self { tile_rows, depth: planes.div_ceil(planes.div_ceil(depth)) }
    }
}

fn chunk<T: Real>(
    pass: &GradPass<'_, T>,
    n: usize,
    rows: &Range<usize>,
    ods: &Range<usize>,
    memory: Memory<T>,
    du: Output<T>,
) {
    let Memory { v, m: z, frequencies: [v_frequency, z_frequency] } = memory;
    let Domain { plan, tiles, blocks, strides, .. } = pass.domain;
    let ids = input_planes(&plan.axes[0], ods);
    // 1. V and Z
    let of_v = ids.len() * rows.len();
    map_rows(of_v + ods.len() * rows.len(), tiles.columns, |row, cut| {
        if row < of_v {
            planes::load(&pass.domain, [n, ids.start], rows, (row, cut), memory);
        } else {
            let row = row - of_v;
            let at = [n, ods.start + row / rows.len(), rows.start + row % rows.len()];
            let z = z.at((row * tiles.columns + cut.start) * strides[1]);
            simd::dispatch_on(plan.isa, LoadGradient { pass, at, tiles: cut, z, frequency: z_frequency });
        }
    });
    // 2. dU
    let taps = blocks.taps;
    (0..FREQUENCIES * blocks.count() * taps).into_par_iter().for_each(|task| {
        let (f, block, tap) = (task / taps / blocks.count(), task / taps % blocks.count(), task % taps);
        let job = Multiply {
            pass,
            tap,
            first: block * blocks.block(),
            ods: ods.clone(),
            first_id: ids.start,
            plane: rows.len() * tiles.columns,
            v: v.at(f * v_frequency).0,
            z: z.at(f * z_frequency).0,
            du: du.at(f * blocks.frequency()).0,
        };
        simd::dispatch_on(plan.isa, job);
    });
}

struct LoadGradient<'a, 'p, T> {
    pass: &'a GradPass<'p, T>,
    at: [usize; 3],
    tiles: Range<usize>,
    z: Output<T>,
    frequency: usize,
}

impl<T: Real> Job<T> for LoadGradient<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, at, tiles, z, frequency } = self;
        // SAFETY: Z has room for all tiles of all planes at all frequencies, and slack.
        unsafe { pass.load_row(&Points::new(s), at, tiles, z.0, frequency) }
    }
}

struct Multiply<'a, 'p, T> {
    pass: &'a GradPass<'p, T>,
    tap: usize,
    first: usize,
    ods: Range<usize>,
    first_id: usize,
    /// Tiles of a plane at work.
    plane: usize,
    v: *mut T,
    z: *mut T,
    du: *mut T,
}

impl<T: Real> Job<T> for Multiply<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, tap, first, ods, first_id, plane, v, z, du } = self;
        let Domain { plan, blocks, strides: [v_stride, z_stride], .. } = &pass.domain;
        let d = &plan.axes[0];
        let du = du.wrapping_add(blocks.start(first, tap));
        let mut segments: Vec<Segment<T>> = Vec::with_capacity(ods.len());
        let mut visited = 0;
        let last = ods.end;
        for (i, od) in ods.enumerate() {
            if let Some(id) = d.position(od, d.taps[tap]) {
                let mut r = 0;
                while r < plane {
                    let pixels = (plane - r).min(VISIT - visited);
                    segments.push(Segment {
                        x: v.wrapping_add(((id - first_id) * plane + r) * v_stride),
                        dy: z.wrapping_add((i * plane + r) * z_stride + first),
                        pixels,
                    });
                    visited += pixels;
                    r += pixels;
                    if visited == VISIT {
                        // SAFETY: V and Z were filled by the phase before; this (frequency, tap, block) of dU is this
                        // task's.
                        unsafe { pass.visit(s, &segments, first, du) };
                        segments.clear();
                        visited = 0;
                    }
                }
            }
            if od + 1 == last && visited > 0 {
                // SAFETY: as above.
                unsafe { pass.visit(s, &segments, first, du) };
            }
        }
    }
}
