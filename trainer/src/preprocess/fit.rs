//! What a normalisation is fitted on: intensities of the foreground, and how much of the cases their empty borders are.

use super::normalise::{mean_sd, quantile, varies};
use super::{Case, ChannelNorm, Grids, Normalisation};
use crate::config::Scheme;
use crate::dataset::{Description, IGNORE};
use crate::{Error, Result};

/// Where cropping leaves less than this share of the median case, the voxels that are empty do not count.
///
/// # Source
/// nnU-Net, `determine_whether_to_use_mask_for_norm`.
const MASKED_BELOW: f32 = 0.75;

/// A normalisation that is being fitted, case by case.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The channels' names.
    names: Vec<String>,
    channels: Vec<Channel>,
    /// The share of each case's voxels that cropping leaves.
    left: Vec<f32>,
}

/// What is known of a channel.
#[derive(Clone, Debug)]
enum Channel {
    /// How it is normalised.
    Known(ChannelNorm),
    /// Intensities of the foreground, for CT's clipping.
    Foreground(Vec<f32>),
    /// Mean 0 and deviation 1, over whatever voxels.
    ZScore,
}

impl Fit {
    /// Without cases so far.
    pub fn new(scheme: Scheme, description: &Description) -> Self {
        let channel = |name: &String| match (scheme, name.to_ascii_lowercase().as_str()) {
            (Scheme::Ct, _) | (Scheme::Auto, "ct") => Channel::Foreground(Vec::new()),
            (Scheme::None, _) | (Scheme::Auto, "nonorm") => Channel::Known(ChannelNorm::None),
            (Scheme::ZScore, _) => Channel::Known(ChannelNorm::ZScore),
            (Scheme::MaskedZScore, _) => Channel::Known(ChannelNorm::MaskedZScore),
            (Scheme::Auto, _) => Channel::ZScore,
        };
        let names = description.channel_names.clone();
        Self { channels: names.iter().map(channel).collect(), names, left: Vec::new() }
    }

    /// Whether the result follows from the training cases' foreground.
    pub fn needs_foreground(&self) -> bool {
        self.channels.iter().any(|channel| matches!(channel, Channel::Foreground(_)))
    }

    /// Whether the result follows from what cropping leaves of the cases.
    pub fn needs_grids(&self) -> bool {
        self.channels.iter().any(|channel| matches!(channel, Channel::ZScore))
    }

    /// Takes over what was fitted on the foreground of the same cases before.
    pub fn take_foreground_from(&mut self, fitted: &Normalisation) {
        for (channel, norm) in self.channels.iter_mut().zip(&fitted.channels) {
            if let (Channel::Foreground(_), ChannelNorm::Ct { .. }) = (&channel, norm) {
                *channel = Channel::Known(*norm);
            }
        }
    }

    /// Takes a training case as the reader has read it.
    pub fn add(&mut self, case: &Case) {
        self.add_grids(&case.geometry.grids);
        self.add_foreground(case);
    }

    /// Takes the grids of a case, be it one to train on or not: its image alone says what of it is empty, and so the folds of
    /// a data set agree.
    pub fn add_grids(&mut self, grids: &Grids) {
        let voxels = |shape: [usize; 3]| shape.into_iter().product::<usize>() as f32;
        self.left.push(voxels(grids.part_shape()) / voxels(grids.whole_shape()));
    }

    fn add_foreground(&mut self, case: &Case) {
        for (channel, fit) in self.channels.iter_mut().enumerate() {
            let Channel::Foreground(foreground) = fit else { continue };
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
        let Self { names, channels, mut left } = self;
        left.sort_unstable_by(f32::total_cmp);
        let is_masked = !left.is_empty() && quantile(&left, 0.5) < f64::from(MASKED_BELOW);
        let norm = |(name, channel): (&String, Channel)| match channel {
            Channel::Known(norm) => Ok(norm),
            Channel::Foreground(foreground) => fit_ct(name, foreground),
            Channel::ZScore if is_masked => Ok(ChannelNorm::MaskedZScore),
            Channel::ZScore => Ok(ChannelNorm::ZScore),
        };
        Ok(Normalisation { channels: names.iter().zip(channels).map(norm).collect::<Result<_>>()? })
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
