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
//! A tile that would read beyond the ends of w reads a copy of its window, with zeros there, instead; tiles
//! inside read x in place. Where x is to be activated, is several tensors side by side, or has very few channels, a task
//! copies its lines ([`super::lines`]). An epilogue sums up a task's rows when they are written, from the cache.
//!
//! Intensity: a tile of 14 pixels × 32 columns does 28 multiply-adds of 16 lanes for 2 loads of weights and
//! 14 broadcasts from the first-level cache.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{self, Isa, Job, Simd};
use rayon::prelude::*;

use super::fuse::{Epilogue, RowSums, Source, TaskSums};
use super::lines::{Lines, copy_padded};
use super::plan::Plan;
use super::tile::{self, Row, WIDTH};
use crate::kernels::scratch::PerThread;
use crate::kernels::tasks::Tasks;
use crate::kernels::{Output, Pairs, part, parts};

mod weight;

pub(crate) use weight::Weight;
use weight::{pack, packed_len};

/// Output pixels in a task, about: their input should fit the second-level cache.
const TASK_PIXELS: usize = 1024;
/// There should be at least so many tasks, for balance.
const TASKS: usize = 64;

/// Up to so many stretches of input a tile's arithmetic does not hide the loads from memory.
const FEW_STRETCHES: usize = 4;

/// Bytes of a cache line, and of the largest vector.
const LINE: usize = 64;
/// Outputs of at most so many products each are bound by memory; so many bytes of them are in no cache when they are read
/// next. Both together: they are written past the caches.
const FEW_PRODUCTS: usize = 64;
const BEYOND_CACHES: usize = 16 << 20;

/// y = bias + correlation of the sources with the weight, at the places that the plan's axes name, the others being left
/// alone; and the epilogue's sums.
///
/// # Panics
///
/// If `isa` is not available or a length does not fit the plan; if there is an epilogue and the plan leaves places alone.
pub(crate) fn correlate<T: Real>(
    isa: Isa,
    plan: &Plan,
    sources: &[Source<'_, T>],
    weight: Weight<'_, T>,
    bias: Option<&[T]>,
    y: &mut [T],
    epilogue: Epilogue<'_, T>,
) -> Pairs {
    let [d, h, w] = &plan.axes;
    plan.check_sources(sources);
    assert_eq!(y.len(), plan.n * d.out_len * h.out_len * w.out_len * plan.columns, "length of the output");
    for axis in &plan.axes {
        let last = axis.out_start + axis.count.saturating_sub(1) * axis.out_step;
        assert!(axis.count == 0 || last < axis.out_len, "an axis writes inside the output");
    }
    let lanes = isa.lanes::<T>();
    let packed = pack(plan, weight, lanes);
    let padded = plan.columns.next_multiple_of(WIDTH * lanes);
    let mut start = vec![T::ZERO; padded];
    if let Some(bias) = bias {
        assert_eq!(bias.len(), plan.columns, "length of the bias");
        start[..plan.columns].copy_from_slice(bias);
    }
    if !matches!(epilogue, Epilogue::Nothing) {
        let whole = plan.axes.iter().all(|axis| axis.count == axis.out_len);
        assert!(whole, "sums are of an output that is written whole");
    }
    epilogue.check(plan.n, y.len(), plan.columns);
    let rows = d.count * h.count;
    if rows * w.count == 0 {
        return Pairs::new();
    }
    let lines = Lines::serve(plan, sources);
    let rows_per_task = rows_per_task(plan);
    let tasks = rows.div_ceil(rows_per_task);
    let run = w.run();
    let patches = PerThread::new(patch_len::<T>(isa, plan, lines));
    let stream = matches!(epilogue, Epilogue::Nothing) && streams(plan, y);
    let output = Output(y.as_mut_ptr());
    let task = |task: usize| {
        let (n, task) = (task / tasks, task % tasks);
        let rows = n * rows + task * rows_per_task..n * rows + rows.min((task + 1) * rows_per_task);
        let mut sums = TaskSums::new(if matches!(epilogue, Epilogue::Nothing) { 0 } else { plan.columns });
        let sums_of = &mut sums;
        // SAFETY: the task takes it once, and waits for no other.
        let patch = unsafe { patches.part() };
        let (weight, bias) = (&*packed, &*start);
        simd::dispatch_on(
            isa,
            Strip {
                plan,
                run,
                sources,
                lines,
                weight,
                bias,
                y: output,
                stream,
                rows,
                patch,
                epilogue,
                sums: sums_of,
            },
        );
        sums
    };
    let sums: Vec<_> = (0..plan.n * tasks).into_par_iter().map(task).collect();
    TaskSums::merge(epilogue, plan.columns, sums.chunks(tasks))
}

/// Whether an output that nobody reads back goes past the caches.
pub(crate) fn streams<T: Real>(plan: &Plan, y: &[T]) -> bool {
    let aligned =
        (plan.columns * size_of::<T>()).is_multiple_of(LINE) && y.as_ptr().addr().is_multiple_of(LINE);
    aligned && plan.depth() <= FEW_PRODUCTS && size_of_val(y) > BEYOND_CACHES
}

/// Numbers that a task copies of its input.
fn patch_len<T: Real>(isa: Isa, plan: &Plan, lines: bool) -> usize {
    let w = &plan.axes[2];
    let window = (tile::max_height_on(isa) - 1) * w.step + w.run();
    match lines {
        true => Lines::<T>::len(plan, rows_per_task(plan)),
        false => plan.taps() / w.run() * window * plan.k_channels,
    }
}

/// The numbers of each block of scratch memory; `plain` for one source that is read as it lies.
pub(crate) fn scratch<T: Real>(isa: Isa, plan: &Plan, plain: bool, threads: usize) -> Vec<usize> {
    let patch = patch_len::<T>(isa, plan, Lines::<T>::needed(plan, plain));
    vec![packed_len(plan, isa.lanes::<T>()), threads * PerThread::<T>::part_len(patch)]
}

/// Output rows of a task, of one sample.
fn rows_per_task(plan: &Plan) -> usize {
    let [d, h, w] = &plan.axes;
    (TASK_PIXELS / w.count.max(1)).clamp(1, (plan.n * d.count * h.count).div_ceil(TASKS).max(1))
}

/// How the rows are dealt out.
pub(crate) fn tasks(plan: &Plan) -> Tasks {
    let [d, h, _] = &plan.axes;
    Tasks::of_pieces("rows", &[(plan.n, 1), (d.count * h.count, rows_per_task(plan))])
}

/// The work of one task.
struct Strip<'a, T> {
    plan: &'a Plan,
    /// Taps along w in one stretch.
    run: usize,
    sources: &'a [Source<'a, T>],
    /// Whether lines of the sources are copied, or the only one is read in place.
    lines: bool,
    weight: &'a [T],
    bias: &'a [T],
    y: Output<T>,
    stream: bool,
    /// Of the n·d·h output rows that the plan counts; of one sample.
    rows: Range<usize>,
    /// Room for the lines, or for a tile's copies of its windows.
    patch: &'a mut [T],
    epilogue: Epilogue<'a, T>,
    sums: &'a mut TaskSums<T>,
}

