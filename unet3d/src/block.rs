//! Twice [convolution → norm → activation], the unit of encoder and decoder.
//!
//! The first norm and activation run inside the second convolution, the second ones inside whatever reads the block: with a
//! (leaky) ReLU, without dropout, no activated tensor exists in memory.

use autograd::Real;
use nn::functional::{Conv3dSpec, Input, IntoInput, add_act};
use nn::layers::{Activation, Conv3d, Dropout, NormAct};
use rand::Rng;

use crate::{Error, Norm};

/// What a [`Block`] is made of beside its channels. The default is the reference network's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockConfig {
    /// Of both convolutions, odd along each axis.
    pub kernel: [usize; 3],
    /// How activations are normalised.
    pub norm: Norm,
    /// What follows a norm.
    pub activation: Activation,
    /// The probability with which inner activations are dropped in training.
    pub dropout: f64,
    /// Adds the input to the output, before the last activation.
    pub residual: bool,
}

impl Default for BlockConfig {
    fn default() -> Self {
        crate::UNet3dConfig::default().block(0)
    }
}

/// Two convolutions, each followed by a norm and an activation; with a shortcut if residual.
#[derive(Clone, Debug)]
pub struct Block<T: Real = f32> {
    conv0: Conv3d<T>,
    norm0: NormAct<T>,
    dropout: Option<Dropout>,
    conv1: Conv3d<T>,
    norm1: NormAct<T>,
    shortcut: Option<Shortcut<T>>,
}

/// What a residual block adds to its second norm before the last activation.
#[derive(Clone, Debug)]
struct Shortcut<T: Real> {
    /// A 1x1x1 convolution where the channel counts differ.
    projection: Option<Conv3d<T>>,
    activation: Activation,
}

impl<T: Real> Block<T> {
    /// From so many channels to so many, with fresh weights.
    ///
    /// # Errors
    /// If a kernel is even along an axis, the dropout is none, or a layer refuses its settings.
    pub fn new(
        in_channels: usize,
        channels: usize,
        config: BlockConfig,
        rng: &mut impl Rng,
    ) -> Result<Self, Error> {
        if config.kernel.iter().any(|k| k % 2 == 0) {
            let message =
                format!("is {:?}: odd along each axis, so that a padding keeps the size", config.kernel);
            return Err(Error::Config { field: "kernel", message });
        }
        if !(0.0..1.0).contains(&config.dropout) {
            let message = format!("is {}: a probability from 0 to below 1", config.dropout);
            return Err(Error::Config { field: "dropout", message });
        }
        let spec = Conv3dSpec::new(config.kernel).same_padding();
        let kind = config.norm.kind();
        let last = if config.residual { Activation::Identity } else { config.activation };
        let shortcut = if config.residual {
            let projection = (in_channels != channels)
                .then(|| {
                    Conv3d::new(in_channels, channels, Conv3dSpec::new([1; 3]), rng).map(Conv3d::without_bias)
                })
                .transpose()?;
            Some(Shortcut { projection, activation: config.activation })
        } else {
            None
        };
        Ok(Self {
            conv0: Conv3d::new(in_channels, channels, spec, rng)?.without_bias(),
            norm0: NormAct::new(kind, channels)?.with_activation(config.activation)?,
            dropout: (config.dropout > 0.0).then(|| Dropout::new(config.dropout)).transpose()?,
            conv1: Conv3d::new(channels, channels, spec, rng)?.without_bias(),
            norm1: NormAct::new(kind, channels)?.with_activation(last)?,
            shortcut,
        })
    }

    /// `[n, d, h, w, in_channels]` to `[n, d, h, w, channels]`. What comes out is normalised and activated by whoever
    /// reads it.
    ///
    /// # Panics
    /// If x has another number of channels.
    #[track_caller]
    pub fn forward<'t>(&self, x: impl IntoInput<'t, T>) -> Input<'t, T> {
        let x = x.into_input();
        // No closure: a mistake is shown at the caller's line.
        let mut shortcut = None;
        if let Some(own) = &self.shortcut {
            shortcut = Some((own.forward(x.clone()), own.activation));
        }
        let y = self.norm0.forward(self.conv0.forward_with_stats(x));
        let y = match &self.dropout {
            Some(dropout) => dropout.forward(y.into_var()).into(),
            None => y,
        };
        let y = self.norm1.forward(self.conv1.forward_with_stats(y));
        match shortcut {
            Some((x, activation)) => add_act(y, x, activation),
            None => y,
        }
    }
}

impl<T: Real> Shortcut<T> {
    #[track_caller]
    fn forward<'t>(&self, x: Input<'t, T>) -> Input<'t, T> {
        match &self.projection {
            Some(projection) => projection.forward(x).into(),
            None => x,
        }
    }
}

// The names of PyTorch's Sequential(conv, norm, act, conv, norm, act).
nn::module! {
    impl<T: Real> Module<T> for Block<T> { conv0 as "0", norm0 as "1", conv1 as "3", norm1 as "4", shortcut }
}
nn::module! { impl<T: Real> Module<T> for Shortcut<T> { projection as "" } }
