//! Correlations with a window of 3x3 in the plane by Winograd's F(4x4, 3x3), for the forward pass, the gradient of the
//! input and the gradient of the weight.
//!
//! A tile of 4x4 outputs and the 6x6 inputs it depends on are transformed along h and w ([`points`], [`transform`]); in the
//! transformed domain each of the 36 frequencies is a matrix product over channels, and the taps along d, whatever
//! their stride or dilation, are summed there:
//!
//! ```text
//! V = Bᵀ·x·B    U = G·g·Gᵀ    M[f][tile][co] = Σ_kd Σ_ci V[f][d + kd][tile][ci] · U[f][kd][ci][co]    y = Aᵀ·M·A
//! dU[f][kd][ci][co] = Σ_tiles V[f][d + kd][tile][ci] · Z[f][tile][co],    Z = A·dy·Aᵀ,    dg = Gᵀ·dU·G
//! ```
//!
//! That is 36/16 multiplications for each output and tap along d instead of 9: a quarter. The products run in the
//! register tile of the direct kernels ([`super::tile`]).
//!
//! **Schedules.** Where planes are large, a task is a *strip* of tile rows ([`strips`]): it walks along d with a ring
//! of transformed slabs in its second-level cache, and nothing transformed ever leaves it. Where planes are small and
//! weights large, whole *planes* are transformed, multiplied frequency by frequency, and transformed back
//! ([`planes`]), so that U is read once for many tiles. The gradient of the weight goes by strips where its sums are few
//! ([`grad_strips`]), and by planes elsewhere ([`grad_weight`]): there a frequency sums over all tiles, and each sum
//! belongs to one task. A single channel has a kernel of its own, along h alone ([`single`]).
//!
//! **Error.** For |x|, |w| ≤ 1 and P = kd·ci products at a frequency, |computed − exact| ≤ (P + 20)·u·750·P, u = ε/2, in
//! the worst case (the direct sum: 9·P·u·9·P); the tests derive it. On data like a network's, a test holds both to
//! 4e-6 of the largest output in `f32`.
//!
//! **Bits.** An output depends on its own tile alone, and the sums of a gradient are cut by shape alone, so the number
//! of threads changes nothing.

use std::ops::Range;

use autograd::Real;
use autograd::simd::Isa;

use self::points::{FREQUENCIES, STEP};
use self::weight::Layout;
use super::direct::Weight;
use super::fuse::{Epilogue, Source, Target, TaskSums};
use super::plan::Plan;
use crate::kernels::scratch::PerThread;
use crate::kernels::tasks::Tasks;
use crate::kernels::{Output, Pairs};

mod grad_strips;
mod grad_weight;
mod planes;
mod points;
pub(crate) mod single;
mod steps;
mod strips;
mod transform;
mod weight;

pub(crate) use grad_weight::{grad_weight, scratch as grad_weight_scratch, tasks as grad_weight_tasks};

/// How a correlation is cut into tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// Tasks of so many tile rows by so many planes of the output.
    Strips { tile_rows: usize, depth: usize },
    /// So many planes of the output at once.
    Planes { depth: usize },
}

/// Tiles that a strip has at least: the rows of a matrix product whose other side is read from the second-level cache.
const STRIP_TILES: usize = 24;
/// Tasks there should be, for machines with many cores.
const TASKS: usize = 64;
/// The weights of a strip are read again for each plane; beyond this many bytes that costs more than planes do.
const STRIP_WEIGHTS: usize = 4 << 20;
/// The sums of a strip are read and written for each plane; they should leave room in a second-level cache.
const STRIP_SUMS: usize = 512 << 10;
/// V and M of the planes at work, in bytes: they should stay in a third-level cache.
const PLANES_BYTES: usize = 20 << 20;

impl Schedule {
    /// The choice by shape.
    pub(crate) fn of<T: Real>(plan: &Plan) -> Self {
        let tiles = Tiles::of(plan);
        let depth = plan.axes[0].count;
        let u = FREQUENCIES * plan.axes[0].taps.len() * plan.k_channels * plan.columns * size_of::<T>();
        if tiles.rows * tiles.columns >= 2 * STRIP_TILES && u <= STRIP_WEIGHTS {
            return Self::strips(plan);
        }
        let plane = FREQUENCIES * tiles.rows * tiles.columns * size_of::<T>();
        let step = plan.axes[0].step;
        let beyond = plan.axes[0].span().saturating_sub(1) * plane * plan.k_channels;
        let each = plane * (step * plan.k_channels + plan.columns);
        let planes = PLANES_BYTES.saturating_sub(beyond) / each.max(1);
        Self::Planes { depth: depth.div_ceil(depth.div_ceil(planes.clamp(2, depth.max(2)))) }
    }

    /// The choice by shape for the gradient of the weight. That by planes finds their number itself.
    pub(crate) fn of_grad_weight<T: Real>(plan: &Plan) -> Self {
        let tiles = Tiles::of(plan);
        let du = FREQUENCIES * plan.axes[0].taps.len() * plan.k_channels * plan.columns * size_of::<T>();
        if tiles.rows * tiles.columns >= 2 * STRIP_TILES && du <= STRIP_SUMS {
            return Self::strips(plan);
        }
        Self::Planes { depth: plan.axes[0].count }
    }

