//! Elementwise loops over slices, tails included, for callers who write the formula only.
//!
//! ```
//! use autograd::simd::{math, slice::{self, Map}, Simd};
//!
//! struct Swish;
//! impl Map<f32> for Swish {
//!     #[inline(always)]
//!     fn apply<S: Simd<Elem = f32>>(&self, s: S, x: S::V) -> S::V {
//!         x * math::sigmoid(s, x)
//!     }
//! }
//! let x = [-1.0, 0.0, 1.0];
//! let mut y = [0.0; 3];
//! slice::map(&Swish, &x, &mut y);
//! assert!((y[2] - 0.731_058_6).abs() < 1e-6);
//! ```

use super::{Job, Simd, dispatch};
use crate::real::Real;

/// y = f(x), lane by lane.
pub trait Map<T: Real> {
    /// The formula. Must be `#[inline(always)]`.
    fn apply<S: Simd<Elem = T>>(&self, s: S, x: S::V) -> S::V;
}

/// y\[i\] = f(x\[i\])
///
/// # Panics
///
/// If the lengths differ.
pub fn map<T: Real, F: Map<T>>(f: &F, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "lengths of x and y");
    dispatch(MapJob { f, x, y });
}

struct MapJob<'a, T, F> {
    f: &'a F,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real, F: Map<T>> Job<T> for MapJob<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let mut x = self.x.chunks_exact(S::LANES);
        let mut y = self.y.chunks_exact_mut(S::LANES);
        for (x, y) in x.by_ref().zip(y.by_ref()) {
            s.store(self.f.apply(s, s.load(x)), y);
        }
        let (x, y) = (x.remainder(), y.into_remainder());
        s.store_partial(self.f.apply(s, s.load_partial(x)), y);
    }
}
