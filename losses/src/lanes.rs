//! Elementwise loops over slices, tails included, for formulas that are written lane by lane.

use autograd::Real;
use autograd::simd::{Job, Simd, dispatch};

/// y = f(x), lane by lane.
pub(crate) trait Map<T: Real> {
    /// The formula. Must be `#[inline(always)]`.
    fn apply<S: Simd<Elem = T>>(&self, s: S, x: S::V) -> S::V;
}

/// y\[i\] = f(x\[i\])
///
/// # Panics
///
/// If the lengths differ.
pub(crate) fn map<T: Real, F: Map<T>>(f: &F, x: &[T], y: &mut [T]) {
    assert!(x.len() == y.len(), "{} numbers into {}", x.len(), y.len());
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
