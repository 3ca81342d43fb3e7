//! Elementary functions on vectors.
//!
//! Bounds on the relative error, in units of the type's epsilon, against `std` in `f64`; the tests hold them
//! on every set:
//!
//! | function | domain | bound, ε |
//! |---|---|---|
//! | [`exp`] | all; overflow gives ∞, underflow subnormals and 0 | 2 (normal results) |
//! | [`ln_1p_unit`] | [0, 1] | 3 |
//! | [`sigmoid`] | all | 4 (normal results) |
//! | [`softplus`] | all | 5 (normal results) |
//!
//! Each function returns NaN for NaN, `ln_1p_unit` excepted.
//!
//! # Source
//!
//! The argument reductions are the classical ones (J.-M. Muller, *Elementary Functions*, 3rd ed., ch. 11);
//! the polynomials are Taylor's, long enough for the remainder to vanish: the few terms that a minimax fit
//! would save cost nothing beside the memory these loops read.

use super::Simd;
use crate::real::Real;

/// 1/k! for k = 13 .. 0. On |r| <= ln 2 / 2 the remainder after k = 13 is 4e-18, after k = 7 it is 5e-9.
const EXP: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// 2/(2k + 1) for k = 17 .. 1: the tail of 2 artanh t = 2t + t·(t²·2/3 + t⁴·2/5 + …).
const ARTANH: [f64; 17] = [
    2.0 / 35.0,
    2.0 / 33.0,
    2.0 / 31.0,
    2.0 / 29.0,
    2.0 / 27.0,
    2.0 / 25.0,
    2.0 / 23.0,
    2.0 / 21.0,
    2.0 / 19.0,
    2.0 / 17.0,
    2.0 / 15.0,
    2.0 / 13.0,
    2.0 / 11.0,
    2.0 / 9.0,
    2.0 / 7.0,
    2.0 / 5.0,
    2.0 / 3.0,
];

/// What the functions below choose by the precision of a number type; a part of [`Real`].
pub trait Precision {
    /// ln 2 in two parts: n·high is exact for every exponent n.
    const LN2: [f64; 2];
    /// Beyond these arguments e^x is 0 or ∞.
    const EXP_DOMAIN: [f64; 2];
    /// The polynomial of e^x, highest power first.
    const EXP: &'static [f64];
    /// That of 2 artanh.
    const ARTANH: &'static [f64];
}

impl Precision for f32 {
    const LN2: [f64; 2] = [0.693_359_375, -2.121_944_400_546_905_8e-4];
    const EXP_DOMAIN: [f64; 2] = [-104.0, 89.0];
    const EXP: &'static [f64] = EXP.split_at(6).1;
    const ARTANH: &'static [f64] = ARTANH.split_at(9).1;
}

impl Precision for f64 {
    const LN2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    const EXP_DOMAIN: [f64; 2] = [-746.0, 710.0];
    const EXP: &'static [f64] = &EXP;
    const ARTANH: &'static [f64] = &ARTANH;
}

#[inline(always)]
fn splat<S: Simd>(s: S, x: f64) -> S::V {
    s.splat(S::Elem::from_f64(x))
}

/// Horner's rule, highest power first.
#[inline(always)]
fn polynomial<S: Simd>(s: S, x: S::V, coefficients: &[f64]) -> S::V {
    let mut sum = splat(s, coefficients[0]);
    for c in &coefficients[1..] {
        sum = s.mul_add(sum, x, splat(s, *c));
    }
    sum
}

/// e^x
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // The order of the arguments keeps NaN.
    let [lowest, highest] = S::Elem::EXP_DOMAIN;
    let x = s.min(splat(s, highest), s.max(splat(s, lowest), x));
    // x = n·ln 2 + r, |r| <= ln 2 / 2.
    let n = s.round(x * splat(s, std::f64::consts::LOG2_E));
    let [high, low] = S::Elem::LN2;
    let r = s.mul_add(-n, splat(s, low), s.mul_add(-n, splat(s, high), x));
    // 2^n alone may be subnormal or infinite where its halves are not.
    let half = s.round(n * splat(s, 0.5));
    polynomial(s, r, S::Elem::EXP) * s.pow2(half) * s.pow2(n - half)
}

/// ln(1 + x) for x in [0, 1], accurate near 0: what log-sum-exp forms need, whose x is e^−|·|.
#[inline(always)]
pub fn ln_1p_unit<S: Simd>(s: S, x: S::V) -> S::V {
    // ln(1 + x) = 2 artanh t with t = x/(2 + x) <= 1/3.
    let t = x / (x + splat(s, 2.0));
    let square = t * t;
    s.mul_add(t * square, polynomial(s, square, S::Elem::ARTANH), t + t)
}

/// 1 / (1 + e^−x), without overflow.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let e = exp(s, -s.abs(x));
    let one = splat(s, 1.0);
    let right = one / (one + e);
    s.select_lt(x, s.zero(), e / (one + e), right)
}

/// ln(1 + e^x) = max(x, 0) + ln(1 + e^−|x|), without overflow.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::V) -> S::V {
    s.max(s.zero(), x) + ln_1p_unit(s, exp(s, -s.abs(x)))
}
