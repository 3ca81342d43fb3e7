//! Layers one after the other.

use autograd::{Real, Var};

use super::{AvgPool3d, Conv3d, ConvTranspose3d, Dropout, Linear, MaxPool3d, NormAct, Upsample};
use crate::functional::{Activation, Input, IntoInput};
use crate::{Module, module};

/// A layer of one input and one output, for [`Sequential`]: whatever is a [`Module`] and `Clone` may be one.
pub trait Layer<T: Real>: Module<T> + Boxed<T> + Send + Sync {
    /// The output.
    fn apply<'t>(&self, x: Input<'t, T>) -> Input<'t, T>;
}

/// What is `Clone`, behind a pointer.
pub trait Boxed<T: Real> {
    #[doc(hidden)]
    fn boxed(&self) -> Box<dyn Layer<T>>;
}

impl<T: Real, L: Layer<T> + Clone + 'static> Boxed<T> for L {
    fn boxed(&self) -> Box<dyn Layer<T>> {
        Box::new(self.clone())
    }
}

impl<T: Real> Clone for Box<dyn Layer<T>> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}

/// Layers one after the other, named by their index as in PyTorch.
///
/// A convolution here does not measure its output while it writes it, so a norm that follows reads it once more than after
/// [`Conv3d::forward_with_stats`].
///
/// ```
/// use autograd::{Tape, Tensor};
/// use nn::functional::{Activation, Conv3dSpec};
/// use nn::layers::{Conv3d, NormAct, Sequential};
/// # use rand::SeedableRng;
///
/// # let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(0);
/// let net = Sequential::<f32>::new()
///     .then(Conv3d::new(1, 8, Conv3dSpec::new([3; 3]).same_padding(), &mut rng)?)
///     .then(NormAct::instance(8)?)
///     .then(Activation::Relu)
///     .then(Conv3d::new(8, 1, Conv3dSpec::new([1; 3]), &mut rng)?);
/// let tape = Tape::no_grad();
/// let y = net.forward(tape.constant(Tensor::zeros([1, 4, 4, 4, 1])));
/// assert_eq!(y.shape().dims(), [1, 4, 4, 4, 1]);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Sequential<T: Real = f32> {
    layers: Vec<Box<dyn Layer<T>>>,
}

impl<T: Real> Sequential<T> {
    /// Without a layer, which gives what it gets.
    pub fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// With a further layer.
    #[must_use]
    pub fn then(mut self, layer: impl Layer<T> + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// The output of the last. A mistake in shapes is shown at the layer that it is found by.
    #[track_caller]
    pub fn forward<'t>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        self.apply(x.into_input()).into_var()
    }
}

impl<T: Real> Layer<T> for Sequential<T> {
    fn apply<'t>(&self, x: Input<'t, T>) -> Input<'t, T> {
        self.layers.iter().fold(x, |x, layer| layer.apply(x))
    }
}

module! { impl<T: Real> Module<T> for Sequential<T> { layers as "" } }

/// What `forward` says of each layer.
macro_rules! layers {
    ($($layer:ty: |$this:ident, $x:ident| $y:expr;)*) => {
        $(impl<T: Real> Layer<T> for $layer {
            #[track_caller]
            fn apply<'t>(&self, $x: Input<'t, T>) -> Input<'t, T> {
                let $this = self;
                $y
            }
        })*
    };
}

layers! {
    Conv3d<T>: |conv, x| conv.forward(x).into();
    ConvTranspose3d<T>: |conv, x| conv.forward(x).into();
    Linear<T>: |linear, x| linear.forward(x).into();
    NormAct<T>: |norm, x| norm.forward(x);
    MaxPool3d: |pool, x| pool.forward(x).into();
    AvgPool3d: |pool, x| pool.forward(x).into();
    Upsample: |upsample, x| upsample.forward(x).into();
    Dropout: |dropout, x| dropout.forward(x).into();
    Activation: |activation, x| activation.forward(x).into();
}
