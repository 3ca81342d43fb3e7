//! The pass over a volume: patches in order, sums for a patch's depth of planes.

use autograd::{Tape, Tensor};
use rayon::prelude::*;
use unet3d::UNet3d;

use super::patch::{cut, flipped, gaussian, inside};
use crate::predict::{Logits, SlidingWindow};
use crate::{Error, Result};

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
        progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<Logits> {
        let channels = model.config().out_channels;
        let mut values = memory::with_capacity(shape.iter().product::<usize>() * channels);
        self.stream(model, image, shape, progress, |plane| values.extend_from_slice(plane))?;
        Ok(Logits { shape, channels, values })
    }

    /// As [`run`](Self::run), plane by plane: `sink` is given the logits `[h, w, c]` of plane 0, 1, … as they are finished.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn stream(
        &self,
        model: &UNet3d<f32>,
        image: &[f32],
        shape: [usize; 3],
        mut progress: impl FnMut(usize, usize) -> bool,
        mut sink: impl FnMut(&[f32]),
    ) -> Result<()> {
        let (inputs, channels) = (model.config().in_channels, model.config().out_channels);
        let voxels: usize = shape.iter().product();
        if voxels == 0 || image.len() != voxels * inputs {
            let got = image.len().checked_div(voxels).unwrap_or(0);
            return Err(Error::Usage(format!("the volume has {got} channels, the model expects {inputs}")));
        }
        let window = self.patch.map(gaussian);
        let starts: [Vec<isize>; 3] = std::array::from_fn(|a| self.starts(shape[a], self.patch[a]));
        let total = starts.iter().map(Vec::len).product();
        let mut sums = Sums::new(shape, channels, &window, &starts);
        let mut done = 0;
        for (i, &d) in starts[0].iter().enumerate() {
            for &h in &starts[1] {
                for &w in &starts[2] {
                    let patch = cut(image, shape, inputs, [d, h, w], self.patch);
                    sums.add(&self.logits(model, &patch)?, [d, h, w], &window);
                    done += 1;
                    if !progress(done, total) {
                        return Err(Error::Usage("stopped".into()));
                    }
                }
            }
            // What lies in front of the next patches is finished.
            let end = starts[0].get(i + 1).map_or(shape[0], |&next| next as usize);
            sums.finish(end, &mut sink);
        }
        Ok(())
    }

    /// The logits of one patch, averaged over its mirror images if asked for.
    fn logits(&self, model: &UNet3d<f32>, patch: &Tensor<f32>) -> Result<Tensor<f32>> {
        let forward = |patch: Tensor<f32>| -> Result<Tensor<f32>> {
            let tape = Tape::no_grad();
            Ok(model.forward(tape.constant(patch))?.into_value())
        };
        let mut sum = forward(patch.clone())?;
        let axes = self.mirrored_axes();
        for choice in 1..1usize << axes.len() {
            let flips: [bool; 3] = std::array::from_fn(|a| {
                axes.iter().position(|&axis| axis == a).is_some_and(|bit| choice >> bit & 1 == 1)
            });
            sum.add_assign(&flipped(&forward(flipped(patch, flips))?, flips));
        }
        Ok(sum.scaled(1.0 / (1 << axes.len()) as f32))
    }

    /// How many forward passes a volume of this shape takes, mirror images counted.
    pub fn forward_passes(&self, shape: [usize; 3]) -> usize {
        self.patches(shape) << self.mirrored_axes().len()
    }

    /// How many patches cover a volume of this shape.
    pub fn patches(&self, shape: [usize; 3]) -> usize {
        (0..3).map(|a| self.starts(shape[a], self.patch[a]).len()).product()
    }

    /// The axes along which patches are mirrored.
    fn mirrored_axes(&self) -> Vec<usize> {
        (0..3).filter(|&a| self.mirror.0[a] && self.patch[a] > 1).collect()
    }

    /// Where patches start along an axis: evenly spread, at most (1 − overlap) of a patch apart.
    pub(super) fn starts(&self, size: usize, patch: usize) -> Vec<isize> {
        if size <= patch {
            return vec![-((patch - size) as isize / 2)];
        }
        let step = (patch as f64 * (1.0 - self.overlap)).max(1.0);
        let gaps = ((size - patch) as f64 / step).ceil().max(1.0) as usize;
        (0..=gaps).map(|i| (i * (size - patch) / gaps) as isize).collect()
    }
}

/// Weighted sums of the planes that patches still reach: plane z lies at z modulo the planes held.
///
/// A voxel's weight is the sum of gₔ·gₕ·g_w over the patches that cover it. Their places are a grid, so it is the product
/// of three sums, one per axis, and needs no volume of its own.
pub(super) struct Sums {
    shape: [usize; 3],
    channels: usize,
    planes: usize,
    sums: Vec<f32>,
    /// Along each axis, for each voxel.
    weights: [Vec<f32>; 3],
    /// Planes that were handed on.
    finished: usize,
    plane: Vec<f32>,
}

impl Sums {
    pub(super) fn new(
        shape: [usize; 3],
        channels: usize,
        window: &[Vec<f32>; 3],
        starts: &[Vec<isize>; 3],
    ) -> Self {
        let weights = std::array::from_fn(|a| {
            let mut weights = vec![0.0; shape[a]];
            for &start in &starts[a] {
                for i in inside(start, window[a].len(), shape[a]) {
                    weights[(start + i as isize) as usize] += window[a][i];
                }
            }
            weights
        });
        let planes = window[0].len().min(shape[0]);
        let len = shape[1] * shape[2] * channels;
        let (sums, plane) = (memory::filled(0.0, planes * len), memory::filled(0.0, len));
        Self { shape, channels, planes, sums, weights, finished: 0, plane }
    }

    /// Adds a patch's logits at its place.
    pub(super) fn add(&mut self, logits: &Tensor<f32>, at: [isize; 3], window: &[Vec<f32>; 3]) {
        let [_, pd, ph, pw, channels] = logits.dims5();
        let patch = [pd, ph, pw];
        let [ds, hs, ws]: [_; 3] = std::array::from_fn(|a| inside(at[a], patch[a], self.shape[a]));
        for d in ds {
            let plane = (at[0] + d as isize) as usize % self.planes;
            for h in hs.clone() {
                let row = plane * self.shape[1] + (at[1] + h as isize) as usize;
                for w in ws.clone() {
                    let voxel = row * self.shape[2] + (at[2] + w as isize) as usize;
                    let share = window[0][d] * window[1][h] * window[2][w];
                    let logit = &logits.data()[((d * ph + h) * pw + w) * channels..][..channels];
                    let sum = &mut self.sums[voxel * channels..][..channels];
                    sum.iter_mut().zip(logit).for_each(|(s, z)| *s += share * z);
                }
            }
        }
    }

    /// Hands on the means of the planes up to `end`, and makes room.
    pub(super) fn finish(&mut self, end: usize, sink: &mut impl FnMut(&[f32])) {
        let len = self.plane.len();
        let [_, _, w] = self.shape;
        for z in self.finished..end {
            let sums = &mut self.sums[z % self.planes * len..][..len];
            let (weights, channels) = (&self.weights, self.channels);
            self.plane
                .par_chunks_exact_mut(channels)
                .zip(sums.par_chunks_exact_mut(channels))
                .enumerate()
                .for_each(|(i, (mean, sum))| {
                    let weight = weights[0][z] * weights[1][i / w] * weights[2][i % w];
                    mean.iter_mut().zip(sum).for_each(|(mean, sum)| *mean = std::mem::take(sum) / weight);
                });
            sink(&self.plane);
        }
        self.finished = self.finished.max(end);
    }
}
