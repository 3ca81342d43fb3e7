//! The configuration of a run: `config/default.toml` with the user's changes.
//!
//! The default file is the single source of keys, values and explanations. Changes are merged into it before it
//! is read, so an unknown key is noticed where it is written, with the nearest known one as a hint.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use metrics::Aim;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::{Error, Result};

mod augmentation;
mod data;
mod keys;
mod limits;
mod loss;
mod merge;
mod mirror;
mod named_file;
mod training;
mod values;

pub use augmentation::Augmentation;
pub use data::{BalanceBy, Data, SMALLEST_BATCH, Scheme};
pub(crate) use keys::meant as keys_meant;
pub(crate) use limits::{check_patch, is_overlap};
pub use loss::{Loss, LossName};
use merge::{merge, nested, parse, parse_value};
pub use mirror::{Mirror, Mirroring};
pub use named_file::NamedFile;
pub use training::{NonFiniteStep, Training};

/// The default configuration with a comment on every key, as `trainer config` prints it.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// The same as a table.
static DEFAULTS: LazyLock<Table> =
    LazyLock::new(|| DEFAULT.parse().expect("the default configuration is read by a test"));

/// Either a value, or `"auto"`: chosen from the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Auto<V> {
    /// The user's choice.
    Value(V),
    /// `"auto"` (or `"none"`, where the key allows it).
    Word(Word),
}

/// The words that stand for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Chosen from the data.
    Auto,
    /// Not used.
    None,
}

impl<V> Auto<V> {
    /// The value, if the user gave one.
    pub fn value(&self) -> Option<&V> {
        match self {
            Self::Value(value) => Some(value),
            Self::Word(_) => None,
        }
    }
}

/// All of a run's settings. Every field is explained in [`DEFAULT`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Config {
    pub data: Data,
    pub model: Model,
    pub loss: Loss,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub training: Training,
    pub augmentation: Augmentation,
    pub validation: Validation,
    pub inference: Inference,
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Model {
    pub base_channels: usize,
    pub max_channels: usize,
    pub levels: Auto<usize>,
    pub strides: Auto<Vec<[usize; 3]>>,
    pub kernels: Auto<Vec<[usize; 3]>>,
    pub norm: unet3d::Norm,
    pub activation: nn::layers::Activation,
    pub upsampling: unet3d::Upsampling,
    pub dropout: f64,
    pub residual: bool,
    pub deep_supervision: bool,
    pub checkpointing: unet3d::Checkpointing,
    pub prior_bias: bool,
}

/// `[optimizer]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Optimizer {
    pub name: OptimizerName,
    pub lr: f64,
    pub weight_decay: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub momentum: f64,
    pub nesterov: bool,
    pub clip_norm: f64,
}

/// Which optimiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub enum OptimizerName {
    Adamw,
    Adam,
    Amsgrad,
    Sgd,
}

/// `[schedule]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Schedule {
    pub name: ScheduleName,
    pub power: f64,
    pub warmup_steps: usize,
    pub every: usize,
    pub patience: usize,
    pub factor: f64,
}

/// Which schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub enum ScheduleName {
    Poly,
    Cosine,
    Linear,
    Step,
    Plateau,
    Constant,
}

/// `[validation]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Validation {
    pub every: usize,
    pub full_every: Auto<usize>,
    pub split: Word,
    pub fold: usize,
    pub folds: Auto<usize>,
    pub splits: NamedFile,
    pub groups: NamedFile,
}

/// `[inference]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Inference {
    pub overlap: f64,
    pub threshold: Auto<f64>,
    pub aim: Aim,
    pub mirror: Mirroring,
    pub min_component: Auto<usize>,
    pub keep_largest: Auto<bool>,
    pub fill_holes: Auto<bool>,
}

impl Default for Config {
    fn default() -> Self {
        Self::read(&DEFAULTS).expect("the default configuration is read by a test")
    }
}

impl Config {
    /// The default with the changes of a file's text (its name is for messages) and then of `key=value` pairs.
    ///
    /// # Errors
    /// Names the key that is unknown, or whose value cannot be used, and the remedy.
    pub fn load(file: Option<(&str, &str)>, set: &[String]) -> Result<Self> {
        let file = file.map(|(name, text)| Ok::<_, Error>((name, parse(name, text)?))).transpose()?;
        Self::changed(file, set)
    }

