//! The steps that the schedules are made of: transform inputs or gradients, multiply, transform and write outputs.

use std::ops::Range;

use autograd::Real;
use autograd::simd::Simd;

use super::domain::{Domain, Memory};
use super::points::{Points, STEP};
use super::transform::{self, Plane, TileRow};
use crate::kernels::Output;
use crate::kernels::conv3d::operands::{Correlation, Epilogue};
use crate::kernels::conv3d::sums::{NoSums, TaskSums};
use crate::kernels::conv3d::tile::{self, Row, Segment};

/// One correlation, as its tasks see it.
pub(super) struct Pass<'a, T> {
    pub(super) domain: Domain<'a, T>,
    pub(super) correlation: &'a Correlation<'a, T>,
    /// With the channels and the first column of each.
    pub(super) targets: Vec<(Output<T>, usize, usize)>,
    pub(super) u: &'a [T],
    /// Padded to whole vectors from any column on.
    pub(super) bias: &'a [T],
    /// What products start from: as many zeros as the widest tile has columns.
    pub(super) zeros: [T; 32],
}

/// One gradient of a weight, as its tasks see it.
pub(super) struct GradPass<'a, T> {
    pub(super) domain: Domain<'a, T>,
    pub(super) dy: &'a [T],
}

/// Transforms `tiles` of row `tile_row` of input plane `id` of sample `n`, all sources, to `v` (frequency 0, channel 0 of
/// the first of them).
///
/// # Safety
///
/// `v` must be writable for the row's tiles at all frequencies, with a vector of slack.
#[inline(always)]
pub(super) unsafe fn load_row<S: Simd>(
    p: &Points<S>,
    domain: &Domain<'_, S::Elem>,
    [n, id, tile_row]: [usize; 3],
    tiles: Range<usize>,
    v: *mut S::Elem,
    frequency_stride: usize,
) {
    let [d, h, w] = &domain.plan.axes;
    let (tile_stride, mut first) = (domain.strides[0], 0);
    for source in domain.sources {
        let plane = h.input * w.input * source.channels;
        let plane = Plane {
            start: source.x[(n * d.input + id) * plane..][..plane].as_ptr().cast_mut(),
            h: h.input,
            w: w.input,
            channels: source.channels,
        };
        let row = TileRow { start: v.wrapping_add(first), tiles: tiles.len(), tile_stride, frequency_stride };
        let h0 = (tile_row * STEP) as isize + h.taps[0].offset;
        let w0 = (tiles.start * STEP) as isize + w.taps[0].offset;
        let affine = source.affine.map(|affine| (affine, n));
        // SAFETY: the plane is a slice, which is only read; the affine has its numbers (`Source::check`); the row is the
        // caller's.
        unsafe { transform::input_row(p, plane, affine, [h0, w0], row) };
        first += source.channels;
    }
}

impl<T: Real> Pass<'_, T> {
    /// M\[f\]\[r\] = Σ_taps V\[f\]\[r + row of the tap\] · U\[f\]\[tap\], for frequency `f` and the block of
    /// columns from `first` on.
    ///
    /// `taps` holds where each tap's first tile starts in a frequency of V, and the tap's number.
    #[inline(always)]
    pub(super) fn product<'v, S: Simd<Elem = T>>(
        &'v self,
        s: S,
        [f, first]: [usize; 2],
        taps: &[(usize, usize)],
        Memory { v, m, frequencies }: Memory<T>,
        rows: &'v mut Vec<Row>,
    ) -> tile::Forward<'v, S> {
        let Domain { blocks, strides, .. } = &self.domain;
        rows.clear();
        rows.extend(taps.iter().map(|(x, tap)| Row { x: *x as isize, weight: blocks.start(first, *tap) }));
        tile::Forward {
            s,
            rows,
            x: v.at(f * frequencies[0]).0,
            x_step: strides[0],
            k: blocks.k,
            weight: self.u.as_ptr().wrapping_add(f * blocks.frequency()),
            bias: self.zeros.as_ptr(),
            y: m.at(f * frequencies[1] + first).0,
            y_step: strides[1],
            columns: blocks.width(first),
            stream: false,
        }
    }
}

