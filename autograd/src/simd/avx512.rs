//! AVX-512 F, BW, DQ, VL: 32 registers of 64 bytes.
//!
//! Why each intrinsic below may be called is said in `x86.rs`.

use std::arch::x86_64::*;

use super::x86::{methods, vector};
use super::{Isa, Simd};

macro_rules! impl_simd {
    ($name:ident, $v:ident, $t:ident, $raw:ident, $lanes:literal, $mask:ident,
     $set1:ident, $loadu:ident, $storeu:ident, $stream:ident, $maskz_loadu:ident, $mask_storeu:ident,
     $add:ident, $sub:ident, $mul:ident, $div:ident, $fmadd:ident, $max:ident, $min:ident, $abs:ident, $sqrt:ident,
     $roundscale:ident, $cmp:ident, $blend:ident, $scalef:ident,
     $reduce_add:ident) => {
        vector!($v($raw): $set1, $add, $sub, $mul, $div);

        /// The AVX-512 set.
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            type Elem = $t;
            type V = $v;
            const ISA: Isa = Isa::Avx512;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 32;

            methods!($t, $v: $set1, $loadu, $storeu, $fmadd, $max, $min, $sqrt);

            #[inline(always)]
            unsafe fn load_partial_ptr(self, p: *const $t, n: usize) -> $v {
                // SAFETY: as in `x86.rs`; masked lanes are not read, the caller vouches for the first `n`.
                $v(unsafe { $maskz_loadu(((1u32 << n) - 1) as $mask, p) })
            }
            #[inline(always)]
            unsafe fn store_partial_ptr(self, v: $v, p: *mut $t, n: usize) {
                // SAFETY: as in `x86.rs`; masked lanes are not written, the caller vouches for the first `n`.
                unsafe { $mask_storeu(p, ((1u32 << n) - 1) as $mask, v.0) }
            }
            #[inline(always)]
            unsafe fn stream_ptr(self, v: $v, p: *mut $t) {
                // SAFETY: as in `x86.rs`; the caller vouches for `LANES` places, aligned to a vector.
                unsafe { $stream(p, v.0) }
            }
            #[inline(always)]
            fn fence(self) {
                // SAFETY: SSE is always there.
                unsafe { _mm_sfence() }
            }
            #[inline(always)]
            fn abs(self, v: $v) -> $v {
                // SAFETY: as in `x86.rs`.
                $v(unsafe { $abs(v.0) })
            }
            #[inline(always)]
            fn round(self, v: $v) -> $v {
                // SAFETY: as in `x86.rs`. Scale 0, to nearest, half to even.
                $v(unsafe { $roundscale::<0>(v.0) })
            }
            #[inline(always)]
            fn select_lt(self, a: $v, b: $v, yes: $v, no: $v) -> $v {
                // SAFETY: as in `x86.rs`.
                $v(unsafe { $blend($cmp::<_CMP_LT_OQ>(a.0, b.0), no.0, yes.0) })
            }
            #[inline(always)]
            fn pow2(self, n: $v) -> $v {
                // SAFETY: as in `x86.rs`.
                $v(unsafe { $scalef($set1(1.0), n.0) })
            }
            #[inline(always)]
            fn sum(self, v: $v) -> $t {
                // SAFETY: as in `x86.rs`.
                unsafe { $reduce_add(v.0) }
            }
        }
    };
}

#[rustfmt::skip]
impl_simd!(F32, F32x16, f32, __m512, 16, __mmask16,
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_stream_ps, _mm512_maskz_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_abs_ps, _mm512_sqrt_ps, _mm512_roundscale_ps, _mm512_cmp_ps_mask, _mm512_mask_blend_ps, _mm512_scalef_ps,
    _mm512_reduce_add_ps);

#[rustfmt::skip]
impl_simd!(F64, F64x8, f64, __m512d, 8, __mmask8,
    _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_stream_pd, _mm512_maskz_loadu_pd, _mm512_mask_storeu_pd,
    _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_fmadd_pd, _mm512_max_pd, _mm512_min_pd,
    _mm512_abs_pd, _mm512_sqrt_pd, _mm512_roundscale_pd, _mm512_cmp_pd_mask, _mm512_mask_blend_pd, _mm512_scalef_pd,
    _mm512_reduce_add_pd);
