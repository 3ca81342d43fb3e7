//! The Wengert list: what was computed, in order, so that it can be differentiated in reverse.
//!
//! It is a textbook tape with three repairs. A [`Var`] owns its value, and the tape keeps only what each operation
//! chose to save. The backward pass consumes: nodes are popped from the end, so memory is freed as it goes. A
//! constant is a `Var` without a node, so nothing is computed for it: the input volume's gradient never exists, and
//! inference is the same code with the parameters entering as constants.
//!
//! This file knows no operation: see [`Backward`] and [`Function`].

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::update::Updates;
use crate::watch::Watch;
use crate::{
    Backward, Event, Function, Gradients, NonFinite, ParamId, Parameter, Pass, Real, Shape, Tensor, Var,
};

/// A place on a tape, valid until that tape's backward pass.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct NodeId {
    /// Unique in the process: no two tapes, and no two lives of one tape, share it.
    generation: u32,
    index: u32,
}

/// How layers behave that differ between training and use (dropout, batch normalisation).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Dropout drops, batch statistics normalise.
    Train,
    /// Dropout passes, running statistics normalise.
    Eval,
}

/// The record of one forward pass. `Send`, not `Sync`: one per batch; the parallelism is inside the operations.
pub struct Tape<T: Real = f32> {
    mode: Mode,
    recording: bool,
    key: u64,
    draws: Cell<u64>,
    generation: Cell<u32>,
    nodes: RefCell<Vec<Node<T>>>,
    updates: RefCell<Updates<T>>,
    watch: Watch,
}

enum Node<T: Real> {
    Parameter(ParamId),
    Variable,
    Operation(Box<dyn Operation<T>>),
}

/// What the tape knows of a recorded operation.
pub(crate) trait Operation<T: Real>: Send {
    fn name(&self) -> &'static str;

    fn backward(self: Box<Self>, dy: Tensor<T>, adjoints: &mut Adjoints<'_, T>);
}

/// Where an operation's backward pass leaves its results.
pub(crate) struct Adjoints<'a, T: Real> {
    of_nodes: &'a mut [Option<Tensor<T>>],
    pub(crate) gradients: &'a mut Gradients<T>,
    pub(crate) watch: &'a Watch,
}

impl<T: Real> Adjoints<'_, T> {
    pub(crate) fn accumulate(&mut self, node: NodeId, dx: Tensor<T>) {
        match &mut self.of_nodes[node.index as usize] {
            Some(sum) => sum.add_assign(&dx),
            none => *none = Some(dx),
        }
    }
}

impl<T: Real> Tape<T> {
    /// A tape for a training step. Dropout and the like draw their random numbers from `key` (the seed and the step,
    /// mixed by the caller) and the order of the draws.
    pub fn train(key: u64) -> Self {
        Self::new(Mode::Train, true, key)
    }

    /// A tape that records, with layers as in use: to differentiate a trained network.
    pub fn eval() -> Self {
        Self::new(Mode::Eval, true, 0)
    }

    /// A tape that records nothing, with layers as in use: for inference.
    pub fn no_grad() -> Self {
        Self::new(Mode::Eval, false, 0)
    }

    pub(crate) fn new(mode: Mode, recording: bool, key: u64) -> Self {
        Self {
            mode,
            recording,
            key,
            draws: Cell::new(0),
            generation: Cell::new(next_generation()),
            nodes: RefCell::default(),
            updates: RefCell::default(),
            watch: Watch::default(),
        }
    }

    /// Calls `f` whenever an operation's forward or backward pass is done: with a clock, the time since the call before
    /// is that operation's. Only recorded operations are told of.
    pub fn observe(&self, f: impl FnMut(Event) + Send + 'static) {
        self.watch.observe(f);
    }

    /// Looks at every value and gradient from here on, at the price of reading each once more. What is never computed, such
    /// as an activation that the next operation applies itself, cannot be looked at.
    pub fn watch(&self) {
        self.watch.start();
    }

