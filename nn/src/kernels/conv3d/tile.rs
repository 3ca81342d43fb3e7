//! The two register tiles that all convolution passes share.
//!
//! A tile keeps `MR` × `NV` vectors of sums in registers: 14×2 of AVX-512's 32, 6×2 of the 16 of the other
//! sets. Each step loads `NV` vectors, broadcasts `MR` numbers, and does `MR`·`NV` multiply-adds: at 14×2 the
//! loads that a step needs, 16, hide behind its 28 multiply-adds.
//!
//! `MR` is a constant of the function, because the sums stay in registers only if every loop over them is
//! unrolled; so there is one copy for each height up to the highest.

use autograd::simd::Simd;

use crate::kernels::{part, parts};

/// Vectors in the width of a full tile.
pub(crate) const WIDTH: usize = 2;

/// The height of the highest tile for a set with so many registers.
#[inline(always)]
pub(crate) const fn max_height(registers: usize) -> usize {
    if registers >= 32 { 14 } else { 6 }
}

/// Asks for the cache lines of `len` numbers, which need not be valid.
#[inline(always)]
pub(crate) fn prefetch<S: Simd>(s: S, start: *const S::Elem, len: usize) {
    for i in (0..len).step_by(64 / size_of::<S::Elem>()) {
        s.prefetch(start.wrapping_add(i));
    }
}

/// A tile of `MR` rows by `NV` vectors of sums.
pub(crate) trait Tile<S: Simd>: Sized {
    /// The tile that begins `rows` further down.
    fn below(&self, rows: usize) -> Self;

    /// The whole tile.
    ///
    /// # Safety
    ///
    /// All that its formula reads and writes must be valid.
    unsafe fn run<const MR: usize, const NV: usize>(&self);
}

/// `rows` rows by `width` vectors, in the fewest tiles, as equally high as can be.
///
/// # Safety
///
/// As [`Tile::run`] for all of them, and `width` must be 1 or 2.
#[inline(always)]
pub(crate) unsafe fn run<S: Simd, T: Tile<S>>(first: &T, rows: usize, width: usize) {
    let tiles = parts(rows, max_height(S::REGISTERS));
    for i in 0..tiles {
        let rows = part(rows, tiles, i);
        let tile = first.below(rows.start);
        // SAFETY: the caller's.
        unsafe {
            if width == 1 {
                of_width::<S, T, 1>(&tile, rows.len());
            } else {
                of_width::<S, T, 2>(&tile, rows.len());
            }
        }
    }
}

#[inline(always)]
unsafe fn of_width<S: Simd, T: Tile<S>, const NV: usize>(tile: &T, height: usize) {
    // SAFETY: the caller's.
    unsafe {
        match height {
            1 => tile.run::<1, NV>(),
            2 => tile.run::<2, NV>(),
            3 => tile.run::<3, NV>(),
            4 => tile.run::<4, NV>(),
            5 => tile.run::<5, NV>(),
            6 => tile.run::<6, NV>(),
            _ if S::REGISTERS < 32 => unreachable!("no tile of this set is higher than 6"),
            7 => tile.run::<7, NV>(),
            8 => tile.run::<8, NV>(),
            9 => tile.run::<9, NV>(),
            10 => tile.run::<10, NV>(),
            11 => tile.run::<11, NV>(),
            12 => tile.run::<12, NV>(),
            13 => tile.run::<13, NV>(),
            14 => tile.run::<14, NV>(),
            _ => unreachable!("no tile is higher than 14"),
        }
    }
}

/// One stretch of contiguous input, and the weights that go with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Elements from the tile's first pixel to the stretch; may be negative.
    pub(crate) x: isize,
    /// Elements from the start of the packed weights.
    pub(crate) weight: usize,
}

/// y\[m\] = bias + Σ_rows Σ_k x\[m·x_step + row + k\] · weight\[row\]\[k\], for pixels m.
#[derive(Clone, Copy)]
pub(crate) struct Forward<'a, S: Simd> {
    pub(crate) s: S,
    pub(crate) rows: &'a [Row],
    /// The tile's first pixel, to which rows are relative.
    pub(crate) x: *const S::Elem,
    /// Elements between the windows of neighbouring pixels.
    pub(crate) x_step: usize,
    /// The length of each stretch.
    pub(crate) k: usize,
    /// Packed: `k` × (`NV` vectors) for each row.
    pub(crate) weight: *const S::Elem,
    /// `NV` vectors of start values.
    pub(crate) bias: *const S::Elem,
    pub(crate) y: *mut S::Elem,
    /// Elements between neighbouring pixels of the output.
    pub(crate) y_step: usize,
    /// The columns that exist in the output, at most `NV` vectors.
    pub(crate) columns: usize,
    /// Whether the output goes past the caches.
    pub(crate) stream: bool,
}

