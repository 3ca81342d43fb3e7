//! What operations read: tensors as they lie, and tensors that are computed as they are read.
//!
//! A network spends its time in passes over memory, so a normalisation with its activation is not a pass of its own. What
//! it gives is an [`Input`]: the raw tensor, and the few numbers per channel by which a convolution, a pooling or a
//! transposed convolution computes the activated tensor in registers while it reads. The activated tensor exists only
//! where somebody asks for it ([`Input::into_var`]), or where no kernel has the formula (GELU, SiLU, ELU, the activated sum
//! of a residual block): then it is computed once and shared by its readers, and once more in the backward pass.
//!
//! On the tape an input that is computed later has one place, whose gradient is that of the activated tensor, added up
//! over its readers as usual. If a single convolution reads it, that convolution leads the gradient back through the
//! activation while it writes it, and takes the two sums that the normalisation needs ([`Reader::epilogue`]).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use autograd::{Backward, Real, Shape, Tape, Tensor, Var};

use crate::kernels::conv3d::{Epilogue, Source};
use crate::kernels::{Affine, Pairs};

/// What an operation reads: a tensor as it lies, one that is normalised and activated on the way, or two side by side.
///
/// Every [`Var`] turns into one.
#[derive(Clone)]
pub struct Input<'t, T: Real = f32>(Kind<'t, T>);

#[derive(Clone)]
enum Kind<'t, T: Real> {
    Plain(Var<'t, T>),
    /// The place on the tape that takes the gradient (its value is of no meaning), and what is to be computed.
    Deferred(Var<'t, T>, Arc<Held<T>>),
    /// The channels of the first, then those of the second.
    Beside(Box<[Input<'t, T>; 2]>),
}

impl<'t, T: Real> From<Var<'t, T>> for Input<'t, T> {
    fn from(x: Var<'t, T>) -> Self {
        Self(Kind::Plain(x))
    }
}

impl<'t, T: Real> Input<'t, T> {
    /// A formula of `inputs`, left to whoever reads it; `backward` takes the gradient of its value. `stand_in` is any
    /// tensor of the value's shape.
    pub(super) fn deferred<B, const N: usize>(
        tape: &'t Tape<T>,
        backward: B,
        inputs: [Option<&Var<'t, T>>; N],
        stand_in: Tensor<T>,
        formula: Arc<dyn Formula<T>>,
    ) -> Self
    where
        B: Backward<T, N, Saved = Arc<Deferred<T>>>,
    {
        let deferred = Arc::new(Deferred {
            formula,
            readers: AtomicUsize::new(0),
            value: Mutex::default(),
            sums: Mutex::default(),
        });
        let place = tape.record(backward, inputs, stand_in, deferred.clone());
        Self(Kind::Deferred(place, Arc::new(Held(deferred))))
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        match &self.0 {
            Kind::Plain(x) | Kind::Deferred(x, _) => x.shape(),
            Kind::Beside(parts) => {
                let [first, second] = parts.each_ref().map(Self::shape);
                first.with_channels(first.channels() + second.channels())
            }
        }
    }

    /// The tape.
    pub fn tape(&self) -> &'t Tape<T> {
        match &self.0 {
            Kind::Plain(x) | Kind::Deferred(x, _) => x.tape(),
            Kind::Beside(parts) => parts[0].tape(),
        }
    }

    /// The two side by side, as if their channels were concatenated. A convolution reads both as they are; for any other
    /// reader the concatenation is computed.
    ///
    /// # Panics
    /// Unless they agree in all axes but the last.
    #[track_caller]
    pub fn concat(self, other: impl Into<Self>) -> Self {
        let other = other.into();
        let [first, second] = [self.shape(), other.shape()];
        assert_eq!(
            first.with_channels(second.channels()),
            second,
            "inputs side by side agree in all axes but the last; got {first} and {second}"
        );
        Self(Kind::Beside(Box::new([self.single(), other.single()])))
    }

    /// The tensor itself.
    pub fn into_var(self) -> Var<'t, T> {
        match self.0 {
            Kind::Plain(x) => x,
            Kind::Beside(parts) => {
                let [first, second] = parts.map(Self::into_var);
                first.concat_channels(second)
            }
            Kind::Deferred(place, held) => {
                held.0.readers.fetch_add(1, Ordering::Relaxed);
                let value = held.0.value(Arc::strong_count(&held) > 1);
                place.tape().record(Computed, [Some(&place)], value, ())
            }
        }
    }

    /// A [checkpoint](super::checkpoint())'s result, when it is computed again to be differentiated: the place that takes
    /// the gradient, without spending memory on the tensor.
    pub(super) fn into_place(self) -> Var<'t, T> {
        match self.0 {
            Kind::Deferred(place, held) => {
                held.0.readers.fetch_add(1, Ordering::Relaxed);
                place
            }
            _ => self.into_var(),
        }
    }

    /// The same, not two side by side.
    pub(super) fn single(self) -> Self {
        match self.0 {
            Kind::Beside(_) => self.into_var().into(),
            _ => self,
        }
    }

    /// The one or two tensors that are read.
    pub(super) fn parts(self) -> Vec<Part<'t, T>> {
        match self.0 {
            Kind::Beside(parts) => parts.into_iter().flat_map(Self::parts).collect(),
            Kind::Plain(x) => {
                vec![Part { reader: Reader(Way::Plain(x.value().clone())), place: x, held: None }]
            }
            Kind::Deferred(place, held) => {
                held.0.readers.fetch_add(1, Ordering::Relaxed);
                vec![Part { reader: Reader(Way::Deferred(held.0.clone())), place, held: Some(held) }]
            }
        }
    }

    /// The one tensor that is read.
    pub(super) fn part(self) -> Part<'t, T> {
        self.single().parts().swap_remove(0)
    }
}

