//! The gradient of the weight: dU\[f\]\[kd\]\[ci\]\[co\] = Σ_tiles V\[f\]\[d + kd\]\[tile\]\[ci\] · Z\[f\]\[tile\]\[co\],
//! then dg = Gᵀ·dU·G.
//!
//! With few channels by strips: see [`super::grad_strips`]. Else a few planes of the output at a time: V and Z are computed in parallel rows of tiles, then each task adds the
//! products of one frequency, tap along d and block of columns to sums of its own, over all tiles of the planes. So
//! there are no partial sums to merge, and the order of each sum is that of the tiles.
//!
//! A sum over tiles is taken in visits of [`VISIT`] in registers, and the visits are added up in memory: rounding errors
//! grow with the length of a visit and the number of visits, not with their product.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Isa, Job, Simd};
use rayon::prelude::*;

use super::planes::{self, input_planes, row_cuts};
use super::points::{FREQUENCIES, Points, STEP};
use super::transform::{self, Plane, TileRow};
use super::weight::{self, Layout};
use super::{Schedule, StripCut, StripLengths, Tiles, fits, grad_strips, steps, stride};
use crate::kernels::conv3d::fuse::Source;
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::conv3d::tile::{self, Segment};
use crate::kernels::scratch::{PerThread, Scratch};
use crate::kernels::tasks::Tasks;
use crate::kernels::{Output, part, parts};

/// Tiles of a visit: V and Z of one frequency stay in the first-level cache.
const VISIT: usize = 96;
/// V and Z of the planes at work, in bytes.
const CHUNK_BYTES: usize = 6 << 20;

