//! The interface of every operation, built in or your own: its formula and its derivative, side by side.
//!
//! `ops/elementwise.rs` has the simplest ones; `tape.rs` records them.

use crate::{Real, Tensor};

/// The derivative of an operation: what the tape keeps of it.
///
/// An implementation is a small struct that holds the arguments that are not differentiated (a kernel size, an
/// exponent). `backward` receives what was saved and the gradient `dy` of the loss with respect to the value.
///
/// Both come by value: an operation is differentiated once, so nobody else needs them any more. What was saved is freed when
/// `backward` returns, and with it the memory of a pass shrinks as it goes; and `dx` can be written where `dy` was, as
/// [`Tensor::zip_map`] does below, so that a chain of operations passes one tensor along and allocates none.
///
/// An operation whose value is computed by the tape is a [`Function`]. One whose value is computed outside, because the
/// caller wants a by-product of it or because an input is optional, is a `Backward` alone, recorded with
/// [`Tape::record`](crate::Tape::record).
pub trait Backward<T: Real, const N: usize>: Send + 'static {
    /// What `backward` needs.
    type Saved: Send + 'static;

    /// The gradients with respect to the inputs, each of its input's shape.
    ///
    /// `needs[i]` is false where nobody wants `dx[i]`: return `None` there and do not compute it.
    fn backward(&self, saved: Self::Saved, dy: Tensor<T>, needs: [bool; N]) -> [Option<Tensor<T>>; N];

    /// The name for messages; the type's own by default.
    fn name(&self) -> &'static str {
        type_name::<Self>()
    }
}

/// A differentiable function of `N` tensors with one tensor as its result: see [`Tape::apply`](crate::Tape::apply).
///
/// ```
/// use autograd::{Backward, Function, Real, Tape, Tensor};
///
/// /// y = x²
/// struct Square;
///
/// impl<T: Real> Function<T, 1> for Square {
///     fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Tensor<T>) {
///         (x.map(|x| x * x), x.clone())
///     }
/// }
///
/// impl<T: Real> Backward<T, 1> for Square {
///     type Saved = Tensor<T>;
///     fn backward(&self, x: Tensor<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
///         [Some(dy.zip_map(&x, |dy, x| dy * (x + x)))]
///     }
/// }
///
/// let tape = Tape::<f64>::train(0);
/// let x = tape.variable(Tensor::from_vec([2], vec![3.0, -1.0]));
/// let y = tape.apply(Square, [x.clone()]).sum();
/// assert_eq!(y.backward().wrt(&x).unwrap().data(), [6.0, -2.0]);
/// ```
pub trait Function<T: Real, const N: usize>: Backward<T, N> {
    /// The value, and what to save for `backward`; a tensor is saved for the price of a reference count.
    ///
    /// `needs[i]` is false where nobody will want `dx[i]`: save nothing for its sake.
    fn forward(&self, x: [&Tensor<T>; N], needs: [bool; N]) -> (Tensor<T>, Self::Saved);
}

/// A type's name without its path and parameters.
pub(crate) fn type_name<S: ?Sized>() -> &'static str {
    let path = std::any::type_name::<S>();
    let plain = path.split('<').next().unwrap_or(path);
    plain.rsplit("::").next().unwrap_or(plain)
}
