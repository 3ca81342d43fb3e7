//! A network of a plan, with what its steps need, on numbers that are made up: what memory and time are measured on.

use autograd::Tensor;
use losses::Labels;
use nn::optim::Optimizer;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use ranks::Ranks;
use unet3d::UNet3d;

use crate::config::Config;
use crate::run::Plan;
use crate::training::{Objective, PassSettings, Passes, optimizer};
use crate::{Error, Result};

/// See the header. Its random numbers are its own.
pub(super) struct Trial<'a> {
    config: &'a Config,
    pub(super) model: UNet3d<f32>,
    pub(super) optimizer: Box<dyn Optimizer<f32>>,
    pub(super) objective: Objective,
    steps: u64,
}

impl<'a> Trial<'a> {
    /// Of a network as [`network`] makes it.
    ///
    /// # Errors
    /// If loss or optimiser cannot be built.
    pub(super) fn new(model: UNet3d<f32>, plan: &Plan, config: &'a Config) -> Result<Self> {
        let optimizer =
            optimizer(&config.optimizer).build().map_err(|e| Error::config("optimizer", e.to_string()))?;
        let objective = Objective::of_counts(config, plan, vec![1; plan.model.out_channels.max(2)])?;
        Ok(Self { config, model, optimizer, objective, steps: 0 })
    }

    /// One step, as a run takes it.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    pub(super) fn step(&mut self, image: &Tensor<f32>, labels: &Labels) -> Result<()> {
        let accumulate = self.config.training.accumulate;
        let (ranks, samples) = (Ranks::alone(), image.dims()[0]);
        let settings = PassSettings { accumulate, key: self.steps, watched: false, ranks: &ranks, samples };
        self.steps += 1;
        let passes = Passes::of(&self.model, &self.objective, settings, image, labels)?;
        if let Some(mut gradients) = passes.gradients {
            gradients.clip_global_norm(1.0);
            self.optimizer.step(&mut self.model, &gradients);
        }
        Ok(())
    }
}

/// A plan's network.
///
/// # Errors
/// If it cannot be built.
pub(super) fn network(plan: &Plan) -> Result<UNet3d<f32>> {
    UNet3d::new(plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0))
        .map_err(|e| Error::config("model", e.to_string()))
}
