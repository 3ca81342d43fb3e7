//! What convolutions, transposed convolutions and poolings read: tensors as they lie, and tensors that are computed as they
//! are read.
//!
//! A network spends its time in passes over memory, so a normalisation with its activation is not a pass of its own. What
//! it gives is an [`Input`]: the raw tensor, and the few numbers per channel by which its readers compute the activated
//! tensor in registers. The activated tensor exists only where somebody asks for it ([`Input::into_var`]), or where no
//! kernel has the formula (GELU, SiLU, ELU, the activated sum of a residual block): then it is computed once in the forward
//! pass and once in the backward pass, and lives from its first reader to its last. A sum under a (leaky) ReLU is kept
//! instead, since its derivative is found from it.
//!
//! On the tape an input that is computed later has one *place*, which takes the gradient of the activated tensor, added up
//! over its readers as usual. If a convolution is the only reader, it leads that gradient back through the activation while
//! it writes it, takes the two sums that the normalisation needs, and leaves them ([`SavedInput::leave`]): the place then
//! gets the gradient before the activation, and knows it by the sums.
//!
//! | type | is | lives |
//! |---|---|---|
//! | [`Input`] | what a caller passes | from a layer to its readers |
//! | [`Part`] | one tensor of an input that is about to be read | during the reader's forward pass |
//! | [`SavedInput`] | what a reader keeps of it | until the reader's backward pass |
//! | [`Reading`] | the tensor, and what to do with its numbers, as a kernel takes it | during a kernel |
//! | [`Deferred`] | a formula of other tensors, and what its readers share | until the last reader's backward pass |

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use autograd::{Backward, Real, Shape, Tape, Tensor, Var};

use super::WithStats;
use crate::kernels::conv3d::{Epilogue, Source};
use crate::kernels::{Affine, Pairs};

/// What an operation reads: a tensor as it lies, one that is normalised and activated on the way, or two side by side.
///
/// Every [`Var`] turns into one, and [`into_var`](Self::into_var) back. A clone costs a reference count and is the same place
/// on the tape: features may be read by several heads, `global_avg_pool3d(features.clone())`.
#[derive(Clone)]
pub struct Input<'t, T: Real = f32>(Kind<'t, T>);

#[derive(Clone)]
enum Kind<'t, T: Real> {
    Plain(Var<'t, T>),
    /// The place on the tape (its value is of no meaning), and what is to be computed.
    Deferred(Var<'t, T>, Arc<Held<T>>),
    /// The channels of the first, then those of the second.
    Beside(Box<[Input<'t, T>; 2]>),
}

impl<'t, T: Real> From<Var<'t, T>> for Input<'t, T> {
    fn from(x: Var<'t, T>) -> Self {
        Self(Kind::Plain(x))
    }
}

/// What a layer takes: a [`Var`], an [`Input`], or what a convolution gives [with its statistics](super::WithStats).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a layer reads",
    label = "a `Var` or an `Input` is wanted here",
    note = "a `Tensor` enters a tape by `tape.constant(tensor)`, or by `tape.variable(tensor)` if its gradient is wanted"
)]
pub trait IntoInput<'t, T: Real> {
    /// As an input.
    fn into_input(self) -> Input<'t, T>;
}

#[diagnostic::do_not_recommend]
impl<'t, T: Real> IntoInput<'t, T> for Input<'t, T> {
    fn into_input(self) -> Self {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<'t, T: Real> IntoInput<'t, T> for Var<'t, T> {
    fn into_input(self) -> Input<'t, T> {
        self.into()
    }
}

#[diagnostic::do_not_recommend]
impl<'t, T: Real> IntoInput<'t, T> for &Var<'t, T> {
    fn into_input(self) -> Input<'t, T> {
        self.clone().into()
    }
}

#[diagnostic::do_not_recommend]
impl<'t, T: Real> IntoInput<'t, T> for WithStats<'t, T> {
    fn into_input(self) -> Input<'t, T> {
        self.into_var().into()
    }
}

impl<'t, T: Real> Input<'t, T> {
    /// A formula of `inputs`, left to whoever reads it; `backward` takes the gradient of its value. `stand_in` is any
    /// tensor of the value's shape.
    pub(super) fn deferred<F, B, const N: usize>(
        tape: &'t Tape<T>,
        backward: B,
        inputs: [Option<&Var<'t, T>>; N],
        stand_in: Tensor<T>,
        formula: F,
    ) -> Self
    where
        F: Formula<T> + 'static,
        B: Backward<T, N, Saved = (Arc<F>, Arc<Deferred<T>>)>,
    {
        if !tape.is_recording() && formula.affine().is_none() {
            // Nothing of the formula is needed once it is computed.
            return tape.constant(formula.compute()).into();
        }
        let formula = Arc::new(formula);
        let deferred = Arc::new(Deferred {
            formula: formula.clone(),
            readers: AtomicUsize::new(0),
            saved: Arc::default(),
            value: Mutex::default(),
            sums: Mutex::default(),
        });
        let place = tape.record(backward, inputs, stand_in, (formula, deferred.clone()));
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
    pub fn concat(self, other: impl IntoInput<'t, T>) -> Self {
        let other = other.into_input();
        let [first, second] = [self.shape(), other.shape()];
        assert!(
            first.with_channels(second.channels()) == second,
            "inputs side by side agree in all axes but the last; got {first} and {second}"
        );
        Self(Kind::Beside(Box::new([self.joined(), other.joined()])))
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
                held.0.count_reader();
                let value = held.0.value(held.has_others());
                place.tape().record(Computed, [Some(&place)], value, ())
            }
        }
    }

