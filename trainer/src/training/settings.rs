//! From the configuration's words to optimisers and schedules.

use nn::optim::{AdamConfig, AdamWConfig, OptimizerConfig, SgdConfig};
use nn::schedule::{MetricMode, Plateau, Schedule};

use crate::config::{self, OptimizerName, ScheduleName};
use crate::{Error, Result};

/// Whether the optimiser and the schedule can be built, and there is what the early end needs.
///
/// # Errors
/// Names the section and the setting.
pub fn check_settings(config: &config::Config, validation_cases: usize) -> Result<()> {
    check_patience(config, validation_cases)?;
    if config.optimizer.lr == 0.0 {
        let message = "is 0, with which nothing is learnt: give a rate above 0, such as 0.003";
        return Err(Error::config("optimizer.lr", message));
    }
    optimizer(&config.optimizer).validate().map_err(|e| Error::config("optimizer", e.to_string()))?;
    schedule(&config.schedule).validate().map_err(|e| Error::config("schedule", e.to_string()))
}

/// Refuses patience where nothing is validated on, so that no model is the best.
pub(super) fn check_patience(config: &config::Config, validation_cases: usize) -> Result<()> {
    match config.training.patience {
        patience @ 1.. if validation_cases == 0 => {
            let message = format!("is {patience}, but no case is held out to find the best model by: take 0");
            Err(Error::config("training.patience", message))
        }
        _ => Ok(()),
    }
}

/// The optimiser that the configuration asks for.
pub(crate) fn optimizer(config: &config::Optimizer) -> OptimizerConfig {
    let config::Optimizer { name, lr, weight_decay, betas, eps, momentum, nesterov, .. } = *config;
    let amsgrad = name == OptimizerName::Amsgrad;
    match name {
        OptimizerName::Adamw => {
            OptimizerConfig::AdamW(AdamWConfig { lr, betas, eps, weight_decay, ..Default::default() })
        }
        OptimizerName::Adam | OptimizerName::Amsgrad => {
            OptimizerConfig::Adam(AdamConfig { lr, betas, eps, weight_decay, amsgrad, ..Default::default() })
        }
        OptimizerName::Sgd => {
            OptimizerConfig::Sgd(SgdConfig { lr, momentum, nesterov, weight_decay, ..Default::default() })
        }
    }
}

/// The schedule that the configuration asks for.
pub(super) fn schedule(config: &config::Schedule) -> Schedule {
    let warmup_steps = config.warmup_steps as u64;
    match config.name {
        ScheduleName::Constant => Schedule::Constant,
        ScheduleName::Linear => Schedule::Linear { end_factor: 0.0, warmup_steps },
        ScheduleName::Poly => Schedule::Poly { power: config.power, warmup_steps },
        ScheduleName::Cosine => Schedule::Cosine { end_factor: 0.0, warmup_steps },
        ScheduleName::Step => Schedule::Step { step_size: config.every as u64, gamma: config.factor },
        ScheduleName::Plateau => Schedule::Plateau(Plateau {
            mode: MetricMode::Max,
            factor: config.factor,
            patience: u32::try_from(config.patience).unwrap_or(u32::MAX),
            ..Default::default()
        }),
    }
}
