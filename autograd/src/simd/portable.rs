//! The set every target has: short arrays, one SSE2 or NEON register wide.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Isa, Simd};
use crate::real::Real;

/// Without hardware for it, a fused multiply-add is a call into libm, fifty times slower than two operations.
const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

/// A vector of `N` numbers.
#[derive(Clone, Copy)]
pub struct Array<T, const N: usize>([T; N]);

impl<T: Real, const N: usize> Array<T, N> {
    #[inline(always)]
    fn map(self, f: impl Fn(T) -> T) -> Self {
        let mut out = self.0;
        for i in 0..N {
            out[i] = f(out[i]);
        }
        Self(out)
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        let mut out = self.0;
        for i in 0..N {
            out[i] = f(out[i], other.0[i]);
        }
        Self(out)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:tt)*) => {$(
        impl<T: Real, const N: usize> $trait for Array<T, N> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, |a, b| a $op b)
            }
        }
    )*};
}
operators!(Add add + Sub sub - Mul mul * Div div /);

impl<T: Real, const N: usize> Neg for Array<T, N> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(|a| -a)
    }
}

macro_rules! impl_simd {
    ($name:ident, $t:ident, $lanes:literal, $int:ident, $bits:ident, $bias:literal, $mantissa:literal) => {
        /// The portable set.
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            type Elem = $t;
            type V = Array<$t, $lanes>;
            const ISA: Isa = Isa::Portable;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 16;

            #[inline(always)]
            unsafe fn assume() -> Self {
                Self(())
            }
            #[inline(always)]
            fn splat(self, x: $t) -> Self::V {
                Array([x; $lanes])
            }
            #[inline(always)]
            unsafe fn load_ptr(self, p: *const $t) -> Self::V {
                // SAFETY: the caller vouches for `LANES` numbers; an array has their alignment.
                Array(unsafe { *p.cast() })
            }
            #[inline(always)]
            unsafe fn store_ptr(self, v: Self::V, p: *mut $t) {
                // SAFETY: the caller vouches for `LANES` places; an array has their alignment.
                unsafe { *p.cast() = v.0 }
            }
            #[inline(always)]
            unsafe fn load_partial_ptr(self, p: *const $t, n: usize) -> Self::V {
                let mut out = [0.0; $lanes];
                for i in 0..n {
                    // SAFETY: the caller vouches for `n` numbers.
                    out[i] = unsafe { *p.add(i) };
                }
                Array(out)
            }
            #[inline(always)]
            unsafe fn store_partial_ptr(self, v: Self::V, p: *mut $t, n: usize) {
                for i in 0..n {
                    // SAFETY: the caller vouches for `n` places.
                    unsafe { *p.add(i) = v.0[i] }
                }
            }
            #[inline(always)]
            fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
                if !FUSED {
                    return a * b + c;
                }
                let mut out = c.0;
                for i in 0..$lanes {
                    out[i] = a.0[i].mul_add(b.0[i], out[i]);
                }
                Array(out)
            }
            #[inline(always)]
            fn max(self, a: Self::V, b: Self::V) -> Self::V {
                a.zip(b, |a, b| if a > b { a } else { b })
            }
            #[inline(always)]
            fn min(self, a: Self::V, b: Self::V) -> Self::V {
                a.zip(b, |a, b| if a < b { a } else { b })
            }
            #[inline(always)]
            fn abs(self, v: Self::V) -> Self::V {
                v.map($t::abs)
            }
            #[inline(always)]
            fn sqrt(self, v: Self::V) -> Self::V {
                v.map($t::sqrt)
            }
            #[inline(always)]
            fn round(self, v: Self::V) -> Self::V {
                v.map($t::round_ties_even)
            }
            #[inline(always)]
            fn select_lt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V {
                let mut out = no.0;
                for i in 0..$lanes {
                    if a.0[i] < b.0[i] {
                        out[i] = yes.0[i];
                    }
                }
                Array(out)
            }
            #[inline(always)]
            fn pow2(self, n: Self::V) -> Self::V {
                // The exponent field alone.
                n.map(|n| $t::from_bits(((n as $int).wrapping_add($bias) as $bits) << $mantissa))
            }
            #[inline(always)]
            fn sum(self, v: Self::V) -> $t {
                v.0.into_iter().sum()
            }
        }
    };
}

impl_simd!(F32, f32, 4, i32, u32, 127, 23);
impl_simd!(F64, f64, 2, i64, u64, 1023, 52);
