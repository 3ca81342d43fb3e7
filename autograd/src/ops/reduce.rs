//! Sums and means, over everything or over chosen axes.

use super::broadcast::spread;
use super::kept_axes;
use crate::parallel::{SLAB, map_slabs};
use crate::{Backward, Function, Real, Shape, Tensor, Var};

/// Sums that run side by side, so that an addition need not wait for the one before.
const LANES: usize = 16;
/// A slab has at least this many rows, so that the partial sums are few beside the numbers summed.
const MIN_ROWS: usize = 16;

/// The sums in `f64` over the axes that `is_summed` names, of which neighbours are summed as one.
///
/// Every sum is cut into slabs by the shape alone; partial sums are added in slab order. So the result is the same for any
/// number of threads.
pub(super) fn sums_over<T: Real>(x: &Tensor<T>, is_summed: impl Fn(usize) -> bool) -> Vec<f64> {
    let mut groups: Vec<(usize, bool)> = Vec::new();
    for (axis, &extent) in x.dims().iter().enumerate() {
        match groups.last_mut() {
            Some((group, summed)) if *summed == is_summed(axis) => *group *= extent,
            _ => groups.push((extent, is_summed(axis))),
        }
    }
    sums_of_groups(x.data(), groups)
}

/// The last group that is summed first.
fn sums_of_groups<T: Real>(x: &[T], mut groups: Vec<(usize, bool)>) -> Vec<f64> {
    let Some(last) = groups.iter().rposition(|(_, summed)| *summed) else {
        return x.iter().map(|x| x.to_f64()).collect();
    };
    let product = |groups: &[(usize, bool)]| groups.iter().map(|(extent, _)| extent).product::<usize>();
    let (matrices, columns) = (product(&groups[..last]), product(&groups[last + 1..]));
    let matrix = groups.remove(last).0 * columns;
    let sums: Vec<Vec<f64>> = if matrix == 0 {
        vec![vec![0.0; matrices * columns]]
    } else if matrix >= SLAB || matrices == 1 {
        x.chunks_exact(matrix).map(|x| sums_of_matrix(x, columns)).collect()
    } else {
        let of_slab = |x: &[T]| match columns {
            1 => x.chunks_exact(matrix).map(sum_of_row).collect(),
            _ => x.chunks_exact(matrix).flat_map(|x| sums_of_slab(x, columns)).collect(),
        };
        map_slabs(x.len(), matrix * (SLAB / matrix), |range| of_slab(&x[range]))
    };
    sums_of_groups(&sums.concat(), groups)
}

/// The sum of each column of a matrix.
fn sums_of_matrix<T: Real>(x: &[T], columns: usize) -> Vec<f64> {
    let mut total = vec![0.0; columns];
    let slab = columns * (SLAB / columns).max(MIN_ROWS);
    for partial in map_slabs(x.len(), slab, |range| sums_of_slab(&x[range], columns)) {
        total.iter_mut().zip(partial).for_each(|(t, p)| *t += p);
    }
    total
}

/// [`sums_of_slab`] of one column, bit for bit, without memory.
fn sum_of_row<T: Real>(x: &[T]) -> f64 {
    let mut lanes = [0.0; LANES];
    x.chunks(LANES).for_each(|x| lanes.iter_mut().zip(x).for_each(|(sum, x)| *sum += x.to_f64()));
    lanes.into_iter().reduce(|total, lane| total + lane).unwrap_or(0.0)
}

fn sums_of_slab<T: Real>(x: &[T], columns: usize) -> Vec<f64> {
    // Few columns: several rows are added at once, and folded onto one another at the end.
    let rows = (LANES / columns).max(1);
    let mut lanes = vec![0.0f64; rows * columns];
    for chunk in x.chunks(rows * columns) {
        lanes.iter_mut().zip(chunk).for_each(|(sum, &x)| *sum += x.to_f64());
    }
    let (total, rest) = lanes.split_at_mut(columns);
    for row in rest.chunks_exact(columns) {
        total.iter_mut().zip(row).for_each(|(t, r)| *t += r);
    }
    lanes.truncate(columns);
    lanes
}

/// y = factor · Σ x over the axes that `kept` has with extent 1, in the shape `to`; dx = factor · dy everywhere
struct Sum {
    kept: Shape,
    to: Shape,
    factor: f64,
}

impl<T: Real> Function<T, 1> for Sum {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Shape) {
        let sums = sums_over(x, |axis| self.kept[axis] == 1);
        (Tensor::from_fn(self.to, |i| T::from_f64(self.factor * sums[i])), x.shape())
    }
}

impl<T: Real> Backward<T, 1> for Sum {
    type Saved = Shape;

    fn backward(&self, shape: Shape, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let dy = dy.map(|dy| T::from_f64(self.factor * dy.to_f64()));
        [Some(spread(&dy.reshape(self.kept), shape))]
    }
}

impl<T: Real> Var<'_, T> {
    #[track_caller]
    fn summed(self, factor: f64, kept: Shape, to: Shape) -> Self {
        self.tape().apply(Sum { kept, to, factor }, [self])
    }

    /// Σ x over these axes, which stay with extent 1 so that the result goes together with x. Saves nothing but the shape.
    ///
    /// | x | axes | y |
    /// |---|---|---|
    /// | `[n, d, h, w, c]` | `[1, 2, 3]` | `[n, 1, 1, 1, c]` |
    /// | `[n, d, h, w, c]` | `[4]` | `[n, d, h, w, 1]` |
    ///
    /// Partial sums are in `f64` and do not depend on the number of threads.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let x = tape.constant(Tensor::from_vec([2, 2], vec![1.0, 10.0, 2.0, 20.0]));
    /// let y = x.sum_axes(&[1]);
    /// assert_eq!((y.shape().dims(), y.value().data()), (&[2, 1][..], &[11.0, 22.0][..]));
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, or one is named twice.
    #[track_caller]
    pub fn sum_axes(self, axes: &[usize]) -> Self {
        let kept = kept_axes("sum_axes", self.shape(), axes);
        self.summed(1.0, kept, kept)
    }

    /// The mean over these axes, which stay with extent 1: see [`sum_axes`](Self::sum_axes). Over space, `[1, 2, 3]`, it is
    /// the global average pooling of `[n, d, h, w, c]`. NaN over no numbers.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let x = tape.constant(Tensor::from_vec([2, 2], vec![1.0, 10.0, 2.0, 20.0]));
    /// assert_eq!(x.mean_axes(&[0]).value().data(), [1.5, 15.0]);
    /// ```
    ///
    /// # Panics
    /// As [`sum_axes`](Self::sum_axes).
    #[track_caller]
    pub fn mean_axes(self, axes: &[usize]) -> Self {
        let kept = kept_axes("mean_axes", self.shape(), axes);
        let count: usize = axes.iter().map(|&axis| self.shape()[axis]).product();
        self.summed(1.0 / count as f64, kept, kept)
    }

    /// Σ x: one number, without axes. Saves nothing but the shape.
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
        let one = Shape::new(&[1; crate::MAX_RANK][..self.shape().rank()]);
        self.summed(1.0, one, [].into())
    }

    /// Σ x / numel: one number, without axes, as [`mean_axes`](Self::mean_axes) over all. NaN for an empty tensor.
    #[track_caller]
    pub fn mean(self) -> Self {
        let (one, count) = (Shape::new(&[1; crate::MAX_RANK][..self.shape().rank()]), self.shape().numel());
        self.summed(1.0 / count as f64, one, [].into())
    }
}
