//! Direct correlation on channels-last volumes: the forward pass, the gradient of the input, and both of the
//! transposed convolution (see [`super::geometry`] for how they are one).
//!
//! Layout: x is `[n, d, h, w, k_channels]`, y is `[n, d, h, w, columns]`; the weight is packed per block of
//! columns as `[td, th, tw, k_channels, block]`, blocks two vectors wide, the last one padded with zeros.
//!
//! Loop order, from the outside: tasks of a few output rows (rayon) → blocks of columns → rows → tiles along
//! w → the rows (td, th) of the kernel inside the volume → tw·k_channels contiguous numbers of x (one
//! stretch, because the taps along w are neighbours in memory; with dilation one stretch for each tap).
//!
//! Where windows reach beyond the ends of w, or x is to be activated, is several tensors side by side, or has very few
//! channels, a task copies its lines ([`super::lines`]); else it reads x in place. An epilogue sums up a task's rows when they are written, from the cache.
//!
//! Intensity: a tile of 14 pixels × 32 columns does 28 multiply-adds of 16 lanes for 2 loads of weights and
//! 14 broadcasts from the first-level cache.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::lines::Lines;
use super::operands::{Correlation, Epilogue, Target};
use super::pack::pack;
use super::plan::Plan;
use super::sums::{RowSums, TaskSums};
use super::tile::{self, Row, Tile, WIDTH};
use crate::kernels::scratch::PerThread;
use crate::kernels::tasks::Tasks;
use crate::kernels::{Output, Pairs, part, parts};

/// Output pixels in a task, about: their input should fit the second-level cache.
const TASK_PIXELS: usize = 1024;
/// There should be at least so many tasks of a sample, for balance.
const TASKS: usize = 64;

/// Up to so many stretches of input a tile's arithmetic does not hide the loads from memory.
const FEW_STRETCHES: usize = 4;

/// Bytes of a cache line, and of the largest vector.
const LINE: usize = 64;
/// Outputs of at most so many products each are bound by memory; so many bytes of them are in no cache when they are read
/// next. Both together: they are written past the caches.
const FEW_PRODUCTS: usize = 64;
const BEYOND_CACHES: usize = 16 << 20;

/// See [`Correlation`]; and the epilogue's sums.
///
/// # Panics
///
/// If a length does not fit the plan, or there is not one target.
pub(crate) fn correlate<T: Real>(correlation: &Correlation<'_, T>, targets: &mut [Target<'_, T>]) -> Pairs {
    correlation.check(targets);
    let [Target { y, .. }] = targets else { panic!("one target") };
    let &Correlation { plan, sources, weight, epilogue, .. } = correlation;
    let [d, h, w] = &plan.axes;
    let rows = d.count * h.count;
    if rows * w.count == 0 {
        return Pairs::new();
    }
    let weight = pack(plan, weight);
    let bias = correlation.start(plan.columns.next_multiple_of(WIDTH * plan.lanes::<T>()));
    let lines = Lines::serve(plan, sources);
    let rows_per_task = rows_per_task(plan);
    let tasks = rows.div_ceil(rows_per_task);
    let memory = PerThread::new(lines_len::<T>(plan, lines));
    let stream = matches!(epilogue, Epilogue::Nothing) && streams(plan, y);
    let pass = Pass {
        correlation,
        run: w.run(),
        lines,
        weight: &weight,
        bias: &bias,
        y: Output(y.as_mut_ptr()),
        stream,
    };
    let task = |task: usize| {
        let (n, task) = (task / tasks, task % tasks);
        let rows = n * rows + task * rows_per_task..n * rows + rows.min((task + 1) * rows_per_task);
        let mut sums = TaskSums::new(epilogue, plan.columns);
        // SAFETY: the task takes it once, and waits for no other.
        let memory = unsafe { memory.part() };
        simd::dispatch_on(plan.isa, Strip { pass: &pass, rows, memory, sums: &mut sums });
        sums
    };
    let sums: Vec<_> = (0..plan.n * tasks).into_par_iter().map(task).collect();
    TaskSums::merge(epilogue, plan.n, &sums)
}