impl<T: Real> Job<T> for Strip<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(mut self, s: S) {
        let patch = std::mem::take(&mut self.patch);
        self.write(s, patch);
        if self.stream {
            s.fence();
        }
        self.sum(s);
    }
}

impl<T: Real> Strip<'_, T> {
    #[inline(always)]
    fn write<S: Simd<Elem = T>>(&self, s: S, patch: &mut [T]) {
        let [d, h, w] = &self.plan.axes;
        let max_height = tile::max_height(S::REGISTERS);
        let stretches = self.plan.taps() / self.run;
        let x = self.sources[0].x;
        let mut rows = Vec::with_capacity(stretches);
        let (line_memory, patch) = patch.split_at_mut(if self.lines { patch.len() } else { 0 });
        let mut lines = self.lines.then(|| Lines::new(self.plan, self.sources, line_memory));
        if let Some(lines) = &mut lines {
            lines.restart(self.rows.start, self.rows.len());
        }
        let start = lines.as_ref().map_or(x.as_ptr(), |lines| lines.start());
        let mut patch_rows = Vec::with_capacity(stretches);
        let block = WIDTH * S::LANES;
        let tiles = parts(w.count, max_height);
        // The outputs for which every tap along w is inside.
        let inside = match (w.taps.first(), w.taps.last()) {
            (Some(first), Some(last)) if !self.lines => {
                w.interior(first.offset, 1).start..w.interior(last.offset, 1).end
            }
            _ => 0..w.count,
        };
        // 1. Blocks of columns: the block's weights stay in the cache for all rows.
        for first in (0..self.plan.columns).step_by(block) {
            let columns = (self.plan.columns - first).min(block);
            let width = columns.div_ceil(S::LANES);
            let weight = self.weight.as_ptr().wrapping_add(first * self.plan.depth());
            // 2. Output rows.
            for row in self.rows.clone() {
                let (n, od, oh) = (row / h.count / d.count, row / h.count % d.count, row % h.count);
                self.gather(s, row, width * S::LANES, lines.as_mut(), &mut rows);
                let place_d = n * d.out_len + od * d.out_step + d.out_start;
                let place_h = place_d * h.out_len + oh * h.out_step + h.out_start;
                // 3. Tiles along w.
                for i in 0..tiles {
                    let pixels = part(w.count, tiles, i);
                    let x_start = pixels.start * w.step * self.plan.k_channels;
                    let in_place = pixels.start >= inside.start && pixels.end <= inside.end;
                    let (x, tile_rows) = if in_place {
                        (start.wrapping_add(x_start), &rows)
                    } else {
                        self.copy_windows(x, &rows, &pixels, patch, &mut patch_rows);
                        (patch.as_ptr(), &patch_rows)
                    };
                    // With few stretches the tile waits for memory: its pixels lie apart, and no hardware
                    // follows them.
                    if rows.len() <= FEW_STRETCHES && i + 1 < tiles && !self.lines {
                        let next = part(w.count, tiles, i + 1);
                        let len = ((next.len() - 1) * w.step + self.run) * self.plan.k_channels;
                        let next = start.wrapping_add(next.start * w.step * self.plan.k_channels);
                        for row in &rows {
                            tile::prefetch(s, next.wrapping_offset(row.x), len);
                        }
                    }
                    let place = place_h * w.out_len + pixels.start * w.out_step + w.out_start;
                    let operands = tile::Forward {
                        s,
                        rows: tile_rows,
                        x,
                        x_step: w.step * self.plan.k_channels,
                        k: self.run * self.plan.k_channels,
                        weight,
                        bias: self.bias.as_ptr().wrapping_add(first),
                        y: self.y.0.wrapping_add(place * self.plan.columns + first),
                        y_step: w.out_step * self.plan.columns,
                        columns,
                        stream: self.stream,
                    };
                    // SAFETY: `correlate` has asserted the lengths. Rows are inside x (`gather` takes the
                    // taps along d and h that are inside, and `in_place` those along w), the lines or the patch;
                    // weights and bias are packed to whole vectors; the places are inside y, and no other
                    // task has these rows.
                    unsafe { tile::forward(&operands, pixels.len(), width) }
                }
            }
        }
    }
}

