//! What a backward pass yields.

use std::collections::BTreeMap;

use crate::context::Updates;
use crate::parallel::{SLAB, sum_slabs};
use crate::tape::NodeId;
use crate::{ParamId, Parameter, Real, Tensor, Var};

/// The gradients of one backward pass, ordered by parameter (never by hash), and the updates of buffers that the forward
/// pass announced.
#[derive(Clone, Debug, Default)]
pub struct Gradients<T: Real = f32> {
    parameters: BTreeMap<ParamId, Tensor<T>>,
    variables: BTreeMap<NodeId, Tensor<T>>,
    updates: Updates<T>,
}

impl<T: Real> Gradients<T> {
    /// The gradient with respect to a parameter; `None` if the loss does not depend on it.
    pub fn get(&self, parameter: &Parameter<T>) -> Option<&Tensor<T>> {
        self.parameters.get(&parameter.id())
    }

    /// The gradient with respect to a [`Tape::variable`](crate::Tape::variable); `None` if the loss does not depend
    /// on it, or for any other `Var`.
    pub fn wrt(&self, variable: &Var<'_, T>) -> Option<&Tensor<T>> {
        self.variables.get(&variable.node_id()?)
    }

    /// The gradient with respect to a parameter, to be changed.
    pub fn get_mut(&mut self, parameter: &Parameter<T>) -> Option<&mut Tensor<T>> {
        self.parameters.get_mut(&parameter.id())
    }

    /// Sets the gradient with respect to a parameter, and returns the one before.
    ///
    /// # Panics
    /// If it has another shape than the parameter.
    #[track_caller]
    pub fn insert(&mut self, parameter: &Parameter<T>, gradient: Tensor<T>) -> Option<Tensor<T>> {
        let (own, given) = (parameter.shape(), gradient.shape());
        assert!(own == given, "the gradient of a parameter has its shape, {own}, not {given}");
        self.parameters.insert(parameter.id(), gradient)
    }

    /// Takes the gradient with respect to a parameter away: an optimiser leaves the parameter as it is.
    pub fn remove(&mut self, parameter: &Parameter<T>) -> Option<Tensor<T>> {
        self.parameters.remove(&parameter.id())
    }

    /// The gradients of parameters, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ParamId, &Tensor<T>)> {
        self.parameters.iter().map(|(&id, g)| (id, g))
    }

    /// The number of parameters with a gradient.
    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Whether no parameter has a gradient.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// What a buffer's value becomes by the updates that were announced to it; `None` if there are none.
    pub fn update_of(&self, buffer: &Parameter<T>) -> Option<Tensor<T>> {
        self.updates.of(buffer.id(), buffer.value())
    }

    /// √Σ g² over all parameters, in `f64`, added in order.
    pub fn global_norm(&self) -> f64 {
        let squares = self.parameters.values().map(|g| {
            sum_slabs(g.numel(), SLAB, |r| g.data()[r].iter().map(|v| v.to_f64() * v.to_f64()).sum())
        });
        squares.sum::<f64>().sqrt()
    }

    /// Scales all gradients by min(1, `max_norm` / (norm + 1e-6)) and returns the norm before.
    ///
    /// A norm that is not finite leaves the gradients as they are: whoever steps should look at it.
    ///
    /// # Source
    /// `torch.nn.utils.clip_grad_norm_`.
    pub fn clip_global_norm(&mut self, max_norm: f64) -> f64 {
        let norm = self.global_norm();
        let factor = max_norm / (norm + 1e-6);
        if norm.is_finite() && factor < 1.0 {
            self.scale(factor);
        }
        norm
    }

    /// Multiplies all gradients of parameters by `factor`.
    pub fn scale(&mut self, factor: f64) {
        self.parameters.values_mut().for_each(|g| g.scale_assign(T::from_f64(factor)));
    }

    /// Adds the gradients of another pass (a further part of the same batch), those of its variables too; its updates of
    /// buffers follow these, as if the parts had been batches of their own.
    ///
    /// Sums in floating point depend on their order: add the parts in the order of the batch.
    pub fn add(&mut self, other: Self) {
        add_all(&mut self.parameters, other.parameters);
        add_all(&mut self.variables, other.variables);
        self.updates.append(other.updates);
    }

    /// Whether every gradient is finite.
    pub fn is_finite(&self) -> bool {
        self.parameters.values().all(Tensor::is_finite)
    }

    /// Those of a pass that announced these updates, before its backward pass.
    pub(crate) fn with_updates(updates: Updates<T>) -> Self {
        Self { updates, ..Self::default() }
    }

    /// That of a parameter which has one.
    pub(crate) fn of(&self, parameter: ParamId) -> &Tensor<T> {
        &self.parameters[&parameter]
    }

    pub(crate) fn add_to_parameter(&mut self, id: ParamId, g: Tensor<T>) {
        add_to(&mut self.parameters, id, g);
    }

    pub(crate) fn add_to_variable(&mut self, id: NodeId, g: Tensor<T>) {
        add_to(&mut self.variables, id, g);
    }

    pub(crate) fn take_variable(&mut self, variable: &Var<'_, T>) -> Option<Tensor<T>> {
        self.variables.remove(&variable.node_id()?)
    }

    /// Adds the gradients of parameters alone.
    pub(crate) fn add_parameters(&mut self, other: Self) {
        add_all(&mut self.parameters, other.parameters);
    }
}

fn add_all<K: Ord, T: Real>(sums: &mut BTreeMap<K, Tensor<T>>, others: BTreeMap<K, Tensor<T>>) {
    others.into_iter().for_each(|(key, g)| add_to(sums, key, g));
}

fn add_to<K: Ord, T: Real>(sums: &mut BTreeMap<K, Tensor<T>>, key: K, g: Tensor<T>) {
    if let Some(sum) = sums.get_mut(&key) {
        sum.add_assign(&g);
    } else {
        sums.insert(key, g);
    }
}
