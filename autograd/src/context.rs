//! What goes along with a pass without being part of its record: how layers behave, the key of random numbers, the updates
//! of running statistics, and who looks on.
//!
//! Layers and training loops use it, differentiation does not: to be skipped at first.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::tape::Node;
use crate::{Gradients, ParamId, Parameter, Real, Shape, Tape, Tensor};

mod event;
mod updates;

pub use event::{Event, NonFinite, Pass};
pub(crate) use updates::Updates;

/// How layers behave that differ between training and use (dropout, batch normalisation).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Dropout drops, batch statistics normalise.
    Train,
    /// Dropout passes, running statistics normalise.
    Eval,
    /// Dropout drops, running statistics normalise.
    MonteCarlo,
}

/// Everything that a tape carries beside its nodes.
pub(crate) struct Context<T: Real> {
    mode: Mode,
    key: u64,
    first_sample: u64,
    draws: Cell<u64>,
    updates: RefCell<Updates<T>>,
    momentum: Option<f64>,
    observer: RefCell<Option<Observer>>,
    checks_finite: Cell<bool>,
    first_non_finite: Cell<Option<NonFinite>>,
    last_parameter: Cell<Option<ParamId>>,
    batch: Option<Arc<dyn WholeBatch>>,
    of_parameters: RefCell<Option<OfParameters<T>>>,
}

/// The whole of a batch that is divided among tapes, perhaps of several processes.
///
/// Operations that reduce over samples, as the loss of a batch does, [ask it](Tape::gather) for what the other parts hold.
pub trait WholeBatch: Send + Sync {
    /// The numbers of all parts, one part after the other in the order of their samples; `own` are those of this part. Every
    /// part asks for the same things in the same order.
    ///
    /// # Errors
    /// Why the other parts cannot be had.
    fn gather(&self, own: &[f64]) -> Result<Vec<f64>, String>;
}

type OfParameters<T> = Box<dyn FnMut(ParamId, &Tensor<T>) + Send>;
type Observer = Box<dyn FnMut(Event) + Send>;

impl<T: Real> Tape<T> {
    /// How layers behave.
    pub fn mode(&self) -> Mode {
        self.context.mode
    }

    /// The same tape for a part of a batch that begins with this sample of it; a new tape begins with sample 0. Operations
    /// draw random numbers for each sample by its place in the batch, so the parts draw what the whole does.
    #[must_use]
    pub fn from_sample(mut self, first: u64) -> Self {
        self.context.first_sample = first;
        self
    }

    /// The place in its batch of the first sample.
    pub fn first_sample(&self) -> u64 {
        self.context.first_sample
    }

    /// The same tape for a part of this batch, whose losses are those of the whole.
    #[must_use]
    pub fn of_batch(mut self, batch: Arc<dyn WholeBatch>) -> Self {
        self.context.batch = Some(batch);
        self
    }

    /// The numbers of all parts of the tape's batch, in the order of their samples: where it is not divided, `own`.
    ///
    /// # Errors
    /// As [`WholeBatch::gather`].
    pub fn gather(&self, own: Vec<f64>) -> Result<Vec<f64>, String> {
        self.context.batch.as_ref().map_or(Ok(own.clone()), |batch| batch.gather(&own))
    }

    /// Calls `f` in the backward pass with a parameter's gradient each time that it grows: while layers before it are still
    /// to come. Where a parameter is used once, it is complete then.
    pub fn on_gradient(&self, f: impl FnMut(ParamId, &Tensor<T>) + Send + 'static) {
        *self.context.of_parameters.borrow_mut() = Some(Box::new(f));
    }

