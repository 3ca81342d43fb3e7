//! One axis: where a value comes from, and the coefficients of splines.

use super::Interpolation;

/// Rows of coefficients before and behind those of the voxels. The border's row goes on there; beyond so many rows its
/// influence on the first voxel is below f32's resolution.
pub(super) const PAD: usize = 12;

/// The pole √3 − 2 of the cubic spline's recursive filter.
const POLE: f64 = -0.267_949_192_431_122_7;

/// A value is Σ weights[k] · row[first + k].
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Tap {
    /// The first row; of splines it may lie before the voxels.
    pub(crate) first: isize,
    /// Of so many rows, not 0 at their end.
    pub(crate) weights: [f32; 4],
    pub(crate) rows: usize,
}

impl Interpolation {
    /// Where voxel `i` of `m` comes from among `n`.
    pub(super) fn tap(self, i: usize, n: usize, m: usize) -> Tap {
        match self {
            Self::Nearest => nearest(i, n, m),
            Self::Linear => linear(i, n, m),
            Self::Cubic => cubic(i, n, m),
        }
    }
}

/// Where voxel `i` of `m` lies among `n`.
fn place(i: usize, n: usize, m: usize) -> f64 {
    (i as f64 + 0.5) * n as f64 / m as f64 - 0.5
}

/// The nearest voxel, of two the later one.
pub(crate) fn nearest(i: usize, n: usize, m: usize) -> Tap {
    let first = (place(i, n, m) + 0.5).floor().clamp(0.0, n as f64 - 1.0) as isize;
    Tap { first, weights: [1.0, 0.0, 0.0, 0.0], rows: 1 }
}

/// Both neighbours, or the voxel itself.
pub(crate) fn linear(i: usize, n: usize, m: usize) -> Tap {
    let at = place(i, n, m).clamp(0.0, n as f64 - 1.0);
    let share = at.fract() as f32;
    Tap { first: at as isize, weights: [1.0 - share, share, 0.0, 0.0], rows: if share > 0.0 { 2 } else { 1 } }
}

/// Four coefficients of the spline.
fn cubic(i: usize, n: usize, m: usize) -> Tap {
    let at = place(i, n, m);
    let floor = at.floor();
    let t = at - floor;
    let inner = |t: f64| (4.0 - 6.0 * t * t + 3.0 * t * t * t) / 6.0;
    let weights = [(1.0 - t).powi(3) / 6.0, inner(t), inner(1.0 - t), t.powi(3) / 6.0];
    Tap { first: floor as isize - 1, weights: weights.map(|w| w as f32), rows: 4 }
}

impl Tap {
    /// Writes the weighted sum of rows of length `inner`, of which `lead` lie before the first voxel's.
    pub(crate) fn blend(&self, rows: &[f32], inner: usize, lead: usize, out: &mut [f32]) {
        let row = |k: usize| &rows[(self.first + (lead + k) as isize) as usize * inner..][..inner];
        if self.rows == 1 {
            return out.copy_from_slice(row(0));
        }
        let w = self.weights;
        if self.rows == 2 {
            out.iter_mut().zip(row(0)).zip(row(1)).for_each(|((o, a), b)| *o = w[0] * a + w[1] * b);
            return;
        }
        let quads = row(0).iter().zip(row(1)).zip(row(2)).zip(row(3));
        for (o, (((a, b), c), d)) in out.iter_mut().zip(quads) {
            *o = w[0] * a + w[1] * b + w[2] * c + w[3] * d;
        }
    }
}

/// The spline's coefficients along the rows of a slab `[n, inner]`, with [`PAD`] rows more on both sides.
///
/// With s the voxels, which go on beyond the border, and z the pole: c⁺ₖ = 6sₖ + z·c⁺ₖ₋₁ forward, then
/// cₖ = z·(cₖ₊₁ − c⁺ₖ) backward; both begin as for a signal that is mirrored at the padded ends.
pub(super) fn coefficients(slab: &[f32], inner: usize, c: &mut Vec<f32>) {
    let n = slab.len() / inner;
    let rows = n + 2 * PAD;
    c.clear();
    if c.capacity() < rows * inner {
        *c = memory::with_capacity(rows * inner);
    }
    for k in 0..rows {
        let from = k.saturating_sub(PAD).min(n - 1);
        c.extend(slab[from * inner..][..inner].iter().map(|v| 6.0 * v));
    }
    let z = POLE as f32;
    // Σ zᵏ·6sₖ; after the padding zᵏ is below f32's resolution.
    for k in 1..=PAD {
        let (first, rest) = c.split_at_mut(inner);
        let power = POLE.powi(k as i32) as f32;
        first.iter_mut().zip(&rest[(k - 1) * inner..]).for_each(|(c, s)| *c += power * s);
    }
    for k in 1..rows {
        let (done, rest) = c.split_at_mut(k * inner);
        rest[..inner].iter_mut().zip(&done[(k - 1) * inner..]).for_each(|(c, before)| *c += z * before);
    }
    let (rest, last) = c.split_at_mut((rows - 1) * inner);
    let scale = (POLE / (POLE * POLE - 1.0)) as f32;
    last.iter_mut().zip(&rest[(rows - 2) * inner..]).for_each(|(c, before)| *c = scale * (*c + z * before));
    for k in (0..rows - 1).rev() {
        let (rest, done) = c.split_at_mut((k + 1) * inner);
        rest[k * inner..].iter_mut().zip(done).for_each(|(c, behind)| *c = z * (*behind - *c));
    }
}
