//! The vocabulary in which every fast loop of the workspace is written once, for three instruction sets and
//! for `f32` and `f64`. The tape does not need it: to be skipped at first.
//!
//! | set | x86 level | `f32` lanes | `f64` lanes | registers |
//! |---|---|---|---|---|
//! | [`Isa::Portable`] | any CPU | 4 | 2 | 16 |
//! | [`Isa::Avx2`] | AVX2 and FMA | 8 | 4 | 16 |
//! | [`Isa::Avx512`] | AVX-512 F, BW, DQ, VL | 16 | 8 | 32 |
//!
//! A loop is a struct that implements [`Job`]: [`dispatch`] runs its body inside a function compiled for the
//! best set of this CPU. The body receives a [`Simd`] value, which is the proof that the CPU has the set; so
//! all its operations are safe except those on raw pointers.
//!
//! **Inline everything.** `run` and each generic function it calls must be `#[inline(always)]`: a body that
//! the compiler outlines loses the target feature, and each operation turns into a call. A closure is never
//! inlined by force, so a job holds none in its inner loops. Threads go outside: a task calls `dispatch`,
//! never the reverse.
//!
//! ```
//! use autograd::simd::{self, Job, Simd};
//!
//! struct Scale<'a>(f32, &'a mut [f32]);
//! impl Job<f32> for Scale<'_> {
//!     type Output = ();
//!     #[inline(always)]
//!     fn run<S: Simd<Elem = f32>>(self, s: S) {
//!         let factor = s.splat(self.0);
//!         for x in self.1.chunks_mut(S::LANES) {
//!             s.store_partial(s.load_partial(x) * factor, x);
//!         }
//!     }
//! }
//! let mut x = vec![1.0; 37];
//! simd::dispatch(Scale(3.0, &mut x));
//! assert_eq!(x, [3.0; 37]);
//! ```

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::real::Real;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod isa;
pub mod math;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use isa::{ISA_VARIABLE, Isa, active, available};

/// A vector of `LANES` numbers. One exists only where the CPU has the set, so its operators are safe.
#[rustfmt::skip]
pub trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self> + 'static {}

#[rustfmt::skip]
impl<V> Vector for V where
    V: Copy + Add<Output = V> + Sub<Output = V> + Mul<Output = V> + Div<Output = V> + Neg<Output = V> + 'static {}

/// The operations of one instruction set on one number type. A value of it is the proof that the CPU has the
/// set; [`dispatch`] makes it.
pub trait Simd: Copy + Send + Sync + 'static {
    /// The number type of a lane.
    type Elem: Real;
    /// `LANES` numbers, with the operators `+ - * /` and unary `-` lane by lane.
    type V: Vector;
    /// The set.
    const ISA: Isa;
    /// The numbers in a vector.
    const LANES: usize;
    /// The vector registers; a tile that keeps more vectors alive spills.
    const REGISTERS: usize;

    /// The proof, out of nothing.
    ///
    /// # Safety
    ///
    /// [`Self::ISA`] must be available on this CPU.
    unsafe fn assume() -> Self;

    /// `x` in each lane.
    fn splat(self, x: Self::Elem) -> Self::V;

    /// Loads `LANES` numbers; no alignment is needed.
    ///
    /// # Safety
    ///
    /// `p` must be valid for reading `LANES` numbers.
    unsafe fn load_ptr(self, p: *const Self::Elem) -> Self::V;

    /// Stores `LANES` numbers; no alignment is needed.
    ///
    /// # Safety
    ///
    /// `p` must be valid for writing `LANES` numbers.
    unsafe fn store_ptr(self, v: Self::V, p: *mut Self::Elem);

    /// Loads the first `n` lanes and puts 0 in the others, whose memory is not touched.
    ///
    /// # Safety
    ///
    /// `n <= LANES`, and `p` must be valid for reading `n` numbers.
    unsafe fn load_partial_ptr(self, p: *const Self::Elem, n: usize) -> Self::V;

    /// Stores the first `n` lanes; the memory of the others is not touched.
    ///
    /// # Safety
    ///
    /// `n <= LANES`, and `p` must be valid for writing `n` numbers.
    unsafe fn store_partial_ptr(self, v: Self::V, p: *mut Self::Elem, n: usize);

    /// a·b + c, rounded once where the set has a fused multiply-add.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// a > b ? a : b. Where either is NaN the result is `b`, so `max(limit, x)` keeps the NaN of `x`.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;

    /// a < b ? a : b. Where either is NaN the result is `b`, so `min(limit, x)` keeps the NaN of `x`.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;

    /// |v|
    fn abs(self, v: Self::V) -> Self::V;

    /// √v
    fn sqrt(self, v: Self::V) -> Self::V;

    /// The nearest integer, half to even.
    fn round(self, v: Self::V) -> Self::V;

    /// a < b ? yes : no; `no` where either is NaN.
    fn select_lt(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;

    /// 2^n for integers n with 2^n a normal number; anything for other n.
    fn pow2(self, n: Self::V) -> Self::V;

    /// The sum of all lanes, in an order fixed by the set.
    fn sum(self, v: Self::V) -> Self::Elem;

    /// Asks for the cache line at `p`, which need not be valid; nothing on sets that cannot.
    #[inline(always)]
    fn prefetch(self, _p: *const Self::Elem) {}

    /// As [`store_ptr`](Self::store_ptr), past the caches where the set can: for what nobody reads soon, whose cache lines
    /// need not be fetched to be overwritten. Other threads see it after [`fence`](Self::fence).
    ///
    /// # Safety
    ///
    /// `p` must be valid for writing `LANES` numbers, and aligned to a vector of them: where the set streams, another
    /// address is a fault.
    #[inline(always)]
    unsafe fn stream_ptr(self, v: Self::V, p: *mut Self::Elem) {
        // SAFETY: the caller's.
        unsafe { self.store_ptr(v, p) }
    }

    /// Ends a sequence of [`stream_ptr`](Self::stream_ptr).
    #[inline(always)]
    fn fence(self) {}

    /// 0 in each lane.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(Self::Elem::ZERO)
    }

    /// Loads the first `LANES` numbers of `x`.
    ///
    /// # Panics
    ///
    /// If `x` is shorter.
    #[inline(always)]
    fn load(self, x: &[Self::Elem]) -> Self::V {
        assert!(x.len() >= Self::LANES);
        // SAFETY: `x` has `LANES` numbers, as asserted.
        unsafe { self.load_ptr(x.as_ptr()) }
    }

    /// Stores all lanes in the first `LANES` places of `y`.
    ///
    /// # Panics
    ///
    /// If `y` is shorter.
    #[inline(always)]
    fn store(self, v: Self::V, y: &mut [Self::Elem]) {
        assert!(y.len() >= Self::LANES);
        // SAFETY: `y` has `LANES` places, as asserted.
        unsafe { self.store_ptr(v, y.as_mut_ptr()) }
    }

    /// Loads `min(x.len(), LANES)` numbers and puts 0 in the other lanes.
    #[inline(always)]
    fn load_partial(self, x: &[Self::Elem]) -> Self::V {
        if x.len() >= Self::LANES {
            self.load(x)
        } else {
            // SAFETY: `x.len() < LANES`, and `x` has that many numbers.
            unsafe { self.load_partial_ptr(x.as_ptr(), x.len()) }
        }
    }

    /// Stores the first `min(y.len(), LANES)` lanes.
    #[inline(always)]
    fn store_partial(self, v: Self::V, y: &mut [Self::Elem]) {
        if y.len() >= Self::LANES {
            self.store(v, y);
        } else {
            // SAFETY: `y.len() < LANES`, and `y` has that many places.
            unsafe { self.store_partial_ptr(v, y.as_mut_ptr(), y.len()) }
        }
    }
}