/// Whether an output that nobody reads back goes past the caches.
pub(crate) fn streams<T: Real>(plan: &Plan, y: &[T]) -> bool {
    let aligned =
        (plan.columns * size_of::<T>()).is_multiple_of(LINE) && y.as_ptr().addr().is_multiple_of(LINE);
    aligned && plan.depth() <= FEW_PRODUCTS && size_of_val(y) > BEYOND_CACHES
}

/// Numbers that a task copies of its input.
fn lines_len<T: Real>(plan: &Plan, lines: bool) -> usize {
    if lines { Lines::<T>::len(plan, rows_per_task(plan)) } else { 0 }
}

/// Output rows of a task, of one sample.
fn rows_per_task(plan: &Plan) -> usize {
    let [d, h, w] = &plan.axes;
    (TASK_PIXELS / w.count.max(1)).clamp(1, (d.count * h.count).div_ceil(TASKS).max(1))
}

/// How the rows are dealt out.
pub(crate) fn tasks(plan: &Plan) -> Tasks {
    let [d, h, _] = &plan.axes;
    Tasks::of_pieces("rows", &[(plan.n, 1), (d.count * h.count, rows_per_task(plan))])
}

/// One correlation, as its tasks see it.
struct Pass<'a, T> {
    correlation: &'a Correlation<'a, T>,
    /// Taps along w in one stretch.
    run: usize,
    /// Whether lines of the sources are copied, or the only one is read in place.
    lines: bool,
    /// Packed.
    weight: &'a [T],
    /// Padded to whole blocks.
    bias: &'a [T],
    y: Output<T>,
    stream: bool,
}

/// The work of one task.
struct Strip<'a, T> {
    pass: &'a Pass<'a, T>,
    /// Of the n·d·h output rows that the plan counts; of one sample.
    rows: Range<usize>,
    /// Room for the lines.
    memory: &'a mut [T],
    sums: &'a mut TaskSums<T>,
}

impl<T: Real> Job<T> for Strip<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { pass, rows, memory, sums } = self;
        pass.write(s, rows.clone(), memory);
        if pass.stream {
            s.fence();
        }
        pass.sum(s, rows, sums);
    }
}