    /// The first value or gradient since [`watch`](Self::watch) that was not finite.
    pub fn first_non_finite(&self) -> Option<NonFinite> {
        self.watch.fault()
    }

    /// How layers behave.
    pub fn mode(&self) -> Mode {
        self.mode
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

    /// A key for the next random operation: a function of the tape's key and of how many were drawn before.
    pub fn draw_key(&self) -> u64 {
        let draw = self.draws.get();
        self.draws.set(draw + 1);
        mix(self.key ^ mix(draw.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    }

    /// A value without a gradient.
    pub fn constant(&self, value: Tensor<T>) -> Var<'_, T> {
        Var::new(self, None, value)
    }

    /// A value with a gradient, found with [`Gradients::wrt`].
    pub fn variable(&self, value: Tensor<T>) -> Var<'_, T> {
        let node = self.recording.then(|| self.push(Node::Variable));
        Var::new(self, node, value)
    }

    /// A parameter's value; its gradient is found with [`Gradients::get`]. A buffer enters as a constant.
    pub fn parameter(&self, parameter: &Parameter<T>) -> Var<'_, T> {
        let wanted = self.recording && parameter.is_trainable();
        if parameter.is_trainable() {
            self.watch.enters(parameter.id());
        }
        let node = wanted.then(|| self.push(Node::Parameter(parameter.id())));
        Var::new(self, node, parameter.value().clone())
    }

    /// Announces that a buffer moves by `momentum` of the way to `target`: buffer ← (1 − momentum)·buffer +
    /// momentum·target; a momentum of 1 replaces it. The update leaves the tape with [`Gradients`] and is made by whoever
    /// owns the model: a model is `&self` in its forward pass. Several updates of one buffer follow each other, those of
    /// one pass as those of passes whose gradients are [added](Gradients::add).
    ///
    /// # Panics
    /// If the shape is not the buffer's.
    #[track_caller]
    pub fn update(&self, buffer: &Parameter<T>, target: Tensor<T>, momentum: f64) {
        assert_eq!(buffer.shape(), target.shape(), "a buffer keeps its shape");
        self.updates.borrow_mut().push(buffer.id(), target, momentum);
    }

    pub(crate) fn take_updates(&self) -> Updates<T> {
        self.updates.take()
    }

    pub(crate) fn append_updates(&self, updates: Updates<T>) {
        self.updates.borrow_mut().append(updates);
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

    /// Records an operation whose value was computed outside. An optional input that is absent is `None`, and its
    /// gradient is never asked for.
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
        let inputs = inputs.map(|x| x.and_then(|x| Some((self.check(x)?, x.shape()))));
        self.look(backward.name(), &value);
        if inputs.iter().all(Option::is_none) {
            return self.constant(value);
        }
        self.record_operation(Box::new(Recorded { backward, saved, inputs }), value)
    }