    /// The place that takes the gradient, without spending memory on the tensor: for a result that is computed again only
    /// to be differentiated ([`checkpoint`](super::checkpoint())).
    pub(super) fn into_place(self) -> Var<'t, T> {
        match self.0 {
            Kind::Deferred(place, held) => {
                held.0.count_reader();
                place
            }
            _ => self.into_var(),
        }
    }

    /// The same, concatenated if it is two side by side.
    fn joined(self) -> Self {
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
                vec![Part { saved: SavedInput::Plain(x.value().clone()), place: x, held: None }]
            }
            Kind::Deferred(place, held) => {
                held.0.count_reader();
                let saved = SavedInput::Deferred(held.0.clone(), held.0.saved.clone());
                vec![Part { saved, place, held: Some(held) }]
            }
        }
    }

    /// The one tensor that is read.
    pub(super) fn part(self) -> Part<'t, T> {
        self.joined().parts().swap_remove(0)
    }
}

/// A tensor that an operation is about to read.
pub(super) struct Part<'t, T: Real> {
    /// Takes the gradient.
    pub(super) place: Var<'t, T>,
    /// For the backward pass.
    pub(super) saved: SavedInput<T>,
    /// Keeps the value for others that read it in this forward pass.
    pub(super) held: Option<Arc<Held<T>>>,
}

impl<T: Real> Part<'_, T> {
    /// The tensor, as a kernel reads it.
    pub(super) fn read(&self) -> Reading<'_, T> {
        self.saved.read_and_keep(self.held.as_ref().is_some_and(|held| held.has_others()))
    }
}

/// What an operation keeps of a tensor, to read it again in the backward pass.
#[derive(Clone)]
pub(super) enum SavedInput<T: Real> {
    Plain(Tensor<T>),
    /// With a token, by which those are counted that are yet to read it.
    Deferred(Arc<Deferred<T>>, Arc<()>),
}

impl<T: Real> SavedInput<T> {
    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Plain(x) => x.shape(),
            Self::Deferred(deferred, _) => deferred.formula.shape(),
        }
    }

    /// The tensor, as a kernel reads it in the backward pass. The value is kept while others are to read it.
    pub(super) fn read(&self) -> Reading<'_, T> {
        // One token is the formula's own.
        self.read_and_keep(matches!(self, Self::Deferred(_, token) if Arc::strong_count(token) > 2))
    }

    pub(super) fn read_and_keep(&self, keep: bool) -> Reading<'_, T> {
        match self {
            Self::Plain(x) => Reading { x: x.clone(), affine: None },
            Self::Deferred(deferred, _) => match deferred.formula.affine() {
                Some((x, affine)) => Reading { x: x.clone(), affine: Some(affine) },
                None => Reading { x: deferred.value(keep), affine: None },
            },
        }
    }

    /// What the only reader does with the gradient as it writes it; the sums are then to be [left](Self::leave).
    pub(super) fn epilogue(&self) -> Epilogue<'_, T> {
        match self {
            Self::Deferred(deferred, _) if deferred.readers.load(Ordering::Relaxed) == 1 => {
                match deferred.formula.affine() {
                    Some((x, affine)) => Epilogue::Gradient { x: x.data(), affine },
                    None => Epilogue::Nothing,
                }
            }
            _ => Epilogue::Nothing,
        }
    }

    /// Leaves the sums of an [epilogue](Self::epilogue) to the normalisation: the gradient that it is about to get has
    /// passed the activation.
    pub(super) fn leave(&self, sums: Pairs) {
        if let Self::Deferred(deferred, _) = self {
            *locked(&deferred.sums) = Some(sums);
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

    /// Whether the value is kept until the derivative of the formula, which is found from it.
    fn keeps_value(&self) -> bool {
        false
    }

    /// Gives up what is held for readers of the forward pass.
    fn release(&self) {}
}

/// A formula, and what its readers share.
pub(super) struct Deferred<T: Real> {
    formula: Arc<dyn Formula<T>>,
    /// All that hand a gradient back.
    readers: AtomicUsize,
    /// Shared with each [`SavedInput`].
    saved: Arc<()>,
    /// The value, between two readers, where no kernel computes it on the way; or until the derivative.
    value: Mutex<Option<Tensor<T>>>,
    /// See [`SavedInput::leave`].
    sums: Mutex<Option<Pairs>>,
}

impl<T: Real> Deferred<T> {
    fn count_reader(&self) {
        self.readers.fetch_add(1, Ordering::Relaxed);
    }

    /// The value; `keep` it for another reader, unless kernels compute it on the way.
    fn value(&self, keep: bool) -> Tensor<T> {
        let mut slot = locked(&self.value);
        let value = slot.take().unwrap_or_else(|| self.formula.compute());
        if self.formula.keeps_value() || keep && self.formula.affine().is_none() {
            *slot = Some(value.clone());
        }
        value
    }

    /// The value for the derivative, if it was kept.
    pub(super) fn take_value(&self) -> Option<Tensor<T>> {
        locked(&self.value).take()
    }

    /// The sums that the only reader has left, if it has.
    pub(super) fn take_sums(&self) -> Option<Pairs> {
        locked(&self.sums).take()
    }
}

/// The handle by which the value is kept between the readers of a forward pass.
pub(super) struct Held<T: Real>(Arc<Deferred<T>>);

impl<T: Real> Held<T> {
    /// Whether there is another handle, by which the value may be read again.
    pub(super) fn has_others(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }
}

impl<T: Real> Drop for Held<T> {
    fn drop(&mut self) {
        if !self.0.formula.keeps_value() {
            locked(&self.0.value).take();
        }
        self.0.formula.release();
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

/// What a lock guards is whole at any time, also after a panic elsewhere.
fn locked<V>(lock: &Mutex<V>) -> MutexGuard<'_, V> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
