//! The logits by which voxels are ranked for a class.

use rayon::prelude::*;

/// For each foreground class the logits of "this class against all others", whose sigmoid is the class's probability: z for
/// one channel, else z_c − ln Σ e^z of the others. One log-sum-exp a voxel serves all classes.
///
/// With m the largest logit, `e_c = exp(z_c − m)` and `s` the sum of the others than the largest, it is −ln s for the
/// largest and `(z_c − m) − ln(1 + s − e_c)` for the rest: nothing cancels.
pub fn one_against_rest(logits: &[f32], channels: usize) -> Vec<Vec<f32>> {
    if channels == 1 {
        return vec![memory::collected(logits.iter().copied())];
    }
    let voxels = logits.len() / channels;
    let mut scores: Vec<Vec<f32>> = (1..channels).map(|_| memory::filled(0.0, voxels)).collect();
    let terms = |z: &[f32]| {
        let largest = (1..channels).fold(0, |best, c| if z[c] > z[best] { c } else { best });
        let others = (0..channels).filter(|&c| c != largest);
        let sum: f64 = others.map(|c| f64::from(z[c] - z[largest]).exp()).sum();
        (largest, sum)
    };
    let terms: Vec<(usize, f64)> = memory::in_parallel(logits.par_chunks_exact(channels).map(terms));
    scores.par_iter_mut().zip(1..channels).for_each(|(scores, class)| {
        for ((score, z), &(largest, sum)) in scores.iter_mut().zip(logits.chunks_exact(channels)).zip(&terms)
        {
            let apart = f64::from(z[class] - z[largest]);
            *score = if class == largest { -sum.ln() } else { apart - (1.0 + sum - apart.exp()).ln() } as f32;
        }
    });
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::{Calibration, Logits};
    use proptest::prelude::*;

    #[test]
    fn their_sigmoids_are_the_probabilities() {
        let logits = Logits { shape: [1, 1, 2], channels: 3, values: vec![0.5, -1.0, 2.0, 3.0, 0.1, -0.2] };
        let probabilities = logits.probabilities(&Calibration::identity(3));
        for (class, scores) in (1..).zip(one_against_rest(&logits.values, 3)) {
            for (voxel, score) in scores.into_iter().enumerate() {
                assert!((autograd::Real::sigmoid(score) - probabilities[voxel * 3 + class]).abs() < 1e-6);
            }
        }
    }

    proptest! {
        #[test]
        fn they_are_the_class_against_the_sum_of_the_others(
            channels in 2usize..6, seed in prop::collection::vec(-40.0f32..40.0, 60),
        ) {
            let logits = &seed[..60 / channels * channels];
            let scores = one_against_rest(logits, channels);
            for (voxel, z) in logits.chunks_exact(channels).enumerate() {
                for class in 1..channels {
                    let others = z.iter().enumerate().filter(|&(c, _)| c != class).map(|(_, &z)| f64::from(z));
                    let largest = others.clone().fold(f64::NEG_INFINITY, f64::max);
                    let wanted = f64::from(z[class]) - largest - others.map(|z| (z - largest).exp()).sum::<f64>().ln();
                    let found = f64::from(scores[class - 1][voxel]);
                    prop_assert!((found - wanted).abs() <= 1e-5 * (1.0 + wanted.abs()), "{found} {wanted}");
                }
            }
        }
    }
}