    fn strips(plan: &Plan) -> Self {
        let tiles = Tiles::of(plan);
        let tile_rows = STRIP_TILES.div_ceil(tiles.columns).min(tiles.rows);
        Self::Strips { tile_rows, depth: strip_depth(plan, tile_rows) }
    }
}

/// Planes of a strip of `tile_rows`: enough strips for many cores, cut along d where there are few, but not below 4 planes: a
/// cut costs the transforms of the planes on both sides of it.
fn strip_depth(plan: &Plan, tile_rows: usize) -> usize {
    let depth = plan.axes[0].count;
    let strips = plan.n * Tiles::of(plan).rows.div_ceil(tile_rows);
    let segments = TASKS.div_ceil(strips.max(1)).min(depth.div_ceil(4)).max(1);
    (depth / segments).max(1)
}

/// How a correlation is cut.
pub(crate) fn correlate_tasks<T: Real>(plan: &Plan, isa: Isa) -> Vec<Tasks> {
    let tiles = Tiles::of(plan);
    match Schedule::of::<T>(plan) {
        Schedule::Strips { tile_rows, depth } => {
            let axes = [(plan.n, 1), (tiles.rows, tile_rows), (plan.axes[0].count, depth)];
            vec![Tasks::of_pieces("strips", &axes)]
        }
        Schedule::Planes { depth } => planes::tasks(plan, &Layout::new(plan, isa.lanes::<T>()), depth),
    }
}

/// Tiles of an output plane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    rows: usize,
    columns: usize,
}

impl Tiles {
    fn of(plan: &Plan) -> Self {
        Self { rows: plan.axes[1].count.div_ceil(STEP), columns: plan.axes[2].count.div_ceil(STEP) }
    }
}

/// A correlation cut into strips: so many rows of tiles by so many planes of the output.
#[derive(Clone, Copy)]
struct StripCut {
    tile_rows: usize,
    depth: usize,
    /// Rows of tiles in a plane.
    rows: usize,
    /// Planes of the output.
    planes: usize,
}

impl StripCut {
    fn new(plan: &Plan, tile_rows: usize, depth: usize) -> Self {
        Self { tile_rows, depth, rows: Tiles::of(plan).rows, planes: plan.axes[0].count }
    }

    /// Strips of a sample.
    fn of_sample(self) -> usize {
        self.rows.div_ceil(self.tile_rows) * self.planes.div_ceil(self.depth)
    }

    /// The sample, the rows of tiles and the planes of strip `task`; strips that follow each other along d do so here.
    fn task(self, task: usize) -> (usize, Range<usize>, Range<usize>) {
        let Self { tile_rows, depth, rows, planes } = self;
        let (n, task) = (task / self.of_sample(), task % self.of_sample());
        let (strip, segment) = (task / planes.div_ceil(depth), task % planes.div_ceil(depth));
        let rows = strip * tile_rows..rows.min((strip + 1) * tile_rows);
        (n, rows, segment * depth..planes.min((segment + 1) * depth))
    }
}

/// What a task of a strip works in: a ring of slabs of what is read, and one of what is written.
#[derive(Clone, Copy)]
struct StripLengths {
    /// Slabs in the ring.
    slots: usize,
    /// Numbers of a slab.
    slab: usize,
    /// Numbers of one frequency of both.
    frequencies: [usize; 2],
}

impl StripLengths {
    /// For so many rows of tiles, and so many numbers of a tile of both.
    fn new<T>(plan: &Plan, tile_rows: usize, strides: [usize; 2], lanes: usize) -> Self {
        let tiles = tile_rows * Tiles::of(plan).columns;
        let frequencies = strides.map(|stride| frequency_stride::<T>(tiles * stride));
        let slab = steps::transformed_len(frequencies[0], lanes);
        Self { slots: plan.axes[0].span().max(1), slab, frequencies }
    }

    /// Numbers of a task.
    fn of_task(&self, lanes: usize) -> usize {
        self.slots * self.slab + steps::transformed_len(self.frequencies[1], lanes)
    }
}

/// The numbers of each block of scratch memory that a correlation holds at once, for sources and targets of so many channels.
pub(crate) fn scratch<T: Real>(
    isa: Isa,
    plan: &Plan,
    sources: &[usize],
    targets: &[usize],
    threads: usize,
) -> Vec<usize> {
    let lanes = isa.lanes::<T>();
    let layout = Layout::new(plan, lanes);
    let channels = |of: &[usize]| stride(of.iter().copied(), lanes);
    let strides = [channels(sources), channels(targets).max(layout.padded())];
    match Schedule::of::<T>(plan) {
        Schedule::Strips { tile_rows, .. } => {
            let task = StripLengths::new::<T>(plan, tile_rows, strides, lanes).of_task(lanes);
            vec![layout.transformed(), threads * PerThread::<T>::part_len(task)]
        }
        Schedule::Planes { depth } => {
            let both = planes::frequencies::<T>(plan, Tiles::of(plan).rows, depth, strides);
            let [v, m] = both.map(|frequency| steps::transformed_len(frequency, lanes));
            vec![layout.transformed(), v, m]
        }
    }
}