    /// A key for the next random operation: a function of the tape's key and of how many were drawn before.
    pub fn draw_key(&self) -> u64 {
        let draw = self.context.draws.get();
        self.context.draws.set(draw + 1);
        mix(self.context.key ^ mix(draw.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    /// Announces that a buffer moves by `momentum` of the way to `target`: buffer ← (1 − momentum)·buffer +
    /// momentum·target; a momentum of 1 replaces it. The update leaves the tape with [`Gradients`](crate::Gradients) and is
    /// made by whoever owns the model: a model is `&self` in its forward pass. Several updates of one buffer follow each
    /// other, those of one pass as those of passes whose gradients are [added](crate::Gradients::add). A frozen buffer stays.
    ///
    /// # Panics
    /// If the shape is not the buffer's.
    #[track_caller]
    pub fn update(&self, buffer: &Parameter<T>, target: Tensor<T>, momentum: f64) {
        let (own, given) = (buffer.shape(), target.shape());
        assert!(own == given, "a buffer keeps its shape, {own}, and was given {given}");
        if !buffer.is_frozen() {
            let momentum = self.context.momentum.unwrap_or(momentum);
            self.context.updates.borrow_mut().push(buffer.id(), target, momentum);
        }
    }

    /// The same tape, on which every update has this momentum. With 1/k on the k-th of several passes, buffers that are updated
    /// once a pass become the mean over them: so running statistics are measured anew for weights that are an average of others.
    /// Panics unless 0 ≤ momentum ≤ 1.
    #[must_use]
    #[track_caller]
    pub fn with_momentum(mut self, momentum: f64) -> Self {
        assert!((0.0..=1.0).contains(&momentum), "with_momentum: {momentum} is not from 0 to 1");
        self.context.momentum = Some(momentum);
        self
    }

    /// The updates that were announced, where there is no backward pass: without gradients.
    pub fn into_updates(self) -> Gradients<T> {
        Gradients::with_updates(self.context.take_updates())
    }

    /// Calls `f` whenever an operation's forward or backward pass is done: with a clock, the time since the call before
    /// is that operation's. Only recorded operations are told of.
    pub fn observe(&self, f: impl FnMut(Event) + Send + 'static) {
        *self.context.observer.borrow_mut() = Some(Box::new(f));
    }

    /// Checks every value and gradient from here on, at the price of reading each once more. What is never computed, such
    /// as an activation that the next operation applies itself, cannot be checked.
    pub fn watch(&self) {
        self.context.checks_finite.set(true);
    }

    /// The first value or gradient since [`watch`](Self::watch) that was not finite.
    pub fn first_non_finite(&self) -> Option<NonFinite> {
        self.context.first_non_finite.get()
    }
}

impl<T: Real> Context<T> {
    pub(crate) fn new(mode: Mode, key: u64) -> Self {
        Self {
            mode,
            key,
            first_sample: 0,
            draws: Cell::new(0),
            updates: RefCell::default(),
            momentum: None,
            observer: RefCell::default(),
            checks_finite: Cell::new(false),
            first_non_finite: Cell::new(None),
            last_parameter: Cell::new(None),
            batch: None,
            of_parameters: RefCell::default(),
        }
    }

    /// For a part of the pass that has a tape of its own: its layers behave as here, its numbers are checked if they are
    /// here, and it draws from `key`.
    pub(crate) fn of_part(&self, key: u64) -> Self {
        let Self { first_sample, checks_finite, momentum, .. } = self;
        Self {
            first_sample: *first_sample,
            momentum: *momentum,
            checks_finite: checks_finite.clone(),
            ..Self::new(self.mode, key)
        }
    }

    pub(crate) fn take_updates(&self) -> Updates<T> {
        self.updates.take()
    }

    pub(crate) fn append_updates(&self, later: Updates<T>) {
        self.updates.borrow_mut().append(later);
    }

    /// Keeps what was found, in a part of the pass for instance, unless something was found before.
    pub(crate) fn keep_first(&self, found: Option<NonFinite>) {
        self.first_non_finite.set(self.first_non_finite.get().or(found));
    }

    /// A trainable parameter enters the tape: whatever is computed next belongs to its layer.
    pub(crate) fn note_parameter(&self, parameter: ParamId) {
        self.last_parameter.set(Some(parameter));
    }

    /// Tells the context of the whole which parameter was last used in this part of it, and whether any was.
    pub(crate) fn pass_parameter(&self, whole: &Self) -> bool {
        self.last_parameter.get().map(|parameter| whole.note_parameter(parameter)).is_some()
    }

    /// Checks the value of an operation.
    pub(crate) fn check_value(&self, operation: &'static str, value: &Tensor<T>) {
        self.check(operation, Pass::Forward, value, || self.last_parameter.get());
    }

    /// Tells the observer that an operation is done.
    pub(crate) fn notify(&self, operation: &'static str, pass: Pass, shape: Shape) {
        if let Some(observer) = &mut *self.observer.borrow_mut() {
            observer(Event { operation, pass, shape });
        }
    }

    /// Checks the gradient `dy` of a node's value. `earlier` are the nodes before it. Returns what
    /// [`after_backward`](Self::after_backward) is to be given: the operation, and the shape of its value.
    pub(crate) fn before_backward(
        &self,
        node: &Node<T>,
        dy: &Tensor<T>,
        earlier: &[Node<T>],
    ) -> Option<(&'static str, Shape)> {
        let parameter = |node: &Node<T>| if let Node::Parameter(id) = node { Some(*id) } else { None };
        match node {
            Node::Variable(_) => None,
            Node::Parameter(id) => {
                self.check("parameter", Pass::Backward, dy, || Some(*id));
                None
            }
            Node::Operation(operation) => {
                let name = operation.name();
                self.check(name, Pass::Backward, dy, || earlier.iter().rev().find_map(parameter));
                Some((name, dy.shape()))
            }
        }
    }

    /// Tells whoever waits for gradients of parameters that this one's has grown.
    pub(crate) fn grew(&self, parameter: ParamId, gradients: &Gradients<T>) {
        if let Some(f) = &mut *self.of_parameters.borrow_mut() {
            f(parameter, gradients.of(parameter));
        }
    }

    /// Tells the observer that a node, if it was an operation, has handed its gradient on.
    pub(crate) fn after_backward(&self, operation: Option<(&'static str, Shape)>) {
        if let Some((name, shape)) = operation {
            self.notify(name, Pass::Backward, shape);
        }
    }

    /// Notes a value or gradient that is not finite, if it is the first.
    fn check(
        &self,
        operation: &'static str,
        pass: Pass,
        value: &Tensor<T>,
        parameter: impl FnOnce() -> Option<ParamId>,
    ) {
        if self.checks_finite.get() && self.first_non_finite.get().is_none() && !value.is_finite() {
            let shape = value.shape();
            let found = NonFinite { operation, pass, shape, parameter: parameter() };
            self.first_non_finite.set(Some(found));
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of `x`.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;
