//! What an optimiser remembers of each parameter, and the pass over parameters and memory.

use std::collections::BTreeMap;

use autograd::parallel::SLAB;
use autograd::{Gradients, ParamId, Real, Tensor};
use rayon::prelude::*;

use super::Group;
use crate::{Error, Layout, Module};

/// The most slots that an optimiser has (AMSGrad).
pub(super) const MAX_SLOTS: usize = 3;
const STEP: &str = "step";

/// One parameter's memory.
struct Entry<T: Real> {
    steps: u64,
    slots: Vec<Tensor<T>>,
}

/// All parameters' memory.
pub(super) struct State<T: Real> {
    names: Vec<&'static str>,
    saves_steps: bool,
    entries: BTreeMap<ParamId, Entry<T>>,
    pub(super) groups: Vec<Group>,
}

/// A piece of a parameter, of its gradient and of its slots (those that the optimiser has not are empty).
pub(super) struct Slab<'a, T> {
    pub(super) w: &'a mut [T],
    pub(super) g: &'a [T],
    pub(super) slots: [&'a mut [T]; MAX_SLOTS],
}

impl<T: Real> State<T> {
    /// Nothing yet; `saves_steps` where the count of steps matters.
    pub(super) fn new(names: &[&'static str], saves_steps: bool) -> Self {
        debug_assert!(names.len() <= MAX_SLOTS);
        Self { names: names.to_vec(), saves_steps, entries: BTreeMap::new(), groups: Vec::new() }
    }

    /// Sets the buffers, then calls `kernel(setting, slab)` for every slab of every parameter with a gradient, in
    /// parallel. `prepare` gives a parameter's setting from its count of steps (1 at the first), its rank and its group.
    #[track_caller]
    pub(super) fn step<S: Copy + Send>(
        &mut self,
        module: &mut dyn Module<T>,
        gradients: &Gradients<T>,
        prepare: impl Fn(u64, usize, Option<&Group>) -> S,
        kernel: impl Fn(S, Slab<'_, T>) + Sync,
    ) {
        module.update_buffers(gradients);
        self.check_groups(module);
        self.count(module, gradients);
        let mut entries: BTreeMap<_, _> = self.entries.iter_mut().map(|(&id, entry)| (id, entry)).collect();
        let mut work = Vec::new();
        for (name, parameter) in module.named_parameters_mut() {
            if !parameter.is_trainable() {
                continue;
            }
            let Some(g) = gradients.get(parameter) else { continue };
            let (own, given) = (parameter.shape(), g.shape());
            assert!(own == given, "{name} has the shape {own} and its gradient {given}");
            let entry = entries.remove(&parameter.id());
            let entry = entry.unwrap_or_else(|| panic!("{name} is the same parameter as one before it"));
            let group = self.groups.iter().find(|group| group.holds(&name));
            let setting = prepare(entry.steps, parameter.shape().rank(), group);
            let mut slots: Vec<_> = entry.slots.iter_mut().map(|s| s.data_mut().chunks_mut(SLAB)).collect();
            let w = parameter.value_mut().data_mut().chunks_mut(SLAB);
            work.extend(w.zip(g.data().chunks(SLAB)).map(|(w, g)| {
                let slot = |i| slots.get_mut(i).and_then(Iterator::next).unwrap_or_default();
                (setting, Slab { w, g, slots: std::array::from_fn(slot) })
            }));
        }
        work.into_par_iter().for_each(|(setting, slab)| kernel(setting, slab));
    }

    /// A group without a parameter is a slip in its name.
    #[track_caller]
    fn check_groups(&self, module: &dyn Module<T>) {
        if self.groups.is_empty() {
            return;
        }
        let names: Vec<String> = module.named_parameters().into_iter().map(|(name, _)| name).collect();
        for group in &self.groups {
            let is_used = names.iter().any(|name| group.holds(name));
            assert!(
                is_used,
                "no parameter is of the group {:?}: there are {}",
                group.name(),
                names.join(", ")
            );
        }
    }

    /// Counts the step of each parameter with a gradient, and makes room for those that have none yet.
    fn count(&mut self, module: &dyn Module<T>, gradients: &Gradients<T>) {
        for (_, parameter) in module.named_parameters() {
            if parameter.is_trainable() && gradients.get(parameter).is_some() {
                let entry = self.entries.entry(parameter.id()).or_insert_with(|| Entry {
                    steps: 0,
                    slots: self.names.iter().map(|_| Tensor::zeros(parameter.shape())).collect(),
                });
                entry.steps += 1;
            }
        }
    }

    /// `<parameter>.<slot>` in PyTorch's layouts.
    pub(super) fn save(&self, module: &dyn Module<T>) -> Vec<(String, Tensor<T>)> {
        let mut all = Vec::new();
        module.visit("", &mut |name, layout, parameter| {
            let Some(entry) = self.entries.get(&parameter.id()) else { return };
            for (slot, value) in self.names.iter().zip(&entry.slots) {
                all.push((format!("{name}.{slot}"), layout.to_pytorch(value)));
            }
            if self.saves_steps {
                all.push((format!("{name}.{STEP}"), Tensor::scalar(T::from_f64(entry.steps as f64))));
            }
        });
        all
    }

    /// The inverse of [`save`](Self::save).
    pub(super) fn load(
        &mut self,
        module: &dyn Module<T>,
        mut state: BTreeMap<String, Tensor<T>>,
    ) -> Result<(), Error> {
        let mut entries = BTreeMap::new();
        let mut failure = None;
        module.visit("", &mut |name, layout, parameter| {
            if parameter.is_buffer() || failure.is_some() {
                return;
            }
            match self.take(&mut state, &name, layout, parameter.value()) {
                Ok(Some(entry)) => {
                    entries.insert(parameter.id(), entry);
                }
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if let Some(name) = state.into_keys().next() {
            let message = "which this optimiser does not keep for this model".to_owned();
            return Err(Error::OptimizerState { name, message });
        }
        self.entries = entries;
        Ok(())
    }

    /// What `state` holds of one parameter; `None` if nothing.
    fn take(
        &self,
        state: &mut BTreeMap<String, Tensor<T>>,
        parameter: &str,
        layout: Layout,
        value: &Tensor<T>,
    ) -> Result<Option<Entry<T>>, Error> {
        let fail =
            |slot: &str, message| Error::OptimizerState { name: format!("{parameter}.{slot}"), message };
        let steps_name = self.saves_steps.then_some(STEP);
        let held = |slot: &&str| state.contains_key(&format!("{parameter}.{slot}"));
        let wanted: Vec<_> = self.names.iter().copied().chain(steps_name).collect();
        match wanted.iter().find(|slot| !held(slot)) {
            _ if !wanted.iter().any(held) => return Ok(None),
            Some(slot) => return Err(fail(slot, "not at all, but others of that parameter".to_owned())),
            None => {}
        }
        let mut take = |slot: &str| {
            state.remove(&format!("{parameter}.{slot}")).expect("that it is held was seen above")
        };
        let expected = layout.to_pytorch(value).shape();
        let mut slots = Vec::new();
        for slot in &self.names {
            let held = take(slot);
            if held.shape() != expected {
                let shape = held.shape();
                return Err(fail(slot, format!("with shape {shape}, the model's has {expected}")));
            }
            slots.push(layout.from_pytorch(&held));
        }
        let mut steps = 0;
        if self.saves_steps {
            let held = take(STEP);
            let count = if held.numel() == 1 { held.item().to_f64() } else { f64::NAN };
            if !(count >= 0.0 && count.fract() == 0.0 && count.is_finite()) {
                return Err(fail(STEP, format!("as {held:?}, which is no count")));
            }
            steps = count as u64;
        }
        Ok(Some(Entry { steps, slots }))
    }
}
