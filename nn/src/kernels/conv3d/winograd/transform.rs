//! The transforms of a row of tiles in the plane: of inputs, of outputs, and of the gradient of the outputs.
//!
//! A tile's channels are taken a vector at a time. Its columns are transformed first and its rows then, through a buffer of
//! vectors on the stack. Tiles that reach over the plane's edge check each pixel; the others do not.

use autograd::simd::Simd;

use super::points::{FREQUENCIES, Points, SIZE, STEP};
use crate::kernels::affine::{Affine, AffineVectors};
use crate::kernels::conv3d::sums::RowSums;

/// One plane (h, w) of a channels-last volume.
#[derive(Clone, Copy)]
pub(super) struct Plane<T> {
    pub(super) start: *mut T,
    pub(super) h: usize,
    pub(super) w: usize,
    pub(super) channels: usize,
}

/// A row of transformed tiles, `[frequency][tile][channel]`.
#[derive(Clone, Copy)]
pub(super) struct TileRow<T> {
    pub(super) start: *mut T,
    pub(super) tiles: usize,
    /// Elements between neighbouring tiles; the last channel's vector may reach beyond its channels, into the next
    /// tile, which is written later, or into the slack after the last.
    pub(super) tile_stride: usize,
    pub(super) frequency_stride: usize,
}

/// Bᵀ·d·B of a row of tiles whose first line is `h0`, and whose first column is `w0`; what lies outside the plane is
/// 0. `affine`, with the number of the sample, is applied to what lies inside.
///
/// # Safety
///
/// The plane must be readable; the row of tiles writable, with one vector of slack; the affine of the plane's channels.
#[inline(always)]
pub(super) unsafe fn input_row<S: Simd>(
    p: &Points<S>,
    plane: Plane<S::Elem>,
    affine: Option<(&Affine<S::Elem>, usize)>,
    [h0, w0]: [isize; 2],
    row: TileRow<S::Elem>,
) {
    // SAFETY: the caller's.
    unsafe {
        match affine {
            Some(_) => input_tiles::<S, true>(p, plane, affine, [h0, w0], row),
            None => input_tiles::<S, false>(p, plane, None, [h0, w0], row),
        }
    }
}

