//! The products, the transform back and the writing of one row of tiles; see [`super`] for the tile.

use std::ops::Range;

use autograd::Real;
use autograd::simd::Simd;

use crate::kernels::Output;
use crate::kernels::conv3d::operands::{Correlation, Epilogue};
use crate::kernels::conv3d::sums::{NoSums, RowSums, TaskSums};
use crate::kernels::conv3d::winograd::points::{Points, SIZE, STEP};

/// Taps along h, and along w.
pub(super) const TAPS: usize = 3;
/// Pixels of the widest tile.
pub(super) const WIDEST: usize = 4;

/// One correlation, as its tasks see it.
pub(super) struct Pass<'a, T> {
    pub(super) correlation: &'a Correlation<'a, T>,
    pub(super) u: &'a [T],
    /// Padded to whole vectors.
    pub(super) bias: &'a [T],
    /// Numbers of a line of V.
    pub(super) line: usize,
    /// Slabs in the ring.
    pub(super) slots: usize,
    pub(super) y: Output<T>,
    pub(super) stream: bool,
}

/// A row of tiles of one output plane.
pub(super) struct OutputRow<'a, 'p, T> {
    pub(super) pass: &'a Pass<'p, T>,
    /// Where V of each tap's plane starts, and the tap's number.
    pub(super) slabs: &'a [(usize, usize)],
    pub(super) v: *const T,
    pub(super) plane: *mut T,
    /// The first line.
    pub(super) h0: usize,
    /// Lines that exist.
    pub(super) lines: usize,
}

impl<T: Real> OutputRow<'_, '_, T> {
    /// Writes the row, which starts at `offset` in the output, and sums it up.
    ///
    /// # Safety
    ///
    /// V must be readable at the slabs, the row writable.
    #[inline(always)]
    pub(super) unsafe fn write_with<S: Simd<Elem = T>>(
        &self,
        p: &Points<S>,
        n: usize,
        offset: usize,
        sums: &mut TaskSums<T>,
    ) {
        let width = self.pass.correlation.plan.axes[2].count;
        // SAFETY: the caller's.
        unsafe {
            match self.pass.correlation.epilogue {
                Epilogue::Nothing => self.write(p, 0..width, &mut NoSums),
                Epilogue::Moments => {
                    if sums.is_empty() {
                        // A few pixels give a pivot that is near enough: in the middle, where no window meets the zeros
                        // beyond the ends of w.
                        let start = width / 2 / WIDEST * WIDEST;
                        let few = start..width.min(start + WIDEST);
                        self.write(p, few.clone(), &mut sums.moments());
                        sums.set_pivot(self.lines * few.len());
                    }
                    self.write(p, 0..width, &mut sums.moments());
                    sums.close_row(self.lines * width);
                }
                Epilogue::Gradient { x, affine } => {
                    let x = x.as_ptr().wrapping_add(offset);
                    self.write(p, 0..width, &mut sums.gradient(x, affine, n));
                    sums.close_row(self.lines * width);
                }
            }
        }
    }

    /// `pixels` of the row, from the start of a tile on.
    ///
    /// # Safety
    ///
    /// See [`write_with`](Self::write_with).
    #[inline(always)]
    unsafe fn write<S: Simd<Elem = T>, R: RowSums<S>>(
        &self,
        p: &Points<S>,
        pixels: Range<usize>,
        sums: &mut R,
    ) {
        // SAFETY: the caller's.
        unsafe {
            if S::REGISTERS >= 32 {
                self.tiles::<S, R, WIDEST>(p, pixels, sums);
            } else {
                self.tiles::<S, R, 2>(p, pixels, sums);
            }
        }
    }

    /// # Safety
    ///
    /// See [`write_with`](Self::write_with).
    #[inline(always)]
    unsafe fn tiles<S: Simd<Elem = T>, R: RowSums<S>, const PIXELS: usize>(
        &self,
        p: &Points<S>,
        pixels: Range<usize>,
        sums: &mut R,
    ) {
        let columns = self.pass.correlation.plan.columns;
        for w0 in pixels.clone().step_by(PIXELS) {
            let count = PIXELS.min(pixels.end - w0);
            let inside = self.lines == STEP && count == PIXELS;
            for c in (0..columns).step_by(S::LANES) {
                // SAFETY: the caller's.
                unsafe {
                    if !inside || c + S::LANES > columns {
                        self.tile::<S, R, PIXELS, true, false>(p, w0, count, c, sums);
                    } else if self.pass.stream {
                        self.tile::<S, R, PIXELS, false, true>(p, w0, PIXELS, c, sums);
                    } else {
                        self.tile::<S, R, PIXELS, false, false>(p, w0, PIXELS, c, sums);
                    }
                }
            }
        }
    }

    /// The `PIXELS` from `w0` on, of which `count` are written.
    ///
    /// # Safety
    ///
    /// See [`write_with`](Self::write_with); `c` must be a multiple of the lanes below the columns.
    #[inline(always)]
    unsafe fn tile<S, R, const PIXELS: usize, const EDGE: bool, const STREAM: bool>(
        &self,
        p: &Points<S>,
        w0: usize,
        count: usize,
        c: usize,
        sums: &mut R,
    ) where
        S: Simd<Elem = T>,
        R: RowSums<S>,
    {
        let (s, pass) = (p.s, self.pass);
        let [d, _, w] = &pass.correlation.plan.axes;
        let columns = pass.correlation.plan.columns;
        // SAFETY: U is whole vectors for each c; a line of V reaches the last window of the widest tile; the places are inside
        // the plane, and the last vector's lanes are counted.
        unsafe {
            let u = pass.u.as_ptr().add(c * d.taps.len() * SIZE * TAPS);
            let mut m = [[s.zero(); SIZE]; PIXELS];
            for (slab, tap) in self.slabs {
                let u = u.add(tap * SIZE * TAPS * S::LANES);
                let v = self.v.add(slab + w0);
                for f in 0..SIZE {
                    let v = v.add(f * pass.line);
                    for kw in 0..TAPS {
                        let u = s.load_ptr(u.add((f * TAPS + kw) * S::LANES));
                        for i in 0..PIXELS {
                            m[i][f] = s.mul_add(s.splat(*v.add(i + kw)), u, m[i][f]);
                        }
                    }
                }
            }
            let bias = s.load_ptr(pass.bias.as_ptr().add(c));
            let lanes = if EDGE { (columns - c).min(S::LANES) } else { S::LANES };
            let mut y = [[s.zero(); STEP]; PIXELS];
            for i in 0..PIXELS {
                y[i] = p.output(m[i]);
            }
            let mut state = sums.begin(s, c);
            for j in 0..STEP {
                if EDGE && j >= self.lines {
                    break;
                }
                for i in 0..PIXELS {
                    if EDGE && i >= count {
                        break;
                    }
                    let place = ((self.h0 + j) * w.count + w0 + i) * columns + c;
                    let y = sums.pass(s, &mut state, y[i][j] + bias, place, lanes);
                    let out = self.plane.add(place);
                    if EDGE {
                        s.store_partial_ptr(y, out, lanes);
                    } else if STREAM {
                        s.stream_ptr(y, out);
                    } else {
                        s.store_ptr(y, out);
                    }
                }
            }
            sums.end(s, c, state);
        }
    }
}
