//! Intensities made comparable between cases. What is fitted on the training cases goes into the checkpoint, so that
//! prediction uses the same numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::crop::content_mask;
use super::{Case, Fit};
use crate::config::Scheme;
use crate::dataset::Description;
use crate::words::counted;
use crate::{Error, Result};

/// How one channel is normalised.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum ChannelNorm {
    /// (x − mean) / sd over the case; a constant image becomes 0.
    ZScore,
    /// (clip(x, low, high) − mean) / sd with numbers of the training set.
    Ct {
        /// 0.5 % quantile.
        low: f32,
        /// 99.5 % quantile.
        high: f32,
        /// Mean of the foreground.
        mean: f32,
        /// Standard deviation of the foreground, above 0.
        sd: f32,
    },
    /// x.
    None,
    /// (x − mean) / sd over the voxels that are not empty, and 0 where they are: as nnU-Net's `use_mask_for_norm`. A voxel
    /// is empty where all channels have the background's values, unless it lies in a hole, from which no path over faces of
    /// empty voxels leads to the border.
    MaskedZScore,
}

impl ChannelNorm {
    /// Whether its numbers are such as a training set gives; those of a file may be anything.
    pub(crate) fn is_sound(&self) -> bool {
        match *self {
            Self::Ct { low, high, mean, sd } => low <= high && mean.is_finite() && sd.is_finite() && sd > 0.0,
            Self::ZScore | Self::MaskedZScore | Self::None => true,
        }
    }
}

/// In words, as the end of a line.
impl fmt::Display for ChannelNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZScore => write!(f, "mean 0 and deviation 1 over each case"),
            Self::MaskedZScore => {
                write!(f, "mean 0 and deviation 1 over the voxels of each case that are not empty")
            }
            Self::Ct { low, high, mean, sd } => {
                write!(f, "clipped to {low} to {high}, then mean {mean} and deviation {sd} become 0 and 1")
            }
            Self::None => write!(f, "as in the files"),
        }
    }
}

/// How each channel is normalised.
///
/// # Source
/// Isensee et al., nnU-Net, Nature Methods 18 (2021), "intensity normalization".
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Normalisation {
    /// One per channel.
    pub channels: Vec<ChannelNorm>,
}

impl Normalisation {
    /// Fits what needs fitting on the training cases, as the reader has read them.
    ///
    /// # Errors
    /// CT normalisation without a single foreground voxel.
    pub fn fit<'a>(
        scheme: Scheme,
        description: &Description,
        cases: impl IntoIterator<Item = &'a Case>,
    ) -> Result<Self> {
        let mut fit = Fit::new(scheme, description);
        for case in cases {
            let statistics = fit.statistics(case);
            fit.add(statistics);
        }
        fit.finish()
    }

    /// A line for the channels that are normalised in the same way.
    pub(crate) fn lines(&self, names: &[String]) -> Vec<String> {
        let mut ways: Vec<(ChannelNorm, Vec<&str>)> = Vec::new();
        for (norm, name) in self.channels.iter().zip(names) {
            match ways.iter_mut().find(|(way, _)| way == norm) {
                Some((_, alike)) => alike.push(name),
                None => ways.push((*norm, vec![name])),
            }
        }
        let line =
            |(norm, names): (ChannelNorm, Vec<&str>)| format!("intensities of {}: {norm}", names.join(", "));
        ways.into_iter().map(line).collect()
    }

    /// Normalises a case.
    ///
    /// # Errors
    /// Another number of channels than was fitted.
    pub fn apply(&self, mut case: Case) -> Result<Case> {
        let channels = self.channels.len();
        if case.channels != channels {
            let message = format!(
                "has {}, the normalisation {channels}; give as many as in training",
                counted(case.channels, "channel")
            );
            return Err(Error::case(&case.name, message));
        }
        let masked = self.channels.contains(&ChannelNorm::MaskedZScore);
        let background = case.background.take().filter(|_| masked);
        let content = background.map(|background| content_mask(&case.image, &background, case.shape));
        let counts = |voxel: usize| content.as_ref().is_none_or(|content| content[voxel]);
        for (channel, norm) in self.channels.iter().enumerate() {
            let is_masked = *norm == ChannelNorm::MaskedZScore;
            let values = case.image.iter().skip(channel).step_by(channels).copied();
            let (low, high, mean, sd) = match *norm {
                ChannelNorm::None => continue,
                ChannelNorm::Ct { low, high, mean, sd } => (low, high, f64::from(mean), f64::from(sd)),
                ChannelNorm::ZScore | ChannelNorm::MaskedZScore => {
                    let within = values.enumerate().filter(|&(voxel, _)| !is_masked || counts(voxel));
                    let (mean, sd) = mean_sd(within.map(|(_, value)| value));
                    let sd = if varies(mean, sd) { sd } else { f64::INFINITY };
                    (f32::NEG_INFINITY, f32::INFINITY, mean, sd)
                }
            };
            for (voxel, value) in case.image.iter_mut().skip(channel).step_by(channels).enumerate() {
                let normalised = ((f64::from(value.clamp(low, high)) - mean) / sd) as f32;
                *value = if is_masked && !counts(voxel) { 0.0 } else { normalised };
            }
        }
        Ok(case)
    }
}

/// Whether there is contrast: a deviation below f32's resolution at the mean is what summing left of a constant.
pub(super) fn varies(mean: f64, sd: f64) -> bool {
    sd > f64::from(f32::EPSILON) * mean.abs()
}

/// Mean and standard deviation (of the population), in two passes: E[x²] − E[x]² would cancel.
pub(crate) fn mean_sd(values: impl Iterator<Item = f32> + Clone) -> (f64, f64) {
    let (n, sum) = values.clone().fold((0u64, 0.0), |(n, sum), v| (n + 1, sum + f64::from(v)));
    if n == 0 {
        return (0.0, 0.0);
    }
    let mean = sum / n as f64;
    let squares: f64 = values.map(|v| (f64::from(v) - mean).powi(2)).sum();
    (mean, (squares / n as f64).sqrt())
}

/// The q-quantile of sorted values, linear between neighbours (NumPy's default). NaN where there are none.
pub(crate) fn quantile(sorted: &[f32], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let (low, high) = (f64::from(sorted[at.floor() as usize]), f64::from(sorted[at.ceil() as usize]));
    low + (high - low) * at.fract()
}
