//! Sums and means, over everything or per channel.

use crate::parallel::{SLAB, for_each_slab, map_slabs, slab_of_rows};
use crate::{Backward, Function, Real, Shape, Tensor, Var};

/// Sums that run side by side, so that an addition need not wait for the one before.
const LANES: usize = 16;
/// A slab has at least this many rows, so that the partial sums are few beside the numbers summed.
const MIN_ROWS: usize = 16;

/// The sum of each of the `channels` columns of a matrix, in `f64`.
///
/// The matrix is cut into slabs of rows by its shape alone; partial sums are added in slab order. So the result is
/// the same for any number of threads.
pub(super) fn sums<T: Real>(x: &[T], channels: usize) -> Vec<f64> {
    let mut total = vec![0.0; channels];
    if x.is_empty() {
        return total;
    }
    let slab = channels * (SLAB / channels).max(MIN_ROWS);
    for partial in map_slabs(x.len(), slab, |range| sums_of_slab(&x[range], channels)) {
        total.iter_mut().zip(partial).for_each(|(t, p)| *t += p);
    }
    total
}

fn sums_of_slab<T: Real>(x: &[T], channels: usize) -> Vec<f64> {
    // Few channels: several rows are added at once, and folded onto one another at the end.
    let rows = (LANES / channels).max(1);
    let mut lanes = vec![0.0f64; rows * channels];
    for chunk in x.chunks(rows * channels) {
        lanes.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += x.to_f64());
    }
    let (total, rest) = lanes.split_at_mut(channels);
    for row in rest.chunks_exact(channels) {
        total.iter_mut().zip(row).for_each(|(t, r)| *t += r);
    }
    lanes.truncate(channels);
    lanes
}

/// y = factor · Σ x, dx = factor · dy everywhere
struct Sum {
    factor: f64,
}

impl<T: Real> Function<T, 1> for Sum {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Shape) {
        let sum = self.factor * sums(x.data(), 1)[0];
        (Tensor::scalar(T::from_f64(sum)), x.shape())
    }
}

impl<T: Real> Backward<T, 1> for Sum {
    type Saved = Shape;

    fn backward(&self, shape: Shape, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(Tensor::full(shape, T::from_f64(self.factor * dy.item().to_f64())))]
    }
}

/// y\[c\] = factor · Σ x\[.., c\], dx\[.., c\] = factor · dy\[c\]
struct SumPerChannel {
    factor: f64,
}

impl<T: Real> Function<T, 1> for SumPerChannel {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Shape) {
        let sums = sums(x.data(), x.channels());
        (Tensor::from_fn([x.channels()], |c| T::from_f64(self.factor * sums[c])), x.shape())
    }
}

impl<T: Real> Backward<T, 1> for SumPerChannel {
    type Saved = Shape;

    fn backward(&self, shape: Shape, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let dy = Tensor::from_fn(dy.shape(), |c| T::from_f64(self.factor * dy.data()[c].to_f64()));
        let mut dx = Tensor::scratch(shape);
        let channels = shape.channels().max(1);
        for_each_slab(dx.data_mut(), slab_of_rows(channels), |_, slab| {
            slab.chunks_exact_mut(channels).for_each(|row| row.copy_from_slice(dy.data()));
        });
        [Some(dx)]
    }
}

impl<T: Real> Var<'_, T> {
    /// Σ x: one number, without axes. Saves nothing but the shape.
    ///
    /// Partial sums are in `f64` and do not depend on the number of threads.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::train(0);
    /// let x = tape.variable(Tensor::from_vec([2], vec![1.0, 2.0]));
    /// let y = x.clone().sum();
    /// assert_eq!(y.item(), 3.0);
    /// assert_eq!(y.backward().wrt(&x).unwrap().data(), [1.0, 1.0]);
    /// ```
    #[track_caller]
    pub fn sum(self) -> Self {
        self.tape().apply(Sum { factor: 1.0 }, [self])
    }

    /// Σ x / numel: one number, without axes. Saves nothing but the shape. NaN for an empty tensor.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::train(0);
    /// let x = tape.variable(Tensor::from_vec([2], vec![1.0, 2.0]));
    /// let y = x.clone().mean();
    /// assert_eq!(y.item(), 1.5);
    /// assert_eq!(y.backward().wrt(&x).unwrap().data(), [0.5, 0.5]);
    /// ```
    #[track_caller]
    pub fn mean(self) -> Self {
        let factor = 1.0 / self.value().numel() as f64;
        self.tape().apply(Sum { factor }, [self])
    }

    /// Σ over all axes but the last: `[.., c]` → `[c]`. Saves nothing but the shape.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let x = tape.constant(Tensor::from_vec([2, 2], vec![1.0, 10.0, 2.0, 20.0]));
    /// assert_eq!(x.sum_per_channel().value().data(), [3.0, 30.0]);
    /// ```
    ///
    /// # Panics
    /// For a tensor without axes.
    #[track_caller]
    pub fn sum_per_channel(self) -> Self {
        assert!(self.shape().rank() > 0, "sum_per_channel: a single number has no channel axis");
        self.tape().apply(SumPerChannel { factor: 1.0 }, [self])
    }

    /// The mean over all axes but the last: `[.., c]` → `[c]`. Saves nothing but the shape.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let x = tape.constant(Tensor::from_vec([2, 2], vec![1.0, 10.0, 2.0, 20.0]));
    /// assert_eq!(x.mean_per_channel().value().data(), [1.5, 15.0]);
    /// ```
    ///
    /// # Panics
    /// For a tensor without axes.
    #[track_caller]
    pub fn mean_per_channel(self) -> Self {
        assert!(self.shape().rank() > 0, "mean_per_channel: a single number has no channel axis");
        let factor = 1.0 / self.shape().rows() as f64;
        self.tape().apply(SumPerChannel { factor }, [self])
    }
}
