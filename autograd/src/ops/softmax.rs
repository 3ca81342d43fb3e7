//! Softmax and its logarithm over the channel axis.
//!
//! Both subtract the largest channel first, so no exponent is positive and nothing overflows (log-sum-exp).

use crate::parallel::slab_of_rows;
use crate::{Backward, Function, Real, Tensor, Var};

/// y = e^(x − max) / Σ e^(x − max), dx = y·(dy − Σ dy·y)
struct Softmax;

impl<T: Real> Function<T, 1> for Softmax {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Tensor<T>) {
        let y = update_rows(x.clone(), |_, row| {
            let max = largest(row);
            row.iter_mut().for_each(|y| *y = (*y - max).exp());
            let sum: T = row.iter().copied().sum();
            row.iter_mut().for_each(|y| *y /= sum);
        });
        (y.clone(), y)
    }
}

impl<T: Real> Backward<T, 1> for Softmax {
    type Saved = Tensor<T>;

    fn backward(&self, y: Tensor<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let dx = update_rows(dy, |start, dy| {
            let y = &y.data()[start..start + dy.len()];
            let dot: T = dy.iter().zip(y).map(|(&dy, &y)| dy * y).sum();
            dy.iter_mut().zip(y).for_each(|(dy, &y)| *dy = y * (*dy - dot));
        });
        [Some(dx)]
    }
}

/// y = x − max − ln Σ e^(x − max), dx = dy − e^y·Σ dy
struct LogSoftmax;

impl<T: Real> Function<T, 1> for LogSoftmax {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Tensor<T>) {
        let y = update_rows(x.clone(), |_, row| {
            let max = largest(row);
            row.iter_mut().for_each(|y| *y -= max);
            let log_sum = row.iter().map(|y| y.exp()).sum::<T>().ln();
            row.iter_mut().for_each(|y| *y -= log_sum);
        });
        (y.clone(), y)
    }
}

impl<T: Real> Backward<T, 1> for LogSoftmax {
    type Saved = Tensor<T>;

    fn backward(&self, y: Tensor<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let dx = update_rows(dy, |start, dy| {
            let y = &y.data()[start..start + dy.len()];
            let sum: T = dy.iter().copied().sum();
            dy.iter_mut().zip(y).for_each(|(dy, &y)| *dy -= y.exp() * sum);
        });
        [Some(dx)]
    }
}

/// `f(start, row)` on each row of channels.
fn update_rows<T: Real>(mut x: Tensor<T>, f: impl Fn(usize, &mut [T]) + Sync) -> Tensor<T> {
    let channels = x.channels().max(1);
    x.update_slabs(slab_of_rows(channels), |start, slab| {
        for (i, row) in slab.chunks_exact_mut(channels).enumerate() {
            f(start + i * channels, row);
        }
    });
    x
}

fn largest<T: Real>(row: &[T]) -> T {
    row.iter().copied().fold(T::NEG_INFINITY, T::max)
}

impl<T: Real> Var<'_, T> {
    /// e^x\[c\] / Σ e^x over the channels (the last axis), which there must be. Saves y.
    ///
    /// The result is NaN where a channel is ∞ or NaN, or all are −∞.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::no_grad();
    /// let x = tape.constant(Tensor::from_vec([1, 2], vec![1000.0, 1000.0]));
    /// assert_eq!(x.softmax().value().data(), [0.5, 0.5]);
    /// ```
    #[track_caller]
    pub fn softmax(self) -> Self {
        assert!(self.shape().rank() > 0, "softmax: a single number has no channel axis");
        self.tape().apply(Softmax, [self])
    }

    /// x\[c\] − ln Σ e^x over the channels (the last axis, which there must be): the logarithm of [`softmax`](Self::softmax), finite where
    /// that rounds to 0. Saves y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::no_grad();
    /// let x = tape.constant(Tensor::from_vec([1, 2], vec![1000.0, 0.0]));
    /// assert_eq!(x.log_softmax().value().data(), [0.0, -1000.0]);
    /// ```
    #[track_caller]
    pub fn log_softmax(self) -> Self {
        assert!(self.shape().rank() > 0, "log_softmax: a single number has no channel axis");
        self.tape().apply(LogSoftmax, [self])
    }
}
