//! The fits: Newton's method on the mean negative log-likelihood, which is convex.

use metrics::ScoreHistogram;
use rayon::prelude::*;

use super::sample::Part;
use super::{Calibration, ClassSample};

/// Newton steps at most; a handful is usual.
const STEPS: usize = 100;
/// A step below this ends the search.
const SMALL: f64 = 1e-10;
/// Scales stay within this factor of 1: beyond, the voxels are separable and the likelihood has no maximum.
const SCALE: f64 = 100.0;

/// What a fit came to.
pub(super) struct Fit {
    pub(super) scale: f64,
    pub(super) shift: Vec<f64>,
    /// The mean negative log-likelihood at the start and at the end.
    likelihood: [f64; 2],
}

impl Fit {
    /// By which share the mean negative log-likelihood fell.
    pub(super) fn gain(&self) -> f64 {
        let [before, after] = self.likelihood;
        if before > 0.0 { (before - after) / before } else { 0.0 }
    }
}

/// From a start; `None` where a class is missing.
///
/// Targets are Platt's, (n₊ + 1)/(n₊ + 2) and 1/(n₋ + 2), so that the maximum exists for separable voxels too.
pub(super) fn binary(histogram: &ScoreHistogram, start: [f64; 2], scaled: bool) -> Option<Fit> {
    let (yes, no) = histogram.bins().fold((0, 0), |(yes, no), bin| (yes + bin.positives, no + bin.negatives));
    if yes == 0 || no == 0 {
        return None;
    }
    let (high, low) = ((yes + 1) as f64 / (yes + 2) as f64, 1.0 / (no + 2) as f64);
    let total = (yes + no) as f64;
    let [mut scale, mut shift] = start;
    let objective = |scale: f64, shift: f64| -> f64 {
        let of_bin = |bin: metrics::Bin| {
            let z = scale * bin.logit + shift;
            let (positives, negatives) = (bin.positives as f64, bin.negatives as f64);
            let wanted = positives * high + negatives * low;
            (positives + negatives) * softplus(z) - wanted * z
        };
        histogram.bins().map(of_bin).sum::<f64>() / total
    };
    let mut value = objective(scale, shift);
    let first = value;
    for _ in 0..STEPS {
        // Gradient and Hessian in (scale, shift).
        let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
        for bin in histogram.bins() {
            let p: f64 = autograd::Real::sigmoid(scale * bin.logit + shift);
            let (positives, negatives) = (bin.positives as f64, bin.negatives as f64);
            let count = positives + negatives;
            let error = count * p - positives * high - negatives * low;
            let curvature = count * p * (1.0 - p);
            g = [g[0] + error * bin.logit, g[1] + error];
            h = [h[0] + curvature * bin.logit * bin.logit, h[1] + curvature * bin.logit, h[2] + curvature];
        }
        let step = if scaled {
            let [a, b, c] = [h[0] + 1e-9, h[1], h[2] + 1e-9];
            let determinant = a * c - b * b;
            [(c * g[0] - b * g[1]) / determinant, (a * g[1] - b * g[0]) / determinant]
        } else {
            [0.0, g[1] / (h[2] + 1e-9)]
        };
        // Halved until the likelihood rises: far from the maximum a Newton step may overshoot.
        let mut length = 1.0;
        let (next, found) = loop {
            let next = [(scale - length * step[0]).clamp(1.0 / SCALE, SCALE), shift - length * step[1]];
            let found = objective(next[0], next[1]);
            if found <= value || length < 1e-6 {
                break (next, found);
            }
            length /= 2.0;
        };
        let moved = (next[0] - scale).abs() + (next[1] - shift).abs();
        if found <= value {
            ([scale, shift], value) = (next, found);
        }
        if moved < SMALL || length < 1e-6 {
            break;
        }
    }
    Some(Fit { scale, shift: vec![shift], likelihood: [first, value] })
}

