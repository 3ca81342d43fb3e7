//! Recomputation: memory for time.

use crate::tape::{Adjoints, NodeId, Operation};
use crate::{Mode, Real, Tape, Tensor, Var};

impl<T: Real> Tape<T> {
    /// `f(inputs)`, of which only the inputs are kept: the backward pass computes `f` again, on a tape of its own.
    ///
    /// `f` must be a function of its inputs and of what it captured: random operations inside draw the same numbers
    /// both times, and updates of buffers are announced once, after those before. Parameters are captured as
    /// clones, which share their identity, so their gradients arrive as usual.
    ///
    /// # Source
    /// Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    #[track_caller]
    pub fn checkpoint<'t, const N: usize>(
        &'t self,
        inputs: [Var<'t, T>; N],
        f: impl for<'a> Fn(&'a Tape<T>, [Var<'a, T>; N]) -> Var<'a, T> + Send + 'static,
    ) -> Var<'t, T> {
        let key = self.draw_key();
        let nodes = inputs.each_ref().map(|x| self.check(x));
        let values = inputs.map(Var::into_value);

        let first = Tape::new(self.mode(), false, key);
        if self.watchman().is_watching() {
            first.watch();
        }
        let y = f(&first, values.clone().map(|x| first.constant(x))).into_value();
        self.append_updates(first.take_updates());
        self.watchman().adopt(first.first_non_finite());
        if !self.is_recording() {
            return self.constant(y);
        }
        // Parameters inside may need a gradient even where no input does.
        self.record_operation(Box::new(Recomputed { f, key, mode: self.mode(), values, nodes }), y)
    }
}

struct Recomputed<F, T: Real, const N: usize> {
    f: F,
    key: u64,
    mode: Mode,
    values: [Tensor<T>; N],
    nodes: [Option<NodeId>; N],
}

impl<F, T, const N: usize> Operation<T> for Recomputed<F, T, N>
where
    T: Real,
    F: for<'a> Fn(&'a Tape<T>, [Var<'a, T>; N]) -> Var<'a, T> + Send,
{
    fn name(&self) -> &'static str {
        "checkpoint"
    }

    fn backward(self: Box<Self>, dy: Tensor<T>, adjoints: &mut Adjoints<'_, T>) {
        let Self { f, key, mode, values, nodes } = *self;
        let tape = Tape::new(mode, true, key);
        if adjoints.watch.is_watching() {
            tape.watch();
        }
        let mut i = 0;
        let inputs = values.map(|x| {
            i += 1;
            if nodes[i - 1].is_some() { tape.variable(x) } else { tape.constant(x) }
        });
        let y = f(&tape, inputs.clone());
        if y.is_constant() {
            return;
        }
        let mut inner = y.backward_with(dy);
        adjoints.watch.adopt(tape.first_non_finite());
        for (node, x) in nodes.iter().zip(&inputs) {
            if let (Some(node), Some(dx)) = (node, inner.take_variable(x)) {
                adjoints.accumulate(*node, dx);
            }
        }
        // Its updates were announced when it was computed first.
        adjoints.gradients.add_parameters(inner);
    }
}
