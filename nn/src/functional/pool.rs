//! Max and average pooling.

use autograd::buffer::Bytes;
use autograd::{Backward, Function, Real, Shape, Tensor, Var};
use rayon::prelude::*;

use super::input::{IntoInput, Reading};
use super::resampling::{Resampling, rows_per_task};
pub use crate::kernels::pool::Pool3dSpec;
use crate::kernels::pool::{max_row, max_row_backward};
use crate::kernels::resample::Taps;

/// The largest number in each window and channel; padding never wins.
///
/// x `[n, d, h, w, c]` → y `[n, od, oh, ow, c]`, od = ⌊(d + 2·padding − kernel) / stride⌋ + 1. A NaN wins over every
/// number, and of equal numbers the first gets the gradient, as in PyTorch. Saved: one byte per output. A normalised x
/// is computed as it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxPool3d(
    /// The window.
    pub Pool3dSpec,
);

/// The mean of each window and channel.
///
/// Shapes as for [`MaxPool3d`]. Nothing is saved: the operation is linear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AvgPool3d {
    /// The window.
    pub spec: Pool3dSpec,
    /// Whether padding counts as zeros (PyTorch's default) or not at all.
    pub count_include_pad: bool,
}

/// The maxima of windows: see [`MaxPool3d`].
///
/// # Panics
/// If the window does not fit the input, is padded by over half its extent, or has more than 256 voxels.
#[track_caller]
pub fn max_pool3d<'t, T: Real>(x: impl IntoInput<'t, T>, spec: Pool3dSpec) -> Var<'t, T> {
    let part = x.into_input().part();
    let [n, d, h, w, c] = part.saved.shape().dims5();
    let [od, oh, ow] = spec.output([d, h, w]);
    check_window(spec);
    let mut y = Tensor::scratch([n, od, oh, ow, c]);
    let mut arg = Bytes::scratch(y.numel());
    let Reading { x, affine } = &part.read();
    let row = ow * c;
    let rows = y.data_mut().par_chunks_mut(row.max(1)).zip(arg.par_chunks_mut(row.max(1)));
    rows.with_min_len(rows_per_task(row)).enumerate().for_each(|(i, (y, arg))| {
        let sample = i / (od * oh);
        let affine = affine.map(|affine| (affine, sample));
        let x = &x.data()[sample * (d * h * w * c)..][..d * h * w * c];
        max_row(&spec, x, affine, [d, h, w, c], [i / oh % od, i % oh], y, arg);
    });
    let saved = (x.shape(), y.shape(), arg);
    part.place.tape().record(MaxPool { spec }, [Some(&part.place)], y, saved)
}

/// The derivative of [`max_pool3d`].
struct MaxPool {
    spec: Pool3dSpec,
}

/// The means of windows: see [`AvgPool3d`].
///
/// # Panics
/// If the window does not fit the input, or is padded by over half its extent.
#[track_caller]
pub fn avg_pool3d<T: Real>(x: Var<'_, T>, spec: Pool3dSpec, count_include_pad: bool) -> Var<'_, T> {
    let [_, d, h, w, _] = x.value().dims5();
    spec.output([d, h, w]);
    x.tape().apply(AvgPool3d { spec, count_include_pad }, [x])
}

#[track_caller]
fn check_window(spec: Pool3dSpec) {
    let voxels = spec.window_voxels();
    assert!(
        voxels <= 256,
        "max_pool3d: a window of {:?} has {voxels} voxels; the winner is noted in one byte, so at most 256: pool twice",
        spec.kernel
    );
}

impl<T: Real> Backward<T, 1> for MaxPool {
    /// The input's shape, the output's, and which tap of its window each output came from.
    type Saved = (Shape, Shape, Bytes);

    fn backward(
        &self,
        (input, output, arg): Self::Saved,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let [_, d, h, w, c] = input.dims5();
        let [_, od, oh, ow, _] = output.dims5();
        let sample = od * oh * ow * c;
        let mut dx = Tensor::scratch(input);
        let rows = dx.data_mut().par_chunks_mut((w * c).max(1));
        rows.with_min_len(rows_per_task(w * c)).enumerate().for_each(|(i, dx)| {
            let at = i / (d * h) * sample;
            let (dy, arg) = (&dy.data()[at..][..sample], &arg[at..][..sample]);
            max_row_backward(&self.spec, dy, arg, [od, oh, ow, c], [i / h % d, i % h], dx);
        });
        [Some(dx)]
    }
}

impl<T: Real> Function<T, 1> for AvgPool3d {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Resampling<T>) {
        let [_, d, h, w, _] = x.dims5();
        let input = [d, h, w];
        let output = self.spec.output(input);
        let resampling = Resampling::new(|a| {
            let Pool3dSpec { kernel, stride, padding } = self.spec;
            Taps::average(input[a], output[a], kernel[a], stride[a], padding[a], self.count_include_pad)
        });
        (resampling.of(x), resampling)
    }
}

impl<T: Real> Backward<T, 1> for AvgPool3d {
    type Saved = Resampling<T>;

    fn backward(&self, resampling: Resampling<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(resampling.transposed().of(&dy))]
    }
}
