//! What operations take and return: a value that may have a place on a tape. The tape itself is in `tape.rs`.
//!
//! A *parameter* or a *variable* is where a differentiated computation starts, a *constant* has no place.

use std::fmt;

use crate::tape::NodeId;
use crate::{Gradients, Real, Shape, Tape, Tensor};

/// A tensor and, unless it is a constant, its place on the tape.
///
/// Operations take a `Var` by value: `let x = f(x);` keeps no activation alive. A clone costs a reference count.
///
/// A [`Tensor`] enters by [`Tape::constant`], or by [`Tape::variable`] if its gradient is wanted; what leaves a function that owns
/// its tape is [`into_value`](Self::into_value). `+ - * /` take values, references and numbers of the tape's type (`x * 2.0`). The other elementary operations are the methods below; any other
/// operation is a [`Function`](crate::Function), applied with [`Tape::apply`].
#[derive(Clone)]
pub struct Var<'t, T: Real = f32> {
    tape: &'t Tape<T>,
    node: Option<NodeId>,
    value: Tensor<T>,
}

impl<'t, T: Real> Var<'t, T> {
    pub(crate) fn new(tape: &'t Tape<T>, node: Option<NodeId>, value: Tensor<T>) -> Self {
        Self { tape, node, value }
    }

    pub(crate) fn node_id(&self) -> Option<NodeId> {
        self.node
    }

    /// The tape it belongs to.
    pub fn tape(&self) -> &'t Tape<T> {
        self.tape
    }

    /// The value.
    pub fn value(&self) -> &Tensor<T> {
        &self.value
    }

    /// The value, without the tape.
    pub fn into_value(self) -> Tensor<T> {
        self.value
    }

    /// The value's shape.
    pub fn shape(&self) -> Shape {
        self.value.shape()
    }

    /// Whether no gradient flows here.
    pub fn is_constant(&self) -> bool {
        self.node.is_none()
    }

    /// The same value as a constant.
    pub fn detach(self) -> Self {
        Self { node: None, ..self }
    }

    /// The only number. Panics unless there is exactly one.
    #[track_caller]
    pub fn item(&self) -> T {
        self.value.item()
    }

    /// The gradients of this number with respect to every parameter and variable that it depends on.
    ///
    /// The value is consumed, so read its [`item`](Self::item) first; of two losses differentiate the sum. The tape is consumed:
    /// operations are taken off its end and what they saved is freed as the pass goes. The
    /// tape may record anew afterwards, but a `Var` from before is no longer of use on it.
    ///
    /// # Panics
    /// Unless it is one number; if it is a constant; if the tape was consumed since.
    #[track_caller]
    pub fn backward(self) -> Gradients<T> {
        assert!(
            self.value.numel() == 1,
            "backward() starts from one number, not {}: sum it, or use backward_with",
            self.shape()
        );
        let one = Tensor::full(self.shape(), T::ONE);
        self.backward_with(one)
    }

    /// As [`backward`](Self::backward), from a tensor `y` whose own gradient is `dy`: the gradients of Σ y·dy.
    ///
    /// # Panics
    /// If `dy` has another shape; if `y` is a constant; if the tape was consumed since.
    #[track_caller]
    pub fn backward_with(self, dy: Tensor<T>) -> Gradients<T> {
        self.tape.backward_with([(self, dy)])
    }
}

impl<T: Real> fmt::Debug for Var<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", if self.is_constant() { "constant" } else { "var" }, self.value)
    }
}
