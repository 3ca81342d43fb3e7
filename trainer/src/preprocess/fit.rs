//! What a normalisation is fitted on: intensities of the foreground, and how much of the cases their empty borders are.

use serde::{Deserialize, Serialize};

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
/// Intensities that are taken of the foreground of one case and channel at most.
pub(crate) const MOST_SAMPLES: usize = 10_000;

/// What a normalisation takes of one case, whatever the other cases are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseStatistics {
    /// The grids of its file and of the case.
    pub grids: Grids,
    /// Of each channel that is normalised by the foreground, intensities there, ascending: all, or of more than 10,000 so
    /// many, evenly spaced by rank.
    foreground: Vec<Vec<f32>>,
}

impl CaseStatistics {
    /// Whether they are such as a case gives; those of a file may be anything.
    pub(super) fn is_sound(&self) -> bool {
        let is_sample = |values: &Vec<f32>| {
            values.len() <= MOST_SAMPLES && values.is_sorted() && values.iter().all(|value| value.is_finite())
        };
        self.grids.is_sound() && self.foreground.iter().all(is_sample)
    }
}

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
    /// Intensities of the foreground, case by case, for CT's clipping.
    Foreground(Vec<Vec<f32>>),
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

    /// How many channels are normalised by the training cases' foreground.
    pub fn foreground_channels(&self) -> usize {
        self.channels.iter().filter(|channel| matches!(channel, Channel::Foreground(_))).count()
    }

    /// Whether the result follows from what cropping leaves of the cases.
    pub fn needs_grids(&self) -> bool {
        self.channels.iter().any(|channel| matches!(channel, Channel::ZScore))
    }

    /// What it takes of a case, as the reader has read it.
    pub fn statistics(&self, case: &Case) -> CaseStatistics {
        let channels = self.channels.iter().enumerate();
        let by_foreground = channels.filter(|(_, fit)| matches!(fit, Channel::Foreground(_)));
        let foreground = by_foreground.map(|(channel, _)| evenly_ranked(foreground(case, channel))).collect();
        CaseStatistics { grids: case.geometry.grids.clone(), foreground }
    }

    /// Takes a training case.
    pub fn add(&mut self, case: CaseStatistics) {
        self.add_grids(&case.grids);
        let fits = self.channels.iter_mut().filter_map(|channel| match channel {
            Channel::Foreground(cases) => Some(cases),
            Channel::Known(_) | Channel::ZScore => None,
        });
        fits.zip(case.foreground).for_each(|(cases, values)| cases.push(values));
    }

    /// Takes the grids of a case, be it one to train on or not: its image alone says what of it is empty, and so the folds of
    /// a data set agree.
    pub fn add_grids(&mut self, grids: &Grids) {
        let voxels = |shape: [usize; 3]| shape.into_iter().product::<usize>() as f32;
        self.left.push(voxels(grids.part_shape()) / voxels(grids.whole_shape()));
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
            Channel::Foreground(cases) => fit_ct(name, cases),
            Channel::ZScore if is_masked => Ok(ChannelNorm::MaskedZScore),
            Channel::ZScore => Ok(ChannelNorm::ZScore),
        };
        Ok(Normalisation { channels: names.iter().zip(channels).map(norm).collect::<Result<_>>()? })
    }
}

/// A channel's intensities in the foreground.
fn foreground(case: &Case, channel: usize) -> Vec<f32> {
    let is_foreground = |label: u8| label != 0 && label != IGNORE;
    let labels = case.labels.as_deref().unwrap_or_default();
    let mut values = memory::with_capacity(labels.iter().filter(|&&label| is_foreground(label)).count());
    let voxels = case.image.iter().skip(channel).step_by(case.channels).zip(labels);
    values.extend(voxels.filter(|&(_, &label)| is_foreground(label)).map(|(&value, _)| value));
    values
}

/// The values in ascending order; of more than [`MOST_SAMPLES`], the middle one of each of so many equal parts of them.
fn evenly_ranked(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let n = values.len();
    if n <= MOST_SAMPLES {
        return values;
    }
    (0..MOST_SAMPLES).map(|part| values[(2 * part + 1) * n / (2 * MOST_SAMPLES)]).collect()
}

