//! The one interface of every operation, built in or your own: its formula and its derivative, side by side.

use crate::{Real, Tensor};

/// A differentiable function of `N` tensors with one tensor as its result.
///
/// An implementation is a small struct that holds the arguments that are not differentiated (a kernel size, an
/// exponent). `forward` computes the value and chooses what to keep for `backward`; a tensor is kept for the price
/// of a reference count. `backward` receives what was kept and the gradient `dy` of the loss with respect to the
/// value, both by value, so that memory is freed, or used again in place, as the backward pass goes.
///
/// A function whose forward pass yields a by-product that the caller needs (statistics for the next normalisation)
/// computes its value outside and calls [`Tape::record`](crate::Tape::record) instead of
/// [`Tape::apply`](crate::Tape::apply).
///
/// Optional inputs (a bias) are passed as an empty constant: [`Tape::absent`](crate::Tape::absent).
///
/// ```
/// use autograd::{Function, Real, Tape, Tensor};
///
/// /// y = x²
/// struct Square;
/// impl<T: Real> Function<T, 1> for Square {
///     type Saved = Tensor<T>;
///     fn forward(&self, [x]: [&Tensor<T>; 1]) -> (Tensor<T>, Tensor<T>) {
///         (x.map(|x| x * x), x.clone())
///     }
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
pub trait Function<T: Real, const N: usize>: Send + 'static {
    /// What `backward` needs.
    type Saved: Send + 'static;

    /// The value, and what to keep.
    fn forward(&self, x: [&Tensor<T>; N]) -> (Tensor<T>, Self::Saved);

    /// The gradients with respect to the inputs, each of its input's shape.
    ///
    /// `needs[i]` is false where nobody wants `dx[i]`: return `None` there and do not compute it.
    fn backward(&self, saved: Self::Saved, dy: Tensor<T>, needs: [bool; N]) -> [Option<Tensor<T>>; N];

    /// The name for messages; the type's own by default.
    fn name(&self) -> &'static str {
        let path = std::any::type_name::<Self>();
        let plain = path.split('<').next().unwrap_or(path);
        plain.rsplit("::").next().unwrap_or(plain)
    }
}