/// log(1 + eᶻ)
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// Scale and shifts of several classes, from a start; `None` where a class is missing.
///
/// Unknowns are the scale and the shifts of all classes but the background, whose shift stays.
pub(super) fn classes(sample: &ClassSample, start: &Calibration, scaled: bool) -> Option<Fit> {
    let classes = start.shift.len();
    if (0..classes).any(|class| !sample.holds(class)) {
        return None;
    }
    let n = classes;
    let (mut scale, mut shift) = (start.scale, start.shift.clone());
    let mut value = likelihood(sample, scale, &shift);
    let first = value;
    for _ in 0..STEPS {
        let (mut g, mut h) = derivatives(sample, scale, &shift);
        if !scaled {
            g[0] = 0.0;
            for k in 1..n {
                (h[k], h[k * n]) = (0.0, 0.0);
            }
        }
        (0..n).for_each(|k| h[k * n + k] += 1e-6 * (1.0 + h[k * n + k]));
        let step = solve(h, g);
        let mut length = 1.0;
        let moved = loop {
            let next = (scale - length * step[0]).clamp(1.0 / SCALE, SCALE);
            let shifts: Vec<f64> =
                (0..n).map(|k| if k == 0 { shift[0] } else { shift[k] - length * step[k] }).collect();
            let found = likelihood(sample, next, &shifts);
            if found <= value {
                let moved =
                    (next - scale).abs() + shifts.iter().zip(&shift).map(|(a, b)| (a - b).abs()).sum::<f64>();
                (scale, shift, value) = (next, shifts, found);
                break moved;
            }
            length /= 2.0;
            if length < 1e-6 {
                break 0.0;
            }
        };
        if moved < SMALL {
            break;
        }
    }
    Some(Fit { scale, shift, likelihood: [first, value] })
}

/// The gradient and the Hessian of the sum, which are added up in the order of the sample's parts.
fn derivatives(sample: &ClassSample, scale: f64, shift: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let n = shift.len();
    let of_part = |part: Part<'_>| {
        let (mut g, mut h) = (vec![0.0; n], vec![0.0; n * n]);
        for (z, truth) in part.voxels() {
            let p = softmax(z, scale, shift);
            // Row k of the design: d logit_k / d unknowns is z_k for the scale and a unit vector for the shift.
            let mean: f64 = p.iter().zip(z).map(|(p, z)| p * f64::from(*z)).sum();
            g[0] += mean - f64::from(z[truth]);
            h[0] += p.iter().zip(z).map(|(p, z)| p * f64::from(*z).powi(2)).sum::<f64>() - mean * mean;
            for k in 1..n {
                g[k] += p[k] - f64::from(u8::from(truth == k));
                let cross = p[k] * (f64::from(z[k]) - mean);
                h[k] += cross;
                h[k * n] += cross;
                for j in 1..n {
                    h[k * n + j] += if j == k { p[k] * (1.0 - p[k]) } else { -p[k] * p[j] };
                }
            }
        }
        (g, h)
    };
    let add = |sum: &mut [f64], more: &[f64]| sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    let parts: Vec<_> = sample.parts().map(of_part).collect();
    parts.into_iter().fold((vec![0.0; n], vec![0.0; n * n]), |(mut g, mut h), (more_g, more_h)| {
        add(&mut g, &more_g);
        add(&mut h, &more_h);
        (g, h)
    })
}

fn likelihood(sample: &ClassSample, scale: f64, shift: &[f64]) -> f64 {
    let of_part = |part: Part<'_>| {
        part.voxels()
            .map(|(z, truth)| -softmax(z, scale, shift)[truth].max(f64::MIN_POSITIVE).ln())
            .sum::<f64>()
    };
    let parts: Vec<f64> = sample.parts().map(of_part).collect();
    parts.into_iter().sum::<f64>() / sample.len() as f64
}

fn softmax(z: &[f32], scale: f64, shift: &[f64]) -> Vec<f64> {
    let mut p: Vec<f64> = z.iter().zip(shift).map(|(z, shift)| scale * f64::from(*z) + shift).collect();
    let largest = p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    p.iter_mut().for_each(|p| *p = (*p - largest).exp());
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
    p
}

/// The solution of a symmetric positive definite system, by Gauss's elimination.
fn solve(mut a: Vec<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        for i in k + 1..n {
            let factor = a[i * n + k] / a[k * n + k];
            for j in k..n {
                a[i * n + j] -= factor * a[k * n + j];
            }
            b[i] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        let known: f64 = (k + 1..n).map(|j| a[k * n + j] * b[j]).sum();
        b[k] = (b[k] - known) / a[k * n + k];
    }
    b
}
