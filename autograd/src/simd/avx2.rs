//! AVX2 and FMA: 16 registers of 32 bytes.
//!
//! Why each intrinsic below may be called is said in `x86.rs`.

use std::arch::x86_64::*;

use super::x86::{methods, vector};
use super::{Isa, Simd};

/// Eight set and eight clear masks: those of the first `n` lanes start at `8 - n`.
static MASK_32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
/// Four set and four clear masks: those of the first `n` lanes start at `4 - n`.
static MASK_64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

macro_rules! impl_simd {
    ($name:ident, $v:ident, $t:ident, $raw:ident, $lanes:literal, $masks:ident, $bias:literal, $mantissa:literal,
     $magic:literal, $set1:ident, $loadu:ident, $storeu:ident, $maskload:ident, $maskstore:ident,
     $add:ident, $sub:ident, $mul:ident, $div:ident, $fmadd:ident, $max:ident, $min:ident, $andnot:ident,
     $sqrt:ident, $round:ident, $cmp:ident, $blendv:ident, $to_bits:ident, $from_bits:ident, $slli:ident) => {
        vector!($v($raw): $set1, $add, $sub, $mul, $div);

        /// The AVX2 set.
        #[derive(Clone, Copy)]
        pub struct $name(());

        impl Simd for $name {
            type Elem = $t;
            type V = $v;
            const ISA: Isa = Isa::Avx2;
            const LANES: usize = $lanes;
            const REGISTERS: usize = 16;

            methods!($t, $v: $set1, $loadu, $storeu, $fmadd, $max, $min, $sqrt);

            #[inline(always)]
            unsafe fn load_partial_ptr(self, p: *const $t, n: usize) -> $v {
                // SAFETY: as in `x86.rs`; masked lanes are not read, the caller vouches for the first `n`;
                // `n <= LANES` keeps the mask inside its table.
                unsafe {
                    let mask = _mm256_loadu_si256($masks.as_ptr().add($lanes - n).cast());
                    $v($maskload(p, mask))
                }
            }
            #[inline(always)]
            unsafe fn store_partial_ptr(self, v: $v, p: *mut $t, n: usize) {
                // SAFETY: as in `x86.rs`; masked lanes are not written, the caller vouches for the first `n`;
                // `n <= LANES` keeps the mask inside its table.
                unsafe {
                    let mask = _mm256_loadu_si256($masks.as_ptr().add($lanes - n).cast());
                    $maskstore(p, mask, v.0);
                }
            }
            #[inline(always)]
            fn abs(self, v: $v) -> $v {
                // SAFETY: as in `x86.rs`.
                $v(unsafe { $andnot($set1(-0.0), v.0) })
            }
            #[inline(always)]
            fn round(self, v: $v) -> $v {
                // SAFETY: as in `x86.rs`.
                $v(unsafe { $round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v.0) })
            }
            #[inline(always)]
            fn select_lt(self, a: $v, b: $v, yes: $v, no: $v) -> $v {
                // SAFETY: as in `x86.rs`.
                $v(unsafe { $blendv(no.0, yes.0, $cmp::<_CMP_LT_OQ>(a.0, b.0)) })
            }
            #[inline(always)]
            fn pow2(self, n: $v) -> $v {
                // Adding 1.5·2^(mantissa bits) leaves the integer n + bias in the low bits; they become the
                // exponent field.
                // SAFETY: as in `x86.rs`.
                unsafe {
                    let shifted = $add(n.0, $set1($magic + $bias));
                    $v($from_bits($slli::<$mantissa>($to_bits(shifted))))
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
        }
    };
}

#[rustfmt::skip]
impl_simd!(F32, F32x8, f32, __m256, 8, MASK_32, 127.0, 23, 12_582_912.0,
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_maskload_ps, _mm256_maskstore_ps, _mm256_add_ps,
    _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_fmadd_ps, _mm256_max_ps, _mm256_min_ps, _mm256_andnot_ps,
    _mm256_sqrt_ps, _mm256_round_ps, _mm256_cmp_ps, _mm256_blendv_ps, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_slli_epi32);

#[rustfmt::skip]
impl_simd!(F64, F64x4, f64, __m256d, 4, MASK_64, 1023.0, 52, 6_755_399_441_055_744.0,
    _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_maskload_pd, _mm256_maskstore_pd, _mm256_add_pd,
    _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd, _mm256_fmadd_pd, _mm256_max_pd, _mm256_min_pd, _mm256_andnot_pd,
    _mm256_sqrt_pd, _mm256_round_pd, _mm256_cmp_pd, _mm256_blendv_pd, _mm256_castpd_si256, _mm256_castsi256_pd,
    _mm256_slli_epi64);
