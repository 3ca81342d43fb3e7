//! The gradient of the weight: for each tap, dw\[k\]\[column\] = Σ_pixels x\[pixel·step + offset\]\[k\] ·
//! dy\[pixel\]\[column\].
//!
//! The tile (see [`super::tile`]) holds `MR` neighbouring k × two vectors of columns and runs over pixels.
//! The taps along w that are neighbours in memory form one stretch of tw·k_channels numbers, so narrow inputs
//! fill the tile too.
//!
//! Loop order, from the outside: tasks → visits of a few rows of dy → (block of columns, stretch) → tiles
//! along the stretch → pixels of the visit. A visit's rows of x and dy stay in the second-level cache; a
//! tile's sums go to memory between visits.
//!
//! A task is a slab of rows × a group of (block, stretch) pairs, both fixed by the shape. Each slab has its
//! own partial sums, and they are added in slab order in `f64`, so the bits do not depend on threads. Deep
//! layers have few voxels and large weights: few slabs, many groups.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::lines::Lines;
use super::operands::WeightGradient;
use super::plan::Plan;
use super::tile::{self, Segment, WIDTH};
use crate::kernels::part;
use crate::kernels::scratch::{PerThread, Scratch};
use crate::kernels::tasks::Tasks;

/// Pixels of a visit, about.
const VISIT_PIXELS: usize = 256;
/// There should be about so many tasks, for balance; as many slabs where their sums are few beside their
/// pixels.
const TASKS: usize = 64;
/// The numbers that a slab reads for each of its sums, at least: clearing and merging a sum costs about two
/// reads.
const READS_PER_SUM: usize = 8;

/// See [`WeightGradient`].
///
/// # Panics
///
/// If a length does not fit the plan.
pub(crate) fn grad_weight<T: Real>(gradient: &WeightGradient<'_, T>, dw: &mut [T]) {
    gradient.check(dw);
    let &WeightGradient { plan, sources, strides, .. } = gradient;
    let cut = Cut::new::<T>(plan);
    let slab_len = cut.pairs * cut.k * cut.block;
    let mut partials = Scratch::zeros(cut.slabs * slab_len);
    let lines = Lines::serve(plan, sources);
    let visits = PerThread::new(cut.visit_len::<T>(plan, lines));
    let rows = plan.n * plan.axes[0].count * plan.axes[1].count;
    partials.par_chunks_mut(slab_len).enumerate().for_each(|(i, slab)| {
        let rows = part(rows, cut.slabs, i);
        let groups = slab.par_chunks_mut(cut.pairs_per_group * cut.k * cut.block);
        groups.enumerate().for_each(|(group, sums)| {
            let first = group * cut.pairs_per_group;
            let pairs = first..cut.pairs.min(first + cut.pairs_per_group);
            let rows = rows.clone();
            // SAFETY: the task takes it once, and waits for no other.
            let visit = unsafe { visits.part() };
            simd::dispatch_on(plan.isa, Task { gradient, cut: &cut, lines, rows, pairs, visit, sums });
        });
    });
    merge(plan, &cut, &partials, strides, dw);
}

/// How the work is cut, by shape alone.
struct Cut {
    /// Taps along w in a stretch.
    run: usize,
    /// Numbers in a stretch.
    k: usize,
    /// Stretches: taps along d and h, and along w with dilation.
    stretches: usize,
    /// Columns in a block.
    block: usize,
    /// (block, stretch), the stretch running fastest.
    pairs: usize,
    pairs_per_group: usize,
    slabs: usize,
    rows_per_visit: usize,
}

impl Cut {
    fn new<T: Real>(plan: &Plan) -> Self {
        let [d, h, w] = &plan.axes;
        let run = w.run();
        let stretches = plan.taps() / run;
        let block = WIDTH * plan.lanes::<T>();
        let pairs = plan.columns.div_ceil(block) * stretches;
        let rows = plan.n * d.count * h.count;
        let reads = rows * w.count * (plan.k_channels + plan.columns);
        let sums = plan.depth() * plan.columns;
        let slabs = (reads / (READS_PER_SUM * sums)).clamp(1, TASKS).min(rows.max(1));
        let groups = TASKS.div_ceil(slabs).min(pairs);
        let pairs_per_group = pairs.div_ceil(groups);
        let rows_per_visit = (VISIT_PIXELS / w.count.max(1)).max(1);
        Self {
            run,
            k: run * plan.k_channels,
            stretches,
            block,
            pairs,
            pairs_per_group,
            slabs,
            rows_per_visit,
        }
    }

