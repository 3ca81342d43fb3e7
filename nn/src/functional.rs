//! Operations on [`Var`](autograd::Var)s, channels last: `[n, d, h, w, c]`. A 2-D image is a volume with d = 1.
//!
//! Each is a free function beside its derivative, a [`Backward`](autograd::Backward). Optional inputs (a bias, an affine)
//! are [`Option`]s. Shape mistakes panic and name the axis.

mod activation;
mod conv3d;
mod conv_transpose3d;
mod deferred;
mod dropout;
mod linear;
mod norm;
mod norm_act;
mod norm_act_conv3d;
mod pool;
mod upsample;

pub use activation::Activation;
pub use conv_transpose3d::{ConvTranspose3dSpec, conv_transpose3d};
pub use conv3d::{
    Conv3dSettings, Conv3dSpec, ConvAlgorithm, conv3d, conv3d_of_two_with_stats, conv3d_with_stats,
};
pub use deferred::{Deferred, Input};
pub use dropout::{Dropout, dropout};
pub use linear::linear;
pub use norm::{ChannelStats, Moments, NormKind};
pub use norm_act::{NormAct, batch_norm, group_norm, instance_norm, norm_act, norm_act_with};
pub use norm_act_conv3d::{norm_act_conv3d, norm_act_conv3d_with};
pub use pool::{AvgPool3d, MaxPool3d, Pool3dSpec, avg_pool3d, max_pool3d};
pub use upsample::{Upsample, UpsampleMode, upsample};

use autograd::{Real, Tensor, Var};

/// The value of an optional input.
fn value<'a, T: Real>(x: &'a Option<Var<'_, T>>) -> Option<&'a Tensor<T>> {
    x.as_ref().map(Var::value)
}

/// Checks that a vector, unless it is absent, has one number per channel.
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
