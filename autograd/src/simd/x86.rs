//! What the two x86 sets share: their vectors, and the methods that are one intrinsic on either.
//!
//! A value of a set exists only on a CPU that has it (see [`Simd::assume`](super::Simd::assume)), and a vector is made from
//! such a value only; that is the reason why each intrinsic below, and in the files of the sets, may be called.

/// A register with the operators `+ - * /` and unary `-`.
macro_rules! vector {
    ($v:ident($raw:ident): $set1:ident, $add:ident, $sub:ident, $mul:ident, $div:ident) => {
        /// A vector.
        #[derive(Clone, Copy)]
        pub struct $v($raw);

        vector!(@operator $v Add add $add);
        vector!(@operator $v Sub sub $sub);
        vector!(@operator $v Mul mul $mul);
        vector!(@operator $v Div div $div);

        impl std::ops::Neg for $v {
            type Output = Self;
            #[inline(always)]
            fn neg(self) -> Self {
                // SAFETY: see the header. −0 − x is −x for every x, zeros included.
                Self(unsafe { $sub($set1(-0.0), self.0) })
            }
        }
    };
    (@operator $v:ident $trait:ident $method:ident $intrinsic:ident) => {
        impl std::ops::$trait for $v {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: see the header.
                Self(unsafe { $intrinsic(self.0, other.0) })
            }
        }
    };
}

/// A part of `impl Simd`.
macro_rules! methods {
    ($t:ident, $v:ident: $set1:ident, $loadu:ident, $storeu:ident, $fmadd:ident, $max:ident, $min:ident, $sqrt:ident) => {
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
        fn sqrt(self, v: $v) -> $v {
            // SAFETY: see the header.
            $v(unsafe { $sqrt(v.0) })
        }
    };
}

pub(super) use {methods, vector};