    /// What a checkpoint recorded, for predicting with its network. `[augmentation]`, which only training reads, keeps its
    /// defaults, so that a network does not depend on the names of keys that are of no use to it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn for_prediction(name: &str, text: &str) -> Result<Self> {
        let mut recorded = parse(name, text)?;
        recorded.remove("augmentation");
        Self::changed(Some((name, recorded)), &[])
    }

    /// The keys that a file's text sets, such as `training.epochs`.
    ///
    /// # Errors
    /// If it is not TOML.
    pub(crate) fn keys_of(name: &str, text: &str) -> Result<Vec<String>> {
        Ok(keys(&parse(name, text)?).into_keys().collect())
    }

    /// With the samples of one of so many ranks as the batch, where that is settled, and as many of them kept at a time as of the
    /// whole.
    pub(crate) fn of_rank(&self, ranks: usize) -> Self {
        let mut config = self.clone();
        if let (2.., Auto::Value(batch)) = (ranks, &self.data.batch_size) {
            let samples = batch.div_ceil(ranks);
            let kept = samples.div_ceil(self.training.accumulate);
            let fits = |parts: &usize| samples.is_multiple_of(*parts) && samples / parts >= kept;
            config.data.batch_size = Auto::Value(samples);
            config.training.accumulate = (1..=samples).rev().find(fits).unwrap_or(1);
        }
        config
    }

    /// All settings by key, such as `training.epochs`.
    pub(crate) fn settings(&self) -> BTreeMap<String, Value> {
        keys(&Table::try_from(self).expect("a configuration has only values that TOML has"))
    }

    /// The default with the changes of a file and then of pairs.
    fn changed(file: Option<(&str, Table)>, set: &[String]) -> Result<Self> {
        let mut table = DEFAULTS.clone();
        if let Some((name, changes)) = file {
            let changed = merge(&mut table, changes, "").and_then(|()| Self::read(&table));
            changed.map_err(|error| match error {
                Error::Config { key, message } => Error::file(name, format!("{key}: {message}")),
                other => other,
            })?;
        }
        for pair in set {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::config(pair, "is not key=value, such as training.epochs=5"))?;
            let changes = nested(key.trim(), parse_value(value.trim()));
            merge(&mut table, changes, "")?;
        }
        Self::read(&table)?.validated()
    }

    /// What a table that has every key says.
    fn read(table: &Table) -> Result<Self> {
        Value::Table(table.clone()).try_into().map_err(|_: toml::de::Error| values::refused(table))
    }

    /// The configuration as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has only values that TOML has")
    }

    /// The configuration itself, if a run can start from it.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used, and the remedy.
    pub fn validated(self) -> Result<Self> {
        let positive = [
            ("data.batch_size", self.data.batch()),
            ("data.patch_voxels", self.data.patch_voxels),
            ("training.epochs", self.training.epochs),
            ("training.steps_per_epoch", self.training.steps_per_epoch),
            ("training.accumulate", self.training.accumulate),
            ("training.log_every", self.training.log_every),
            ("validation.every", self.validation.every),
            ("validation.full_every", self.validation.full_every.value().copied().unwrap_or(1)),
            ("schedule.every", self.schedule.every),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(Error::config(key, "is 0: at least 1 is needed"));
            }
        }
        for (key, none) in [
            ("data.patch_size", self.data.patch_size == Auto::Word(Word::None)),
            ("data.empty_share", self.data.empty_share == Auto::Word(Word::None)),
            ("data.batch_size", self.data.batch_size == Auto::Word(Word::None)),
            ("inference.threshold", self.inference.threshold == Auto::Word(Word::None)),
            ("inference.min_component", self.inference.min_component == Auto::Word(Word::None)),
            ("inference.keep_largest", self.inference.keep_largest == Auto::Word(Word::None)),
            ("inference.fill_holes", self.inference.fill_holes == Auto::Word(Word::None)),
            ("validation.folds", self.validation.folds == Auto::Word(Word::None)),
            ("model.levels", self.model.levels == Auto::Word(Word::None)),
            ("model.strides", self.model.strides == Auto::Word(Word::None)),
            ("model.kernels", self.model.kernels == Auto::Word(Word::None)),
        ] {
            if none {
                return Err(Error::config(key, "is \"none\": give a value, or \"auto\""));
            }
        }
        if self.validation.groups == NamedFile::Auto {
            return Err(Error::config("validation.groups", "is \"auto\": name a table, or give \"none\""));
        }
        limits::check(&self)?;
        self.training.check_accumulate(self.data.batch_size.value().copied(), self.model.norm)?;
        if let Some(&spacing) = self.data.spacing.value()
            && !spacing.iter().all(|&s| s.is_finite() && s > 0.0)
        {
            let message = format!("is {spacing:?}: millimetres along d, h and w, each above 0");
            return Err(Error::config("data.spacing", message));
        }
        if let Some(&gigabytes) = self.data.memory.value()
            && !(gigabytes.is_finite() && gigabytes > 0.0)
        {
            let message = format!("is {gigabytes}: gigabytes above 0, \"auto\" or \"none\"");
            return Err(Error::config("data.memory", message));
        }
        let shares = [
            ("data.foreground_share", self.data.foreground_share),
            ("data.empty_share", self.data.empty_share.value().copied().unwrap_or(0.5)),
            ("inference.threshold", self.inference.threshold.value().copied().unwrap_or(0.5)),
        ];
        for (key, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::config(key, format!("is {value}: a number from 0 to 1")));
            }
        }
        if !is_overlap(self.inference.overlap) {
            let message = format!("is {}: a share from 0 to below 0.95", self.inference.overlap);
            return Err(Error::config("inference.overlap", message));
        }
        self.augmentation.check()?;
        let finite = [
            ("optimizer.lr", self.optimizer.lr),
            ("optimizer.weight_decay", self.optimizer.weight_decay),
            ("optimizer.clip_norm", self.optimizer.clip_norm),
            ("training.checkpoint_minutes", self.training.checkpoint_minutes),
        ];
        for (key, value) in finite {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::config(key, format!("is {value}: a finite number from 0 on")));
            }
        }
        Ok(self)
    }
}

/// The values of a configuration's sections by key; below a section tables are values.
fn keys(table: &Table) -> BTreeMap<String, Value> {
    let sections = table.iter().filter_map(|(section, keys)| Some((section, keys.as_table()?)));
    let of_section = |(section, keys): (&String, &Table)| -> Vec<(String, Value)> {
        keys.iter().map(|(key, value)| (format!("{section}.{key}"), value.clone())).collect()
    };
    sections.flat_map(of_section).collect()
}

#[cfg(test)]
mod tests;