impl<T: Real> Strip<'_, T> {
    /// The epilogue, row by row: they are in the second-level cache still.
    #[inline(always)]
    fn sum<S: Simd<Elem = T>>(&mut self, s: S) {
        let pixels = self.plan.axes[2].count;
        let row_len = pixels * self.plan.columns;
        for row in self.rows.clone() {
            let first = row * row_len;
            match self.epilogue {
                Epilogue::Nothing => return,
                Epilogue::Moments => {
                    if self.sums.is_empty() {
                        let mut sums = self.sums.moments();
                        self.pass(s, first, &mut sums);
                        self.sums.set_pivot(pixels);
                    }
                    let mut sums = self.sums.moments();
                    self.pass(s, first, &mut sums);
                }
                Epilogue::Gradient { x, affine } => {
                    let [d, h, _] = &self.plan.axes;
                    let n = row / (d.count * h.count);
                    let mut sums = self.sums.gradient(x[first..].as_ptr(), affine, n);
                    self.pass(s, first, &mut sums);
                }
            }
            self.sums.close_row(pixels);
        }
    }

    /// Sends the row of y that starts at `first` through `sums`.
    #[inline(always)]
    fn pass<S: Simd<Elem = T>, R: RowSums<S>>(&self, s: S, first: usize, sums: &mut R) {
        let columns = self.plan.columns;
        for c in (0..columns).step_by(S::LANES) {
            let lanes = (columns - c).min(S::LANES);
            // SAFETY: `c` is a multiple of the lanes below the channels; the row is this task's, inside y, and written.
            unsafe {
                let mut state = sums.begin(s, c);
                for pixel in 0..self.plan.axes[2].count {
                    let place = pixel * columns + c;
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
        let [d, h, w] = &self.plan.axes;
        let (n, od, oh) = (row / h.count / d.count, row / h.count % d.count, row % h.count);
        let channels = self.plan.k_channels;
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

    /// Copies what `pixels` read into `patch`, with zeros where a window leaves the line.
    #[inline(always)]
    fn copy_windows(
        &self,
        x: &[T],
        rows: &[Row],
        pixels: &Range<usize>,
        patch: &mut [T],
        patch_rows: &mut Vec<Row>,
    ) {
        let w = &self.plan.axes[2];
        let channels = self.plan.k_channels;
        let window = (pixels.len() - 1) * w.step + self.run;
        patch_rows.clear();
        for (i, row) in rows.iter().enumerate() {
            let start = row.x + (pixels.start * w.step * channels) as isize;
            let line = row.x - w.taps[i * self.run % w.taps.len()].offset * channels as isize;
            let target = &mut patch[i * window * channels..][..window * channels];
            copy_padded(x, line as usize, w.input * channels, start, target);
            patch_rows.push(Row { x: (i * window * channels) as isize, weight: row.weight });
        }
    }
}
