//! What is minimised.

use std::fmt;

use serde::{Deserialize, Serialize};
use toml::Value;

use super::Auto;

/// `[loss]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Loss {
    pub name: LossName,
    pub pos_weight: Auto<f64>,
    pub class_weights: Auto<Vec<f64>>,
    pub label_smoothing: f64,
    pub gamma: f64,
    pub alpha: f64,
    pub beta: f64,
    pub batch_dice: bool,
    pub smooth: f64,
}

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub enum LossName {
    Auto,
    Bce,
    Ce,
    Dice,
    DiceBce,
    DiceCe,
    GeneralizedDice,
    Focal,
    Tversky,
    FocalTversky,
}

impl LossName {
    /// The loss that a name stands for: `auto` is Dice with cross-entropy, by a sigmoid for one foreground class and by a
    /// softmax for several.
    #[must_use]
    pub fn resolved(self, is_binary: bool) -> Self {
        match self {
            Self::Auto if is_binary => Self::DiceBce,
            Self::Auto => Self::DiceCe,
            name => name,
        }
    }
}

/// As the configuration writes it, in quotes.
impl fmt::Display for LossName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Value::try_from(self).expect("a name is a word of the configuration");
        write!(f, "{word}")
    }
}