/// dw\[tap\]\[k\]\[column\], written at tap·(their number) + k·`strides[0]` + column·`strides[1]`.
///
/// The plan is that of the forward pass; its axes write every output.
///
/// # Panics
///
/// If `isa` is not available, a length does not fit the plan, or the plan does not [fit](fits).
pub(crate) fn grad_weight<T: Real>(
    isa: Isa,
    schedule: Schedule,
    plan: &Plan,
    sources: &[Source<'_, T>],
    dy: &[T],
    strides: [usize; 2],
    dw: &mut [T],
) {
    assert!(fits(plan), "a window of 3x3 in the plane, stride 1");
    plan.check_sources(sources);
    let [d, h, w] = &plan.axes;
    assert_eq!(
        dy.len(),
        plan.n * d.count * h.count * w.count * plan.columns,
        "length of the output's gradient"
    );
    if plan.n == 0 {
        dw.fill(T::ZERO);
        return;
    }
    let lanes = isa.lanes::<T>();
    let layout = Layout::new(plan, lanes);
    let mut du = Scratch::zeros(layout.transformed());
    let pass = Pass {
        isa,
        plan,
        tiles: Tiles::of(plan),
        layout,
        sources,
        v_stride: stride(sources.iter().map(|s| s.channels), lanes),
        dy,
        z_stride: layout.padded(),
    };
    if let Schedule::Strips { tile_rows, depth } = schedule {
        grad_strips::run(&pass, StripCut::new(plan, tile_rows, depth), &mut du);
        weight::transform_back(isa, plan, &du, strides, dw);
        return;
    }
    let cut = Cut::of::<T>(plan, pass.v_stride, pass.z_stride);
    // One piece of memory for all chunks; the first is as large as any.
    let [v_frequency, z_frequency] =
        planes::frequencies::<T>(plan, cut.tile_rows, cut.depth, [pass.v_stride, pass.z_stride]);
    let mut v = Scratch::<T>::new(steps::transformed_len(v_frequency, lanes));
    let mut z = Scratch::<T>::new(steps::transformed_len(z_frequency, lanes));
    let memory = Memory {
        v: Output(v.as_mut_ptr()),
        z: Output(z.as_mut_ptr()),
        du: Output(du.as_mut_ptr()),
        v_frequency,
        z_frequency,
    };
    for n in 0..plan.n {
        for rows in pieces(pass.tiles.rows, cut.tile_rows) {
            for ods in pieces(d.count, cut.depth) {
                chunk(&pass, n, &rows, &ods, memory);
            }
        }
    }
    weight::transform_back(isa, plan, &du, strides, dw);
}

/// The numbers of each block of scratch memory, for sources of so many channels.
pub(crate) fn scratch<T: Real>(isa: Isa, plan: &Plan, sources: &[usize], threads: usize) -> Vec<usize> {
    let lanes = isa.lanes::<T>();
    let layout = Layout::new(plan, lanes);
    let strides = [stride(sources.iter().copied(), lanes), layout.padded()];
    if let Schedule::Strips { tile_rows, depth } = Schedule::of_grad_weight::<T>(plan) {
        let task = StripLengths::new::<T>(plan, tile_rows, strides, lanes).of_task(lanes);
        let strips = plan.n * StripCut::new(plan, tile_rows, depth).of_sample();
        let sums = strips * layout.transformed();
        return vec![layout.transformed(), threads * PerThread::<T>::part_len(task), sums];
    }
    let cut = Cut::of::<T>(plan, strides[0], strides[1]);
    let [v, z] = planes::frequencies::<T>(plan, cut.tile_rows, cut.depth, strides);
    vec![layout.transformed(), steps::transformed_len(v, lanes), steps::transformed_len(z, lanes)]
}

/// The two phases of the first planes.
pub(crate) fn tasks<T: Real>(plan: &Plan, isa: Isa) -> Vec<Tasks> {
    let lanes = isa.lanes::<T>();
    let (layout, tiles) = (Layout::new(plan, lanes), Tiles::of(plan));
    if let Schedule::Strips { tile_rows, depth } = Schedule::of_grad_weight::<T>(plan) {
        let axes = [(plan.n, 1), (tiles.rows, tile_rows), (plan.axes[0].count, depth)];
        return vec![Tasks::of_pieces("strips", &axes)];
    }
    let cut = Cut::of::<T>(plan, plan.k_channels.next_multiple_of(lanes), layout.padded());
    let ods = 0..cut.depth;
    let rows = (input_planes(&plan.axes[0], &ods).len() + ods.len()) * cut.tile_rows;
    let cuts = row_cuts(rows, tiles.columns);
    let mut products = Tasks::of_pieces("products", &[(layout.padded(), layout.block())]);
    products.count *= FREQUENCIES * layout.taps;
    vec![Tasks::of_pieces("transform", &[(rows, 1), (tiles.columns, tiles.columns.div_ceil(cuts))]), products]
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
    fn of<T: Real>(plan: &Plan, v_stride: usize, z_stride: usize) -> Self {
        let tiles = Tiles::of(plan);
        let row = FREQUENCIES * tiles.columns * (v_stride + z_stride) * size_of::<T>();
        let rows = (CHUNK_BYTES / row.max(1)).max(1);
        let planes = plan.axes[0].count.max(1);
        let tile_rows = (rows / planes.min(16)).clamp(1, tiles.rows.max(1));
        let depth = (rows / tile_rows).clamp(1, planes);
        Self { tile_rows, depth: planes.div_ceil(planes.div_ceil(depth)) }
    }
}

/// One gradient of a weight, as its tasks see it.
pub(super) struct Pass<'a, T> {
    pub(super) isa: Isa,
    pub(super) plan: &'a Plan,
    pub(super) tiles: Tiles,
    pub(super) layout: Layout,
    pub(super) sources: &'a [Source<'a, T>],
    /// Numbers of a tile in V.
    pub(super) v_stride: usize,
    pub(super) dy: &'a [T],
    /// Numbers of a tile in Z.
    pub(super) z_stride: usize,
}

/// Where V, Z and dU are, and the numbers of one frequency of V and Z.
#[derive(Clone, Copy)]
struct Memory<T> {
    v: Output<T>,
    z: Output<T>,
    du: Output<T>,
    v_frequency: usize,
    z_frequency: usize,
}

