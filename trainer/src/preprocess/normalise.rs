//! Intensities made comparable between cases. What is fitted on the training cases goes into the checkpoint, so that
//! prediction uses the same numbers.

use serde::{Deserialize, Serialize};

use super::Case;
use crate::config::Scheme;
use crate::dataset::{Description, IGNORE};
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
}

impl ChannelNorm {
    /// Whether its numbers are such as a training set gives; those of a file may be anything.
    pub(crate) fn is_sound(&self) -> bool {
        match *self {
            Self::Ct { low, high, mean, sd } => low <= high && mean.is_finite() && sd.is_finite() && sd > 0.0,
            Self::ZScore | Self::None => true,
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
    /// Fits what needs fitting on the training cases, whose intensities are as in the files.
    ///
    /// # Errors
    /// CT normalisation without a single foreground voxel.
    pub fn fit<'a>(
        scheme: Scheme,
        description: &Description,
        cases: impl IntoIterator<Item = &'a Case>,
    ) -> Result<Self> {
        let mut fit = Fit::new(scheme, description);
        cases.into_iter().for_each(|case| fit.add(case));
        fit.finish()
    }

    /// Normalises a case.
    ///
    /// # Errors
    /// Another number of channels than was fitted.
    pub fn apply(&self, mut case: Case) -> Result<Case> {
        let channels = self.channels.len();
        if case.channels != channels {
            let message = format!(
                "has {} channel(s), the normalisation {channels}; give as many as in training",
                case.channels
            );
            return Err(Error::case(&case.name, message));
        }
        for (channel, norm) in self.channels.iter().enumerate() {
            let (low, high, mean, sd) = match *norm {
                ChannelNorm::None => continue,
                ChannelNorm::Ct { low, high, mean, sd } => (low, high, f64::from(mean), f64::from(sd)),
                ChannelNorm::ZScore => {
                    let (mean, sd) = mean_sd(case.image.iter().skip(channel).step_by(channels).copied());
                    let sd = if varies(mean, sd) { sd } else { f64::INFINITY };
                    (f32::NEG_INFINITY, f32::INFINITY, mean, sd)
                }
            };
            for value in case.image.iter_mut().skip(channel).step_by(channels) {
                *value = ((f64::from(value.clamp(low, high)) - mean) / sd) as f32;
            }
        }
        Ok(case)
    }
}

fn resolve(scheme: Scheme, channel_name: &str) -> Scheme {
    match (scheme, channel_name.to_ascii_lowercase().as_str()) {
        (Scheme::Auto, "ct") => Scheme::Ct,
        (Scheme::Auto, "nonorm") => Scheme::None,
        (Scheme::Auto, _) => Scheme::ZScore,
        (asked, _) => asked,
    }
}

/// A normalisation that is being fitted, case by case; what it keeps are the foreground's intensities.
#[derive(Clone, Debug)]
pub struct Fit {
    /// Name and scheme of each channel, and the foreground's intensities where they count.
    channels: Vec<(String, Scheme, Vec<f32>)>,
}

impl Fit {
    /// Without cases so far.
    pub fn new(scheme: Scheme, description: &Description) -> Self {
        let channel = |name: &String| (name.clone(), resolve(scheme, name), Vec::new());
        Self { channels: description.channel_names.iter().map(channel).collect() }
    }

    /// Whether the result follows from the cases, not from the channels' names alone.
    pub fn needs_cases(&self) -> bool {
        self.channels.iter().any(|(_, scheme, _)| *scheme == Scheme::Ct)
    }

    /// Takes a training case, whose intensities are as in the files.
    pub fn add(&mut self, case: &Case) {
        for (channel, (_, scheme, foreground)) in self.channels.iter_mut().enumerate() {
            if *scheme != Scheme::Ct {
                continue;
            }
            let labels = case.labels.iter().flatten();
            let is_foreground = |&label: &u8| label != 0 && label != IGNORE;
            let count = labels.clone().filter(|&label| is_foreground(label)).count();
            *foreground = memory::with_room(std::mem::take(foreground), count);
            let voxels = case.image.iter().skip(channel).step_by(case.channels).zip(labels);
            foreground.extend(voxels.filter(|&(_, label)| is_foreground(label)).map(|(&v, _)| v));
        }
    }

    /// The normalisation.
    ///
    /// # Errors
    /// CT normalisation without a single foreground voxel.
    pub fn finish(self) -> Result<Normalisation> {
        let channel = |(name, scheme, foreground): (String, Scheme, Vec<f32>)| match scheme {
            Scheme::Ct => fit_ct(&name, foreground),
            Scheme::None => Ok(ChannelNorm::None),
            _ => Ok(ChannelNorm::ZScore),
        };
        Ok(Normalisation { channels: self.channels.into_iter().map(channel).collect::<Result<_>>()? })
    }
}

fn fit_ct(name: &str, mut foreground: Vec<f32>) -> Result<ChannelNorm> {
    if foreground.is_empty() {
        let message = format!(
            "channel {name:?} is normalised by the intensities of the foreground, but no training case has any; use \"zscore\""
        );
        return Err(Error::config("data.normalization", message));
    }
    let (mean, sd) = mean_sd(foreground.iter().copied());
    foreground.sort_unstable_by(f32::total_cmp);
    let sd = if varies(mean, sd) { sd } else { 1.0 };
    Ok(ChannelNorm::Ct {
        low: quantile(&foreground, 0.005) as f32,
        high: quantile(&foreground, 0.995) as f32,
        mean: mean as f32,
        sd: sd as f32,
    })
}

/// Whether there is contrast: a deviation below f32's resolution at the mean is what summing left of a constant.
fn varies(mean: f64, sd: f64) -> bool {
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
