//! Broadcasting: which shapes go together, and where the gradient of the smaller one goes.
//!
//! | one operand | the other | result |
//! |---|---|---|
//! | any shape | the same | that shape |
//! | any shape | one number: `[]` or `[1]` | the first shape |
//! | `[.., c]` | a vector over channels: `[c]` | the first shape |
//! | `[n, d, h, w, c]` | as many axes, some of extent 1: `[n, 1, 1, 1, c]`, `[n, d, h, w, 1]` | the larger extent of each axis |
//!
//! Nothing else: NumPy also puts axes in front, which hides mistakes more often than it saves a line. Where an operand was
//! used many times its gradient is the sum over its uses, added up in the slab order of [`sums`](super::reduce::sums_over).

use super::reduce::sums_over;
use super::{axis_name, for_each_part};
use crate::parallel::SLAB;
use crate::{Real, Shape, Tensor};

/// The extents of `small` along the axes of a result of this rank; `None` where it has others.
fn aligned(small: &Shape, rank: usize) -> Option<Shape> {
    let mut dims = [1; crate::MAX_RANK];
    match small.rank() {
        same if same == rank => return Some(*small),
        0 => {}
        1 if rank > 0 => dims[rank - 1] = small[0],
        _ => return None,
    }
    Some(Shape::new(&dims[..rank]))
}

/// The result's shape.
///
/// # Panics
/// If the operands' shapes do not go together; the message names the first axis that differs.
#[track_caller]
pub(super) fn result_shape(operation: &str, a: &Shape, b: &Shape) -> Shape {
    let rank = a.rank().max(b.rank());
    // A vector is not spread over itself: [n, 1] − [n] would be [n, n], which nobody means.
    let is_same_rank = a.rank() == b.rank();
    let is_number = |shape: &Shape| shape.rank() <= 1 && shape.numel() == 1;
    let spreads = is_same_rank || is_number(a) || is_number(b) || a.channels() == b.channels();
    if let (Some(a), Some(b), true) = (aligned(a, rank), aligned(b, rank), spreads) {
        let fit = |axis: usize| match (a[axis], b[axis]) {
            (1, extent) | (extent, 1) => Some(extent),
            (a, b) => (a == b).then_some(a),
        };
        if let Some(dims) = (0..rank).map(fit).collect::<Option<Vec<_>>>() {
            return Shape::new(&dims);
        }
    }
    panic!(
        "{operation}: {a} and {b} do not go together: {}; \
         shapes are equal up to axes of extent 1, or one is a single number, or a vector [c] over the other's last axis",
        difference(a, b)
    );
}

fn difference(a: &Shape, b: &Shape) -> String {
    if a.rank() == b.rank() {
        let differ = |&i: &usize| a[i] != b[i] && a[i] != 1 && b[i] != 1;
        let axis = (0..a.rank()).find(differ).unwrap_or(0);
        return format!("{} is {} against {}", axis_name(a.rank(), axis), a[axis], b[axis]);
    }
    if a.rank().min(b.rank()) == 1 {
        return format!("the channel axis is {} against {}", a.channels(), b.channels());
    }
    format!("{} axes against {}", a.rank(), b.rank())
}

/// `f(a, b)` of shapes that go together.
pub(super) fn combine<T: Real>(a: &Tensor<T>, b: &Tensor<T>, f: impl Fn(T, T) -> T + Sync) -> Tensor<T> {
    let shape = result_shape("", &a.shape(), &b.shape());
    if a.shape() == shape {
        combine_into(a.clone(), b, f)
    } else if b.shape() == shape {
        combine_into(b.clone(), a, |b, a| f(a, b))
    } else {
        combine_into(spread(a, shape), b, f)
    }
}

/// `small` at every place of a shape that it goes together with.
pub(super) fn spread<T: Real>(small: &Tensor<T>, shape: Shape) -> Tensor<T> {
    combine_into(Tensor::scratch(shape), small, |_, small| small)
}

/// `f(large, small)`, in the memory of `large` where it is not shared.
pub(super) fn combine_into<T: Real>(
    mut large: Tensor<T>,
    small: &Tensor<T>,
    f: impl Fn(T, T) -> T + Sync,
) -> Tensor<T> {
    let shape = large.shape();
    if shape == small.shape() {
        return large.zip_map(small, f);
    }
    let of_small = aligned(&small.shape(), shape.rank()).expect("the shapes go together");
    // Extent and step in `small` of groups of neighbouring axes, the innermost first.
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let mut step = 1;
    for axis in (0..shape.rank()).rev().filter(|&axis| shape[axis] != 1) {
        let (extent, is_spread) = (shape[axis], of_small[axis] == 1);
        match groups.last_mut() {
            Some((group, of_group)) if (*of_group == 0) == is_spread => *group *= extent,
            _ => groups.push((extent, if is_spread { 0 } else { step })),
        }
        step *= of_small[axis];
    }
    let Some(&(run, step_in_run)) = groups.first() else {
        return large.zip_map(&small.clone().reshape(shape), f);
    };
    let place = |run: usize| {
        let at = |(run, place): (usize, usize), (extent, step): &(usize, usize)| {
            (run / extent, place + run % extent * step)
        };
        groups[1..].iter().fold((run, 0), at).1
    };
    large.update_slabs(SLAB, |start, y| {
        for_each_part(start, y, run, |i, first, part| {
            let from = &small.data()[place(i)..];
            match step_in_run {
                0 => {
                    let b = from[0];
                    part.iter_mut().for_each(|y| *y = f(*y, b));
                }
                _ => part.iter_mut().zip(&from[first..]).for_each(|(y, &b)| *y = f(*y, b)),
            }
        });
    });
    large
}

/// The gradient of an operand of shape `shape`, from the gradients of all its uses.
pub(super) fn sum_to<T: Real>(shape: Shape, dx: Tensor<T>) -> Tensor<T> {
    if dx.shape() == shape {
        return dx;
    }
    let small = aligned(&shape, dx.shape().rank()).expect("the shapes go together");
    let sums = sums_over(&dx, |axis| small[axis] == 1);
    Tensor::from_fn(shape, |i| T::from_f64(sums[i]))
}