/// A tensor that an operation is about to read.
pub(super) struct Part<'t, T: Real> {
    /// Takes the gradient.
    pub(super) place: Var<'t, T>,
    /// What the operation keeps.
    pub(super) reader: Reader<T>,
    held: Option<Arc<Held<T>>>,
}

impl<T: Real> Part<'_, T> {
    /// The tensor, as a kernel reads it.
    pub(super) fn read(&self) -> Reading<'_, T> {
        let others = self.held.as_ref().is_some_and(|held| Arc::strong_count(held) > 1);
        self.reader.read_and_keep(others)
    }
}

/// What an operation keeps of a tensor, to read it again in the backward pass.
#[derive(Clone)]
pub(super) struct Reader<T: Real>(Way<T>);

#[derive(Clone)]
enum Way<T: Real> {
    Plain(Tensor<T>),
    Deferred(Arc<Deferred<T>>),
}

impl<T: Real> Reader<T> {
    pub(super) fn shape(&self) -> Shape {
        match &self.0 {
            Way::Plain(x) => x.shape(),
            Way::Deferred(deferred) => deferred.formula.shape(),
        }
    }

    /// The tensor, as a kernel reads it in the backward pass.
    pub(super) fn read(&self) -> Reading<'_, T> {
        let others = matches!(&self.0, Way::Deferred(deferred) if !deferred.has_one_reader());
        self.read_and_keep(others)
    }

    fn read_and_keep(&self, keep: bool) -> Reading<'_, T> {
        match &self.0 {
            Way::Plain(x) => Reading { x: x.clone(), affine: None },
            Way::Deferred(deferred) => match deferred.formula.affine() {
                Some((x, affine)) => Reading { x: x.clone(), affine: Some(affine) },
                None => Reading { x: deferred.value(keep), affine: None },
            },
        }
    }

    /// What the only reader does with the gradient as it writes it: leads it back through the activation, and takes the
    /// sums that are then [left](Self::leave) to the normalisation.
    pub(super) fn epilogue(&self) -> Epilogue<'_, T> {
        match &self.0 {
            Way::Deferred(deferred) if deferred.has_one_reader() => match deferred.formula.affine() {
                Some((x, affine)) => Epilogue::Gradient { x: x.data(), affine },
                None => Epilogue::Nothing,
            },
            _ => Epilogue::Nothing,
        }
    }

    /// Leaves the sums of an [epilogue](Self::epilogue) to the normalisation: the gradient that it is about to get has
    /// passed the activation.
    pub(super) fn leave(&self, sums: Pairs) {
        if let Way::Deferred(deferred) = &self.0 {
            *deferred.sums.lock().unwrap_or_else(PoisonError::into_inner) = Some(sums);
        }
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

/// A tensor that is computed from others when it is read.
pub(super) trait Formula<T: Real>: Send + Sync {
    /// Of the value.
    fn shape(&self) -> Shape;

    /// The value.
    fn compute(&self) -> Tensor<T>;

    /// The tensor and the numbers by which kernels compute the value as they read; `None` if they cannot.
    fn affine(&self) -> Option<(&Tensor<T>, &Affine<T>)>;
}

/// A formula, and what its readers share.
pub(super) struct Deferred<T: Real> {
    formula: Arc<dyn Formula<T>>,
    readers: AtomicUsize,
    /// The value, while more than one reader needs it and no kernel computes it on the way.
    value: Mutex<Option<Tensor<T>>>,
    /// See [`Reader::leave`].
    sums: Mutex<Option<Pairs>>,
}

impl<T: Real> Deferred<T> {
    fn has_one_reader(&self) -> bool {
        self.readers.load(Ordering::Relaxed) == 1
    }

    /// The value, which is kept for the readers after this one if there are any.
    fn value(&self, keep: bool) -> Tensor<T> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*value {
            return value.clone();
        }
        let computed = self.formula.compute();
        if keep && self.formula.affine().is_none() {
            *value = Some(computed.clone());
        }
        computed
    }

    /// Ends the backward pass of the readers: the value is given up, and what the only reader has left is taken.
    pub(super) fn close(&self) -> Option<Pairs> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Keeps the value between the readers of a forward pass: it is given up with the last handle.
struct Held<T: Real>(Arc<Deferred<T>>);

impl<T: Real> Drop for Held<T> {
    fn drop(&mut self) {
        self.0.value.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The value as a tensor of its own; the gradients are the same.
struct Computed;

impl<T: Real> Backward<T, 1> for Computed {
    type Saved = ();

    fn backward(&self, (): (), dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(dy)]
    }
}
