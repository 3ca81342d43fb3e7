//! The three steps that both schedules are made of: transform inputs, multiply, transform and write outputs.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{Job, Simd};

use super::Pass;
use super::points::{FREQUENCIES, Points, STEP};
use super::transform::{self, Plane, TileRow};
use crate::kernels::conv3d::fuse::{Epilogue, NoSums, Source, TaskSums};
use crate::kernels::conv3d::geometry::Axis;
use crate::kernels::conv3d::tile::{self, Row};
use crate::kernels::{Output, part, parts};

/// Transforms `tiles` of row `tile_row` of input plane `id` of sample `n`, all sources, to `v` (frequency 0, channel 0 of
/// the first of them).
///
/// # Safety
///
/// `v` must be writable for the row's tiles at all frequencies, with a vector of slack.
#[inline(always)]
pub(super) unsafe fn load_row<S: Simd>(
    p: &Points<S>,
    axes: &[Axis; 3],
    sources: &[Source<'_, S::Elem>],
    [n, id, tile_row]: [usize; 3],
    tiles: Range<usize>,
    v: *mut S::Elem,
    [tile_stride, frequency_stride]: [usize; 2],
) {
    let [d, h, w] = axes;
    let mut first = 0;
    for source in sources {
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

/// The transformed planes of the input that a strip keeps: as many as the taps along d span, each in the slot of its number
/// modulo theirs.
pub(super) struct Ring {
    /// The plane that each slot holds.
    held: Vec<usize>,
    /// Numbers of a slot.
    slab: usize,
}

impl Ring {
    pub(super) fn new(slots: usize, slab: usize) -> Self {
        Self { held: vec![usize::MAX; slots], slab }
    }

    /// Where plane `id` lies, and whether it was there before: its slot is its own from now on.
    #[inline(always)]
    pub(super) fn seek(&mut self, id: usize) -> (usize, bool) {
        let slot = id % self.held.len();
        let held = std::mem::replace(&mut self.held[slot], id) == id;
        (slot * self.slab, held)
    }

    /// Where plane `id` of sample `n` lies in `v`; transformed now, for `rows` of tiles, unless it was before.
    ///
    /// # Safety
    ///
    /// Each slot of `v` must be writable for the rows' tiles at all frequencies, with a vector of slack.
    #[inline(always)]
    pub(super) unsafe fn plane<S: Simd>(
        &mut self,
        p: &Points<S>,
        (axes, sources): (&[Axis; 3], &[Source<'_, S::Elem>]),
        [n, id]: [usize; 2],
        (rows, columns): (Range<usize>, usize),
        v: *mut S::Elem,
        [tile_stride, frequency_stride]: [usize; 2],
    ) -> usize {
        let (place, held) = self.seek(id);
        if !held {
            for (i, tile_row) in rows.enumerate() {
                let v = v.wrapping_add(place + i * columns * tile_stride);
                // SAFETY: the caller's.
                unsafe {
                    let strides = [tile_stride, frequency_stride];
                    load_row(p, axes, sources, [n, id, tile_row], 0..columns, v, strides);
                }
            }
        }
        place
    }
}

/// M\[f\]\[r\] = Σ_taps V\[f\]\[r + row of the tap\] · U\[f\]\[tap\], for one frequency, columns from `first` on (one
/// block), and `rows` tiles.
///
/// `taps` holds where each tap's first tile starts in a frequency of V, and the tap's number.
///
/// # Safety
///
/// V must be readable and M writable at all that is named, U as its layout says.
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd>(
    s: S,
    pass: &Pass<'_, S::Elem>,
    f: usize,
    first: usize,
    taps: &[(usize, usize)],
    rows: usize,
    [v, m]: [*mut S::Elem; 2],
    [v_frequency, m_frequency]: [usize; 2],
    operands: &mut Vec<Row>,
) {
    let layout = &pass.layout;
    let width = layout.width(first);
    operands.clear();
    operands.extend(taps.iter().map(|(x, tap)| Row { x: *x as isize, weight: layout.start(first, *tap) }));
    let tiles = parts(rows, tile::max_height(S::REGISTERS));
    let zeros = [S::Elem::ZERO; 32];
    for i in 0..tiles {
        let r = part(rows, tiles, i);
        let operands = tile::Forward {
            s,
            rows: operands,
            x: v.wrapping_add(f * v_frequency + r.start * pass.v_stride),
            x_step: pass.v_stride,
            k: layout.k,
            weight: pass.u.as_ptr().wrapping_add(f * layout.frequency()),
            bias: zeros.as_ptr(),
            y: m.wrapping_add(f * m_frequency + r.start * pass.m_stride + first),
            y_step: pass.m_stride,
            columns: width,
            stream: false,
        };
        // SAFETY: the caller's; a block is at most two vectors, of which there are 32 zeros.
        unsafe { tile::forward(&operands, r.len(), width / S::LANES) };
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
    let [d, h, w] = &pass.plan.axes;
    let place = n * d.out_len + od * d.out_step + d.out_start;
    let [h0, w0] = [tile_row, tiles.start].map(|tile| tile * STEP);
    let count = (h.count - h0).min(STEP) * (w.count.min(tiles.end * STEP) - w0);
    let tiles = tiles.len();
    for ((target, channels), first) in pass.targets.iter().zip(&pass.outputs) {
        let offset = place * h.count * w.count * channels;
        let start = target.0.wrapping_add(offset);
        let plane = Plane { start, h: h.count, w: w.count, channels: *channels };
        let row =
            TileRow { start: m.wrapping_add(*first), tiles, tile_stride: pass.m_stride, frequency_stride };
        let bias = pass.bias.as_ptr().wrapping_add(*first);
        // SAFETY: the row is the caller's; the plane is one of the target's (`correlate` has asserted its length), and
        // its lines are this task's; the bias is padded to whole vectors from any column on. Sums are padded likewise;
        // x of a gradient has the target's shape.
        unsafe {
            match pass.epilogue {
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

/// [`load_row`] as a task of its own.
pub(super) struct LoadRow<'a, T> {
    pub(super) axes: &'a [Axis; 3],
    pub(super) sources: &'a [Source<'a, T>],
    /// Sample, input plane, row of tiles.
    pub(super) at: [usize; 3],
    pub(super) tiles: Range<usize>,
    /// The first of the tiles; V has room for all of them at all frequencies, and slack.
    pub(super) v: Output<T>,
    /// Of tiles and of frequencies.
    pub(super) strides: [usize; 2],
}

impl<T: Real> Job<T> for LoadRow<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { axes, sources, at, tiles, v, strides } = self;
        // SAFETY: V has the room that the field promises. Tiles are whole vectors apart (`stride`), so no row's last
        // vector reaches into another task's.
        unsafe { load_row(&Points::new(s), axes, sources, at, tiles, v.0, strides) }
    }
}

/// The numbers of V and M for so many tiles: frequencies, and one vector of slack.
pub(super) fn transformed_len(frequency_stride: usize, lanes: usize) -> usize {
    FREQUENCIES * frequency_stride + lanes
}
