//! Separable linear maps between grids: what average pooling and upsampling are.

use autograd::parallel::SLAB;
use autograd::{Real, Tensor};
use rayon::prelude::*;

use crate::kernels::resample::{Taps, row};

/// A separable linear map between grids.
#[derive(Clone, Debug)]
pub struct Resampling<T> {
    taps: [Taps<T>; 3],
}

impl<T: Real> Resampling<T> {
    pub(super) fn new(taps_of_axis: impl FnMut(usize) -> Taps<T>) -> Self {
        Self { taps: [0, 1, 2].map(taps_of_axis) }
    }

    pub(super) fn transposed(&self) -> Self {
        Self { taps: self.taps.each_ref().map(Taps::transposed) }
    }

    /// The map of `[n, d, h, w, c]`.
    pub(super) fn of(&self, x: &Tensor<T>) -> Tensor<T> {
        let [n, d, h, w, c] = x.dims5();
        let [od, oh, ow] = self.taps.each_ref().map(Taps::outputs);
        let sample = d * h * w * c;
        let mut y = Tensor::scratch([n, od, oh, ow, c]);
        let rows = y.data_mut().par_chunks_mut((ow * c).max(1));
        rows.with_min_len(rows_per_task(ow * c)).enumerate().for_each(|(i, y)| {
            let x = &x.data()[i / (od * oh) * sample..][..sample];
            row(&self.taps, c, x, [i / oh % od, i % oh], y);
        });
        y
    }
}

/// Rows that one task takes at least, so that a task is worth its overhead.
pub(super) fn rows_per_task(row: usize) -> usize {
    (SLAB / row.max(1)).max(1)
}
