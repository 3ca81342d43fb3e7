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
/// [`Tape::update`](crate::Tape::update) and are set when the optimiser steps.
///
/// A clone shares the identity: it is a snapshot of the same parameter, as in a copy of a whole model.
#[derive(Clone, Debug)]
pub struct Parameter<T: Real = f32> {
    id: ParamId,
    value: Tensor<T>,
    trainable: bool,
}

impl<T: Real> Parameter<T> {
    /// A trainable parameter.
    pub fn new(value: Tensor<T>) -> Self {
        Self { id: ParamId::fresh(), value, trainable: true }
    }

    /// A buffer: saved and loaded like a parameter, but without a gradient.
    pub fn buffer(value: Tensor<T>) -> Self {
        Self { id: ParamId::fresh(), value, trainable: false }
    }

    /// The identity.
    pub fn id(&self) -> ParamId {
        self.id
    }

    /// Whether it has a gradient.
    pub fn is_trainable(&self) -> bool {
        self.trainable
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
        assert_eq!(self.value.shape(), value.shape(), "a parameter keeps its shape");
        self.value = value;
    }
}
