//! AVX2 and FMA: 16 registers of 32 bytes.
//!
//! A value of [`F32`] or [`F64`] exists only on a CPU with these features (see [`Simd::assume`]), and a
//! vector is made from such a value only; that is the reason why each intrinsic below may be called.

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Isa, Simd};

/// Eight set and eight clear masks: those of the first `n` lanes start at `8 - n`.
static MASK_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// Four set and four clear masks: those of the first `n` lanes start at `4 - n`.
static MASK_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

macro_rules! impl_simd {
    ($name:ident, $v:ident, $t:ident, $raw:ident, $lanes:literal, $masks:ident, $bias:literal, $mantissa:literal,
     $magic:literal, $set1:ident, $loadu:ident, $storeu:ident, $maskload:ident, $maskstore:ident,
     $add:ident, $sub:ident, $mul:ident, $div:ident, $fmadd:ident, $max:ident, $min:ident, $andnot:ident, $and:ident,
     $or:ident, $sqrt:ident, $round:ident, $cmp:ident, $blendv:ident, $to_bits:ident, $from_bits:ident,
     $slli:ident, $srli:ident) => {
        /// A vector.
        #[derive(Clone, Copy)]
        pub struct $v($raw);

        impl_simd!(@op $v Add add $add);
        impl_simd!(@op $v Sub sub $sub);
        impl_simd!(@op $v Mul mul $mul);
        impl_simd!(@op $v Div div $div);

        impl Neg for $v {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: see the header. −0 − x is −x for every x, zeros included.
                Self(unsafe { $sub($set1(-0.0), self.0) })
            }
        }

        /// The AVX2 set.
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            type Elem = $t;
            type V = $v;
            const ISA: Isa = Isa::Avx2;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 16;

            #[inline(always)]
            unsafe fn assume() -> Self {
                Self(())
            }
            #[inline(always)]
            fn splat(self, x: $t) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $set1(x) })
            }
            #[inline(always)]
            unsafe fn load_ptr(self, p: *const $t) -> $v {
                // SAFETY: see the header; the caller vouches for `LANES` numbers.
                $v(unsafe { $loadu(p) })
            }
            #[inline(always)]
            unsafe fn store_ptr(self, v: $v, p: *mut $t) {
                // SAFETY: see the header; the caller vouches for `LANES` places.
                unsafe { $storeu(p, v.0) }
            }
            #[inline(always)]
            unsafe fn load_partial_ptr(self, p: *const $t, n: usize) -> $v {
                // SAFETY: see the header; masked lanes are not read, the caller vouches for the first `n`;
                // `n <= LANES` keeps the mask inside its table.
                unsafe {
                    let mask = _mm256_loadu_si256($masks.as_ptr().add($lanes - n).cast());
                    $v($maskload(p, mask))
                }
            }
            #[inline(always)]
            unsafe fn store_partial_ptr(self, v: $v, p: *mut $t, n: usize) {
                // SAFETY: see the header; masked lanes are not written, the caller vouches for the first `n`;
                // `n <= LANES` keeps the mask inside its table.
                unsafe {
                    let mask = _mm256_loadu_si256($masks.as_ptr().add($lanes - n).cast());
                    $maskstore(p, mask, v.0);
                }
            }
            #[inline(always)]
            fn prefetch(self, p: *const $t) {
                // SAFETY: a hint; it never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
            #[inline(always)]
            fn mul_add(self, a: $v, b: $v, c: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $fmadd(a.0, b.0, c.0) })
            }
            #[inline(always)]
            fn max(self, a: $v, b: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $max(a.0, b.0) })
            }
            #[inline(always)]
            fn min(self, a: $v, b: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $min(a.0, b.0) })
            }
            #[inline(always)]
            fn abs(self, v: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $andnot($set1(-0.0), v.0) })
            }
            #[inline(always)]
            fn sqrt(self, v: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $sqrt(v.0) })
            }
            #[inline(always)]
            fn round(self, v: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v.0) })
            }
            #[inline(always)]
            fn select_lt(self, a: $v, b: $v, yes: $v, no: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $blendv(no.0, yes.0, $cmp::<_CMP_LT_OQ>(a.0, b.0)) })
            }
            #[inline(always)]
            fn pow2(self, n: $v) -> $v {
                // Adding 1.5·2^(mantissa bits) leaves the integer n + bias in the low bits; they become the
                // exponent field.
                // SAFETY: see the header.
                unsafe {
                    let shifted = $add(n.0, $set1($magic + $bias));
                    $v($from_bits($slli::<$mantissa>($to_bits(shifted))))
                }
            }
            #[inline(always)]
            fn split_exponent(self, v: $v) -> ($v, $v) {
                // The exponent field, an integer below 2^11, put in the low bits of the number `magic`.
                // SAFETY: see the header.
                unsafe {
                    let field = $from_bits($srli::<$mantissa>($to_bits(v.0)));
                    let exponent = $sub($or(field, $set1($magic)), $set1($magic + $bias));
                    let fraction = $set1($t::from_bits((1 << $mantissa) - 1));
                    ($v(exponent), $v($or($and(v.0, fraction), $set1(1.0))))
                }
            }
            #[inline(always)]
            fn sum(self, v: $v) -> $t {
                let mut lanes = [0.0; $lanes];
                self.store(v, &mut lanes);
                let mut width = $lanes;
                while width > 1 {
                    width /= 2;
                    for i in 0..width {
                        lanes[i] += lanes[i + width];
                    }
                }
                lanes[0]
            }
            #[inline(always)]
            fn max_lane(self, v: $v) -> $t {
                let mut lanes = [0.0; $lanes];
                self.store(v, &mut lanes);
                lanes.into_iter().fold($t::NEG_INFINITY, |a, b| if a > b { a } else { b })
            }
        }
    };
    (@op $v:ident $trait:ident $method:ident $intrinsic:ident) => {
        impl $trait for $v {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: see the header.
                Self(unsafe { $intrinsic(self.0, other.0) })
            }
        }
    };
}

#[rustfmt::skip]
impl_simd!(F32, F32x8, f32, __m256, 8, MASK_32, 127.0, 23, 12_582_912.0,
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_add_ps,
    _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_fmadd_ps, _mm256_max_ps, _mm256_min_ps, _mm256_andnot_ps,
    _mm256_and_ps, _mm256_or_ps, _mm256_sqrt_ps, _mm256_round_ps, _mm256_cmp_ps, _mm256_blendv_ps,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_slli_epi32, _mm256_srli_epi32);

#[rustfmt::skip]
impl_simd!(F64, F64x4, f64, __m256d, 4, MASK_64, 1023.0, 52, 6_755_399_441_055_744.0,
    _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_maskload_pd, _mm256_maskstore_pd, _mm256_add_pd,
    _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd, _mm256_fmadd_pd, _mm256_max_pd, _mm256_min_pd, _mm256_andnot_pd,
    _mm256_and_pd, _mm256_or_pd, _mm256_sqrt_pd, _mm256_round_pd, _mm256_cmp_pd, _mm256_blendv_pd,
    _mm256_castpd_si256, _mm256_castsi256_pd, _mm256_slli_epi64, _mm256_srli_epi64);
