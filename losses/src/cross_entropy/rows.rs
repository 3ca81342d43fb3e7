//! The loops of cross-entropy: one row of class scores at a time.
//!
//! With m = max x and r the sum of e^(x−m) over the classes but the largest, log Σ e^(x−m) = ln(1 + r): nothing
//! cancels where one class is nearly certain. With q the weighted target distribution and Q = Σ q the loss is
//! Σ q·(−lp), and its gradient Q·softmax(x) − q.

use std::ops::Range;

use autograd::{Real, Tensor};

use crate::extents::{Extents, map_slabs_into};
use crate::loss::{Evaluated, Kernel, scale_gradient};
use crate::reduction::Output;
use crate::softmax::exp_shifted;
use crate::truth::{Scratch, Truth};

/// Cross-entropy with its arguments checked.
pub(crate) struct Rows<T: Real> {
    extents: Extents,
    truth: Truth<T>,
    weights: Vec<T>,
    output: Output,
    /// Label smoothing; `None` if the scores are log-probabilities already.
    softmax: Option<f64>,
}

impl<T: Real> Rows<T> {
    pub(crate) fn new(extents: Extents, truth: Truth<T>, weights: &[f64], output: Output) -> Self {
        let weights = weights.iter().map(|&w| T::from_f64(w)).collect();
        Self { extents, truth, weights, output, softmax: None }
    }

    pub(crate) fn softmax(self, label_smoothing: f64) -> Self {
        Self { softmax: Some(label_smoothing), ..self }
    }

    /// Turns weights and targets of a chunk into q, row by row; 0 where ignored.
    fn distributions(&self, rows: Range<usize>, scratch: &mut Scratch, q: &mut [T], keep: &mut [T]) {
        let c = self.extents.channels;
        let smoothing = self.softmax.unwrap_or(0.0);
        let (sharp, flat) = (T::from_f64(1.0 - smoothing), T::from_f64(smoothing / c as f64));
        self.truth.read(rows, scratch, q, keep);
        for (q, keep) in q.chunks_exact_mut(c).zip(keep.chunks_exact(c)) {
            for k in 0..c {
                q[k] = keep[k] * self.weights[k] * (sharp * q[k] + flat);
            }
        }
    }

    fn slab(&self, logits: &Tensor<T>, rows: Range<usize>, [losses, gradients]: [&mut [T]; 2]) -> f64 {
        let c = self.extents.channels;
        let len = self.extents.chunk_rows() * c;
        let (mut z, mut e, mut q, mut keep) =
            (vec![T::ZERO; len], vec![T::ZERO; len], vec![T::ZERO; len], vec![T::ZERO; len]);
        let mut scratch = Scratch::default();
        let factor = T::from_f64(self.output.factor());
        let mut sum = 0.0;
        for chunk in self.extents.chunks(rows.clone()) {
            let len = chunk.len() * c;
            let q = &mut q[..len];
            self.distributions(chunk.clone(), &mut scratch, q, &mut keep[..len]);
            z[..len].copy_from_slice(&logits.data()[chunk.start * c..chunk.end * c]);
            if self.softmax.is_some() {
                exp_shifted(c, &mut z, &mut e, len);
            }
            let mut of_chunk = T::ZERO;
            for (i, row) in chunk.enumerate() {
                let at = i * c..(i + 1) * c;
                let (z, e, q) = (&z[at.clone()], &e[at.clone()], &q[at]);
                let out = row - rows.start;
                let dx =
                    if gradients.is_empty() { &mut [][..] } else { &mut gradients[out * c..(out + 1) * c] };
                let loss = match self.softmax {
                    Some(_) => softmax_row(z, e, q, dx),
                    None => plain_row(z, q, dx),
                };
                dx.iter_mut().for_each(|dx| *dx *= factor);
                if let Some(slot) = losses.get_mut(out) {
                    *slot = loss;
                }
                of_chunk += loss;
            }
            sum += of_chunk.to_f64();
        }
        sum
    }
}

/// The loss of one row of shifted scores z, with e = e^z, and its gradient where it is wanted.
fn softmax_row<T: Real>(z: &[T], e: &[T], q: &[T], dx: &mut [T]) -> T {
    let total = q.iter().fold(T::ZERO, |sum, &q| sum + q);
    if total == T::ZERO {
        dx.fill(T::ZERO);
        return T::ZERO;
    }
    let top = z.iter().position(|&z| z == T::ZERO).unwrap_or(0);
    let rest = (0..z.len()).filter(|&k| k != top).fold(T::ZERO, |sum, k| sum + e[k]);
    let log = rest.ln_1p();
    let scale = T::ONE / (T::ONE + rest);
    for (k, dx) in dx.iter_mut().enumerate() {
        *dx = if k == top { (total - q[k]) - q[k] * rest } else { e[k] * total - q[k] * (T::ONE + rest) }
            * scale;
    }
    let terms = (0..z.len()).filter(|&k| q[k] != T::ZERO);
    terms.fold(T::ZERO, |sum, k| sum + q[k] * (log - z[k]))
}

/// As above, of log-probabilities.
fn plain_row<T: Real>(log_p: &[T], q: &[T], dx: &mut [T]) -> T {
    dx.iter_mut().zip(q).for_each(|(dx, &q)| *dx = -q);
    let terms = (0..q.len()).filter(|&k| q[k] != T::ZERO);
    terms.fold(T::ZERO, |sum, k| sum - q[k] * log_p[k])
}

impl<T: Real> Kernel<T> for Rows<T> {
    type Saved = Tensor<T>;

    fn name(&self) -> &'static str {
        if self.softmax.is_some() { "CrossEntropy" } else { "NllLoss" }
    }

    fn output(&self) -> Output {
        self.output
    }

    fn evaluate(&self, logits: &Tensor<T>, wanted: bool) -> Evaluated<T, Tensor<T>> {
        let shape = logits.shape();
        if self.output == Output::Zero {
            return (Vec::new(), None, wanted.then(|| Tensor::zeros(shape)));
        }
        let mut losses = (self.output == Output::Each).then(|| Tensor::scratch(self.extents.voxels()));
        let mut gradients = wanted.then(|| Tensor::scratch(shape));
        let sinks = [
            (losses.as_mut().map_or(&mut [][..], Tensor::data_mut), 1),
            (gradients.as_mut().map_or(&mut [][..], Tensor::data_mut), self.extents.channels),
        ];
        let sums =
            map_slabs_into(self.extents.slabs_of_sums(), sinks, |rows, parts| self.slab(logits, rows, parts));
        (sums, losses, gradients)
    }

    fn differentiate(&self, gradient: Tensor<T>, dy: Tensor<T>) -> Tensor<T> {
        scale_gradient(gradient, dy)
    }
}
