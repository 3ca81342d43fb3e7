//! Which shapes go together, and where the gradient of the smaller one goes.
//!
//! | one operand | the other | result |
//! |---|---|---|
//! | any shape | the same | that shape |
//! | any shape | one number: `[]` or `[1]` | the first shape |
//! | `[.., c]` | a vector over channels: `[c]` | the first shape |
//!
//! Nothing else: NumPy's further rules hide mistakes more often than they save a line. Where an operand was used
//! many times its gradient is the sum over its uses, added up in the slab order of [`sums`](super::reduce::sums).

use super::reduce::sums;
use super::{axis_name, update_slabs};
use crate::parallel::{SLAB, slab_of_rows};
use crate::{Real, Shape, Tensor};

/// Whether `small` is spread over `large`.
fn spreads(small: &Shape, large: &Shape) -> bool {
    let is_number = small.numel() == 1 && small.rank() <= 1;
    let is_channels = small.rank() == 1 && large.rank() >= 1 && small.channels() == large.channels();
    small == large || (is_number && small.rank() <= large.rank()) || is_channels
}

/// The result's shape.
///
/// # Panics
/// If the operands' shapes do not go together; the message names the first axis that differs.
#[track_caller]
pub(super) fn result_shape(operation: &str, a: &Shape, b: &Shape) -> Shape {
    if spreads(b, a) {
        return *a;
    }
    if spreads(a, b) {
        return *b;
    }
    panic!(
        "{operation}: {a} and {b} do not go together: {}; \
         shapes are equal, or one is a single number, or a vector [c] over the other's last axis",
        difference(a, b)
    );
}

fn difference(a: &Shape, b: &Shape) -> String {
    if a.rank() == b.rank() {
        let axis = (0..a.rank()).find(|&i| a[i] != b[i]).unwrap_or(0);
        return format!("{} is {} against {}", axis_name(a.rank(), axis), a[axis], b[axis]);
    }
    if a.rank().min(b.rank()) == 1 {
        return format!("the channel axis is {} against {}", a.channels(), b.channels());
    }
    format!("{} axes against {}", a.rank(), b.rank())
}

/// `f(a, b)` of shapes that go together.
pub(super) fn combine<T: Real>(a: &Tensor<T>, b: &Tensor<T>, f: impl Fn(T, T) -> T + Sync) -> Tensor<T> {
    if spreads(&b.shape(), &a.shape()) {
        combine_into(a.clone(), b, f)
    } else {
        combine_into(b.clone(), a, |b, a| f(a, b))
    }
}

/// `f(large, small)`, in the memory of `large` where it is not shared.
pub(super) fn combine_into<T: Real>(
    large: Tensor<T>,
    small: &Tensor<T>,
    f: impl Fn(T, T) -> T + Sync,
) -> Tensor<T> {
    if large.shape() == small.shape() {
        return large.zip_map(small, f);
    }
    if small.numel() == 1 {
        let b = small.item();
        return update_slabs(large, SLAB, |_, y| y.iter_mut().for_each(|y| *y = f(*y, b)));
    }
    let channels = small.numel();
    if channels == 0 {
        return large;
    }
    update_slabs(large, slab_of_rows(channels), |_, y| {
        for row in y.chunks_exact_mut(channels) {
            row.iter_mut().zip(small.data()).for_each(|(y, &b)| *y = f(*y, b));
        }
    })
}

/// The gradient of an operand of shape `shape`, from the gradients of all its uses.
pub(super) fn sum_to<T: Real>(shape: Shape, dx: Tensor<T>) -> Tensor<T> {
    if dx.shape() == shape {
        return dx;
    }
    let sums = sums(dx.data(), shape.numel());
    Tensor::from_fn(shape, |i| T::from_f64(sums[i]))
}
