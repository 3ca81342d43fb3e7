//! Changes of intensity, channel by channel.

use rand::{Rng, RngExt};

use super::filter::{blur, low_resolution};
use super::{Recipe, factor};
use crate::preprocess::mean_sd;
use crate::random::normal_pair;

/// Changes each channel of a patch `[d, h, w, c]`, each change with its probability: noise, blur, brightness, contrast, low
/// resolution, gamma.
pub(in super::super) fn augment_intensity(
    recipe: &Recipe,
    channels: usize,
    image: &mut [f32],
    rng: &mut impl Rng,
) {
    if !recipe.settings.enabled {
        return;
    }
    if channels == 1 {
        return change(recipe, image, rng);
    }
    let mut values = Vec::with_capacity(image.len() / channels);
    for channel in 0..channels {
        values.clear();
        values.extend(image.iter().skip(channel).step_by(channels));
        change(recipe, &mut values, rng);
        image.iter_mut().skip(channel).step_by(channels).zip(&values).for_each(|(to, &from)| *to = from);
    }
}

/// Changes one channel.
fn change(recipe: &Recipe, values: &mut [f32], rng: &mut impl Rng) {
    let Recipe { settings, patch, in_plane, .. } = recipe;
    let thick = |axis: usize| *in_plane && axis == 0;
    let within = |[low, high]: [f64; 2], rng: &mut _| RngExt::random_range(rng, low..=high);
    if rng.random_bool(settings.noise_probability) {
        noise(values, within(settings.noise_deviation, rng) as f32, rng);
    }
    if rng.random_bool(settings.blur_probability) {
        let sigma = [0, 1, 2].map(|a| if thick(a) { 0.0 } else { within(settings.blur_sigma, rng) });
        blur(values, *patch, sigma);
    }
    if rng.random_bool(settings.brightness_probability) {
        let factor = factor(settings.brightness_range, rng) as f32;
        values.iter_mut().for_each(|v| *v *= factor);
    }
    if rng.random_bool(settings.contrast_probability) {
        contrast(values, factor(settings.contrast_range, rng) as f32, settings.contrast_clip);
    }
    if rng.random_bool(settings.low_resolution_probability) {
        let zoom = within(settings.low_resolution_zoom, rng);
        low_resolution(values, *patch, [0, 1, 2].map(|a| if thick(a) { 1.0 } else { zoom }));
    }
    for (probability, inverted) in
        [(settings.gamma_inverted_probability, true), (settings.gamma_probability, false)]
    {
        if rng.random_bool(probability) {
            gamma(values, factor(settings.gamma_range, rng) as f32, inverted);
        }
    }
}

/// Adds normal numbers.
fn noise(values: &mut [f32], deviation: f32, rng: &mut impl Rng) {
    for pair in values.chunks_mut(2) {
        let normal = normal_pair(rng);
        pair.iter_mut().zip(normal).for_each(|(v, normal)| *v += deviation * normal);
    }
}

/// `mean + factor·(v − mean)`, within the range that there was if it is clipped.
pub(super) fn contrast(values: &mut [f32], factor: f32, clip: bool) {
    let mean = mean_sd(values.iter().copied()).0 as f32;
    let [low, high] = if clip { range(values) } else { [f32::MIN, f32::MAX] };
    values.iter_mut().for_each(|v| *v = (mean + factor * (*v - mean)).clamp(low, high));
}

/// `low + span·x^exponent` with `x = (v − low)/span`, or `high − span·(1 − x)^exponent`; then mean and deviation are made what
/// they were.
pub(super) fn gamma(values: &mut [f32], exponent: f32, inverted: bool) {
    let [low, high] = range(values);
    let span = high - low;
    if !(span > 0.0 && span.is_finite()) {
        return;
    }
    let (mean, sd) = mean_sd(values.iter().copied());
    for v in values.iter_mut() {
        let x = (*v - low) / span;
        *v = if inverted { 1.0 - (1.0 - x).powf(exponent) } else { x.powf(exponent) };
    }
    let (bent_mean, bent_sd) = mean_sd(values.iter().copied());
    // Between 0 and 1, both of which there are, so the deviation is not 0.
    let scale = sd / bent_sd;
    values.iter_mut().for_each(|v| *v = (mean + scale * (f64::from(*v) - bent_mean)) as f32);
}

fn range(values: &[f32]) -> [f32; 2] {
    values.iter().fold([f32::MAX, f32::MIN], |[low, high], &v| [low.min(v), high.max(v)])
}
