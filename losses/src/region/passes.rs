//! The two passes of a region loss: logits to probabilities and sums; probabilities and slopes to the gradient.

use std::ops::Range;

use autograd::{Real, Tensor, Var};

use super::{Kernel, Overlap, Slope, Sums};
use crate::Error;
use crate::compiled::{Elementary, map};
use crate::extents::map_slabs_into;
use crate::softmax::exp_shifted;
use crate::truth::Scratch;

impl<T: Real, F: Overlap> Kernel<T, F> {
    /// The sums of each region of the whole batch, class by class, group by group; and the probabilities of this part of it,
    /// if a gradient will be wanted.
    pub(super) fn sums(&self, logits: &Var<'_, T>) -> Result<(Vec<Sums>, Option<Tensor<T>>), Error> {
        let (c, tape, is_constant) = (self.extents.channels, logits.tape(), logits.is_constant());
        let logits = logits.value();
        let mut probabilities = (!is_constant).then(|| Tensor::scratch(logits.shape()));
        let sink = (probabilities.as_mut().map_or(&mut [][..], Tensor::data_mut), c);
        let slabs = self.extents.slabs();
        let of_sample = slabs.len() / self.extents.samples.max(1);
        let own = map_slabs_into(slabs, [sink], |rows, [out]| self.sums_of_slab(logits, rows, out));
        let own = own
            .into_iter()
            .flatten()
            .flat_map(|sums| [sums.voxels, sums.overlap, sums.predicted, sums.truth]);
        let all = tape.gather(own.collect()).map_err(Error::Batch)?;
        let all: Vec<Vec<Sums>> =
            all.chunks_exact(4 * c).map(|slab| slab.as_chunks().0.iter().map(Sums::of).collect()).collect();

        let samples = all.len().checked_div(of_sample).unwrap_or(self.extents.samples);
        let groups = if self.loss.batch { 1 } else { samples };
        let mut sums = vec![Sums::default(); groups * c];
        for (slab, partial) in all.into_iter().enumerate() {
            let group = if self.loss.batch { 0 } else { slab / of_sample * c };
            for (sum, part) in sums[group..group + c].iter_mut().zip(partial) {
                sum.voxels += part.voxels;
                sum.overlap += part.overlap;
                sum.predicted += part.predicted;
                sum.truth += part.truth;
            }
        }
        Ok((sums, probabilities))
    }

    fn sums_of_slab(&self, logits: &Tensor<T>, rows: Range<usize>, out: &mut [T]) -> Vec<Sums> {
        let c = self.extents.channels;
        let len = self.extents.chunk_rows() * c;
        let buffer = || vec![T::ZERO; len];
        let (mut z, mut p, mut y, mut keep) = (buffer(), buffer(), buffer(), buffer());
        let mut scratch = Scratch::default();
        let mut sums = vec![Sums::default(); c];
        // Of one chunk, in T: kept, overlap, predicted, truth of each class.
        let mut of_chunk = vec![[T::ZERO; 4]; c];
        for chunk in self.extents.chunks(rows.clone()) {
            let elements = chunk.start * c..chunk.end * c;
            let at = elements.start - rows.start * c;
            let len = elements.len();
            let (y, keep) = (&mut y[..len], &mut keep[..len]);
            self.truth.read(chunk, &mut scratch, y, keep);
            z[..len].copy_from_slice(&logits.data()[elements]);
            self.probabilities(&mut z, &mut p, len);
            let p = &p[..len];

            of_chunk.fill([T::ZERO; 4]);
            for ((p, y), keep) in p.chunks_exact(c).zip(y.chunks_exact(c)).zip(keep.chunks_exact(c)) {
                for k in (0..c).filter(|&k| keep[k] != T::ZERO) {
                    let (predicted, truth) =
                        if self.loss.squared { (p[k] * p[k], y[k] * y[k]) } else { (p[k], y[k]) };
                    let sum = &mut of_chunk[k];
                    sum[0] += T::ONE;
                    sum[1] += p[k] * y[k];
                    sum[2] += predicted;
                    sum[3] += truth;
                }
            }
            for (sum, part) in sums.iter_mut().zip(&of_chunk) {
                sum.voxels += part[0].to_f64();
                sum.overlap += part[1].to_f64();
                sum.predicted += part[2].to_f64();
                sum.truth += part[3].to_f64();
            }
            if !out.is_empty() {
                out[at..at + len].copy_from_slice(p);
            }
        }
        sums
    }