    pub(crate) fn record_operation(&self, operation: Box<dyn Operation<T>>, value: Tensor<T>) -> Var<'_, T> {
        self.watch.tell(operation.name(), Pass::Forward, value.shape());
        let node = self.push(Node::Operation(operation));
        Var::new(self, Some(node), value)
    }

    fn look(&self, operation: &'static str, value: &Tensor<T>) {
        self.watch.look(operation, Pass::Forward, value, || self.watch.parameter());
    }

    /// What is told and looked at.
    pub(crate) fn watchman(&self) -> &Watch {
        &self.watch
    }

    /// The node of an input, after making sure that it is of this tape and still valid.
    #[track_caller]
    pub(crate) fn check(&self, x: &Var<'_, T>) -> Option<NodeId> {
        assert!(
            std::ptr::eq(self, x.tape()) || x.is_constant(),
            "a Var of one tape was used on another: pass its value through Tape::constant"
        );
        let node = x.node_id()?;
        assert_eq!(
            node.generation,
            self.generation.get(),
            "a Var from before its tape's backward() was used again"
        );
        Some(node)
    }

    fn push(&self, node: Node<T>) -> NodeId {
        let mut nodes = self.nodes.borrow_mut();
        let index = u32::try_from(nodes.len()).expect("fewer than 2^32 operations in a pass");
        nodes.push(node);
        NodeId { generation: self.generation.get(), index }
    }

    /// Pops nodes from the end; each hands its gradient on to its inputs and is dropped.
    #[track_caller]
    pub(crate) fn backward(&self, root: NodeId, dy: Tensor<T>) -> Gradients<T> {
        let generation = self.generation.get();
        assert_eq!(root.generation, generation, "a tape's backward() can run once: record the pass anew");
        self.generation.set(next_generation());
        let mut nodes = self.nodes.take();
        nodes.truncate(root.index as usize + 1);

        let mut gradients = Gradients::with_updates(self.take_updates());
        let mut adjoints: Vec<Option<Tensor<T>>> = vec![None; nodes.len()];
        adjoints[root.index as usize] = Some(dy);
        while let (Some(node), Some(adjoint)) = (nodes.pop(), adjoints.pop()) {
            // A dead branch: nothing that the loss depends on used this value.
            let Some(dy) = adjoint else { continue };
            match node {
                Node::Parameter(id) => {
                    self.watch.look("parameter", Pass::Backward, &dy, || Some(id));
                    gradients.add_to_parameter(id, dy);
                }
                Node::Variable => {
                    let index = u32::try_from(nodes.len()).expect("an index that was a u32 before");
                    gradients.add_to_variable(NodeId { generation, index }, dy);
                }
                Node::Operation(operation) => {
                    let parameter = |node: &Node<T>| match node {
                        Node::Parameter(id) => Some(*id),
                        _ => None,
                    };
                    let before = || nodes.iter().rev().find_map(parameter);
                    self.watch.look(operation.name(), Pass::Backward, &dy, before);
                    let (name, shape) = (operation.name(), dy.shape());
                    let (of_nodes, watch) = (&mut adjoints, &self.watch);
                    operation.backward(dy, &mut Adjoints { of_nodes, gradients: &mut gradients, watch });
                    self.watch.tell(name, Pass::Backward, shape);
                }
            }
        }
        gradients
    }
}

/// A derivative with what was saved for it, and the place and shape of each input that needs a gradient.
struct Recorded<B, S, const N: usize> {
    backward: B,
    saved: S,
    inputs: [Option<(NodeId, Shape)>; N],
}

impl<T, B, const N: usize> Operation<T> for Recorded<B, B::Saved, N>
where
    T: Real,
    B: Backward<T, N>,
{
    fn name(&self) -> &'static str {
        self.backward.name()
    }

    fn backward(self: Box<Self>, dy: Tensor<T>, adjoints: &mut Adjoints<'_, T>) {
        let Self { backward, saved, inputs } = *self;
        let dx = backward.backward(saved, dy, inputs.map(|input| input.is_some()));
        for (i, (input, dx)) in inputs.into_iter().zip(dx).enumerate() {
            let Some((node, shape)) = input else { continue };
            let dx = dx
                .unwrap_or_else(|| panic!("{}: no gradient for input {i}, which needs one", backward.name()));
            assert_eq!(dx.shape(), shape, "{}: the gradient of input {i} has its shape", backward.name());
            adjoints.accumulate(node, dx);
        }
    }
}

fn next_generation() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of `x`.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

// The tape is moved between threads with the operations on it.
const _: fn() = || {
    fn is_send<S: Send + Any>() {}
    is_send::<Tape<f32>>();
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mixer_is_that_of_splitmix64() {
        // The generator's published stream for the seed 1234567.
        let states = (1..=3u64).map(|i| 1_234_567u64.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let stream: Vec<u64> = states.map(mix).collect();
        assert_eq!(stream, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
