//! AVX-512 F, BW, DQ, VL: 32 registers of 64 bytes.
//!
//! A value of [`F32`] or [`F64`] exists only on a CPU with these features (see [`Simd::assume`]), and a
//! vector is made from such a value only; that is the reason why each intrinsic below may be called.

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Isa, Simd};

macro_rules! impl_simd {
    ($name:ident, $v:ident, $t:ident, $raw:ident, $lanes:literal, $mask:ident,
     $set1:ident, $loadu:ident, $storeu:ident, $stream:ident, $maskz_loadu:ident, $mask_storeu:ident,
     $add:ident, $sub:ident, $mul:ident, $div:ident, $fmadd:ident, $max:ident, $min:ident, $abs:ident, $sqrt:ident,
     $roundscale:ident, $cmp:ident, $blend:ident, $scalef:ident, $getexp:ident, $getmant:ident,
     $reduce_add:ident, $reduce_max:ident) => {
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

        /// The AVX-512 set.
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            type Elem = $t;
            type V = $v;
            const ISA: Isa = Isa::Avx512;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 32;

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
                // SAFETY: see the header; masked lanes are not read, the caller vouches for the first `n`.
                $v(unsafe { $maskz_loadu(((1u32 << n) - 1) as $mask, p) })
            }
            #[inline(always)]
            unsafe fn store_partial_ptr(self, v: $v, p: *mut $t, n: usize) {
                // SAFETY: see the header; masked lanes are not written, the caller vouches for the first `n`.
                unsafe { $mask_storeu(p, ((1u32 << n) - 1) as $mask, v.0) }
            }
            #[inline(always)]
            fn prefetch(self, p: *const $t) {
                // SAFETY: a hint; it never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
            }
            #[inline(always)]
            unsafe fn stream_ptr(self, v: $v, p: *mut $t) {
                // SAFETY: see the header; the caller vouches for `LANES` places, aligned to a vector.
                unsafe { $stream(p, v.0) }
            }
            #[inline(always)]
            fn fence(self) {
                // SAFETY: SSE is always there.
                unsafe { _mm_sfence() }
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
                $v(unsafe { $abs(v.0) })
            }
            #[inline(always)]
            fn sqrt(self, v: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $sqrt(v.0) })
            }
            #[inline(always)]
            fn round(self, v: $v) -> $v {
                // SAFETY: see the header. Scale 0, to nearest, half to even.
                $v(unsafe { $roundscale::<0>(v.0) })
            }
            #[inline(always)]
            fn select_lt(self, a: $v, b: $v, yes: $v, no: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $blend($cmp::<_CMP_LT_OQ>(a.0, b.0), no.0, yes.0) })
            }
            #[inline(always)]
            fn pow2(self, n: $v) -> $v {
                // SAFETY: see the header.
                $v(unsafe { $scalef($set1(1.0), n.0) })
            }
            #[inline(always)]
            fn split_exponent(self, v: $v) -> ($v, $v) {
                // SAFETY: see the header.
                unsafe { ($v($getexp(v.0)), $v($getmant::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(v.0))) }
            }
            #[inline(always)]
            fn sum(self, v: $v) -> $t {
                // SAFETY: see the header.
                unsafe { $reduce_add(v.0) }
            }
            #[inline(always)]
            fn max_lane(self, v: $v) -> $t {
                // SAFETY: see the header.
                unsafe { $reduce_max(v.0) }
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
impl_simd!(F32, F32x16, f32, __m512, 16, __mmask16,
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_stream_ps, _mm512_maskz_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_abs_ps, _mm512_sqrt_ps, _mm512_roundscale_ps, _mm512_cmp_ps_mask, _mm512_mask_blend_ps, _mm512_scalef_ps,
    _mm512_getexp_ps, _mm512_getmant_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps);

#[rustfmt::skip]
impl_simd!(F64, F64x8, f64, __m512d, 8, __mmask8,
    _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_stream_pd, _mm512_maskz_loadu_pd, _mm512_mask_storeu_pd,
    _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_fmadd_pd, _mm512_max_pd, _mm512_min_pd,
    _mm512_abs_pd, _mm512_sqrt_pd, _mm512_roundscale_pd, _mm512_cmp_pd_mask, _mm512_mask_blend_pd, _mm512_scalef_pd,
    _mm512_getexp_pd, _mm512_getmant_pd, _mm512_reduce_add_pd, _mm512_reduce_max_pd);
