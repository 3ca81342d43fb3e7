//! The Wengert list: what was computed, in order, so that it can be differentiated in reverse.
//!
//! It is a textbook tape with three repairs. A [`Var`] owns its value, and the tape keeps only what each operation
//! chose to save. The backward pass consumes: nodes are popped from the end, so memory is freed as it goes. A
//! constant is a `Var` without a node, so nothing is computed for it: the input volume's gradient never exists, and
//! inference is the same code with the parameters entering as constants.
//!
//! This file knows no operation: see [`Backward`] and [`Function`]. It is read backwards in `backward.rs`. What a tape carries
//! beside its nodes, such as the key of random numbers, is in `context.rs`.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::backward::{Operation, Recorded};
use crate::context::Context;
use crate::{Backward, Function, Mode, ParamId, Parameter, Pass, Real, Tensor, Var};

/// A place on a tape, valid until that tape's backward pass.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct NodeId {
    /// The tape's [generation](Tape::generation) when the node was pushed.
    generation: u32,
    index: u32,
}

impl NodeId {
    /// The number of nodes before it.
    pub(crate) fn index(self) -> usize {
        self.index as usize
    }
}

/// The record of one forward pass. `Send`, not `Sync`: one per batch; the parallelism is inside the operations.
pub struct Tape<T: Real = f32> {
    recording: bool,
    /// Which record this is: a number unique in the process, and a new one after each backward pass. A `Var` remembers
    /// the one that it was made under, so one from another tape, or from before a backward pass, is recognised.
    generation: Cell<u32>,
    nodes: RefCell<Vec<Node<T>>>,
    pub(crate) context: Context<T>,
}

/// Where a value came from that has a gradient.
pub(crate) enum Node<T: Real> {
    Parameter(ParamId),
    Variable(NodeId),
    Operation(Box<dyn Operation<T>>),
}

impl<T: Real> Tape<T> {
    /// A tape for a training step. Dropout and the like draw their random numbers from `key`, which is mixed, and the
    /// order of the draws: another key for each step, such as the seed plus the step, is enough.
    pub fn train(key: u64) -> Self {
        Self::new(true, Context::new(Mode::Train, key))
    }

    /// A tape that records, with layers as in use: to differentiate a trained network.
    pub fn eval() -> Self {
        Self::new(true, Context::new(Mode::Eval, 0))
    }

    /// A tape that records nothing, with layers as in use: for inference.
    pub fn no_grad() -> Self {
        Self::new(false, Context::new(Mode::Eval, 0))
    }

    /// A tape that records nothing, with layers as in use but for dropout, which drops: for samples of what a network might
    /// say (Gal and Ghahramani 2016, "Monte Carlo dropout"). Each needs a key of its own.
    pub fn monte_carlo(key: u64) -> Self {
        Self::new(false, Context::new(Mode::MonteCarlo, key))
    }

    /// The same tape, which records nothing from here on. Of a training tape what is left are the updates of running
    /// statistics, in [`into_updates`](Self::into_updates).
    #[must_use]
    pub fn without_recording(self) -> Self {
        Self { recording: false, ..self }
    }

    pub(crate) fn new(recording: bool, context: Context<T>) -> Self {
        Self { recording, generation: Cell::new(next_generation()), nodes: RefCell::default(), context }
    }