    /// The probabilities of the first `len` logits z, whole rows; z is changed.
    fn probabilities(&self, z: &mut Vec<T>, p: &mut Vec<T>, len: usize) {
        if !self.loss.softmax {
            map(Elementary::Sigmoid, z, p, len);
            return;
        }
        exp_shifted(self.extents.channels, z, p, len);
        for row in p[..len].chunks_exact_mut(self.extents.channels) {
            let sum = row.iter().fold(T::ZERO, |sum, &e| sum + e);
            row.iter_mut().for_each(|e| *e /= sum);
        }
    }

    /// Overwrites the probabilities by the gradient with respect to the logits.
    pub(super) fn differentiate(&self, mut probabilities: Tensor<T>, slopes: &[Slope]) -> Tensor<T> {
        let c = self.extents.channels;
        let slopes: Vec<[T; 2]> = slopes.iter().map(|s| [finite(s.overlap), finite(s.predicted)]).collect();
        map_slabs_into(self.extents.slabs(), [(probabilities.data_mut(), c)], |rows, [p]| {
            let group = self.group_of(&rows) * c;
            self.gradient_of_slab(rows, &slopes[group..group + c], p);
        });
        probabilities
    }

    fn gradient_of_slab(&self, rows: Range<usize>, slopes: &[[T; 2]], p: &mut [T]) {
        let c = self.extents.channels;
        let two = T::ONE + T::ONE;
        let len = self.extents.chunk_rows() * c;
        let (mut y, mut keep) = (vec![T::ZERO; len], vec![T::ZERO; len]);
        let mut g = vec![T::ZERO; c];
        let mut scratch = Scratch::default();
        for (p, chunk) in p.chunks_mut(len).zip(self.extents.chunks(rows)) {
            let (y, keep) = (&mut y[..p.len()], &mut keep[..p.len()]);
            self.truth.read(chunk, &mut scratch, y, keep);
            let rows = p.chunks_exact_mut(c).zip(y.chunks_exact(c)).zip(keep.chunks_exact(c));
            for ((p, y), keep) in rows {
                if keep.iter().all(|&k| k == T::ZERO) {
                    p.fill(T::ZERO);
                    continue;
                }
                for k in 0..c {
                    let [overlap, predicted] = slopes[k];
                    let each = if self.loss.squared { two * p[k] } else { T::ONE };
                    g[k] = if keep[k] == T::ZERO { T::ZERO } else { overlap * y[k] + predicted * each };
                }
                // Of the softmax p_k·(g_k − Σ g·p), of the sigmoid g·p·(1 − p).
                let mean = (0..c).fold(T::ZERO, |sum, k| sum + g[k] * p[k]);
                for k in 0..c {
                    p[k] = match (self.loss.softmax, keep[k] == T::ZERO) {
                        (true, _) => p[k] * (g[k] - mean),
                        (false, true) => T::ZERO,
                        (false, false) => g[k] * p[k] * (T::ONE - p[k]),
                    };
                }
            }
        }
    }
}

/// A slope in the number type. Beyond it are those of regions whose sums are next to nothing: there the probabilities and
/// targets that they are multiplied by are, too, and 0·∞ would be NaN.
fn finite<T: Real>(slope: f64) -> T {
    let most = T::MAX.to_f64();
    T::from_f64(slope.clamp(-most, most))
}