impl<T: Real> Pass<'_, T> {
    /// Writes `all_rows` of the output.
    #[inline(always)]
    fn write<S: Simd<Elem = T>>(&self, s: S, all_rows: Range<usize>, memory: &mut [T]) {
        let &Correlation { plan, sources, .. } = self.correlation;
        let [d, h, w] = &plan.axes;
        let mut rows = Vec::with_capacity(plan.taps() / self.run);
        let mut lines = self.lines.then(|| Lines::new(plan, sources, memory));
        if let Some(lines) = &mut lines {
            lines.restart(all_rows.start, all_rows.len());
        }
        let start = lines.as_ref().map_or(sources[0].x.as_ptr(), |lines| lines.start());
        let x_step = w.step * plan.k_channels;
        let block = WIDTH * S::LANES;
        let tiles = parts(w.count, tile::max_height(S::REGISTERS));
        // 1. Blocks of columns: the block's weights stay in the cache for all rows.
        for first in (0..plan.columns).step_by(block) {
            let columns = (plan.columns - first).min(block);
            let width = columns.div_ceil(S::LANES);
            // 2. Output rows.
            for row in all_rows.clone() {
                let (n, od, oh) = (row / h.count / d.count, row / h.count % d.count, row % h.count);
                self.gather(s, row, width * S::LANES, lines.as_mut(), &mut rows);
                let place = n * d.out_len + od * d.out_step + d.out_start;
                let place = place * h.out_len + oh * h.out_step + h.out_start;
                let place = place * w.out_len + w.out_start;
                let line = tile::Forward {
                    s,
                    rows: &rows,
                    x: start,
                    x_step,
                    k: self.run * plan.k_channels,
                    weight: self.weight.as_ptr().wrapping_add(first * plan.depth()),
                    bias: self.bias.as_ptr().wrapping_add(first),
                    y: self.y.at(place * plan.columns + first).0,
                    y_step: w.out_step * plan.columns,
                    columns,
                    stream: self.stream,
                };
                // 3. Tiles along w.
                for i in 0..tiles {
                    // With few stretches the tile waits for memory: its pixels lie apart, and no hardware
                    // follows them.
                    if rows.len() <= FEW_STRETCHES && i + 1 < tiles && !self.lines {
                        let next = part(w.count, tiles, i + 1);
                        let len = ((next.len() - 1) * w.step + self.run) * plan.k_channels;
                        for row in &rows {
                            tile::prefetch(
                                s,
                                start.wrapping_add(next.start * x_step).wrapping_offset(row.x),
                                len,
                            );
                        }
                    }
                    let pixels = part(w.count, tiles, i);
                    // SAFETY: `Correlation::check` has asserted the lengths. Rows are inside x (`gather` takes the taps
                    // along d and h that are inside, and without lines those along w are) or the lines; weights and bias
                    // are packed to whole vectors; the places are inside y, and no other task has these rows.
                    unsafe { tile::run(&line.below(pixels.start), pixels.len(), width) }
                }
            }
        }
    }

    /// The epilogue, row by row: they are in the second-level cache still.
    #[inline(always)]
    fn sum<S: Simd<Elem = T>>(&self, s: S, rows: Range<usize>, sums: &mut TaskSums<T>) {
        let plan = self.correlation.plan;
        let [d, h, w] = &plan.axes;
        for row in rows {
            let first = row * w.count * plan.columns;
            match self.correlation.epilogue {
                Epilogue::Nothing => return,
                Epilogue::Moments => {
                    if sums.is_empty() {
                        self.sum_row(s, first, &mut sums.moments());
                        sums.set_pivot(w.count);
                    }
                    self.sum_row(s, first, &mut sums.moments());
                }
                Epilogue::Gradient { x, affine } => {
                    let n = row / (d.count * h.count);
                    self.sum_row(s, first, &mut sums.gradient(x[first..].as_ptr(), affine, n));
                }
            }
            sums.close_row(w.count);
        }
    }

    /// Sends the row of y that starts at `first` through `sums`.
    #[inline(always)]
    fn sum_row<S: Simd<Elem = T>, R: RowSums<S>>(&self, s: S, first: usize, sums: &mut R) {
        let plan = self.correlation.plan;
        for c in (0..plan.columns).step_by(S::LANES) {
            let lanes = (plan.columns - c).min(S::LANES);
            // SAFETY: `c` is a multiple of the lanes below the channels; the row is this task's, inside y, and written.
            unsafe {
                let mut state = sums.begin(s, c);
                for pixel in 0..plan.axes[2].count {
                    let place = pixel * plan.columns + c;
                    let y = self.y.at(first + place).0;
                    let value = sums.pass(s, &mut state, s.load_partial_ptr(y, lanes), place, lanes);
                    s.store_partial_ptr(value, y, lanes);
                }
                sums.end(s, c, state);
            }
        }
    }

    /// The stretches that an output row reads, relative to output pixel 0.
    #[inline(always)]
    fn gather<S: Simd<Elem = T>>(
        &self,
        s: S,
        row: usize,
        width: usize,
        mut lines: Option<&mut Lines<'_, T>>,
        rows: &mut Vec<Row>,
    ) {
        let plan = self.correlation.plan;
        let [d, h, w] = &plan.axes;
        let (n, od, oh) = (row / h.count / d.count, row / h.count % d.count, row % h.count);
        let channels = plan.k_channels;
        if let Some(lines) = &mut lines {
            lines.seek(row);
        }
        rows.clear();
        for (i, td) in d.taps.iter().enumerate() {
            let Some(id) = d.position(od, *td) else { continue };
            for (j, th) in h.taps.iter().enumerate() {
                let Some(ih) = h.position(oh, *th) else { continue };
                let Some(first) = w.taps.first() else { continue };
                let line = match &mut lines {
                    Some(lines) => lines.place(s, i, [id, ih]) as isize - first.offset * channels as isize,
                    None => (((n * d.input + id) * h.input + ih) * w.input * channels) as isize,
                };
                let tap = (i * h.taps.len() + j) * w.taps.len();
                for t in (0..w.taps.len()).step_by(self.run) {
                    let x = line + w.taps[t].offset * channels as isize;
                    rows.push(Row { x, weight: (tap + t) * channels * width });
                }
            }
        }
    }
}