    /// Numbers that a task copies for a visit: lines, and rows of dy.
    fn visit_len<T: Real>(&self, plan: &Plan, lines: bool) -> usize {
        let lines = if lines { Lines::<T>::len(plan, self.rows_per_visit) } else { 0 };
        lines + self.panel_len(plan)
    }

    /// A copy of a visit's rows of dy, one block of columns wide.
    fn panel_len(&self, plan: &Plan) -> usize {
        self.rows_per_visit * plan.axes[2].count * self.block
    }
}

/// Slabs of rows by groups of sums.
pub(crate) fn tasks<T: Real>(plan: &Plan) -> Tasks {
    let cut = Cut::new::<T>(plan);
    let rows = plan.n * plan.axes[0].count * plan.axes[1].count;
    Tasks::of_pieces("slabs by groups", &[(rows, rows.div_ceil(cut.slabs)), (cut.pairs, cut.pairs_per_group)])
}

/// Adds the slabs' partial sums and puts them in their places.
fn merge<T: Real>(
    plan: &Plan,
    cut: &Cut,
    partials: &[T],
    [k_stride, column_stride]: [usize; 2],
    dw: &mut [T],
) {
    let slab_len = cut.pairs * cut.k * cut.block;
    dw.par_chunks_mut(plan.k_channels * plan.columns).enumerate().for_each(|(tap, dw)| {
        let (stretch, in_stretch) = (tap / cut.run, tap % cut.run);
        for k in 0..plan.k_channels {
            for first in (0..plan.columns).step_by(cut.block) {
                let pair = first / cut.block * cut.stretches + stretch;
                let at = (pair * cut.k + in_stretch * plan.k_channels + k) * cut.block;
                for column in 0..cut.block.min(plan.columns - first) {
                    let slabs = (0..cut.slabs).map(|slab| partials[slab * slab_len + at + column].to_f64());
                    dw[k * k_stride + (first + column) * column_stride] = T::from_f64(slabs.sum());
                }
            }
        }
    });
}

struct Task<'a, T> {
    gradient: &'a WeightGradient<'a, T>,
    cut: &'a Cut,
    /// Whether lines of the sources are copied, or the only one is read in place.
    lines: bool,
    /// Rows of dy: the slab.
    rows: Range<usize>,
    pairs: Range<usize>,
    /// Room for what a visit copies.
    visit: &'a mut [T],
    /// `[pair][k][column in block]`
    sums: &'a mut [T],
}

impl<T: Real> Job<T> for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(mut self, s: S) {
        let (&WeightGradient { plan, sources, dy, .. }, cut) = (self.gradient, self.cut);
        let w = &plan.axes[2];
        let rows_per_visit = cut.rows_per_visit;
        let memory = std::mem::take(&mut self.visit);
        let (line_memory, panel) = memory.split_at_mut(memory.len() - cut.panel_len(plan));
        let mut lines = self.lines.then(|| Lines::new(plan, sources, line_memory));
        let mut segments = Vec::with_capacity(rows_per_visit);
        // 1. Visits of a few rows.
        for first_row in self.rows.clone().step_by(rows_per_visit) {
            let rows = first_row..self.rows.end.min(first_row + rows_per_visit);
            let mut block = usize::MAX;
            if let Some(lines) = &mut lines {
                lines.restart(rows.start, rows.len());
            }
            // 2. Blocks of columns and stretches.
            for pair in self.pairs.clone() {
                let first = pair / cut.stretches * cut.block;
                let columns = (plan.columns - first).min(cut.block);
                let width = columns.div_ceil(S::LANES);
                let whole = columns == width * S::LANES && dy.affine.is_none();
                if !whole && block != first {
                    self.fill_panel(s, &rows, first, width * S::LANES, panel);
                }
                block = first;
                let (dy, dy_step) = if whole {
                    let first = rows.start * w.count * plan.columns + first;
                    (dy.x.as_ptr().wrapping_add(first), plan.columns)
                } else {
                    (panel.as_ptr(), width * S::LANES)
                };
                let stretch = pair % cut.stretches;
                self.collect(s, &rows, stretch, (dy, dy_step), lines.as_mut(), &mut segments);
                let sums =
                    &mut self.sums[(pair - self.pairs.start) * cut.k * cut.block..][..cut.k * cut.block];
                // 3. Tiles along the stretch.
                let tile = tile::GradWeight {
                    s,
                    segments: &segments,
                    x_first: 0,
                    x_step: w.step * plan.k_channels,
                    dy_step,
                    sums: sums.as_mut_ptr(),
                    sums_step: cut.block,
                };
                // SAFETY: `collect` takes segments whose every window is inside x or the lines, and whose pixels
                // are inside dy or the panel, whole vectors of them; a pair has k × block sums.
                unsafe { tile::run(&tile, cut.k, width) }
            }
        }
    }
}

