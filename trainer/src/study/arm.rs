//! The arms: which loss each trains.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{Auto, Config, Loss, LossName, Word};

/// One way of weighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// BCE without a weight.
    Bce,
    /// The class shares handed over as `pos_weight`, element by element: a mistake.
    Shares,
    /// BCE with `pos_weight` = neg/pos.
    PosWeight,
    /// BCE with its square root.
    Sqrt,
    /// Dice + BCE, unweighted.
    DiceBce,
    /// Focal loss with γ = 2.
    Focal,
    /// Cross-entropy over two logits with class weights `[1, neg/pos]`.
    CrossEntropy,
}

impl Arm {
    /// All, in the order of a study.
    pub const ALL: [Self; 7] = [
        Self::Bce,
        Self::Shares,
        Self::PosWeight,
        Self::Sqrt,
        Self::DiceBce,
        Self::Focal,
        Self::CrossEntropy,
    ];

    /// The word for the command line, folders and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bce => "bce",
            Self::Shares => "shares",
            Self::PosWeight => "pos_weight",
            Self::Sqrt => "sqrt",
            Self::DiceBce => "dice_bce",
            Self::Focal => "focal",
            Self::CrossEntropy => "cross_entropy",
        }
    }

    /// The weight of positives, for so many of either.
    pub fn weight(self, positives: u64, negatives: u64) -> f64 {
        let (positives, negatives) = (positives as f64, negatives as f64);
        match self {
            Self::Bce | Self::DiceBce | Self::Focal => 1.0,
            // weight[y] with the share of the other class: what a positive element gets.
            Self::Shares => negatives / (positives + negatives),
            Self::PosWeight | Self::CrossEntropy => negatives / positives,
            Self::Sqrt => (negatives / positives).sqrt(),
        }
    }

    /// What it is, in a few words.
    pub fn describe(self, positives: u64, negatives: u64) -> String {
        let p = self.weight(positives, negatives);
        match self {
            Self::Bce => "BCE, no weight".to_owned(),
            Self::Shares => format!("BCE, class shares as pos_weight: positives {p:.4}"),
            Self::PosWeight => format!("BCE, pos_weight = neg/pos = {p:.1}"),
            Self::Sqrt => format!("BCE, pos_weight = √(neg/pos) = {p:.1}"),
            Self::DiceBce => "Dice + BCE, no weight".to_owned(),
            Self::Focal => "focal loss, γ = 2".to_owned(),
            Self::CrossEntropy => format!("cross-entropy of two logits, weights [1, {p:.1}]"),
        }
    }

    /// Channels of logits.
    pub fn channels(self) -> usize {
        if self == Self::CrossEntropy { 2 } else { 1 }
    }

    /// A configuration with this arm's loss and nothing else changed.
    pub fn configure(self, config: &Config, positives: u64, negatives: u64) -> Config {
        let p = self.weight(positives, negatives);
        let weighted = |p: f64| if p == 1.0 { Auto::Word(Word::None) } else { Auto::Value(p) };
        let loss = Loss {
            pos_weight: weighted(p),
            class_weights: Auto::Word(Word::None),
            label_smoothing: 0.0,
            ..config.loss.clone()
        };
        let loss = match self {
            Self::Bce | Self::Shares | Self::PosWeight | Self::Sqrt => Loss { name: LossName::Bce, ..loss },
            Self::DiceBce => Loss { name: LossName::DiceBce, ..loss },
            Self::Focal => Loss { name: LossName::Focal, gamma: 2.0, ..loss },
            Self::CrossEntropy => {
                let class_weights = Auto::Value(vec![1.0, p]);
                Loss { name: LossName::Ce, pos_weight: Auto::Word(Word::None), class_weights, ..loss }
            }
        };
        Config { loss, ..config.clone() }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Arm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|arm| arm.name() == text)
            .ok_or_else(|| format!("{text:?} is no arm: {}", Self::ALL.map(Self::name).join(", ")))
    }
}