/// A loop that can be compiled for any instruction set.
pub trait Job<T: Real> {
    /// What the loop returns.
    type Output;

    /// The loop. Must be `#[inline(always)]`, as must be each generic function it calls.
    fn run<S: Simd<Elem = T>>(self, s: S) -> Self::Output;
}

/// The vector types of a number type, one for each set; a part of [`Real`].
pub trait Lanes: Sized {
    /// Plain arrays.
    type Portable: Simd<Elem = Self>;
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    type Avx2: Simd<Elem = Self>;
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    type Avx512: Simd<Elem = Self>;
}

impl Lanes for f32 {
    type Portable = portable::F32;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = avx2::F32;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = avx512::F32;
}

impl Lanes for f64 {
    type Portable = portable::F64;
    #[cfg(target_arch = "x86_64")]
    type Avx2 = avx2::F64;
    #[cfg(target_arch = "x86_64")]
    type Avx512 = avx512::F64;
}

/// Runs `job` on the [`active`] set.
#[inline]
pub fn dispatch<T: Real, J: Job<T>>(job: J) -> J::Output {
    // SAFETY: `active` returns an available set only.
    unsafe { run_on(active(), job) }
}

/// Runs `job` on the set `isa`; for tests, and for kernels that have packed their data for one set.
///
/// # Panics
///
/// If this CPU does not have `isa`.
#[inline]
pub fn dispatch_on<T: Real, J: Job<T>>(isa: Isa, job: J) -> J::Output {
    assert!(isa.is_available(), "this CPU does not have {isa}: choose one of {:?}", available());
    // SAFETY: asserted above.
    unsafe { run_on(isa, job) }
}

/// # Safety
///
/// `isa` must be available on this CPU.
#[inline]
unsafe fn run_on<T: Real, J: Job<T>>(isa: Isa, job: J) -> J::Output {
    match isa {
        // SAFETY: the caller vouches for the set, here and below.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { on_avx512(job) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { on_avx2(job) },
        // SAFETY: every CPU has the portable set.
        _ => job.run(unsafe { T::Portable::assume() }),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn on_avx512<T: Real, J: Job<T>>(job: J) -> J::Output {
    // SAFETY: this function runs on CPUs with these features only.
    job.run(unsafe { T::Avx512::assume() })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn on_avx2<T: Real, J: Job<T>>(job: J) -> J::Output {
    // SAFETY: this function runs on CPUs with these features only.
    job.run(unsafe { T::Avx2::assume() })
}

#[cfg(test)]
mod tests;
