//! What cases are made of and patches cut from.

use serde::{Deserialize, Serialize};

use super::Auto;

/// Patches in a batch at least, where their number is chosen.
pub const SMALLEST_BATCH: usize = 2;

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Data {
    pub reorient: bool,
    pub crop: bool,
    pub spacing: Auto<[f64; 3]>,
    pub normalization: Scheme,
    pub patch_size: Auto<[usize; 3]>,
    pub patch_voxels: usize,
    pub batch_size: Auto<usize>,
    pub memory: Auto<f64>,
    pub foreground_share: f64,
    pub balance: BalanceBy,
    pub empty_share: Auto<f64>,
}

/// What patches around foreground are chosen by first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub enum BalanceBy {
    Case,
    Class,
}

impl Data {
    /// Patches in a batch; where a plan has not settled it, the fewest that it would take.
    pub fn batch(&self) -> usize {
        self.batch_size.value().copied().unwrap_or(SMALLEST_BATCH)
    }

    /// The bytes that a run may take, if a number was given.
    pub fn budget(&self) -> Option<usize> {
        self.memory.value().map(|gigabytes| (gigabytes * (1u64 << 30) as f64) as usize)
    }
}

/// How intensities are made comparable between cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// By the channel's name: `CT` as [`Scheme::Ct`], `noNorm` as [`Scheme::None`], others as [`Scheme::MaskedZScore`] where
    /// empty borders are much of the cases, else as [`Scheme::ZScore`].
    #[default]
    Auto,
    /// Mean 0 and standard deviation 1 over all voxels of each case.
    ZScore,
    /// The same over the voxels that are not empty; those that are become 0.
    #[serde(rename = "masked_zscore")]
    MaskedZScore,
    /// Clipped to the 0.5 and 99.5 % quantiles of the training cases' foreground, then by its mean and deviation.
    Ct,
    /// As in the file.
    None,
}
