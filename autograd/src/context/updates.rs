//! What becomes of buffers: the running averages that a forward pass announces, and an optimiser's step makes.

use std::collections::BTreeMap;

use crate::{ParamId, Real, Tensor};

/// The updates of each buffer, in the order in which they were announced.
///
/// An update is kept as what it does, not as the value that comes of it: a batch that is passed in parts announces several
/// before the first is made, and each must start from the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Updates<T: Real>(BTreeMap<ParamId, Vec<Update<T>>>);

/// value ← (1 − momentum)·value + momentum·target
#[derive(Clone, Debug)]
struct Update<T: Real> {
    target: Tensor<T>,
    momentum: f64,
}

impl<T: Real> Updates<T> {
    pub(crate) fn push(&mut self, buffer: ParamId, target: Tensor<T>, momentum: f64) {
        self.0.entry(buffer).or_default().push(Update { target, momentum });
    }

    /// Those of `later`, after these.
    pub(crate) fn append(&mut self, later: Self) {
        for (buffer, updates) in later.0 {
            self.0.entry(buffer).or_default().extend(updates);
        }
    }

    /// What `value` becomes; `None` without updates.
    pub(crate) fn of(&self, buffer: ParamId, value: &Tensor<T>) -> Option<Tensor<T>> {
        let updates = self.0.get(&buffer)?;
        Some(updates.iter().fold(value.clone(), |value, update| update.apply(value)))
    }
}

impl<T: Real> Update<T> {
    fn apply(&self, value: Tensor<T>) -> Tensor<T> {
        if self.momentum == 1.0 {
            return self.target.clone();
        }
        let (kept, taken) = (T::from_f64(1.0 - self.momentum), T::from_f64(self.momentum));
        value.zip_map(&self.target, |value, target| kept * value + taken * target)
    }
}
