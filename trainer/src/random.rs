//! Random numbers by address: a generator for (seed, purpose, counter), so that a run's state is its step number.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};

/// What random numbers are for; each purpose has streams of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The initial weights.
    Weights = 1,
    /// Where a patch lies; the counter is step · batch + slot.
    Patch = 2,
    /// How a patch is augmented; the counter is step · batch + slot.
    Augmentation = 3,
    /// A batch as a whole; the counter is the step.
    Batch = 4,
    /// Dropout; the counter is the step.
    Dropout = 5,
    /// Synthetic volumes; the counter is the case.
    Synthetic = 6,
    /// The split into training and validation cases.
    Split = 7,
}

/// The generator at an address: the three numbers are the ChaCha key.
pub fn generator(seed: u64, purpose: Purpose, counter: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&counter.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// One 64-bit number from an address.
pub fn key(seed: u64, purpose: Purpose, counter: u64) -> u64 {
    generator(seed, purpose, counter).random()
}

/// A pair of independent standard normal numbers (Box and Muller 1958).
pub fn normal_pair(rng: &mut impl Rng) -> [f32; 2] {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    let angle = std::f32::consts::TAU * rng.random::<f32>();
    [radius * angle.cos(), radius * angle.sin()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_differ_in_one_number_give_other_streams() {
        let first = |seed, purpose, counter| -> u64 { key(seed, purpose, counter) };
        let here = first(1, Purpose::Patch, 2);
        assert_eq!(here, first(1, Purpose::Patch, 2));
        assert_ne!(here, first(2, Purpose::Patch, 2));
        assert_ne!(here, first(1, Purpose::Augmentation, 2));
        assert_ne!(here, first(1, Purpose::Patch, 3));
    }

    #[test]
    fn normal_numbers_have_mean_0_and_deviation_1() {
        let mut rng = generator(0, Purpose::Augmentation, 0);
        let n = 20_000;
        let values: Vec<f64> = (0..n / 2).flat_map(|_| normal_pair(&mut rng)).map(f64::from).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        // Five standard errors: 1/√n for the mean, √(2/n) for the variance.
        assert!(mean.abs() < 5.0 / (n as f64).sqrt(), "{mean}");
        assert!((variance - 1.0).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{variance}");
    }
}
