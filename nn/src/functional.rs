//! Operations on [`Var`]s, channels last: `[n, d, h, w, c]`. A 2-D image is a volume with d = 1.
//!
//! Each is a free function with its derivative beside it, a [`Backward`](autograd::Backward). Convolutions, transposed
//! convolutions and poolings by maxima read [`Input`]s: a `Var` as it lies, or what [`norm_act`] and [`add_act`] give, which
//! is computed as it is read; the others read `Var`s. Optional arguments (a bias, an affine) are `Option`s. Shape mistakes
//! panic and name the axis.
//!
//! To read first: `statistics.rs`, [`norm_act`], then `input.rs`, whose table says what is passed on, then [`conv3d()`].

mod activation;
mod add_act;
mod attention;
mod checkpoint;
mod conv3d;
mod conv_transpose3d;
mod dropout;
mod input;
mod linear;
mod norm;
mod pool;
mod resampling;
mod statistics;
mod upsample;

pub use activation::Activation;
pub use add_act::add_act;
pub use attention::attention;
pub use checkpoint::checkpoint;
pub use conv_transpose3d::{ConvTranspose3dSpec, conv_transpose3d};
pub use conv3d::{Conv3dSettings, Conv3dSpec, ConvAlgorithm, conv3d, conv3d_with_stats};
pub use dropout::dropout;
pub use input::{Input, IntoInput};
pub use linear::linear;
pub use norm::{NormSettings, norm_act, norm_act_by};
pub use pool::{AvgPool3d, MaxPool3d, Pool3dSpec, avg_pool3d, max_pool3d};
pub use statistics::{ChannelStats, IntoStats, NormKind, WithStats};
pub use upsample::{Upsample, UpsampleMode, upsample};

use autograd::{Real, Tensor, Var};

/// The mean of each channel over space: `[n, d, h, w, c]` → `[n, 1, 1, 1, c]`, which goes together with x.
///
/// # Panics
/// Unless there are five axes.
#[track_caller]
pub fn global_avg_pool3d<'t, T: Real>(x: impl IntoInput<'t, T>) -> Var<'t, T> {
    let x = x.into_input().into_var();
    x.shape().dims5();
    x.mean_axes(&[1, 2, 3])
}

/// The largest number of each channel over space: `[n, d, h, w, c]` → `[n, 1, 1, 1, c]`.
///
/// # Panics
/// Unless there are five axes.
#[track_caller]
pub fn global_max_pool3d<'t, T: Real>(x: impl IntoInput<'t, T>) -> Var<'t, T> {
    let x = x.into_input().into_var();
    x.shape().dims5();
    x.max_axes(&[1, 2, 3])
}

/// The value of an optional argument.
fn value<'a, T: Real>(x: &'a Option<Var<'_, T>>) -> Option<&'a Tensor<T>> {
    x.as_ref().map(Var::value)
}

/// Checks a vector with one number per channel, or its absence.
#[track_caller]
fn check_per_channel<T: Real>(operation: &str, name: &str, vector: Option<&Tensor<T>>, channels: usize) {
    if let Some(vector) = vector {
        assert!(
            vector.dims() == [channels],
            "{operation}: {name} has shape {}, expected [c = {channels}]",
            vector.shape()
        );
    }
}
