//! The elementary operations: methods of [`Var`], and `+ - * /` between them.
//!
//! Each is a small struct that implements [`Function`](crate::Function) and [`Backward`](crate::Backward), its formula
//! and its derivative adjacent.
//!
//! | file | operations |
//! |---|---|
//! | `elementwise` | exp, ln, sqrt, square, abs, clamp, powf, and the mechanism that all functions of one number share |
//! | `activation` | relu, leaky_relu, elu, gelu, silu, sigmoid, tanh, softplus |
//! | `arithmetic` | + − · / of two tensors, or of a tensor and a number; − of one |
//! | `broadcast` | which shapes go together, and how the gradient of the smaller is summed |
//! | `reduce` | sums and means over all axes or over chosen ones |
//! | `extreme` | maximum and minimum of two tensors; max_axes, min_axes |
//! | `softmax` | softmax, log_softmax over channels |
//! | `shape` | reshape, permute, slice, pad, concat_channels |
//! | `matmul` | matrix products, one or a batch |
//!
//! Infinite and undefined numbers follow IEEE 754: NaN in, NaN out, and a derivative is multiplied by `dy` even
//! where it is 0, so an infinite `dy` turns into NaN there.

use crate::{Real, Shape, Tape, Var};

mod activation;
mod arithmetic;
mod broadcast;
mod elementwise;
mod extreme;
mod matmul;
mod reduce;
mod shape;
mod softmax;

/// The tape on which an operation with these inputs is recorded: a constant goes along with any tape.
///
/// # Panics
/// If there is no input.
pub fn tape_of<'t, T: Real, const N: usize>(inputs: [Option<&Var<'t, T>>; N]) -> &'t Tape<T> {
    let mut given = inputs.into_iter().flatten();
    let variable = given.clone().find(|x| !x.is_constant());
    variable.or_else(|| given.next()).expect("an operation has an input").tape()
}

/// `f(block, first, part)` for the parts of the blocks of a tensor that lie in `slab`, which begins at number `start`: a part
/// begins at number `first` of its block. Slabs cut blocks that are longer, so that there is work for many threads where one
/// block is all.
fn for_each_part<T>(
    start: usize,
    mut slab: &mut [T],
    block: usize,
    mut f: impl FnMut(usize, usize, &mut [T]),
) {
    let mut place = start;
    while !slab.is_empty() {
        let first = place % block;
        let (part, rest) = slab.split_at_mut(slab.len().min(block - first));
        f(place / block, first, part);
        place += part.len();
        slab = rest;
    }
}

/// `shape` with extent 1 along `axes`.
#[track_caller]
fn kept_axes(operation: &str, shape: Shape, axes: &[usize]) -> Shape {
    let mut dims = shape.to_vec();
    for (i, &axis) in axes.iter().enumerate() {
        check_axis(operation, shape, axis);
        assert!(!axes[..i].contains(&axis), "{operation}: {axes:?} names axis {axis} twice");
        dims[axis] = 1;
    }
    Shape::new(&dims)
}

#[track_caller]
fn check_axis(operation: &str, shape: Shape, axis: usize) {
    assert!(axis < shape.rank(), "{operation}: there is no axis {axis} in {shape}");
}

/// The name of an axis in messages: `n, d, h, w, c` for activations, `channels` for the last, else its number.
fn axis_name(rank: usize, axis: usize) -> String {
    if rank == 5 {
        return format!("axis {}", ["n", "d", "h", "w", "c"][axis]);
    }
    if axis + 1 == rank { format!("axis {axis} (channels)") } else { format!("axis {axis}") }
}