/// Whether F(4x4, 3x3) computes this: three neighbouring taps along h and w, each place of the plane written.
pub(crate) fn fits(plan: &Plan) -> bool {
    plan.axes[1..].iter().all(|axis| {
        axis.taps.len() == 3
            && axis.run() == 3
            && axis.step == 1
            && axis.out_step == 1
            && axis.out_start == 0
            && axis.count == axis.out_len
            && axis.count > 0
    })
}

/// The targets = bias + correlation of the sources with the weight, and the epilogue's sums.
///
/// The sources' channels follow each other in k, those of the targets in the columns.
///
/// # Panics
///
/// If `isa` is not available, a length does not fit the plan, or the plan does not [fit](fits); if there is an epilogue
/// and more than one target.
pub(crate) fn correlate<T: Real>(
    isa: Isa,
    schedule: Schedule,
    plan: &Plan,
    sources: &[Source<'_, T>],
    weight: Weight<'_, T>,
    bias: Option<&[T]>,
    targets: &mut [Target<'_, T>],
    epilogue: Epilogue<'_, T>,
) -> Pairs {
    assert!(fits(plan), "a window of 3x3 in the plane, stride 1");
    let [d, h, w] = &plan.axes;
    plan.check_sources(sources);
    let places = plan.n * d.out_len * h.out_len * w.out_len;
    assert_eq!(targets.iter().map(|t| t.channels).sum::<usize>(), plan.columns, "columns of the targets");
    assert!(targets.iter().all(|t| t.y.len() == places * t.channels), "length of a target");
    assert!(targets.len() == 1 || matches!(epilogue, Epilogue::Nothing), "sums are of one target");
    epilogue.check(plan.n, places * plan.columns, plan.columns);
    let last = d.out_start + d.count.saturating_sub(1) * d.out_step;
    assert!(d.count == 0 || last < d.out_len, "the plan writes inside the output");
    let lanes = isa.lanes::<T>();
    let u = weight::transform(isa, plan, weight);
    let layout = Layout::new(plan, lanes);
    // Loads of a bias may start at any target's first channel.
    let mut start = vec![T::ZERO; layout.padded() + lanes];
    if let Some(bias) = bias {
        assert_eq!(bias.len(), plan.columns, "length of the bias");
        start[..plan.columns].copy_from_slice(bias);
    }
    let outputs = offsets(targets.iter().map(|t| t.channels));
    let pass = Pass {
        isa,
        plan,
        tiles: Tiles::of(plan),
        layout,
        sources,
        v_stride: stride(sources.iter().map(|s| s.channels), lanes),
        targets: targets.iter_mut().map(|t| (Output(t.y.as_mut_ptr()), t.channels)).collect(),
        m_stride: stride(targets.iter().map(|t| t.channels), lanes).max(layout.padded()),
        outputs,
        u: &u,
        bias: &start,
        epilogue,
    };
    let sums = match schedule {
        Schedule::Strips { tile_rows, depth } => strips::run(&pass, StripCut::new(plan, tile_rows, depth)),
        Schedule::Planes { depth } => planes::run(&pass, depth),
    };
    TaskSums::merge(epilogue, plan.columns, sums.iter().map(Vec::as_slice))
}

/// Where each of the tensors that lie side by side starts.
fn offsets(channels: impl Iterator<Item = usize>) -> Vec<usize> {
    channels.scan(0, |next, channels| Some(std::mem::replace(next, *next + channels))).collect()
}

/// Numbers of a tile at one frequency: each tensor's last vector has room, and tiles start on vectors.
fn stride(channels: impl Iterator<Item = usize>, lanes: usize) -> usize {
    let (mut start, mut end) = (0, 0);
    for channels in channels {
        end = end.max(start + channels.next_multiple_of(lanes));
        start += channels;
    }
    end.next_multiple_of(lanes)
}

/// Numbers of one frequency, an odd number of cache lines: with a power of two the 36 streams of a tile would fall in
/// one set of the first-level cache.
fn frequency_stride<T>(numbers: usize) -> usize {
    let line = 64 / size_of::<T>();
    let lines = numbers.div_ceil(line) + 1;
    (lines | 1) * line
}

/// One correlation, as its tasks see it.
struct Pass<'a, T> {
    isa: Isa,
    plan: &'a Plan,
    tiles: Tiles,
    layout: Layout,
    sources: &'a [Source<'a, T>],
    /// Numbers of a tile in V.
    v_stride: usize,
    targets: Vec<(Output<T>, usize)>,
    /// First column of each target.
    outputs: Vec<usize>,
    /// Numbers of a tile in M.
    m_stride: usize,
    u: &'a [T],
    /// Padded to whole vectors.
    bias: &'a [T],
    epilogue: Epilogue<'a, T>,
}

/// The sums of a pass: for each sample, those of its tasks in order.
type SampleSums<T> = Vec<Vec<TaskSums<T>>>;

#[cfg(test)]
mod tests;
