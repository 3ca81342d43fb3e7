//! Losses as configuration: what a file says, checked and turned into a loss.

use autograd::{Real, Var};
use serde::{Deserialize, Serialize};

use crate::extents::Extents;
use crate::{
    BceWithLogits, CrossEntropy, Dice, DiceBce, DiceCe, Error, Focal, GeneralisedDice, Labels, Loss, Report,
    Target, Tversky, Weight,
};

/// A loss by name, with its settings; absent ones have the defaults of the loss itself.
///
/// ```
/// use autograd::{Tape, Tensor};
/// use losses::{Labels, LossConfig};
///
/// let config: LossConfig = serde_json::from_str(r#"{ "kind": "dice_bce", "pos_weight": 10 }"#).unwrap();
/// config.validate(1)?; // one channel
/// let tape = Tape::train(0);
/// let logits = tape.variable(Tensor::<f32>::zeros([1, 2, 4, 4, 1]));
/// let labels = Labels::from_fn([1, 2, 4, 4], |i| if i < 4 { 1 } else { 255 });
/// let loss = config.forward(&logits, &labels, Some(255))?;
/// # Ok::<(), losses::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum LossConfig {
    /// [`BceWithLogits`].
    Bce {
        /// Weight of the positive term.
        #[serde(default = "one")]
        pos_weight: WeightConfig,
    },
    /// [`CrossEntropy`].
    CrossEntropy {
        /// One weight per class; 1 each if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class_weights: Option<Vec<f64>>,
        /// ε
        #[serde(default)]
        label_smoothing: f64,
    },
    /// [`Dice`].
    Dice {
        /// What Dice is of.
        #[serde(default)]
        regions: RegionConfig,
        /// s
        #[serde(default = "smooth")]
        smooth: f64,
        /// Σ p² + Σ y² in the denominator.
        #[serde(default)]
        squared: bool,
    },
    /// [`GeneralisedDice`].
    GeneralisedDice {
        /// What Dice is of.
        #[serde(default)]
        regions: RegionConfig,
    },
    /// [`Tversky`], with `gamma` above 1 in its focal form.
    Tversky {
        /// Price of false positives.
        #[serde(default = "half")]
        alpha: f64,
        /// Price of false negatives.
        #[serde(default = "half")]
        beta: f64,
        /// The exponent.
        #[serde(default = "unit")]
        gamma: f64,
        /// s
        #[serde(default = "smooth")]
        smooth: f64,
        /// What the index is of.
        #[serde(default)]
        regions: RegionConfig,
    },
    /// [`Focal`].
    Focal {
        /// The exponent.
        #[serde(default = "two")]
        gamma: f64,
        /// α of positives, 1 − α of negatives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alpha: Option<f64>,
        /// Weight of the positive term.
        #[serde(default = "one")]
        pos_weight: WeightConfig,
    },
    /// [`DiceBce`].
    DiceBce {
        /// Weight of the positive term of the cross-entropy.
        #[serde(default = "one")]
        pos_weight: WeightConfig,
        /// How much Dice counts.
        #[serde(default = "unit")]
        dice_factor: f64,
        /// How much the cross-entropy counts.
        #[serde(default = "unit")]
        bce_factor: f64,
        /// Whether Dice sums over the whole batch first.
        #[serde(default)]
        batch: bool,
        /// Dice's s.
        #[serde(default = "smooth")]
        smooth: f64,
    },
    /// [`DiceCe`].
    DiceCe {
        /// One weight per class; 1 each if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class_weights: Option<Vec<f64>>,
        /// How much Dice counts.
        #[serde(default = "unit")]
        dice_factor: f64,
        /// How much the cross-entropy counts.
        #[serde(default = "unit")]
        ce_factor: f64,
        /// Whether Dice sums over the whole batch first.
        #[serde(default)]
        batch: bool,
        /// Whether class 0 has a Dice, too.
        #[serde(default = "yes")]
        include_background: bool,
        /// Dice's s.
        #[serde(default = "smooth")]
        smooth: f64,
        /// ε of the cross-entropy.
        #[serde(default)]
        label_smoothing: f64,
    },
}

/// A weight in a file: a number, or a list with one per channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WeightConfig {
    /// The same for every channel.
    Scalar(f64),
    /// One per channel.
    PerChannel(Vec<f64>),
}

impl<T: Real> From<&WeightConfig> for Weight<T> {
    fn from(weight: &WeightConfig) -> Self {
        match weight {
            WeightConfig::Scalar(value) => Self::Scalar(*value),
            WeightConfig::PerChannel(values) => Self::PerChannel(values.clone()),
        }
    }
}

/// What a loss of regions is of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionConfig {
    /// Softmax over the classes; a sigmoid each otherwise.
    pub softmax: bool,
    /// Sums over the whole batch first.
    pub batch: bool,
    /// Whether class 0 has a loss, too.
    pub include_background: bool,
}

impl Default for RegionConfig {
    fn default() -> Self {
        Self { softmax: false, batch: false, include_background: true }
    }
}

