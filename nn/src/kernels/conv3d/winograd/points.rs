//! The transforms of F(4, 3) along one axis.
//!
//! With interpolation points 0, ±a, ±b, ∞ and a = 3/4, b = 3/2, four outputs of a 3-tap correlation of six inputs
//! are y = Aᵀ·[(G·g) ⊙ (Bᵀ·d)]. These points keep the entries of Bᵀ and Aᵀ exact in binary and near 1, so the
//! rounding error is that of the direct sum; the textbook's 0, ±1, ±2, ∞ lose two bits more.
//!
//! ```text
//!      | a²b²    0   −(a²+b²)     0      1   0 |         | 1  1   1   1   1   0 |
//!      |  0    −ab²    −b²        a      1   0 |    Aᵀ = | 0  a  −a   b  −b   0 |
//! Bᵀ = |  0     ab²    −b²       −a      1   0 |         | 0  a²  a²  b²  b²  0 |
//!      |  0    −a²b    −a²        b      1   0 |         | 0  a³ −a³  b³ −b³  1 |
//!      |  0     a²b    −a²       −b      1   0 |
//!      |  0     a²b²     0    −(a²+b²)   0   1 |    G has the rows [1, p, p²] / N(p), and [0, 0, 1] for ∞
//! ```
//!
//! with N(0) = a²b², N(±a) = 2a²(a²−b²), N(±b) = 2b²(b²−a²).
//!
//! # Source
//! Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks"; for the choice of points, Barabasz et
//! al. 2020, "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural Networks".

use autograd::Real;
use autograd::simd::Simd;

/// Outputs of a tile along one axis.
pub(super) const STEP: usize = 4;
/// Inputs of a tile along one axis, and products.
pub(super) const SIZE: usize = 6;
/// Products of a tile in the plane.
pub(super) const FREQUENCIES: usize = SIZE * SIZE;

const A: f64 = 0.75;
const B: f64 = 1.5;

/// G, row by row.
pub(super) const G: [[f64; 3]; SIZE] = {
    let (na, nb) = (2.0 * A * A * (A * A - B * B), 2.0 * B * B * (B * B - A * A));
    [
        [1.0 / (A * A * B * B), 0.0, 0.0],
        [1.0 / na, A / na, A * A / na],
        [1.0 / na, -A / na, A * A / na],
        [1.0 / nb, B / nb, B * B / nb],
        [1.0 / nb, -B / nb, B * B / nb],
        [0.0, 0.0, 1.0],
    ]
};

/// The constants of the transforms, one vector each.
#[derive(Clone, Copy)]
pub(super) struct Points<S: Simd> {
    pub(super) s: S,
    a: S::V,
    b: S::V,
    a2: S::V,
    b2: S::V,
    a3: S::V,
    b3: S::V,
    minus_a2: S::V,
    minus_b2: S::V,
    minus_sum: S::V,
    product: S::V,
}

impl<S: Simd> Points<S> {
    #[inline(always)]
    pub(super) fn new(s: S) -> Self {
        Self {
            s,
            a: constant(s, A),
            b: constant(s, B),
            a2: constant(s, A * A),
            b2: constant(s, B * B),
            a3: constant(s, A * A * A),
            b3: constant(s, B * B * B),
            minus_a2: constant(s, -A * A),
            minus_b2: constant(s, -B * B),
            minus_sum: constant(s, -(A * A + B * B)),
            product: constant(s, A * A * B * B),
        }
    }

    /// Bᵀ·d
    #[inline(always)]
    pub(super) fn input(&self, d: [S::V; SIZE]) -> [S::V; SIZE] {
        let s = self.s;
        let even_a = s.mul_add(d[2], self.minus_b2, d[4]);
        let odd_a = s.mul_add(d[1], self.minus_b2, d[3]) * self.a;
        let even_b = s.mul_add(d[2], self.minus_a2, d[4]);
        let odd_b = s.mul_add(d[1], self.minus_a2, d[3]) * self.b;
        [
            s.mul_add(d[0], self.product, s.mul_add(d[2], self.minus_sum, d[4])),
            even_a + odd_a,
            even_a - odd_a,
            even_b + odd_b,
            even_b - odd_b,
            s.mul_add(d[1], self.product, s.mul_add(d[3], self.minus_sum, d[5])),
        ]
    }

    /// Aᵀ·m
    #[inline(always)]
    pub(super) fn output(&self, m: [S::V; SIZE]) -> [S::V; STEP] {
        let s = self.s;
        let (even_a, odd_a) = (m[1] + m[2], m[1] - m[2]);
        let (even_b, odd_b) = (m[3] + m[4], m[3] - m[4]);
        [
            m[0] + (even_a + even_b),
            s.mul_add(odd_b, self.b, odd_a * self.a),
            s.mul_add(even_b, self.b2, even_a * self.a2),
            s.mul_add(odd_b, self.b3, s.mul_add(odd_a, self.a3, m[5])),
        ]
    }

    /// A·y
    #[inline(always)]
    pub(super) fn gradient(&self, y: [S::V; STEP]) -> [S::V; SIZE] {
        let s = self.s;
        let even_a = s.mul_add(y[2], self.a2, y[0]);
        let odd_a = s.mul_add(y[3], self.a2, y[1]) * self.a;
        let even_b = s.mul_add(y[2], self.b2, y[0]);
        let odd_b = s.mul_add(y[3], self.b2, y[1]) * self.b;
        [y[0], even_a + odd_a, even_a - odd_a, even_b + odd_b, even_b - odd_b, y[3]]
    }
}

#[inline(always)]
fn constant<S: Simd>(s: S, x: f64) -> S::V {
    s.splat(S::Elem::from_f64(x))
}
