//! The backward pass: the tape is read from its end, and each node hands its gradient on.
//!
//! An input always stands before its result. So when a node's turn comes, everything that used its value has had its own,
//! and its gradient is complete. Nodes and their gradients are popped together, and both are freed as soon as they are used.

use crate::context::Context;
use crate::tape::{Node, NodeId};
use crate::{Backward, Gradients, Real, Shape, Tape, Tensor, Var};

impl<T: Real> Tape<T> {
    /// The gradients of Σᵢ Σ yᵢ·dyᵢ, of several values of this tape that each come with their own gradient: see
    /// [`Var::backward_with`].
    ///
    /// # Panics
    /// If a gradient has another shape than its value; if a value is a constant, or there is none; if the tape was consumed
    /// since.
    #[track_caller]
    pub fn backward_with<'t>(
        &'t self,
        values: impl IntoIterator<Item = (Var<'t, T>, Tensor<T>)>,
    ) -> Gradients<T> {
        let (mut roots, mut gradients) = (Vec::new(), Vec::new());
        for (y, dy) in values {
            let (of_y, of_dy) = (y.shape(), dy.shape());
            assert!(of_y == of_dy, "the gradient of a value has its shape, {of_y}, not {of_dy}");
            assert!(std::ptr::eq(self, y.tape()), "the gradient of a value is taken by its own tape");
            let node = y.node_id().expect(
                "backward() of a constant: no parameter or variable was used, or the tape does not record (Tape::no_grad)",
            );
            roots.push(node);
            gradients.push(dy);
        }
        let mut nodes = self.take_nodes(&roots);
        let mut adjoints = Adjoints::new(nodes.len(), &self.context);
        roots.into_iter().zip(gradients).for_each(|(root, dy)| adjoints.accumulate(root, dy));
        while let (Some(node), Some(dy)) = (nodes.pop(), adjoints.of_nodes.pop()) {
            // None: y does not depend on this node.
            let Some(dy) = dy else { continue };
            // Profiles and the search for NaN; differentiation does without these two calls.
            let observed = self.context.before_backward(&node, &dy, &nodes);
            match node {
                Node::Parameter(id) => {
                    adjoints.gradients.add_to_parameter(id, dy);
                    self.context.grew(id, &adjoints.gradients);
                }
                Node::Variable(id) => adjoints.gradients.add_to_variable(id, dy),
                Node::Operation(operation) => operation.backward(dy, &mut adjoints),
            }
            self.context.after_backward(observed);
        }
        adjoints.gradients
    }
}

/// The gradients that are known so far: of the nodes that are still on the tape, as sums over those of their uses that were
/// popped, and of the parameters and variables that were popped themselves.
pub(crate) struct Adjoints<'a, T: Real> {
    of_nodes: Vec<Option<Tensor<T>>>,
    pub(crate) gradients: Gradients<T>,
    pub(crate) context: &'a Context<T>,
}

impl<'a, T: Real> Adjoints<'a, T> {
    fn new(nodes: usize, context: &'a Context<T>) -> Self {
        Self {
            of_nodes: vec![None; nodes],
            gradients: Gradients::with_updates(context.take_updates()),
            context,
        }
    }

    /// Adds `dx` to the gradient of a node.
    pub(crate) fn accumulate(&mut self, node: NodeId, dx: Tensor<T>) {
        match &mut self.of_nodes[node.index()] {
            Some(sum) => sum.add_assign(&dx),
            none => *none = Some(dx),
        }
    }
}

/// What the tape knows of a recorded operation.
pub(crate) trait Operation<T: Real>: Send {
    fn name(&self) -> &'static str;

    /// Hands `dy`, the gradient of its value, on to its inputs.
    fn backward(self: Box<Self>, dy: Tensor<T>, adjoints: &mut Adjoints<'_, T>);
}

/// A derivative with what was saved for it, and the place and shape of each input that needs a gradient.
pub(crate) struct Recorded<B: Backward<T, N>, T: Real, const N: usize> {
    pub(crate) backward: B,
    pub(crate) saved: B::Saved,
    pub(crate) inputs: [Option<(NodeId, Shape)>; N],
}

impl<B, T, const N: usize> Operation<T> for Recorded<B, T, N>
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
            let (name, given) = (backward.name(), dx.shape());
            assert!(given == shape, "{name}: the gradient of input {i} has its shape, {shape}, not {given}");
            adjoints.accumulate(node, dx);
        }
    }
}
