//! The two number types of the workspace: `f32`, which trains, and `f64`, which checks `f32`'s gradients.
//!
//! [`Real`] is sealed, so that a kernel written for it is written for exactly these two. What differs between them, such as
//! their vectors and their matrix product, is a part of the trait: nothing in this crate asks which of the two a type is.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::gemm::Kernel;
use crate::simd::Lanes;
use crate::simd::math::Precision;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`.
///
/// The methods are those of the primitive types; `from_f64` rounds to nearest.
#[rustfmt::skip]
pub trait Real:
    sealed::Sealed + Lanes + Precision + Kernel
    + Copy + Default + Debug + Display + PartialEq + PartialOrd + Send + Sync + 'static
    + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
    + AddAssign + SubAssign + MulAssign + DivAssign + Sum
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The distance from 1 to the next larger number.
    const EPSILON: Self;
    /// The largest finite number.
    const MAX: Self;
    /// The smallest number above 0.
    const SMALLEST: Self;
    /// −∞
    const NEG_INFINITY: Self;
    /// Not a number; recycled buffers are filled with it in tests.
    const NAN: Self;
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// Rounds `value` to this type.
    fn from_f64(value: f64) -> Self;
    /// Widens to `f64`, exactly.
    fn to_f64(self) -> f64;
    /// e^x
    fn exp(self) -> Self;
    /// e^x − 1, accurate near 0
    fn exp_m1(self) -> Self;
    /// ln x
    fn ln(self) -> Self;
    /// ln(1 + x), accurate near 0
    fn ln_1p(self) -> Self;
    /// √x
    fn sqrt(self) -> Self;
    /// tanh x
    fn tanh(self) -> Self;
    /// The error function, 2/√π ∫₀ˣ e^(−t²) dt
    fn erf(self) -> Self;
    /// x^p
    fn powf(self, p: Self) -> Self;
    /// x^n
    fn powi(self, n: i32) -> Self;
    /// |x|
    fn abs(self) -> Self;
    /// The larger of two; the other one where one is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller of two; the other one where one is NaN.
    fn min(self, other: Self) -> Self;
    /// x·a + b, rounded once
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Not a number.
    fn is_nan(self) -> bool;

    /// 1 / (1 + e^−x), without overflow for any x.
    #[inline]
    fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp();
        let small = e / (Self::ONE + e);
        if self >= Self::ZERO { Self::ONE / (Self::ONE + e) } else { small }
    }

    /// ln(1 + e^x) = max(x, 0) + ln(1 + e^−|x|), without overflow for any x.
    #[inline]
    fn softplus(self) -> Self {
        self.max(Self::ZERO) + (-self.abs()).exp().ln_1p()
    }
}

macro_rules! impl_real {
    ($t:ident, $erf:path) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPSILON: Self = $t::EPSILON;
            const MAX: Self = $t::MAX;
            const SMALLEST: Self = $t::from_bits(1);
            const NEG_INFINITY: Self = $t::NEG_INFINITY;
            const NAN: Self = $t::NAN;
            const NAME: &'static str = stringify!($t);

            #[inline]
            fn from_f64(value: f64) -> Self {
                value as $t
            }
            #[inline]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline]
            fn erf(self) -> Self {
                $erf(self)
            }
            impl_real! { @as_in_std $t:
                exp() -> Self; exp_m1() -> Self; ln() -> Self; ln_1p() -> Self; sqrt() -> Self; tanh() -> Self;
                abs() -> Self; powf(p: Self) -> Self; powi(n: i32) -> Self; max(other: Self) -> Self;
                min(other: Self) -> Self; mul_add(a: Self, b: Self) -> Self; is_finite() -> bool; is_nan() -> bool;
            }
        }
    };
    (@as_in_std $t:ident: $($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(#[inline]
        fn $name(self, $($argument: $type),*) -> $result {
            $t::$name(self, $($argument),*)
        })*
    };
}

impl_real!(f32, libm::erff);
impl_real!(f64, libm::erf);
