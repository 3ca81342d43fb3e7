//! Sliding-window inference: logits of a whole volume from patches of the size that was trained on.
//!
//! Patches overlap; each logit is the mean over the patches that cover its voxel, weighted by a Gaussian around each
//! patch's centre (σ = patch/8, as in nnU-Net), because a network sees least at its patch's border. Volumes smaller
//! than the patch are padded with 0, the mean of a normalised image, on both sides.

use autograd::{Tape, Tensor};
use rayon::prelude::*;
use unet3d::UNet3d;

use crate::calibration::Calibration;
use crate::{Error, Result};

/// How a volume is covered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlidingWindow {
    /// The size `[d, h, w]` of a patch.
    pub patch: [usize; 3],
    /// The overlap of neighbours, as a share of the patch.
    pub overlap: f64,
    /// Averages over the mirror images along every axis longer than one voxel: up to eight times the work.
    pub mirror: bool,
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
    /// The class of the largest logit of each voxel; with one channel, 1 where it is above `logit`.
    pub fn classes(&self, logit: f32) -> Vec<u8> {
        if self.channels == 1 {
            return self.values.par_iter().map(|&z| u8::from(z > logit)).collect();
        }
        let argmax = |z: &[f32]| (1..z.len()).fold(0, |best, i| if z[i] > z[best] { i } else { best });
        self.values.par_chunks_exact(self.channels).map(|z| argmax(z) as u8).collect()
    }

    /// Sigmoid of one channel, softmax of several, of the calibrated logits.
    pub fn probabilities(&self, calibration: &Calibration) -> Vec<f32> {
        let scale = calibration.scale as f32;
        let shift: Vec<f32> = calibration.shift.iter().map(|&shift| shift as f32).collect();
        if self.channels == 1 {
            return self.values.par_iter().map(|&z| autograd::Real::sigmoid(scale * z + shift[0])).collect();
        }
        let mut probabilities = self.values.clone();
        probabilities.par_chunks_exact_mut(self.channels).for_each(|p| {
            p.iter_mut().zip(&shift).for_each(|(p, shift)| *p = scale * *p + shift);
            let largest = p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            p.iter_mut().for_each(|p| *p = (*p - largest).exp());
            let sum: f32 = p.iter().sum();
            p.iter_mut().for_each(|p| *p /= sum);
        });
        probabilities
    }

    /// The logit by which a class is ranked for its precision-recall curve: z for one channel, else
    /// z_class − ln Σ e^z of the others, whose sigmoid is the class's softmax probability.
    pub fn scores(&self, class: usize) -> Vec<f32> {
        if self.channels == 1 {
            return self.values.clone();
        }
        let score = |z: &[f32]| {
            let others = || z.iter().enumerate().filter(|&(i, _)| i != class).map(|(_, &z)| z);
            let largest = others().fold(f32::NEG_INFINITY, f32::max);
            z[class] - largest - others().map(|z| (z - largest).exp()).sum::<f32>().ln()
        };
        self.values.par_chunks_exact(self.channels).map(score).collect()
    }
}

