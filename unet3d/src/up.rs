//! How the decoder regains resolution and halves the channels.

use autograd::{Parameter, Real, Var};
use nn::functional::{Conv3dSpec, ConvTranspose3dSpec, IntoInput, UpsampleMode};
use nn::layers::{Conv3d, ConvTranspose3d, Upsample};
use nn::{Layout, Module};
use rand::Rng;

use crate::{Error, Upsampling};

/// One step up, by the stride of the level that it leads to.
#[derive(Clone, Debug)]
pub enum Up<T: Real = f32> {
    /// A transposed convolution with kernel = stride.
    Transposed(ConvTranspose3d<T>),
    /// Interpolation, after a 1x1x1 convolution. The two commute; this order has less to compute.
    Trilinear(Conv3d<T>, Upsample),
}

impl<T: Real> Up<T> {
    /// From so many channels to so many, with fresh weights.
    ///
    /// # Errors
    /// If a count or a stride is 0.
    pub fn new(
        from: usize,
        to: usize,
        stride: [usize; 3],
        upsampling: Upsampling,
        rng: &mut impl Rng,
    ) -> Result<Self, Error> {
        Ok(match upsampling {
            Upsampling::Transposed => {
                let spec = ConvTranspose3dSpec { stride, ..ConvTranspose3dSpec::new(stride) };
                Self::Transposed(ConvTranspose3d::new(from, to, spec, rng)?)
            }
            Upsampling::Trilinear => {
                let conv = Conv3d::new(from, to, Conv3dSpec::new([1; 3]), rng)?;
                Self::Trilinear(conv, Upsample::new(stride, UpsampleMode::Trilinear)?)
            }
        })
    }

    /// The factors along `[d, h, w]`.
    pub fn stride(&self) -> [usize; 3] {
        match self {
            Self::Transposed(conv) => conv.spec.stride,
            Self::Trilinear(_, upsample) => upsample.factors,
        }
    }

    /// `[n, d, h, w, from]` to `[n, d·sd, h·sh, w·sw, to]`.
    ///
    /// # Panics
    /// If x has another number of channels.
    #[track_caller]
    pub fn forward<'t>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        match self {
            Self::Transposed(conv) => conv.forward(x),
            Self::Trilinear(conv, upsample) => upsample.forward(conv.forward(x)),
        }
    }
}

impl<T: Real> Module<T> for Up<T> {
    fn visit<'a>(&'a self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a Parameter<T>)) {
        match self {
            Self::Transposed(conv) => conv.visit(prefix, f),
            Self::Trilinear(conv, _) => conv.visit(prefix, f),
        }
    }

    fn visit_mut<'a>(&'a mut self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a mut Parameter<T>)) {
        match self {
            Self::Transposed(conv) => conv.visit_mut(prefix, f),
            Self::Trilinear(conv, _) => conv.visit_mut(prefix, f),
        }
    }
}