    /// Whether operations are recorded.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// The number of recorded nodes.
    pub fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value without a gradient.
    pub fn constant(&self, value: Tensor<T>) -> Var<'_, T> {
        Var::new(self, None, value)
    }

    /// A value with a gradient, found with [`Gradients::wrt`](crate::Gradients::wrt).
    pub fn variable(&self, value: Tensor<T>) -> Var<'_, T> {
        let node = self.recording.then(|| self.push(Node::Variable));
        Var::new(self, node, value)
    }

    /// A parameter's value; its gradient is found with [`Gradients::get`](crate::Gradients::get). What is a buffer
    /// or frozen enters as a constant.
    pub fn parameter(&self, parameter: &Parameter<T>) -> Var<'_, T> {
        let value = parameter.value().clone();
        if !parameter.is_trainable() {
            return self.constant(value);
        }
        self.context.note_parameter(parameter.id());
        let node = self.recording.then(|| self.push(|_| Node::Parameter(parameter.id())));
        Var::new(self, node, value)
    }

    /// Computes a function's value and records it.
    ///
    /// # Panics
    /// If an input belongs to another tape, or to this one before its backward pass.
    #[track_caller]
    pub fn apply<'t, F, const N: usize>(&'t self, function: F, inputs: [Var<'t, T>; N]) -> Var<'t, T>
    where
        F: Function<T, N>,
    {
        let needs = inputs.each_ref().map(|x| !x.is_constant());
        let (value, saved) = function.forward(inputs.each_ref().map(Var::value), needs);
        self.record(function, inputs.each_ref().map(Some), value, saved)
    }

    /// Records an operation whose value was computed outside, unless all its inputs are constants, as they are where nothing
    /// is recorded. An optional input that is absent is `None`, and its gradient is never asked for.
    ///
    /// # Panics
    /// As [`apply`](Self::apply).
    #[track_caller]
    pub fn record<'t, B, const N: usize>(
        &'t self,
        backward: B,
        inputs: [Option<&Var<'t, T>>; N],
        value: Tensor<T>,
        saved: B::Saved,
    ) -> Var<'t, T>
    where
        B: Backward<T, N>,
    {
        // A loop: in a closure the caller's line would be lost.
        let mut places = [None; N];
        for (place, x) in places.iter_mut().zip(inputs) {
            if let Some(x) = x {
                *place = self.check(x).map(|node| (node, x.shape()));
            }
        }
        let inputs = places;
        self.context.check_value(backward.name(), &value);
        if inputs.iter().all(Option::is_none) {
            return self.constant(value);
        }
        self.record_operation(Box::new(Recorded { backward, saved, inputs }), value)
    }

    pub(crate) fn record_operation(&self, operation: Box<dyn Operation<T>>, value: Tensor<T>) -> Var<'_, T> {
        self.context.notify(operation.name(), Pass::Forward, value.shape());
        let node = self.push(|_| Node::Operation(operation));
        Var::new(self, Some(node), value)
    }

    /// The node of an input, after making sure that it is of this tape and still valid.
    #[track_caller]
    pub(crate) fn check(&self, x: &Var<'_, T>) -> Option<NodeId> {
        assert!(
            std::ptr::eq(self, x.tape()) || x.is_constant(),
            "a Var of one tape was used on another: pass its value through Tape::constant"
        );
        let node = x.node_id()?;
        let is_valid = node.generation == self.generation.get();
        assert!(is_valid, "a Var from before its tape's backward() was used again");
        Some(node)
    }

    fn push(&self, node: impl FnOnce(NodeId) -> Node<T>) -> NodeId {
        let mut nodes = self.nodes.borrow_mut();
        let index = u32::try_from(nodes.len()).expect("fewer than 2^32 operations in a pass");
        let id = NodeId { generation: self.generation.get(), index };
        nodes.push(node(id));
        id
    }

    /// The nodes up to the last of `roots`. The tape is empty then and begins a new generation.
    #[track_caller]
    pub(crate) fn take_nodes(&self, roots: &[NodeId]) -> Vec<Node<T>> {
        let generation = self.generation.get();
        let are_valid = roots.iter().all(|root| root.generation == generation);
        assert!(are_valid, "a tape's backward() can run once: record the pass anew, or add the losses first");
        let last = roots.iter().max().expect("the gradient of at least one value");
        self.generation.set(next_generation());
        let mut nodes = self.nodes.take();
        nodes.truncate(last.index() + 1);
        nodes
    }
}

fn next_generation() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