fn chunk<T: Real>(pass: &Pass<'_, T>, n: usize, rows: &Range<usize>, ods: &Range<usize>, memory: Memory<T>) {
    let Memory { v, z, du, v_frequency, z_frequency } = memory;
    let ids = input_planes(&pass.plan.axes[0], ods);
    let plane = rows.len() * pass.tiles.columns;
    // 1. V and Z, rows of tiles cut where there are few.
    let all_rows = (ids.len() + ods.len()) * rows.len();
    let cuts = row_cuts(all_rows, pass.tiles.columns);
    (0..all_rows * cuts).into_par_iter().for_each(|task| {
        let (row, tiles) = (task / cuts, part(pass.tiles.columns, cuts, task % cuts));
        let (i, tile_row) = (row / rows.len(), rows.start + row % rows.len());
        if i < ids.len() {
            let at = [n, ids.start + i, tile_row];
            let v = v.at((row * pass.tiles.columns + tiles.start) * pass.v_stride);
            let (axes, sources, strides) = (&pass.plan.axes, pass.sources, [pass.v_stride, v_frequency]);
            simd::dispatch_on(pass.isa, steps::LoadRow { axes, sources, at, tiles, v, strides });
        } else {
            let row = row - ids.len() * rows.len();
            let at = [n, ods.start + i - ids.len(), tile_row];
            let z = z.at((row * pass.tiles.columns + tiles.start) * pass.z_stride);
            simd::dispatch_on(pass.isa, LoadGradient { pass, at, tiles, z, z_frequency });
        }
    });
    // 2. dU
    let taps = pass.layout.taps;
    let blocks = pass.layout.padded().div_ceil(pass.layout.block());
    (0..FREQUENCIES * blocks * taps).into_par_iter().for_each(|task| {
        let (f, block, tap) = (task / taps / blocks, task / taps % blocks, task % taps);
        let job = Multiply {
            pass,
            tap,
            first: block * pass.layout.block(),
            ods: ods.clone(),
            first_id: ids.start,
            plane,
            v: v.at(f * v_frequency).0,
            z: z.at(f * z_frequency).0,
            du: du.at(f * pass.layout.frequency()).0,
        };
        simd::dispatch_on(pass.isa, job);
    });
}

struct LoadGradient<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
    at: [usize; 3],
    tiles: Range<usize>,
    z: Output<T>,
    z_frequency: usize,
}

impl<T: Real> Job<T> for LoadGradient<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, at: [n, od, tile_row], tiles, z, z_frequency } = self;
        let [d, h, w] = &pass.plan.axes;
        let (h, w, channels) = (h.count, w.count, pass.plan.columns);
        let plane = h * w * channels;
        let start = pass.dy[(n * d.count + od) * plane..][..plane].as_ptr().cast_mut();
        let row = TileRow {
            start: z.0,
            tiles: tiles.len(),
            tile_stride: pass.z_stride,
            frequency_stride: z_frequency,
        };
        // SAFETY: the plane is a slice, which is only read; Z has room for all tiles of all planes at all frequencies.
        unsafe {
            transform::gradient_row(
                &Points::new(s),
                Plane { start, h, w, channels },
                [tile_row, tiles.start].map(|t| t * STEP),
                row,
            );
        }
    }
}

struct Multiply<'a, 'p, T> {
    pass: &'a Pass<'p, T>,
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
        let d = &pass.plan.axes[0];
        let (layout, width) = (&pass.layout, pass.layout.width(first));
        let du = du.wrapping_add(layout.start(first, tap));
        let heights = parts(layout.k, tile::max_height(S::REGISTERS));
        let mut segments: Vec<Segment<T>> = Vec::with_capacity(ods.len());
        let mut visited = 0;
        let last = ods.end;
        for (i, od) in ods.enumerate() {
            if let Some(id) = d.position(od, d.taps[tap]) {
                let mut r = 0;
                while r < plane {
                    let pixels = (plane - r).min(VISIT - visited);
                    segments.push(Segment {
                        x: v.wrapping_add(((id - first_id) * plane + r) * pass.v_stride),
                        dy: z.wrapping_add((i * plane + r) * pass.z_stride + first),
                        pixels,
                    });
                    visited += pixels;
                    r += pixels;
                    if visited == VISIT {
                        // SAFETY: V and Z were filled by the phase before; this (frequency, tap, block) of dU is this
                        // task's.
                        unsafe { visit(s, pass, &segments, heights, width, du) };
                        segments.clear();
                        visited = 0;
                    }
                }
            }
            if od + 1 == last && visited > 0 {
                // SAFETY: as above.
                unsafe { visit(s, pass, &segments, heights, width, du) };
            }
        }
    }
}

/// Adds the products of a visit's tiles to the sums.
///
/// # Safety
///
/// The segments must be readable, whole vectors of dy, and the sums of one block and tap writable at `du`.
#[inline(always)]
pub(super) unsafe fn visit<S: Simd>(
    s: S,
    pass: &Pass<'_, S::Elem>,
    segments: &[Segment<S::Elem>],
    heights: usize,
    width: usize,
    du: *mut S::Elem,
) {
    for i in 0..heights {
        let k = part(pass.layout.k, heights, i);
        let operands = tile::GradWeight {
            s,
            segments,
            x_first: k.start,
            x_step: pass.v_stride,
            dy_step: pass.z_stride,
            sums: du.wrapping_add(k.start * width),
            sums_step: width,
        };
        // SAFETY: the caller's.
        unsafe { tile::grad_weight(&operands, k.len(), width / S::LANES) };
    }
}