#[inline(always)]
unsafe fn input_tiles<S: Simd, const AFFINE: bool>(
    p: &Points<S>,
    plane: Plane<S::Elem>,
    affine: Option<(&Affine<S::Elem>, usize)>,
    [h0, w0]: [isize; 2],
    row: TileRow<S::Elem>,
) {
    let size = SIZE as isize;
    let lines_inside = h0 >= 0 && h0 + size <= plane.h as isize;
    for t in 0..row.tiles {
        let w0 = w0 + (t * STEP) as isize;
        let inside = lines_inside && w0 >= 0 && w0 + size <= plane.w as isize;
        for c in (0..plane.channels).step_by(S::LANES) {
            // SAFETY: the caller's; a tile that is not inside checks each pixel, and the last vector its lanes.
            unsafe {
                let out = row.start.add(t * row.tile_stride + c);
                if inside && c + S::LANES <= plane.channels {
                    input_tile::<S, AFFINE, false>(p, plane, affine, [h0, w0], c, out, row.frequency_stride);
                } else {
                    input_tile::<S, AFFINE, true>(p, plane, affine, [h0, w0], c, out, row.frequency_stride);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn input_tile<S: Simd, const AFFINE: bool, const EDGE: bool>(
    p: &Points<S>,
    plane: Plane<S::Elem>,
    affine: Option<(&Affine<S::Elem>, usize)>,
    [h0, w0]: [isize; 2],
    c: usize,
    out: *mut S::Elem,
    frequency_stride: usize,
) {
    let s = p.s;
    let lanes = (plane.channels - c).min(S::LANES);
    // SAFETY: addresses are those of pixels inside the plane (see the caller), and of the tile's 36 vectors.
    unsafe {
        let affine = match affine {
            Some((affine, n)) if AFFINE => affine.vectors(s, n, c),
            _ => AffineVectors::unused(s),
        };
        let first = plane
            .start
            .wrapping_offset((h0 * plane.w as isize + w0) * plane.channels as isize)
            .wrapping_add(c);
        let line = plane.w * plane.channels;
        let mut columns = [s.zero(); FREQUENCIES];
        let columns = columns.as_mut_ptr();
        for k in 0..SIZE {
            let mut d = [s.zero(); SIZE];
            let column_outside = EDGE && (w0 + (k as isize) < 0 || w0 + k as isize >= plane.w as isize);
            for j in 0..SIZE {
                let outside =
                    EDGE && (column_outside || h0 + (j as isize) < 0 || h0 + j as isize >= plane.h as isize);
                if !outside {
                    let x = first.wrapping_add(j * line + k * plane.channels);
                    let x = if EDGE { s.load_partial_ptr(x, lanes) } else { s.load_ptr(x) };
                    d[j] = if AFFINE { affine.apply(s, x) } else { x };
                }
            }
            let d = p.input(d);
            for j in 0..SIZE {
                *columns.add(j * SIZE + k) = d[j];
            }
        }
        for j in 0..SIZE {
            let d = columns.add(j * SIZE);
            let d = p.input([*d, *d.add(1), *d.add(2), *d.add(3), *d.add(4), *d.add(5)]);
            let out = out.add(j * SIZE * frequency_stride);
            for k in 0..SIZE {
                s.store_ptr(d[k], out.add(k * frequency_stride));
            }
        }
    }
}

/// A·dy·Aᵀ of a row of tiles whose first line is `h0` and whose first column is `w0`; what lies outside the plane is 0.
///
/// # Safety
///
/// As [`input_row`].
#[inline(always)]
pub(super) unsafe fn gradient_row<S: Simd>(
    p: &Points<S>,
    plane: Plane<S::Elem>,
    [h0, w0]: [usize; 2],
    row: TileRow<S::Elem>,
) {
    for t in 0..row.tiles {
        let w0 = w0 + t * STEP;
        let inside = h0 + STEP <= plane.h && w0 + STEP <= plane.w;
        for c in (0..plane.channels).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe {
                let out = row.start.add(t * row.tile_stride + c);
                if inside && c + S::LANES <= plane.channels {
                    gradient_tile::<S, false>(p, plane, [h0, w0], c, out, row.frequency_stride);
                } else {
                    gradient_tile::<S, true>(p, plane, [h0, w0], c, out, row.frequency_stride);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn gradient_tile<S: Simd, const EDGE: bool>(
    p: &Points<S>,
    plane: Plane<S::Elem>,
    [h0, w0]: [usize; 2],
    c: usize,
    out: *mut S::Elem,
    frequency_stride: usize,
) {
    let s = p.s;
    let lanes = (plane.channels - c).min(S::LANES);
    // SAFETY: addresses are those of pixels inside the plane, and of the tile's 36 vectors.
    unsafe {
        let first = plane.start.add((h0 * plane.w + w0) * plane.channels + c);
        let line = plane.w * plane.channels;
        let mut columns = [s.zero(); SIZE * STEP];
        let columns = columns.as_mut_ptr();
        for k in 0..STEP {
            let mut y = [s.zero(); STEP];
            for j in 0..STEP {
                if !EDGE || (h0 + j < plane.h && w0 + k < plane.w) {
                    let dy = first.wrapping_add(j * line + k * plane.channels);
                    y[j] = if EDGE { s.load_partial_ptr(dy, lanes) } else { s.load_ptr(dy) };
                }
            }
            let y = p.gradient(y);
            for j in 0..SIZE {
                *columns.add(j * STEP + k) = y[j];
            }
        }
        for j in 0..SIZE {
            let y = columns.add(j * STEP);
            let y = p.gradient([*y, *y.add(1), *y.add(2), *y.add(3)]);
            let out = out.add(j * SIZE * frequency_stride);
            for k in 0..SIZE {
                s.store_ptr(y[k], out.add(k * frequency_stride));
            }
        }
    }
}

/// y = Aᵀ·m·A + bias of a row of tiles whose first line is `h0` and whose first column is `w0`, cut to the plane, each vector on its way through
/// `sums`.
///
/// # Safety
///
/// The row of tiles must be readable, with one vector of slack; the plane writable; `bias` readable, whole vectors
/// of it.
#[inline(always)]
pub(super) unsafe fn output_row<S: Simd, R: RowSums<S>>(
    p: &Points<S>,
    row: TileRow<S::Elem>,
    bias: *const S::Elem,
    plane: Plane<S::Elem>,
    [h0, w0]: [usize; 2],
    sums: &mut R,
) {
    for t in 0..row.tiles {
        let w0 = w0 + t * STEP;
        let inside = h0 + STEP <= plane.h && w0 + STEP <= plane.w;
        for c in (0..plane.channels).step_by(S::LANES) {
            // SAFETY: the caller's.
            unsafe {
                let m = row.start.add(t * row.tile_stride + c);
                let bias = p.s.load_ptr(bias.add(c));
                if inside && c + S::LANES <= plane.channels {
                    output_tile::<S, R, false>(p, m, row.frequency_stride, bias, plane, [h0, w0], c, sums);
                } else {
                    output_tile::<S, R, true>(p, m, row.frequency_stride, bias, plane, [h0, w0], c, sums);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn output_tile<S: Simd, R: RowSums<S>, const EDGE: bool>(
    p: &Points<S>,
    m: *const S::Elem,
    frequency_stride: usize,
    bias: S::V,
    plane: Plane<S::Elem>,
    [h0, w0]: [usize; 2],
    c: usize,
    sums: &mut R,
) {
    let s = p.s;
    let lanes = if EDGE { (plane.channels - c).min(S::LANES) } else { S::LANES };
    // SAFETY: addresses are those of pixels inside the plane, and of the tile's 36 vectors.
    unsafe {
        let mut columns = [s.zero(); STEP * SIZE];
        let columns = columns.as_mut_ptr();
        for k in 0..SIZE {
            let mut column = [s.zero(); SIZE];
            for j in 0..SIZE {
                column[j] = s.load_ptr(m.add((j * SIZE + k) * frequency_stride));
            }
            let y = p.output(column);
            for i in 0..STEP {
                *columns.add(i * SIZE + k) = y[i];
            }
        }
        let mut state = sums.begin(s, c);
        for i in 0..STEP {
            if EDGE && h0 + i >= plane.h {
                break;
            }
            let y = columns.add(i * SIZE);
            let y = p.output([*y, *y.add(1), *y.add(2), *y.add(3), *y.add(4), *y.add(5)]);
            let place = ((h0 + i) * plane.w + w0) * plane.channels + c;
            for k in 0..STEP {
                if EDGE && w0 + k >= plane.w {
                    break;
                }
                let place = place + k * plane.channels;
                let y = sums.pass(s, &mut state, y[k] + bias, place, lanes);
                let out = plane.start.add(place);
                if EDGE { s.store_partial_ptr(y, out, lanes) } else { s.store_ptr(y, out) }
            }
        }
        sums.end(s, c, state);
    }
}
