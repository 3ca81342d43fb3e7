//! What was done, in sentences that a paper's methods section can take over.

use losses::{LossConfig, WeightConfig};
use unet3d::Norm;

use super::page::count;
use super::run_data::RunData;
use crate::config::{OptimizerName, ScheduleName};
use crate::predict::NetworkCard;

/// The sentences on a run.
pub(crate) fn methods(run: &RunData, network: &NetworkCard) -> String {
    let plan = &network.plan;
    let model = &plan.model;
    let [d, h, w] = plan.patch_size;
    let parameters = run.record.outlook.as_ref().and_then(|outlook| outlook.parameters);
    let parameters = parameters.map_or_else(String::new, |n| format!(", {} parameters", count(n)));
    let mut text = format!(
        "A 3-D U-Net of {} levels with {} to {} channels ({} normalisation, {}{parameters}) was trained on {} for {} steps of {} {} of {d} × {h} × {w} voxels",
        model.levels,
        model.channels(0),
        model.channels(model.levels - 1),
        match model.norm {
            Norm::Instance => "instance",
            Norm::Group(_) => "group",
            Norm::Batch => "batch",
        },
        if model.residual { "residual blocks" } else { "two convolutions a level" },
        cases(run.record.training_cases.len()),
        count(network.steps),
        run.config.data.batch(),
        if run.config.data.batch() == 1 { "patch" } else { "patches" },
    );
    if let Some(spacing) = network.preparation().reader.preprocessing.spacing {
        text += &format!(" of {} × {} × {} mm", spacing[0], spacing[1], spacing[2]);
    }
    let share = 100.0 * run.config.data.foreground_share;
    text += &format!(", {share:.0} % of them placed around foreground. ");
    if let Some(loss) = &network.loss {
        text += &format!("The loss was {}. ", loss_in_words(loss));
    }
    text += &format!("{}. ", optimisation(run));
    text += match run.config.augmentation.enabled {
        true => {
            "Patches were augmented at random (mirroring, rotation, scaling, noise, blur, brightness, contrast, resolution, gamma). "
        }
        false => "Patches were not augmented. ",
    };
    if let Some(model) = &run.model {
        text += &match (run.is_best, model.value) {
            (true, Some(value)) => format!(
                "Of {} validations of {} that were not trained on, the model after epoch {} of {} was best and is used ({}: {value:.4}).",
                run.log.validations.len(),
                cases(model.cases.len()),
                model.epoch,
                run.epochs(),
                model.metric,
            ),
            _ => format!("The model after epoch {} of {} is used.", model.epoch, run.epochs()),
        };
    }
    text
}

fn cases(n: usize) -> String {
    if n == 1 { "1 case".to_owned() } else { format!("{n} cases") }
}

fn optimisation(run: &RunData) -> String {
    let optimizer = &run.config.optimizer;
    let (name, decay) = match optimizer.name {
        OptimizerName::Adamw => ("AdamW", "decoupled weight decay"),
        OptimizerName::Adam => ("Adam", "weight decay"),
        OptimizerName::Amsgrad => ("AMSGrad", "weight decay"),
        OptimizerName::Sgd => ("stochastic gradient descent", "weight decay"),
    };
    let schedule = match run.config.schedule.name {
        ScheduleName::Poly => format!("a polynomial decay of power {}", run.config.schedule.power),
        ScheduleName::Cosine => "a cosine decay".to_owned(),
        ScheduleName::Linear => "a linear decay".to_owned(),
        ScheduleName::Step => format!("a factor {} every so many steps", run.config.schedule.factor),
        ScheduleName::Plateau => format!("a factor {} at plateaus", run.config.schedule.factor),
        ScheduleName::Constant => "a constant rate".to_owned(),
    };
    let warmup = match run.config.schedule.warmup_steps {
        0 => String::new(),
        steps => format!(" after {steps} steps of warm-up"),
    };
    format!(
        "{name} had a learning rate of {} with {schedule}{warmup}, {decay} {} and gradients clipped to norm {}",
        optimizer.lr, optimizer.weight_decay, optimizer.clip_norm
    )
}

/// A loss in words, its weights as they are used.
pub fn loss_in_words(loss: &LossConfig) -> String {
    let positives = |weight: &WeightConfig| match weight {
        WeightConfig::Scalar(1.0) => "positives not weighted".to_owned(),
        WeightConfig::Scalar(p) => format!("pos_weight {p:.4}"),
        WeightConfig::PerChannel(p) => format!("pos_weight {p:?} by channel"),
    };
    let classes = |weights: &Option<Vec<f64>>| match weights {
        None => "classes not weighted".to_owned(),
        Some(weights) => {
            let weights: Vec<String> = weights.iter().map(|w| format!("{w:.4}")).collect();
            format!("class weights {}", weights.join(", "))
        }
    };
    let over = |batch: bool| if batch { "over each batch" } else { "of each sample" };
    match loss {
        LossConfig::Bce { pos_weight } => format!("binary cross-entropy ({})", positives(pos_weight)),
        LossConfig::CrossEntropy { class_weights, label_smoothing } => {
            format!("cross-entropy ({}, label smoothing {label_smoothing})", classes(class_weights))
        }
        LossConfig::Dice { regions, smooth, .. } => {
            format!("soft Dice {} (smooth {smooth})", over(regions.batch))
        }
        LossConfig::GeneralisedDice { regions } => format!("generalised Dice {}", over(regions.batch)),
        LossConfig::Tversky { alpha, beta, gamma, regions, .. } => format!(
            "{}Tversky loss {} (α {alpha} on false positives, β {beta} on false negatives)",
            if *gamma == 1.0 { String::new() } else { format!("focal (γ {gamma}) ") },
            over(regions.batch)
        ),
        LossConfig::Focal { gamma, pos_weight, .. } => {
            format!("focal loss (γ {gamma}, {})", positives(pos_weight))
        }
        LossConfig::DiceBce { pos_weight, batch, smooth, .. } => format!(
            "the sum of soft Dice {} (smooth {smooth}) and binary cross-entropy ({})",
            over(*batch),
            positives(pos_weight)
        ),
        LossConfig::DiceCe { class_weights, batch, smooth, include_background, .. } => format!(
            "the sum of soft Dice {} (smooth {smooth}, {} background) and cross-entropy ({})",
            over(*batch),
            if *include_background { "with" } else { "without" },
            classes(class_weights)
        ),
    }
}