impl<S: Simd> Tile<S> for Forward<'_, S> {
    #[inline(always)]
    fn below(&self, rows: usize) -> Self {
        let (x, y) = (self.x.wrapping_add(rows * self.x_step), self.y.wrapping_add(rows * self.y_step));
        Self { x, y, ..*self }
    }

    #[inline(always)]
    unsafe fn run<const MR: usize, const NV: usize>(&self) {
        let s = self.s;
        let mut sums = [[s.zero(); NV]; MR];
        // SAFETY: the caller vouches for every address of the formula; nothing else is touched.
        unsafe {
            for m in 0..MR {
                for v in 0..NV {
                    sums[m][v] = s.load_ptr(self.bias.add(v * S::LANES));
                }
            }
            for row in self.rows {
                let mut x = self.x.wrapping_offset(row.x);
                let mut weight = self.weight.add(row.weight);
                for _ in 0..self.k {
                    let mut w = [s.zero(); NV];
                    for v in 0..NV {
                        w[v] = s.load_ptr(weight.add(v * S::LANES));
                    }
                    for m in 0..MR {
                        let a = s.splat(*x.add(m * self.x_step));
                        for v in 0..NV {
                            sums[m][v] = s.mul_add(a, w[v], sums[m][v]);
                        }
                    }
                    x = x.wrapping_add(1);
                    weight = weight.add(NV * S::LANES);
                }
            }
            if self.stream && self.columns == NV * S::LANES {
                for m in 0..MR {
                    for v in 0..NV {
                        s.stream_ptr(sums[m][v], self.y.add(m * self.y_step + v * S::LANES));
                    }
                }
            } else if self.columns == NV * S::LANES {
                for m in 0..MR {
                    for v in 0..NV {
                        s.store_ptr(sums[m][v], self.y.add(m * self.y_step + v * S::LANES));
                    }
                }
            } else {
                let last = self.columns - (NV - 1) * S::LANES;
                for m in 0..MR {
                    for v in 0..NV - 1 {
                        s.store_ptr(sums[m][v], self.y.add(m * self.y_step + v * S::LANES));
                    }
                    let v = NV - 1;
                    s.store_partial_ptr(sums[m][v], self.y.add(m * self.y_step + v * S::LANES), last);
                }
            }
        }
    }
}

/// Neighbouring pixels: their windows in x and their vectors in dy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<T> {
    pub(crate) x: *const T,
    pub(crate) dy: *const T,
    pub(crate) pixels: usize,
}

/// sums\[m\] += Σ_segments Σ_pixels x\[pixel·x_step + x_first + m\] · dy\[pixel\], for numbers m.
#[derive(Clone, Copy)]
pub(crate) struct GradWeight<'a, S: Simd> {
    pub(crate) s: S,
    pub(crate) segments: &'a [Segment<S::Elem>],
    /// The tile's first number in each window.
    pub(crate) x_first: usize,
    /// Elements between the windows of neighbouring pixels.
    pub(crate) x_step: usize,
    /// Elements between neighbouring pixels of dy.
    pub(crate) dy_step: usize,
    pub(crate) sums: *mut S::Elem,
    /// Elements between the sums of neighbouring numbers.
    pub(crate) sums_step: usize,
}

impl<S: Simd> Tile<S> for GradWeight<'_, S> {
    #[inline(always)]
    fn below(&self, rows: usize) -> Self {
        let sums = self.sums.wrapping_add(rows * self.sums_step);
        Self { x_first: self.x_first + rows, sums, ..*self }
    }

    #[inline(always)]
    unsafe fn run<const MR: usize, const NV: usize>(&self) {
        let s = self.s;
        let mut sums = [[s.zero(); NV]; MR];
        // SAFETY: the caller vouches for every address of the formula; nothing else is touched.
        unsafe {
            for segment in self.segments {
                let mut x = segment.x.add(self.x_first);
                let mut dy = segment.dy;
                for _ in 0..segment.pixels {
                    let mut w = [s.zero(); NV];
                    for v in 0..NV {
                        w[v] = s.load_ptr(dy.add(v * S::LANES));
                    }
                    for m in 0..MR {
                        let a = s.splat(*x.add(m));
                        for v in 0..NV {
                            sums[m][v] = s.mul_add(a, w[v], sums[m][v]);
                        }
                    }
                    x = x.wrapping_add(self.x_step);
                    dy = dy.wrapping_add(self.dy_step);
                }
            }
            for m in 0..MR {
                for v in 0..NV {
                    // Added to memory at the end, not at the start: a sum of short sums has the smaller error.
                    let place = self.sums.add(m * self.sums_step + v * S::LANES);
                    s.store_ptr(s.load_ptr(place) + sums[m][v], place);
                }
            }
        }
    }
}