/// Clipping, mean and deviation of the cases' foreground, in which each case that has any counts as much as the others.
///
/// # Source
/// nnU-Net, `DatasetFingerprintExtractor`: as many intensities are drawn from each case. Here they are evenly spaced by rank
/// instead of drawn at random, so that a case's do not depend on a seed, and fewer do.
fn fit_ct(name: &str, mut cases: Vec<Vec<f32>>) -> Result<ChannelNorm> {
    cases.retain(|values| !values.is_empty());
    if cases.is_empty() {
        let message = format!(
            "channel {name:?} is normalised by the intensities of the foreground, but no training case has any; use \"zscore\""
        );
        return Err(Error::config("data.normalization", message));
    }
    let over_cases =
        |of: &dyn Fn(&[f32]) -> f64| cases.iter().map(|values| of(values)).sum::<f64>() / cases.len() as f64;
    let mean = over_cases(&|values| mean_sd(values.iter().copied()).0);
    let variance = over_cases(&|values| {
        let squares: f64 = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
        squares / values.len() as f64
    });
    let weighted = |values: Vec<f32>| {
        let weight = 1.0 / values.len() as f32;
        values.into_iter().map(move |value| (value, weight))
    };
    let sd = variance.sqrt();
    let sd = if varies(mean, sd) { sd } else { 1.0 };
    let mut all: Vec<(f32, f32)> = memory::with_capacity(cases.iter().map(Vec::len).sum());
    all.extend(cases.into_iter().flat_map(weighted));
    all.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(ChannelNorm::Ct {
        low: weighted_quantile(&all, 0.005) as f32,
        high: weighted_quantile(&all, 0.995) as f32,
        mean: mean as f32,
        sd: sd as f32,
    })
}

/// The q-quantile of sorted values with weights above 0, linear between neighbours: [`quantile`] where all weigh the same.
fn weighted_quantile(sorted: &[(f32, f32)], q: f64) -> f64 {
    let (&(last, _), others) = sorted.split_last().expect("there are values");
    let mut left = q * others.iter().map(|&(_, weight)| f64::from(weight)).sum::<f64>();
    for (&(low, weight), &(high, _)) in others.iter().zip(&sorted[1..]) {
        let [low, high, weight] = [low, high, weight].map(f64::from);
        if left <= weight {
            return low + (high - low) * left / weight;
        }
        left -= weight;
    }
    f64::from(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ct(cases: Vec<Vec<f32>>) -> [f32; 4] {
        match fit_ct("CT", cases.into_iter().map(evenly_ranked).collect()).unwrap() {
            ChannelNorm::Ct { low, high, mean, sd } => [low, high, mean, sd],
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn a_quantile_with_equal_weights_is_the_plain_one_and_a_weight_stands_for_copies(
            mut values in prop::collection::vec(-100i16..100, 1..60),
            q in 0.0f64..=1.0,
        ) {
            values.sort_unstable();
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let equal: Vec<(f32, f32)> = values.iter().map(|&value| (value, 0.25)).collect();
            let want = quantile(&values, q);
            // A place among 60 values is rounded about 60 times.
            prop_assert!((weighted_quantile(&equal, q) - want).abs() <= 200.0 * 60.0 * 60.0 * f64::EPSILON);
        }

        #[test]
        fn a_case_of_many_voxels_counts_no_more_than_one_of_few(
            few in prop::collection::vec(-100i16..100, 1..20),
            copies in 1usize..40,
            offset in -500i16..500,
        ) {
            let few: Vec<f32> = few.into_iter().map(f32::from).collect();
            let moved: Vec<f32> = few.iter().map(|value| value + f32::from(offset)).collect();
            let many = few.iter().copied().cycle().take(few.len() * copies).collect();
            let [_, _, mean, sd] = ct(vec![many, moved.clone()]);
            let [_, _, want, want_sd] = ct(vec![few, moved]);
            // Sums of at most 800 values below 600 and of their squares, in f64, and one rounding.
            prop_assert!((mean - want).abs() <= 600.0 * 2.0 * f32::EPSILON, "{mean} {want}");
            prop_assert!((sd - want_sd).abs() <= 600.0 * 2.0 * f32::EPSILON, "{sd} {want_sd}");
        }
    }

    #[test]
    fn of_much_foreground_a_bounded_sample_gives_the_quantiles_mean_and_deviation_of_all() {
        let n = 40 * MOST_SAMPLES + 17;
        // Skewed, as intensities are: squares of evenly spaced numbers, in an order that is not theirs.
        let value = |i: usize| ((i * 7919 % n) as f32 / n as f32).powi(2) * 1000.0;
        let all: Vec<f32> = (0..n).map(value).collect();
        let sample = evenly_ranked(all.clone());
        assert_eq!(sample.len(), MOST_SAMPLES);
        let (mean, sd) = mean_sd(all.iter().copied());
        let mut sorted = all.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let is_one_of_them = |value: &f32| sorted.binary_search_by(|other| other.total_cmp(value)).is_ok();
        assert!(sample.is_sorted() && sample.iter().all(is_one_of_them));
        let want = [quantile(&sorted, 0.005), quantile(&sorted, 0.995), mean, sd];
        // A value stands for a part of the ranks, in which the values differ by at most 2000 / 10,000.
        for (got, want) in ct(vec![all]).into_iter().zip(want) {
            assert!((f64::from(got) - want).abs() <= 2000.0 / MOST_SAMPLES as f64, "{got} {want}");
        }
    }
}