/// Transforms back and writes `tiles` of row `tile_row` of output `od` of sample `n`, from `m` (frequency 0, column 0 of the
/// first of them).
///
/// # Safety
///
/// `m` must be readable for these tiles, and no other task may write their places of the targets.
#[inline(always)]
pub(super) unsafe fn write_row<S: Simd>(
    p: &Points<S>,
    pass: &Pass<'_, S::Elem>,
    [n, od, tile_row]: [usize; 3],
    tiles: Range<usize>,
    m: *mut S::Elem,
    frequency_stride: usize,
    sums: &mut TaskSums<S::Elem>,
) {
    let [d, h, w] = &pass.domain.plan.axes;
    let place = n * d.out_len + od * d.out_step + d.out_start;
    let [h0, w0] = [tile_row, tiles.start].map(|tile| tile * STEP);
    let count = (h.count - h0).min(STEP) * (w.count.min(tiles.end * STEP) - w0);
    let (tiles, tile_stride) = (tiles.len(), pass.domain.strides[1]);
    for (target, channels, first) in &pass.targets {
        let offset = place * h.count * w.count * channels;
        let start = target.0.wrapping_add(offset);
        let plane = Plane { start, h: h.count, w: w.count, channels: *channels };
        let row = TileRow { start: m.wrapping_add(*first), tiles, tile_stride, frequency_stride };
        let bias = pass.bias.as_ptr().wrapping_add(*first);
        // SAFETY: the row is the caller's; the plane is one of the target's (`Correlation::check`), and
        // its lines are this task's; the bias is padded to whole vectors from any column on. Sums are padded likewise;
        // x of a gradient has the target's shape.
        unsafe {
            match pass.correlation.epilogue {
                Epilogue::Nothing => transform::output_row(p, row, bias, plane, [h0, w0], &mut NoSums),
                Epilogue::Moments => {
                    if sums.is_empty() {
                        transform::output_row(p, row, bias, plane, [h0, w0], &mut sums.moments());
                        sums.set_pivot(count);
                    }
                    transform::output_row(p, row, bias, plane, [h0, w0], &mut sums.moments());
                    sums.close_row(count);
                }
                Epilogue::Gradient { x, affine } => {
                    let x = x.as_ptr().wrapping_add(offset);
                    transform::output_row(p, row, bias, plane, [h0, w0], &mut sums.gradient(x, affine, n));
                    sums.close_row(count);
                }
            }
        }
    }
}

impl<T: Real> GradPass<'_, T> {
    /// Transforms `tiles` of row `tile_row` of plane `od` of sample `n` of the output's gradient, to `z` (frequency 0,
    /// column 0 of the first of them).
    ///
    /// # Safety
    ///
    /// `z` must be writable for the row's tiles at all frequencies, with a vector of slack.
    #[inline(always)]
    pub(super) unsafe fn load_row<S: Simd<Elem = T>>(
        &self,
        p: &Points<S>,
        [n, od, tile_row]: [usize; 3],
        tiles: Range<usize>,
        z: *mut T,
        frequency_stride: usize,
    ) {
        let [d, h, w] = &self.domain.plan.axes;
        let (h, w, channels) = (h.count, w.count, self.domain.plan.columns);
        let plane = h * w * channels;
        let start = self.dy[(n * d.count + od) * plane..][..plane].as_ptr().cast_mut();
        let plane = Plane { start, h, w, channels };
        let tile_stride = self.domain.strides[1];
        let row = TileRow { start: z, tiles: tiles.len(), tile_stride, frequency_stride };
        // SAFETY: the plane is a slice, which is only read; the row is the caller's.
        unsafe { transform::gradient_row(p, plane, [tile_row, tiles.start].map(|t| t * STEP), row) }
    }

    /// Adds the products of the segments' tiles to the sums of one tap and the block of columns from `first` on.
    ///
    /// # Safety
    ///
    /// The segments must be readable, whole vectors of Z, and the sums writable at `du`.
    #[inline(always)]
    pub(super) unsafe fn visit<S: Simd<Elem = T>>(
        &self,
        s: S,
        segments: &[Segment<T>],
        first: usize,
        du: *mut T,
    ) {
        let Domain { blocks, strides: [x_step, dy_step], .. } = self.domain;
        let width = blocks.width(first);
        let tile = tile::GradWeight { s, segments, x_first: 0, x_step, dy_step, sums: du, sums_step: width };
        // SAFETY: the caller's.
        unsafe { tile::run(&tile, blocks.k, width / S::LANES) }
    }
}
