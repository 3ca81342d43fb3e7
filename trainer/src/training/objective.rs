//! What a run minimises: the configured loss, over one scale or several.

use autograd::Var;
use losses::{DeepSupervision, Labels, Loss, LossConfig, RegionConfig, Target, WeightConfig};
use unet3d::UNet3d;

use crate::config::{Auto, Config, LossName, Word};
use crate::dataset::IGNORE;
use crate::preprocess::PreparedCase;
use crate::report::loss_in_words;
use crate::run::Plan;
use crate::{Error, Result};

/// The configured loss with its weights settled.
#[derive(Debug)]
pub struct Objective {
    loss: LossConfig,
    /// Voxels of each class in the training cases.
    voxels: Vec<u64>,
}

impl Objective {
    /// The loss for these training cases.
    ///
    /// # Errors
    /// If the loss does not go with the number of classes, or a weight was to be found from classes that no case holds.
    pub fn new(config: &Config, plan: &Plan, training: &[PreparedCase]) -> Result<Self> {
        Self::of_counts(config, plan, PreparedCase::class_counts(training, plan.model.out_channels.max(2)))
    }

    /// As [`new`](Self::new), for so many voxels of each class.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn of_counts(config: &Config, plan: &Plan, voxels: Vec<u64>) -> Result<Self> {
        let channels = plan.model.out_channels;
        let loss = loss(&config.loss, channels, &voxels)?;
        loss.validate(channels).map_err(|e| Error::config("loss", e.to_string()))?;
        Ok(Self { loss, voxels })
    }

    /// The loss as it will be used.
    pub fn config(&self) -> &LossConfig {
        &self.loss
    }

    /// The loss in a line: what `auto` became, and its weights as they are used.
    pub fn words(&self, asked: &crate::config::Loss) -> String {
        let is_binary = self.voxels.len() == 2;
        let of = match (asked.name, is_binary) {
            (LossName::Auto, true) => ", which \"auto\" is for one foreground class",
            (LossName::Auto, false) => ", which \"auto\" is for several foreground classes",
            _ => "",
        };
        let is_weighed =
            asked.pos_weight == Auto::Word(Word::Auto) || asked.class_weights == Auto::Word(Word::Auto);
        let whence =
            if is_weighed { "; weights by \"auto\", from the voxels of the training cases" } else { "" };
        format!("loss {}{of}: {}{whence}", asked.name.resolved(is_binary), loss_in_words(&self.loss))
    }

    /// Of each class, whether a training case has a voxel of it.
    pub fn learnt(&self) -> Vec<bool> {
        self.voxels.iter().map(|&voxels| voxels > 0).collect()
    }

    /// The loss of logits at one scale or several, finest first, and whether no voxel counts.
    ///
    /// # Errors
    /// If shapes do not fit.
    pub fn forward<'t>(&self, scales: &[Var<'t, f32>], labels: &Labels) -> Result<(Var<'t, f32>, bool)> {
        let failed = |e: losses::Error| Error::config("loss", e.to_string());
        let loss = self.loss.build::<f32>(Some(i32::from(IGNORE)));
        let report = if let [logits] = scales {
            loss.report(logits, Target::Labels(labels))
        } else {
            let at_scale = |logits: &Var<'t, f32>| labels.resample_nearest(&logits.shape().dims()[..4]);
            let targets: Vec<Labels> = scales.iter().map(at_scale).collect();
            let targets: Vec<Target<'_, f32>> = targets.iter().map(Target::Labels).collect();
            DeepSupervision::new(loss).report(scales, &targets)
        };
        let report = report.map_err(failed)?;
        let is_empty = report.is_empty();
        Ok((report.loss, is_empty))
    }

    /// Sets the last bias to the best constant prediction: log(p·π/(1 − π)) for a foreground share π and a `pos_weight` p,
    /// or log(w·π) of each class for class weights w. A class that does not occur is taken as half a voxel.
    ///
    /// # Errors
    /// If the model has other output channels than the loss.
    pub fn set_prior_bias(&self, model: &mut UNet3d<f32>) -> Result<()> {
        let voxels = |class: usize| (self.voxels[class] as f64).max(0.5);
        let bias: Vec<f64> = match &self.loss {
            LossConfig::Bce { pos_weight: WeightConfig::Scalar(p) }
            | LossConfig::Focal { pos_weight: WeightConfig::Scalar(p), .. }
            | LossConfig::DiceBce { pos_weight: WeightConfig::Scalar(p), .. } => {
                vec![(p.max(f64::MIN_POSITIVE) * voxels(1) / voxels(0)).ln()]
            }
            LossConfig::CrossEntropy { class_weights: Some(w), .. }
            | LossConfig::DiceCe { class_weights: Some(w), .. } => w
                .iter()
                .enumerate()
                .map(|(class, w)| (w.max(f64::MIN_POSITIVE) * voxels(class)).ln())
                .collect(),
            _ if model.config().out_channels == 1 => vec![(voxels(1) / voxels(0)).ln()],
            _ => (0..self.voxels.len()).map(|class| voxels(class).ln()).collect(),
        };
        // Softmax does not change with a constant added to all; the background starts at 0.
        let shift = if bias.len() > 1 { bias[0] } else { 0.0 };
        let bias: Vec<f32> = bias.into_iter().map(|b| (b - shift) as f32).collect();
        model.set_head_bias(&bias).map_err(|e| Error::config("model.prior_bias", e.to_string()))
    }
}

