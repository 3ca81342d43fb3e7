//! The two register tiles that all convolution passes share.
//!
//! A tile keeps `MR` × `NV` vectors of sums in registers: 14×2 of AVX-512's 32, 6×2 of the 16 of the other
//! sets. Each step loads `NV` vectors, broadcasts `MR` numbers, and does `MR`·`NV` multiply-adds: at 14×2 the
//! loads that a step needs, 16, hide behind its 28 multiply-adds.
//!
//! `MR` is a constant of the function, because the sums stay in registers only if every loop over them is
//! unrolled; so there is one copy for each height up to the highest.

use autograd::simd::{Isa, Simd};

/// Vectors in the width of a full tile.
pub(crate) const WIDTH: usize = 2;

/// The height of the highest tile for a set with so many registers.
#[inline(always)]
pub(crate) const fn max_height(registers: usize) -> usize {
    if registers >= 32 { 14 } else { 6 }
}

/// The height of the highest tile of a set.
pub(crate) const fn max_height_on(isa: Isa) -> usize {
    max_height(if matches!(isa, Isa::Avx512) { 32 } else { 16 })
}

/// Asks for the cache lines of `len` numbers, which need not be valid.
#[inline(always)]
pub(crate) fn prefetch<S: Simd>(s: S, start: *const S::Elem, len: usize) {
    for i in (0..len).step_by(64 / size_of::<S::Elem>()) {
        s.prefetch(start.wrapping_add(i));
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

/// The operands of a forward tile.
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

/// y\[m\] = bias + Σ_rows Σ_k x\[m·x_step + row + k\] · weight\[row\]\[k\], for `height` pixels m and `width`
/// vectors.
///
/// # Safety
///
/// All that the formula reads and writes must be valid, `height` in 1 ..= `max_height`, `width` 1 or 2.
#[inline(always)]
pub(crate) unsafe fn forward<S: Simd>(t: &Forward<'_, S>, height: usize, width: usize) {
    // SAFETY: the caller's.
    unsafe {
        if width == 1 { forward_of_width::<S, 1>(t, height) } else { forward_of_width::<S, 2>(t, height) }
    }
}

#[inline(always)]
unsafe fn forward_of_width<S: Simd, const NV: usize>(t: &Forward<'_, S>, height: usize) {
    // SAFETY: the caller's.
    unsafe {
        match height {
            1 => forward_tile::<S, 1, NV>(t),
            2 => forward_tile::<S, 2, NV>(t),
            3 => forward_tile::<S, 3, NV>(t),
            4 => forward_tile::<S, 4, NV>(t),
            5 => forward_tile::<S, 5, NV>(t),
            6 => forward_tile::<S, 6, NV>(t),
            _ if S::REGISTERS < 32 => unreachable!("no tile of this set is higher than 6"),
            7 => forward_tile::<S, 7, NV>(t),
            8 => forward_tile::<S, 8, NV>(t),
            9 => forward_tile::<S, 9, NV>(t),
            10 => forward_tile::<S, 10, NV>(t),
            11 => forward_tile::<S, 11, NV>(t),
            12 => forward_tile::<S, 12, NV>(t),
            13 => forward_tile::<S, 13, NV>(t),
            14 => forward_tile::<S, 14, NV>(t),
            _ => unreachable!("no tile is higher than 14"),
        }
    }
}

/// # Safety
///
/// See [`forward`].
#[inline(always)]
unsafe fn forward_tile<S: Simd, const MR: usize, const NV: usize>(t: &Forward<'_, S>) {
    let s = t.s;
    let mut sums = [[s.zero(); NV]; MR];
    // SAFETY: the caller vouches for every address of the formula; nothing else is touched.
    unsafe {
        for m in 0..MR {
            for v in 0..NV {
                sums[m][v] = s.load_ptr(t.bias.add(v * S::LANES));
            }
        }
        for row in t.rows {
            let mut x = t.x.wrapping_offset(row.x);
            let mut weight = t.weight.add(row.weight);
            for _ in 0..t.k {
                let mut w = [s.zero(); NV];
                for v in 0..NV {
                    w[v] = s.load_ptr(weight.add(v * S::LANES));
                }
                for m in 0..MR {
                    let a = s.splat(*x.add(m * t.x_step));
                    for v in 0..NV {
                        sums[m][v] = s.mul_add(a, w[v], sums[m][v]);
                    }
                }
                x = x.wrapping_add(1);
                weight = weight.add(NV * S::LANES);
            }
        }
        if t.stream && t.columns == NV * S::LANES {
            for m in 0..MR {
                for v in 0..NV {
                    s.stream_ptr(sums[m][v], t.y.add(m * t.y_step + v * S::LANES));
                }
            }
        } else if t.columns == NV * S::LANES {
            for m in 0..MR {
                for v in 0..NV {
                    s.store_ptr(sums[m][v], t.y.add(m * t.y_step + v * S::LANES));
                }
            }
        } else {
            let last = t.columns - (NV - 1) * S::LANES;
            for m in 0..MR {
                for v in 0..NV - 1 {
                    s.store_ptr(sums[m][v], t.y.add(m * t.y_step + v * S::LANES));
                }
                let v = NV - 1;
                s.store_partial_ptr(sums[m][v], t.y.add(m * t.y_step + v * S::LANES), last);
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

/// The operands of a tile of the weight's gradient.
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

/// sums\[m\] += Σ_segments Σ_pixels x\[pixel·x_step + x_first + m\] · dy\[pixel\], for `height` numbers m and
/// `width` vectors.
///
/// # Safety
///
/// All that the formula reads and writes must be valid, `height` in 1 ..= `max_height`, `width` 1 or 2.
#[inline(always)]
pub(crate) unsafe fn grad_weight<S: Simd>(t: &GradWeight<'_, S>, height: usize, width: usize) {
    // SAFETY: the caller's.
    unsafe {
        if width == 1 {
            grad_weight_of_width::<S, 1>(t, height);
        } else {
            grad_weight_of_width::<S, 2>(t, height);
        }
    }
}

#[inline(always)]
unsafe fn grad_weight_of_width<S: Simd, const NV: usize>(t: &GradWeight<'_, S>, height: usize) {
    // SAFETY: the caller's.
    unsafe {
        match height {
            1 => grad_weight_tile::<S, 1, NV>(t),
            2 => grad_weight_tile::<S, 2, NV>(t),
            3 => grad_weight_tile::<S, 3, NV>(t),
            4 => grad_weight_tile::<S, 4, NV>(t),
            5 => grad_weight_tile::<S, 5, NV>(t),
            6 => grad_weight_tile::<S, 6, NV>(t),
            _ if S::REGISTERS < 32 => unreachable!("no tile of this set is higher than 6"),
            7 => grad_weight_tile::<S, 7, NV>(t),
            8 => grad_weight_tile::<S, 8, NV>(t),
            9 => grad_weight_tile::<S, 9, NV>(t),
            10 => grad_weight_tile::<S, 10, NV>(t),
            11 => grad_weight_tile::<S, 11, NV>(t),
            12 => grad_weight_tile::<S, 12, NV>(t),
            13 => grad_weight_tile::<S, 13, NV>(t),
            14 => grad_weight_tile::<S, 14, NV>(t),
            _ => unreachable!("no tile is higher than 14"),
        }
    }
}

/// # Safety
///
/// See [`grad_weight`].
#[inline(always)]
unsafe fn grad_weight_tile<S: Simd, const MR: usize, const NV: usize>(t: &GradWeight<'_, S>) {
    let s = t.s;
    let mut sums = [[s.zero(); NV]; MR];
    // SAFETY: the caller vouches for every address of the formula; nothing else is touched.
    unsafe {
        for segment in t.segments {
            let mut x = segment.x.add(t.x_first);
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
                x = x.wrapping_add(t.x_step);
                dy = dy.wrapping_add(t.dy_step);
            }
        }
        for m in 0..MR {
            for v in 0..NV {
                // Added to memory at the end, not at the start: a sum of short sums has the smaller error.
                let place = t.sums.add(m * t.sums_step + v * S::LANES);
                s.store_ptr(s.load_ptr(place) + sums[m][v], place);
            }
        }
    }
}
