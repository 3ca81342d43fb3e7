//! The first half of a softmax: scores shifted so that the largest is 0, and their exponentials.

use autograd::Real;

use crate::compiled::{Elementary, map};

/// z ← z − max z for each row of `channels` among the first `len` numbers, and e = e^z. Infinite scores give the
/// limit; NaN stays.
pub(crate) fn exp_shifted<T: Real>(channels: usize, z: &mut Vec<T>, e: &mut Vec<T>, len: usize) {
    for row in z[..len].chunks_exact_mut(channels) {
        let largest = row.iter().fold(T::NEG_INFINITY, |m, &v| m.max(v));
        row.iter_mut().for_each(|v| *v = if *v == largest { T::ZERO } else { *v - largest });
    }
    map(Elementary::Exp, z, e, len);
}