impl SlidingWindow {
    /// The logits of a normalised volume `[d, h, w, c]`. `progress` is called with (patches done, patches in all)
    /// and ends the work by returning false.
    ///
    /// # Errors
    /// If the volume and the model do not fit, or `progress` ended the work.
    pub fn run(
        &self,
        model: &UNet3d<f32>,
        image: &[f32],
        shape: [usize; 3],
        mut progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<Logits> {
        let (inputs, channels) = (model.config().in_channels, model.config().out_channels);
        let voxels: usize = shape.iter().product();
        if voxels == 0 || image.len() != voxels * inputs {
            let got = image.len().checked_div(voxels).unwrap_or(0);
            return Err(Error::Usage(format!("the volume has {got} channels, the model expects {inputs}")));
        }
        let window = self.patch.map(gaussian);
        let starts: [Vec<isize>; 3] = std::array::from_fn(|a| self.starts(shape[a], self.patch[a]));
        let total = starts.iter().map(Vec::len).product();
        let mut sum = vec![0.0f32; voxels * channels];
        let mut weight = vec![0.0f32; voxels];
        let mut done = 0;
        for &d in &starts[0] {
            for &h in &starts[1] {
                for &w in &starts[2] {
                    let patch = cut(image, shape, inputs, [d, h, w], self.patch);
                    let logits = self.logits(model, &patch)?;
                    paste(&logits, channels, [d, h, w], shape, &window, &mut sum, &mut weight);
                    done += 1;
                    if !progress(done, total) {
                        return Err(Error::Usage("stopped".into()));
                    }
                }
            }
        }
        sum.par_chunks_exact_mut(channels).zip(&weight).for_each(|(sum, weight)| {
            sum.iter_mut().for_each(|s| *s /= weight);
        });
        Ok(Logits { shape, channels, values: sum })
    }

    /// The logits of one patch, averaged over its mirror images if asked for.
    fn logits(&self, model: &UNet3d<f32>, patch: &Tensor<f32>) -> Result<Tensor<f32>> {
        let forward = |patch: Tensor<f32>| -> Result<Tensor<f32>> {
            let tape = Tape::no_grad();
            Ok(model.forward(tape.constant(patch))?.into_value())
        };
        let mut sum = forward(patch.clone())?;
        let axes: Vec<usize> = (0..3).filter(|&a| self.mirror && self.patch[a] > 1).collect();
        for choice in 1..1usize << axes.len() {
            let flips: [bool; 3] = std::array::from_fn(|a| {
                axes.iter().position(|&axis| axis == a).is_some_and(|bit| choice >> bit & 1 == 1)
            });
            sum.add_assign(&flipped(&forward(flipped(patch, flips))?, flips));
        }
        Ok(sum.scaled(1.0 / (1 << axes.len()) as f32))
    }

    /// Where patches start along an axis: evenly spread, at most (1 − overlap) of a patch apart.
    fn starts(&self, size: usize, patch: usize) -> Vec<isize> {
        if size <= patch {
            return vec![-((patch - size) as isize / 2)];
        }
        let step = (patch as f64 * (1.0 - self.overlap)).max(1.0);
        let gaps = ((size - patch) as f64 / step).ceil().max(1.0) as usize;
        (0..=gaps).map(|i| (i * (size - patch) / gaps) as isize).collect()
    }
}

/// A Gaussian over `size` voxels, σ = size/8, 1 at the centre, never below 1e-3.
fn gaussian(size: usize) -> Vec<f32> {
    let centre = (size as f32 - 1.0) / 2.0;
    let sigma = (size as f32 / 8.0).max(0.5);
    (0..size).map(|i| (-0.5 * ((i as f32 - centre) / sigma).powi(2)).exp().max(1e-3)).collect()
}

/// The part of `offset..offset + size` along an axis that lies in the volume, as indices of the patch.
fn inside(offset: isize, size: usize, volume: usize) -> std::ops::Range<usize> {
    let first = (-offset).max(0) as usize;
    let last = (volume as isize - offset).clamp(0, size as isize) as usize;
    first..last.max(first)
}

fn cut(image: &[f32], shape: [usize; 3], channels: usize, at: [isize; 3], patch: [usize; 3]) -> Tensor<f32> {
    let [pd, ph, pw] = patch;
    let mut out = Tensor::zeros([1, pd, ph, pw, channels]);
    let data = out.data_mut();
    let [ds, hs, ws]: [_; 3] = std::array::from_fn(|a| inside(at[a], patch[a], shape[a]));
    for d in ds {
        for h in hs.clone() {
            let row =
                |d: usize, h: usize| (at[0] + d as isize) as usize * shape[1] + (at[1] + h as isize) as usize;
            let from = (row(d, h) * shape[2] + (at[2] + ws.start as isize) as usize) * channels;
            let to = ((d * ph + h) * pw + ws.start) * channels;
            data[to..][..ws.len() * channels].copy_from_slice(&image[from..][..ws.len() * channels]);
        }
    }
    out
}

fn paste(
    logits: &Tensor<f32>,
    channels: usize,
    at: [isize; 3],
    shape: [usize; 3],
    window: &[Vec<f32>; 3],
    sum: &mut [f32],
    weight: &mut [f32],
) {
    let [_, pd, ph, pw, _] = logits.dims5();
    let patch = [pd, ph, pw];
    let [ds, hs, ws]: [_; 3] = std::array::from_fn(|a| inside(at[a], patch[a], shape[a]));
    for d in ds {
        for h in hs.clone() {
            let row = (at[0] + d as isize) as usize * shape[1] + (at[1] + h as isize) as usize;
            for w in ws.clone() {
                let voxel = row * shape[2] + (at[2] + w as isize) as usize;
                let share = window[0][d] * window[1][h] * window[2][w];
                weight[voxel] += share;
                let logit = &logits.data()[((d * ph + h) * pw + w) * channels..][..channels];
                let sum = &mut sum[voxel * channels..][..channels];
                sum.iter_mut().zip(logit).for_each(|(s, z)| *s += share * z);
            }
        }
    }
}

/// A patch mirrored along the chosen axes.
fn flipped(patch: &Tensor<f32>, flips: [bool; 3]) -> Tensor<f32> {
    let [_, pd, ph, pw, c] = patch.dims5();
    let mut out = Tensor::scratch(patch.shape());
    let at = |flip: bool, i: usize, size: usize| if flip { size - 1 - i } else { i };
    for (row, out) in out.data_mut().chunks_exact_mut(pw * c).enumerate() {
        let from = at(flips[0], row / ph, pd) * ph + at(flips[1], row % ph, ph);
        for (w, voxel) in out.chunks_exact_mut(c).enumerate() {
            voxel.copy_from_slice(&patch.data()[(from * pw + at(flips[2], w, pw)) * c..][..c]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn patches_cover_every_voxel_with_at_least_the_overlap(size in 1usize..200, patch in 1usize..64, overlap in 0.0f64..0.9) {
            let window = SlidingWindow { patch: [patch; 3], overlap, mirror: false };
            let starts = window.starts(size, patch);
            let mut covered = vec![false; size];
            for &start in &starts {
                inside(start, patch, size).for_each(|i| covered[(start + i as isize) as usize] = true);
            }
            prop_assert!(covered.iter().all(|&c| c));
            for pair in starts.windows(2) {
                let step = (pair[1] - pair[0]) as f64;
                prop_assert!(step > 0.0 && step <= (patch as f64 * (1.0 - overlap)).max(1.0) + 1.0);
            }
        }

        #[test]
        fn a_volume_is_pasted_as_it_was_cut(shape in prop::array::uniform3(1usize..9), at in prop::array::uniform3(-4isize..4)) {
            // A window lies somewhere over the volume.
            let at: [isize; 3] = std::array::from_fn(|a| at[a].min(shape[a] as isize - 1));
            let image: Vec<f32> = (0..shape.iter().product::<usize>() * 2).map(|i| i as f32).collect();
            let patch = [5, 4, 6];
            let cut = cut(&image, shape, 2, at, patch);
            let window = patch.map(|p| vec![1.0; p]);
            let (mut sum, mut weight) = (vec![0.0; image.len()], vec![0.0; image.len() / 2]);
            paste(&cut, 2, at, shape, &window, &mut sum, &mut weight);
            for voxel in 0..weight.len() {
                if weight[voxel] > 0.0 {
                    prop_assert_eq!(&sum[voxel * 2..][..2], &image[voxel * 2..][..2]);
                }
            }
        }

        #[test]
        fn mirroring_twice_changes_nothing(flips in prop::array::uniform3(any::<bool>())) {
            let patch = Tensor::from_fn([1, 3, 2, 5, 2], |i| i as f32);
            prop_assert_eq!(flipped(&flipped(&patch, flips), flips), patch);
        }
    }

    #[test]
    fn softmax_scores_are_the_logits_of_their_probabilities() {
        let logits = Logits { shape: [1, 1, 2], channels: 3, values: vec![0.5, -1.0, 2.0, 3.0, 0.1, -0.2] };
        let probabilities = logits.probabilities(&Calibration::identity(3));
        for class in 0..3 {
            for (voxel, score) in logits.scores(class).into_iter().enumerate() {
                let p = probabilities[voxel * 3 + class];
                assert!((autograd::Real::sigmoid(score) - p).abs() < 1e-6);
            }
        }
        assert_eq!(logits.classes(0.0), [2, 0]);
    }
}