impl RegionConfig {
    fn apply<F>(self, region: crate::Region<F>) -> crate::Region<F> {
        let region = region.batch(self.batch).include_background(self.include_background);
        if self.softmax { region.softmax() } else { region }
    }
}

impl Default for LossConfig {
    /// Binary cross-entropy without weights.
    fn default() -> Self {
        Self::Bce { pos_weight: one() }
    }
}

impl LossConfig {
    /// The loss, which leaves out voxels labelled `ignore`.
    pub fn build<T: Real>(&self, ignore: Option<i32>) -> Box<dyn Loss<T>> {
        match self {
            Self::Bce { pos_weight } => {
                Box::new(BceWithLogits::new().pos_weight(pos_weight).ignore_index(ignore))
            }
            Self::CrossEntropy { class_weights, label_smoothing } => Box::new(
                cross_entropy(class_weights.as_ref()).label_smoothing(*label_smoothing).ignore_index(ignore),
            ),
            Self::Dice { regions, smooth, squared } => {
                Box::new(regions.apply(Dice::new()).smooth(*smooth).squared(*squared).ignore_index(ignore))
            }
            Self::GeneralisedDice { regions } => {
                Box::new(regions.apply(GeneralisedDice::new()).ignore_index(ignore))
            }
            Self::Tversky { alpha, beta, gamma, smooth, regions } => Box::new(
                regions.apply(Tversky::new(*alpha, *beta).focal(*gamma).smooth(*smooth)).ignore_index(ignore),
            ),
            Self::Focal { gamma, alpha, pos_weight } => {
                Box::new(Focal::new().gamma(*gamma).alpha(*alpha).pos_weight(pos_weight).ignore_index(ignore))
            }
            Self::DiceBce { pos_weight, dice_factor, bce_factor, batch, smooth } => Box::new(
                DiceBce::new(
                    Dice::new().batch(*batch).smooth(*smooth),
                    BceWithLogits::new().pos_weight(pos_weight),
                )
                .factors(*dice_factor, *bce_factor)
                .ignore_index(ignore),
            ),
            Self::DiceCe {
                class_weights,
                dice_factor,
                ce_factor,
                batch,
                include_background,
                smooth,
                label_smoothing,
            } => Box::new(
                DiceCe::new(
                    Dice::new().batch(*batch).include_background(*include_background).smooth(*smooth),
                    cross_entropy(class_weights.as_ref()).label_smoothing(*label_smoothing),
                )
                .factors(*dice_factor, *ce_factor)
                .ignore_index(ignore),
            ),
        }
    }

    /// Checks every setting against a network's number of output channels, before any training.
    ///
    /// # Errors
    /// Those that the loss itself would have.
    pub fn validate(&self, channels: usize) -> Result<(), Error> {
        let shape = [1, 1, 1, 1, channels];
        Extents::of(shape.into())?;
        let tape = autograd::Tape::<f64>::no_grad();
        let logits = tape.constant(autograd::Tensor::zeros(shape));
        self.forward(&logits, &Labels::from_vec([1, 1, 1, 1], vec![0u8]), None).map(drop)
    }

    /// The number of output channels for a task of `classes` classes, background included: 1 suffices for two
    /// classes unless the loss takes a softmax.
    pub fn channels_for(&self, classes: usize) -> usize {
        if classes == 2 && !self.uses_softmax() { 1 } else { classes }
    }

    /// Whether predictions are the softmax over the channels; a sigmoid each otherwise.
    pub fn uses_softmax(&self) -> bool {
        match self {
            Self::CrossEntropy { .. } | Self::DiceCe { .. } => true,
            Self::Dice { regions, .. }
            | Self::GeneralisedDice { regions }
            | Self::Tversky { regions, .. } => regions.softmax,
            Self::Bce { .. } | Self::Focal { .. } | Self::DiceBce { .. } => false,
        }
    }

    /// The loss of a batch.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn forward<'t, T: Real>(
        &self,
        logits: &Var<'t, T>,
        labels: &Labels,
        ignore: Option<i32>,
    ) -> Result<Var<'t, T>, Error> {
        Ok(self.report(logits, labels, ignore)?.loss)
    }

    /// The loss of a batch, with what it was taken over.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn report<'t, T: Real>(
        &self,
        logits: &Var<'t, T>,
        labels: &Labels,
        ignore: Option<i32>,
    ) -> Result<Report<'t, T>, Error> {
        self.build::<T>(ignore).report(logits, Target::Labels(labels))
    }
}

fn cross_entropy(class_weights: Option<&Vec<f64>>) -> CrossEntropy {
    match class_weights {
        Some(weights) => CrossEntropy::new().class_weights(weights.iter().copied()),
        None => CrossEntropy::new(),
    }
}

fn one() -> WeightConfig {
    WeightConfig::Scalar(1.0)
}

fn smooth() -> f64 {
    1e-5
}

fn half() -> f64 {
    0.5
}

fn unit() -> f64 {
    1.0
}

fn two() -> f64 {
    2.0
}

fn yes() -> bool {
    true
}
