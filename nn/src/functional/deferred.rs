//! Normalised and activated tensors that nobody computes.
//!
//! The unit of the network is a convolution that reads a *raw* tensor through normalisation and activation. Where several
//! operations read the same activated tensor (a skip connection and a pooling), it is [`Deferred`]: its value is the raw
//! tensor with a few numbers per channel, its gradient that of the activated tensor, which the tape adds up over the
//! readers as usual.

use std::sync::Arc;

use autograd::{Backward, Real, Shape, Tape, Tensor, Var};

use super::norm_act::Normalised;
use super::{Activation, Moments, value};
use crate::kernels::Affine;
use crate::kernels::conv3d::Source;

/// act(γ·(raw − mean)·rstd + β), computed by whoever reads it.
#[derive(Clone)]
pub struct Deferred<'t, T: Real = f32> {
    /// The raw tensor, at a place on the tape that takes the gradient of the activated one.
    carrier: Var<'t, T>,
    unit: Arc<Normalised<T>>,
}

impl<'t, T: Real> Deferred<'t, T> {
    /// As [`norm_act_with`](super::norm_act_with), left to the readers.
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn new(
        raw: Var<'t, T>,
        moments: Moments<T>,
        gamma: Option<Var<'t, T>>,
        beta: Option<Var<'t, T>>,
        activation: Activation,
    ) -> Self {
        let unit = Arc::new(Normalised::new(raw.value(), moments, value(&gamma), value(&beta), activation));
        let inputs = [Some(&raw), gamma.as_ref(), beta.as_ref()];
        let carrier = raw.tape().record(DeferredNormAct, inputs, raw.value().clone(), unit.clone());
        Self { carrier, unit }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.carrier.shape()
    }

    /// The activated tensor, for operations that read no other.
    pub fn activated(self) -> Var<'t, T> {
        self.carrier.tape().record(Realised, [Some(&self.carrier)], self.unit.activated(), ())
    }
}

/// The carrier of a [`Deferred`]: its gradient is that of the activated tensor.
struct DeferredNormAct;

impl<T: Real> Backward<T, 3> for DeferredNormAct {
    type Saved = Arc<Normalised<T>>;

    fn backward(&self, unit: Self::Saved, da: Tensor<T>, needs: [bool; 3]) -> [Option<Tensor<T>>; 3] {
        unit.backward(da, needs)
    }
}

/// The activated tensor of a carrier; the gradients are the same.
struct Realised;

impl<T: Real> Backward<T, 1> for Realised {
    type Saved = ();

    fn backward(&self, (): (), da: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(da)]
    }
}

/// What an operation reads: a tensor as it lies, or one that it activates as it reads.
#[derive(Clone)]
pub enum Input<'t, T: Real = f32> {
    /// As it lies.
    Plain(Var<'t, T>),
    /// Normalised and activated on the way.
    Deferred(Deferred<'t, T>),
}

impl<'t, T: Real> Input<'t, T> {
    /// The shape.
    pub fn shape(&self) -> Shape {
        match self {
            Self::Plain(x) => x.shape(),
            Self::Deferred(x) => x.shape(),
        }
    }

    /// The tape.
    pub fn tape(&self) -> &'t Tape<T> {
        match self {
            Self::Plain(x) => x.tape(),
            Self::Deferred(x) => x.carrier.tape(),
        }
    }

    /// The tensor itself.
    pub fn activated(self) -> Var<'t, T> {
        match self {
            Self::Plain(x) => x,
            Self::Deferred(x) => x.activated(),
        }
    }

    /// Where the gradient of the activated tensor enters the tape; its value is the tensor as it lies. This is what a
    /// recomputation ([`Tape::checkpoint`]) leads a gradient back from: it needs the place, and not the activated tensor.
    pub fn carrier(self) -> Var<'t, T> {
        match self {
            Self::Plain(x) => x,
            Self::Deferred(x) => x.carrier,
        }
    }

    /// What the tape knows of it, and how to read it.
    pub(super) fn split(self) -> (Var<'t, T>, Reader<T>) {
        match self {
            Self::Plain(x) => {
                let reader = Reader { x: x.value().clone(), unit: None, affine: None };
                (x, reader)
            }
            Self::Deferred(x) => {
                let reader = Reader::of_unit(x.unit);
                (x.carrier, reader)
            }
        }
    }
}

impl<'t, T: Real> From<Var<'t, T>> for Input<'t, T> {
    fn from(x: Var<'t, T>) -> Self {
        Self::Plain(x)
    }
}

impl<'t, T: Real> From<Deferred<'t, T>> for Input<'t, T> {
    fn from(x: Deferred<'t, T>) -> Self {
        Self::Deferred(x)
    }
}

/// What an operation keeps of an input, to read it again in the backward pass.
#[derive(Clone)]
pub(super) struct Reader<T: Real> {
    x: Tensor<T>,
    unit: Option<Arc<Normalised<T>>>,
    affine: Option<Affine<T>>,
}

impl<T: Real> Reader<T> {
    pub(super) fn of_unit(unit: Arc<Normalised<T>>) -> Self {
        let affine = Some(unit.affine()).filter(Affine::is_fusible);
        Self { x: unit.x().clone(), affine, unit: Some(unit) }
    }

    pub(super) fn shape(&self) -> Shape {
        self.x.shape()
    }

    /// The tensor as a convolution reads it: through an affine, or activated beforehand where that is not fusible.
    pub(super) fn read(&self) -> Reading<'_, T> {
        match (&self.unit, &self.affine) {
            (Some(unit), None) => Reading { x: unit.activated(), affine: None },
            (_, affine) => Reading { x: self.x.clone(), affine: affine.as_ref() },
        }
    }

    pub(super) fn into_unit(self) -> Option<Arc<Normalised<T>>> {
        self.unit
    }
}

/// A tensor, and what to do with its numbers as they are read.
pub(super) struct Reading<'a, T: Real> {
    pub(super) x: Tensor<T>,
    pub(super) affine: Option<&'a Affine<T>>,
}

impl<T: Real> Reading<'_, T> {
    pub(super) fn source(&self) -> Source<'_, T> {
        Source { x: self.x.data(), channels: self.x.channels(), affine: self.affine }
    }
}
