//! Layers without parameters.

use autograd::{Real, Var};

use super::each_at_least_one;
use crate::functional::{self, Activation, IntoInput, Pool3dSpec, UpsampleMode};
pub use crate::functional::{AvgPool3d, MaxPool3d, Upsample};
use crate::{Error, module};

impl MaxPool3d {
    /// Max pooling by this window.
    ///
    /// # Errors
    /// If kernel or stride is 0 along an axis, the padding over half the kernel, or the window over 256 voxels.
    pub fn new(spec: Pool3dSpec) -> Result<Self, Error> {
        check_window(&spec)?;
        let voxels = spec.window_voxels();
        if voxels > 256 {
            let message =
                format!("a window of {:?} has {voxels} voxels, at most 256 are possible", spec.kernel);
            return Err(Error::Setting { name: "kernel_size", message });
        }
        Ok(Self(spec))
    }

    /// See [`functional::max_pool3d`].
    #[track_caller]
    pub fn forward<'t, T: Real>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        functional::max_pool3d(x, self.0)
    }
}

impl AvgPool3d {
    /// Average pooling by this window; padding counts as zeros.
    ///
    /// # Errors
    /// If kernel or stride is 0 along an axis, or the padding over half the kernel.
    pub fn new(spec: Pool3dSpec) -> Result<Self, Error> {
        check_window(&spec)?;
        Ok(Self { spec, count_include_pad: true })
    }

    /// See [`functional::avg_pool3d`].
    #[track_caller]
    pub fn forward<'t, T: Real>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        functional::avg_pool3d(x.into_input().into_var(), self.spec, self.count_include_pad)
    }
}

fn check_window(spec: &Pool3dSpec) -> Result<(), Error> {
    spec.fault().map_or(Ok(()), |message| Err(Error::Setting { name: "pooling window", message }))
}

impl Upsample {
    /// Upsampling by these factors.
    ///
    /// # Errors
    /// If a factor is 0.
    pub fn new(factors: [usize; 3], mode: UpsampleMode) -> Result<Self, Error> {
        each_at_least_one("scale_factor", factors)?;
        Ok(Self { factors, mode })
    }

    /// See [`functional::upsample`].
    #[track_caller]
    pub fn forward<'t, T: Real>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        functional::upsample(x.into_input().into_var(), self.factors, self.mode)
    }
}

/// Zeros in training and on a [Monte Carlo](autograd::Tape::monte_carlo) tape, with a probability: see
/// [`functional::dropout`]. Of several passes on such tapes mean and spread say how sure a network is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Dropout {
    p: f64,
}

impl Dropout {
    /// Each number is dropped with probability `p`.
    ///
    /// # Errors
    /// Unless 0 ≤ p ≤ 1.
    pub fn new(p: f64) -> Result<Self, Error> {
        if (0.0..=1.0).contains(&p) {
            return Ok(Self { p });
        }
        Err(Error::Setting { name: "p", message: format!("{p} is no probability: use 0 to 1") })
    }

    /// The probability of a zero.
    pub fn p(&self) -> f64 {
        self.p
    }

    /// See [`functional::dropout`].
    pub fn forward<'t, T: Real>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        functional::dropout(x.into_input().into_var(), self.p)
    }
}

module! { impl<T: Real> Module<T> for MaxPool3d {} }
module! { impl<T: Real> Module<T> for AvgPool3d {} }
module! { impl<T: Real> Module<T> for Upsample {} }
module! { impl<T: Real> Module<T> for Dropout {} }
module! { impl<T: Real> Module<T> for Activation {} }
