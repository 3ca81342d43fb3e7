//! The first half of a softmax: scores shifted so that the largest is 0, and their exponentials.

use autograd::Real;
use autograd::simd::{Simd, math, slice};

struct Exp;

impl<T: Real> slice::Map<T> for Exp {
    #[inline(always)]
    fn apply<S: Simd<Elem = T>>(&self, s: S, x: S::V) -> S::V {
        math::exp(s, x)
    }
}

/// z ← z − max z for each row of `channels`, and e = e^z. Infinite scores give the limit; NaN stays.
pub(crate) fn exp_shifted<T: Real>(channels: usize, z: &mut [T], e: &mut [T]) {
    for row in z.chunks_exact_mut(channels) {
        let largest = row.iter().fold(T::NEG_INFINITY, |m, &v| m.max(v));
        row.iter_mut().for_each(|v| *v = if *v == largest { T::ZERO } else { *v - largest });
    }
    slice::map(&Exp, z, e);
}
