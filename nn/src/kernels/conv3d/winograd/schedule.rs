//! How a pass is cut into tasks, by shape alone.

use std::ops::Range;

use autograd::Real;

use super::points::{FREQUENCIES, STEP};
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::tasks::Tasks;

/// How a pass is cut into tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// Tasks of so many tile rows by so many planes of the output.
    Strips { tile_rows: usize, depth: usize },
    /// So many planes of the output at once.
    Planes { depth: usize },
}

/// Tiles that a strip has at least: the rows of a matrix product whose other side is read from the second-level cache.
const STRIP_TILES: usize = 24;
/// Tasks of a sample there should be, for machines with many cores.
pub(super) const TASKS: usize = 64;
/// The weights of a strip are read again for each plane; beyond this many bytes that costs more than planes do.
const STRIP_WEIGHTS: usize = 4 << 20;
/// The sums of a strip are read and written for each plane; they should leave room in a second-level cache.
const STRIP_SUMS: usize = 512 << 10;
/// V and M of the planes at work, in bytes: they should stay in a third-level cache.
const PLANES_BYTES: usize = 20 << 20;

impl Schedule {
    /// The choice by shape.
    pub(crate) fn of<T: Real>(plan: &Plan) -> Self {
        let (tiles, depth) = (Tiles::of(plan), plan.axes[0].count);
        if has_strips(plan) && transformed_weight::<T>(plan) <= STRIP_WEIGHTS {
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
        if has_strips(plan) && transformed_weight::<T>(plan) <= STRIP_SUMS {
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

/// Planes of a strip of `tile_rows`: enough strips for many cores, cut along d where there are few, but not below the planes
/// of [`shortest`].
pub(super) fn strip_depth(plan: &Plan, tile_rows: usize) -> usize {
    let depth = plan.axes[0].count;
    let strips = Tiles::of(plan).rows.div_ceil(tile_rows);
    let segments = TASKS.div_ceil(strips.max(1)).min(depth.div_ceil(shortest(plan))).max(1);
    (depth / segments).max(1)
}

/// Planes of a strip at least. A cut costs the transforms of the planes on both sides of it: beside the products of few
/// channels that is much.
fn shortest(plan: &Plan) -> usize {
    (256 / plan.columns.max(1)).clamp(4, 12)
}

/// Whether planes are large enough to be cut into strips.
fn has_strips(plan: &Plan) -> bool {
    let tiles = Tiles::of(plan);
    tiles.rows * tiles.columns >= 2 * STRIP_TILES
}

/// Bytes of U, or dU.
fn transformed_weight<T>(plan: &Plan) -> usize {
    FREQUENCIES * plan.axes[0].taps.len() * plan.k_channels * plan.columns * size_of::<T>()
}

/// Tiles of an output plane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Tiles {
    pub(super) fn of(plan: &Plan) -> Self {
        Self { rows: plan.axes[1].count.div_ceil(STEP), columns: plan.axes[2].count.div_ceil(STEP) }
    }
}

/// A correlation cut into strips: so many rows of tiles by so many planes of the output.
#[derive(Clone, Copy)]
pub(super) struct StripCut {
    pub(super) tile_rows: usize,
    depth: usize,
    /// Rows of tiles in a plane.
    rows: usize,
    /// Planes of the output.
    planes: usize,
}

impl StripCut {
    pub(super) fn new(plan: &Plan, tile_rows: usize, depth: usize) -> Self {
        Self { tile_rows, depth, rows: Tiles::of(plan).rows, planes: plan.axes[0].count }
    }

    /// Strips of a sample.
    pub(super) fn of_sample(self) -> usize {
        self.rows.div_ceil(self.tile_rows) * self.planes.div_ceil(self.depth)
    }

    /// The sample, the rows of tiles and the planes of strip `task`; strips that follow each other along d do so here.
    pub(super) fn task(self, task: usize) -> (usize, Range<usize>, Range<usize>) {
        let Self { tile_rows, depth, rows, planes } = self;
        let (n, task) = (task / self.of_sample(), task % self.of_sample());
        let (strip, segment) = (task / planes.div_ceil(depth), task % planes.div_ceil(depth));
        let rows = strip * tile_rows..rows.min((strip + 1) * tile_rows);
        (n, rows, segment * depth..planes.min((segment + 1) * depth))
    }

    /// The strips of all samples.
    pub(super) fn tasks(self, plan: &Plan) -> Tasks {
        Tasks::of_pieces("strips", &[(plan.n, 1), (self.rows, self.tile_rows), (self.planes, self.depth)])
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

/// Whether F(4, 3) along h computes this: a single channel, and what [`fits`] asks for.
pub(crate) fn fits_single(plan: &Plan) -> bool {
    plan.k_channels == 1 && fits(plan)
}
