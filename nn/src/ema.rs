//! Averages of weights.

use autograd::{Real, Tensor};

use crate::{Error, Module};

/// An exponential moving average of a model's weights: a model of its own, that lags behind and is often better.
///
/// After each step of the optimiser, average ← d·average + (1 − d)·weight with d = min(decay, (1 + t)/(10 + t)) at the t-th
/// update, counted from 0: the first updates follow closely, so that the start is forgotten. Buffers (running statistics)
/// are averaged alike.
///
/// ```
/// use autograd::Tensor;
/// use nn::{Ema, layers::Linear};
/// # use rand::SeedableRng;
///
/// # let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(0);
/// let mut model = Linear::<f32>::new(2, 2, &mut rng)?;
/// let mut average = Ema::new(&model, 0.999)?;
/// model.weight.set(Tensor::zeros([2, 2])); // where the optimiser steps
/// average.update(&model);
/// assert_ne!(average.model().weight.value(), model.weight.value());
/// # Ok::<(), nn::Error>(())
/// ```
///
/// # Source
/// B. Polyak and A. Juditsky 1992 (averages); the warm-up is that of TensorFlow's `ExponentialMovingAverage`.
#[derive(Clone, Debug)]
pub struct Ema<M> {
    model: M,
    decay: f64,
    updates: u64,
}

impl<M> Ema<M> {
    /// The average of one: the model as it is, in a [copy of its own](Module::fresh_copy).
    ///
    /// # Errors
    /// Unless 0 ≤ decay < 1.
    pub fn new<T: Real>(model: &M, decay: f64) -> Result<Self, Error>
    where
        M: Module<T> + Clone,
    {
        if !(0.0..1.0).contains(&decay) {
            let message = format!("{decay} is not possible; it is at least 0 and below 1, such as 0.999");
            return Err(Error::Setting { name: "decay", message });
        }
        Ok(Self { model: model.fresh_copy(), decay, updates: 0 })
    }

    /// Moves the average towards the model, after a step.
    ///
    /// # Panics
    /// If the model has other parameters than the one at the start.
    #[track_caller]
    pub fn update<T: Real>(&mut self, model: &M)
    where
        M: Module<T>,
    {
        let t = self.updates as f64;
        let decay = self.decay.min((1.0 + t) / (10.0 + t));
        let (kept, taken) = (T::from_f64(decay), T::from_f64(1.0 - decay));
        let (mut average, now) = (self.model.named_parameters_mut(), model.named_parameters());
        let is_same = average.len() == now.len() && average.iter().zip(&now).all(|(a, b)| a.0 == b.0);
        assert!(is_same, "an average is of one model: its parameters have other names");
        for ((_, average), (_, now)) in average.iter_mut().zip(now) {
            let mixed = average.value().clone().zip_map(now.value(), |a, w| kept * a + taken * w);
            average.set(mixed);
        }
        self.updates += 1;
    }

    /// The average, to predict with.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The average's [`state_dict`](Module::state_dict) and, as `ema.updates`, how often it was moved: to go on with training.
    /// What a model loads to predict is `average.model().state_dict()`.
    pub fn state_dict<T: Real>(&self) -> Vec<(String, Tensor<T>)>
    where
        M: Module<T>,
    {
        let mut state = self.model.state_dict();
        state.push((UPDATES.to_owned(), Tensor::scalar(T::from_f64(self.updates as f64))));
        state
    }

    /// Restores what [`state_dict`](Self::state_dict) gave.
    ///
    /// # Errors
    /// As [`Module::load_state_dict`]; if the count of updates is none.
    pub fn load_state_dict<T: Real>(
        &mut self,
        mut state: std::collections::BTreeMap<String, Tensor<T>>,
    ) -> Result<(), Error>
    where
        M: Module<T>,
    {
        let missing = || Error::MissingParameter { name: UPDATES.to_owned() };
        let updates = state.remove(UPDATES).ok_or_else(missing)?;
        let count = if updates.numel() == 1 { updates.item().to_f64() } else { f64::NAN };
        if !(count >= 0.0 && count.fract() == 0.0) {
            return Err(Error::Setting { name: "updates", message: format!("{updates:?} is no count") });
        }
        self.model.load_state_dict(state)?;
        self.updates = count as u64;
        Ok(())
    }
}

const UPDATES: &str = "ema.updates";
