//! Sliding-window inference: logits of a whole volume from patches of the size that was trained on.
//!
//! Patches overlap; each logit is the mean over the patches that cover its voxel, weighted by a Gaussian around each
//! patch's centre (σ = patch/8, as in nnU-Net), because a network sees least at its patch's border. Volumes smaller
//! than the patch are padded with 0, the mean of a normalised image, on both sides.
//!
//! Patches are taken from the first planes to the last, so a plane is finished when the last patch that reaches it is:
//! [`SlidingWindow::stream`] hands planes on one by one and holds sums for a patch's depth of them only.

use rayon::prelude::*;

use super::Calibration;
use crate::config::Mirror;

mod patch;
mod stream;

/// How a volume is covered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlidingWindow {
    /// The size `[d, h, w]` of a patch.
    pub patch: [usize; 3],
    /// The overlap of neighbours, as a share of the patch.
    pub overlap: f64,
    /// Averages over mirror images.
    pub mirror: Mirror,
}

/// A model's logits for one volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Logits {
    /// `[d, h, w]`
    pub shape: [usize; 3],
    /// One for a binary mask, else one per class.
    pub channels: usize,
    /// `[d, h, w, c]`
    pub values: Vec<f32>,
}

impl Logits {
    /// Sigmoid of one channel, softmax of several, of the calibrated logits.
    pub fn probabilities(&self, calibration: &Calibration) -> Vec<f32> {
        let scale = calibration.scale as f32;
        let shift: Vec<f32> = calibration.shift.iter().map(|&shift| shift as f32).collect();
        if self.channels == 1 {
            let probability = |&z: &f32| autograd::Real::sigmoid(scale * z + shift[0]);
            return memory::in_parallel(self.values.par_iter().map(probability));
        }
        let mut probabilities = memory::collected(self.values.iter().copied());
        probabilities.par_chunks_exact_mut(self.channels).for_each(|p| {
            p.iter_mut().zip(&shift).for_each(|(p, shift)| *p = scale * *p + shift);
            let largest = p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            p.iter_mut().for_each(|p| *p = (*p - largest).exp());
            let sum: f32 = p.iter().sum();
            p.iter_mut().for_each(|p| *p /= sum);
        });
        probabilities
    }
}

#[cfg(test)]
mod tests;