impl<T: Real> Task<'_, T> {
    /// Copies the columns from `first` on of the visit's rows, `width` for each pixel, 0 beyond the last.
    #[inline(always)]
    fn fill_panel<S: Simd<Elem = T>>(
        &self,
        s: S,
        rows: &Range<usize>,
        first: usize,
        width: usize,
        panel: &mut [T],
    ) {
        let &WeightGradient { plan, dy, .. } = self.gradient;
        let [d, h, w] = &plan.axes;
        let (w, columns) = (w.count, plan.columns);
        let panel = &mut panel[..rows.len() * w * width];
        panel.fill(T::ZERO);
        let used = width.min(columns - first);
        for (row, panel) in rows.clone().zip(panel.chunks_exact_mut(w * width)) {
            let x = &dy.x[row * w * columns..][..w * columns];
            match dy.affine {
                Some(affine) => {
                    let (n, steps) = (row / (d.count * h.count), [columns, width]);
                    affine.apply_to_row(s, [n, first], &x[first..], panel, steps, [w, used]);
                }
                None => {
                    for (x, panel) in x.chunks_exact(columns).zip(panel.chunks_exact_mut(width)) {
                        panel[..used].copy_from_slice(&x[first..first + used]);
                    }
                }
            }
        }
    }

    /// The segments of the visit's rows for one stretch: a row each, where it reads a line at all.
    #[inline(always)]
    fn collect<S: Simd<Elem = T>>(
        &self,
        s: S,
        rows: &Range<usize>,
        stretch: usize,
        (dy, dy_step): (*const T, usize),
        mut lines: Option<&mut Lines<'_, T>>,
        segments: &mut Vec<Segment<T>>,
    ) {
        let &WeightGradient { plan, sources, .. } = self.gradient;
        let [d, h, w] = &plan.axes;
        let per_line = w.taps.len() / self.cut.run;
        let (i, j) = (stretch / per_line / h.taps.len(), stretch / per_line % h.taps.len());
        let tw = w.taps[stretch % per_line * self.cut.run];
        segments.clear();
        for row in rows.clone() {
            let (n, od, oh) = (row / h.count / d.count, row / h.count % d.count, row % h.count);
            let (Some(id), Some(ih)) = (d.position(od, d.taps[i]), h.position(oh, h.taps[j])) else {
                continue;
            };
            // A line, and where in it pixel 0 reads.
            let (line, offset) = match &mut lines {
                Some(lines) => {
                    lines.seek(row);
                    (lines.start().wrapping_add(lines.place(s, i, [id, ih])), tw.offset - w.taps[0].offset)
                }
                None => {
                    let line = ((n * d.input + id) * h.input + ih) * w.input * plan.k_channels;
                    (sources[0].x.as_ptr().wrapping_add(line), tw.offset)
                }
            };
            let x = line.wrapping_offset(offset * plan.k_channels as isize);
            let dy = dy.wrapping_add((row - rows.start) * w.count * dy_step);
            segments.push(Segment { x, dy, pixels: w.count });
        }
    }
}
