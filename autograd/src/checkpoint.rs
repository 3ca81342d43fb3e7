//! Recomputation: memory for time.

use crate::backward::{Adjoints, Operation};
use crate::tape::NodeId;
use crate::{Real, Tape, Tensor, Var};

impl<T: Real> Tape<T> {
    /// `f(inputs)`, of which only the inputs are kept: the backward pass computes `f` again, on a tape of its own.
    ///
    /// `f` must be a function of its inputs and of what it captured: random operations inside draw the same numbers
    /// both times, and updates of buffers are announced once, after those before. Parameters are captured as
    /// clones, which share their identity, so their gradients arrive as usual.
    ///
    /// # Panics
    /// As [`apply`](Self::apply).
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
        let mut nodes = [None; N];
        for (node, x) in nodes.iter_mut().zip(&inputs) {
            *node = self.check(x);
        }
        let mut places = nodes.into_iter();
        let inputs = inputs.map(|x| (places.next().flatten(), x.into_value()));

        let first = Tape::new(false, self.context.of_part(key));
        let y = f(&first, inputs.each_ref().map(|(_, x)| first.constant(x.clone()))).into_value();
        self.context.append_updates(first.context.take_updates());
        self.context.keep_first(first.first_non_finite());
        // Parameters inside may need a gradient even where no input does.
        let parameter = first.context.pass_parameter(&self.context);
        if !self.is_recording() || !parameter && nodes.iter().all(Option::is_none) {
            return self.constant(y);
        }
        self.record_operation(Box::new(Recomputed { f, key, inputs }), y)
    }
}

struct Recomputed<F, T: Real, const N: usize> {
    f: F,
    key: u64,
    /// Their places, where they have one, and their values.
    inputs: [(Option<NodeId>, Tensor<T>); N],
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
        let Self { f, key, inputs } = *self;
        let second = Tape::new(true, adjoints.context.of_part(key));
        let nodes = inputs.each_ref().map(|(node, _)| *node);
        let inputs =
            inputs.map(|(node, x)| if node.is_some() { second.variable(x) } else { second.constant(x) });
        let y = f(&second, inputs.clone());
        if y.is_constant() {
            return;
        }
        let mut inner = y.backward_with(dy);
        adjoints.context.keep_first(second.first_non_finite());
        for (node, x) in nodes.iter().zip(&inputs) {
            if let (Some(node), Some(dx)) = (node, inner.take_variable(x)) {
                adjoints.accumulate(*node, dx);
            }
        }
        // Its updates were announced when it was computed first.
        let inside: Vec<_> = inner.iter().map(|(parameter, _)| parameter).collect();
        adjoints.gradients.add_parameters(inner);
        inside.into_iter().for_each(|parameter| adjoints.context.grew(parameter, &adjoints.gradients));
    }
}