/// The configuration's words as a loss for so many channels of logits.
fn loss(config: &crate::config::Loss, channels: usize, voxels: &[u64]) -> Result<LossConfig> {
    let binary = channels == 1;
    let batch = config.batch_dice;
    // Several classes share the volume; a Dice of the background would be easy and say little.
    let regions = RegionConfig { softmax: !binary, batch, include_background: binary };
    let crate::config::Loss { label_smoothing, gamma, alpha, beta, smooth, .. } = *config;
    let name = config.name.resolved(binary);
    let only = |several: bool| {
        let message = if several {
            format!("{name} is for several classes: choose bce, dice_bce or another for one")
        } else {
            format!("{name} is for one foreground class: choose ce, dice_ce or another for several")
        };
        if several == binary { Err(Error::config("loss.name", message)) } else { Ok(()) }
    };
    refuse_unused(config, name)?;
    Ok(match name {
        LossName::Bce => {
            only(false)?;
            LossConfig::Bce { pos_weight: pos_weight(config, voxels)? }
        }
        LossName::Focal => {
            only(false)?;
            LossConfig::Focal { gamma, alpha: None, pos_weight: pos_weight(config, voxels)? }
        }
        LossName::DiceBce | LossName::Auto => {
            only(false)?;
            let pos_weight = pos_weight(config, voxels)?;
            LossConfig::DiceBce { pos_weight, dice_factor: 1.0, bce_factor: 1.0, batch, smooth }
        }
        LossName::Ce => {
            only(true)?;
            LossConfig::CrossEntropy { class_weights: class_weights(config, voxels)?, label_smoothing }
        }
        LossName::DiceCe => {
            only(true)?;
            let class_weights = class_weights(config, voxels)?;
            LossConfig::DiceCe {
                class_weights,
                dice_factor: 1.0,
                ce_factor: 1.0,
                batch,
                include_background: false,
                smooth,
                label_smoothing,
            }
        }
        LossName::Dice => LossConfig::Dice { regions, smooth, squared: false },
        LossName::GeneralizedDice => LossConfig::GeneralisedDice { regions },
        LossName::Tversky => LossConfig::Tversky { alpha, beta, gamma: 1.0, smooth, regions },
        LossName::FocalTversky => LossConfig::Tversky { alpha, beta, gamma, smooth, regions },
    })
}

/// A weight that the loss has no place for is refused: silence would look as if it had been used.
fn refuse_unused(config: &crate::config::Loss, name: LossName) -> Result<()> {
    use LossName::{Bce, Ce, DiceBce, DiceCe, Focal};
    let unused = [
        ("loss.pos_weight", config.pos_weight != Auto::Word(Word::None), [Bce, Focal, DiceBce].as_slice()),
        ("loss.class_weights", config.class_weights != Auto::Word(Word::None), &[Ce, DiceCe]),
        ("loss.label_smoothing", config.label_smoothing != 0.0, &[Ce, DiceCe]),
    ];
    for (key, given, losses) in unused {
        if given && !losses.contains(&name) {
            let users: Vec<_> = losses.iter().map(ToString::to_string).collect();
            let message = format!("is given, but the loss {name} does not use it; {} do", users.join(", "));
            return Err(Error::config(key, message));
        }
    }
    Ok(())
}

/// The number that weighs positive voxels.
fn pos_weight(config: &crate::config::Loss, voxels: &[u64]) -> Result<WeightConfig> {
    let weight = match config.pos_weight {
        Auto::Value(weight) => weight,
        Auto::Word(Word::None) => 1.0,
        Auto::Word(Word::Auto) if voxels[1] == 0 => {
            let message = "is \"auto\", but no training case holds a positive voxel: give a number";
            return Err(Error::config("loss.pos_weight", message));
        }
        Auto::Word(Word::Auto) => voxels[0] as f64 / voxels[1] as f64,
    };
    Ok(WeightConfig::Scalar(weight))
}

/// One weight per class, or none.
fn class_weights(config: &crate::config::Loss, voxels: &[u64]) -> Result<Option<Vec<f64>>> {
    let total: u64 = voxels.iter().sum();
    match &config.class_weights {
        Auto::Value(weights) if weights.len() != voxels.len() => {
            let message =
                format!("holds {} numbers for {} classes, background first", weights.len(), voxels.len());
            Err(Error::config("loss.class_weights", message))
        }
        Auto::Value(weights) => Ok(Some(weights.clone())),
        Auto::Word(Word::None) => Ok(None),
        Auto::Word(Word::Auto) => {
            if let Some(class) = voxels.iter().position(|&v| v == 0) {
                let message = format!("is \"auto\", but no training case holds class {class}: give a list");
                return Err(Error::config("loss.class_weights", message));
            }
            let even = |&v: &u64| total as f64 / (voxels.len() as f64 * v as f64);
            Ok(Some(voxels.iter().map(even).collect()))
        }
    }
}
