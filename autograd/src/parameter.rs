//! What training changes: parameters, and the buffers that layers keep beside them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Real, Shape, Tensor};

/// Names a parameter for as long as the process runs. Ordered by creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ParamId(u64);

impl ParamId {
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A named-by-identity tensor that outlives tapes.
///
/// A *trainable* parameter enters a tape with [`Tape::parameter`](crate::Tape::parameter) and finds its gradient in
/// [`Gradients`](crate::Gradients). A *buffer* (running statistics) has no gradient: new values leave a tape with
/// [`Tape::update`](crate::Tape::update) and are set when the optimiser steps. A *frozen* one enters as a constant, so the
/// backward pass ends where only frozen ones are left, and is not updated; an optimiser remembers what it knew of it.
///
/// A clone shares the identity: it is a snapshot of the same parameter, as in a copy of a whole model. Where both are used
/// on one tape, as a teacher and its student are, the copy must be [`fresh`](Self::fresh).
///
/// ```
/// # use autograd::{Parameter, Tape, Tensor};
/// let (mut w, tape) = (Parameter::new(Tensor::scalar(2.0f32)), Tape::train(0));
/// let y = tape.parameter(&w) * tape.parameter(&w.fresh());
/// assert_eq!(y.backward().get(&w).unwrap().item(), 2.0); // of w alone
/// w.freeze();
/// assert!(tape.parameter(&w).is_constant());
/// ```
#[derive(Clone, Debug)]
pub struct Parameter<T: Real = f32> {
    id: ParamId,
    value: Tensor<T>,
    is_buffer: bool,
    is_frozen: bool,
}

impl<T: Real> Parameter<T> {
    /// A trainable parameter.
    pub fn new(value: Tensor<T>) -> Self {
        Self { id: ParamId::fresh(), value, is_buffer: false, is_frozen: false }
    }

    /// A buffer: saved and loaded like a parameter, but without a gradient.
    pub fn buffer(value: Tensor<T>) -> Self {
        Self { is_buffer: true, ..Self::new(value) }
    }

    /// The same under an identity of its own.
    pub fn fresh(&self) -> Self {
        Self { id: ParamId::fresh(), ..self.clone() }
    }

    /// From here on it stays as it is.
    pub fn freeze(&mut self) {
        self.is_frozen = true;
    }

    /// From here on it changes again.
    pub fn unfreeze(&mut self) {
        self.is_frozen = false;
    }

    /// Whether it stays as it is.
    pub fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Whether it is a buffer.
    pub fn is_buffer(&self) -> bool {
        self.is_buffer
    }

    /// Whether it has a gradient: it is neither a buffer nor frozen.
    pub fn is_trainable(&self) -> bool {
        !self.is_buffer && !self.is_frozen
    }

    /// The identity.
    pub fn id(&self) -> ParamId {
        self.id
    }

    /// The value.
    pub fn value(&self) -> &Tensor<T> {
        &self.value
    }

    /// The value, to be changed in place.
    pub fn value_mut(&mut self) -> &mut Tensor<T> {
        &mut self.value
    }

    /// The value's shape.
    pub fn shape(&self) -> Shape {
        self.value.shape()
    }

    /// Replaces the value.
    ///
    /// # Panics
    /// If the shape differs.
    #[track_caller]
    pub fn set(&mut self, value: Tensor<T>) {
        let (own, given) = (self.value.shape(), value.shape());
        assert!(own == given, "a parameter keeps its shape, {own}, and was given {given}");
        self.value = value;
    }
}
