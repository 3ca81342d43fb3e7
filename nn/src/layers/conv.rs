//! Convolutions with their weights.

use autograd::{Parameter, Real, Tape, Var};
use rand::Rng;

use super::{at_least_one, each_at_least_one, enter, weight_and_bias};
use crate::functional::{
    self, Conv3dSettings, Conv3dSpec, ConvAlgorithm, ConvTranspose3dSpec, IntoInput, WithStats,
};
use crate::{Error, Layout, module};

/// A convolution with weight `[kd, kh, kw, ci, co]` and, unless taken away, bias `[co]`.
///
/// ```
/// use autograd::{Tape, Tensor};
/// use nn::{functional::Conv3dSpec, layers::Conv3d};
/// use rand::{SeedableRng, rngs::ChaCha8Rng};
///
/// let mut rng = ChaCha8Rng::seed_from_u64(0);
/// let conv = Conv3d::<f32>::new(1, 4, Conv3dSpec::new([3; 3]).same_padding(), &mut rng)?;
/// let tape = Tape::no_grad();
/// let y = conv.forward(tape.constant(Tensor::zeros([1, 5, 6, 7, 1])));
/// assert_eq!(y.shape().dims(), [1, 5, 6, 7, 4]);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Conv3d<T: Real = f32> {
    /// `[kd, kh, kw, ci, co]`
    pub weight: Parameter<T>,
    /// `[co]`
    pub bias: Option<Parameter<T>>,
    /// What is convolved, and how.
    pub settings: Conv3dSettings,
}

impl<T: Real> Conv3d<T> {
    /// Weight and bias uniform in ±1/√(ci·kd·kh·kw), as PyTorch's. A kernel by itself, `[1; 3]`, has stride 1 and no padding.
    ///
    /// # Errors
    /// If a channel count, or a kernel, stride or dilation along an axis, is 0.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        spec: impl Into<Conv3dSpec>,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Self, Error> {
        let spec = spec.into();
        at_least_one("in_channels", in_channels)?;
        at_least_one("out_channels", out_channels)?;
        each_at_least_one("kernel_size", spec.kernel)?;
        each_at_least_one("stride", spec.stride)?;
        each_at_least_one("dilation", spec.dilation)?;
        let [kd, kh, kw] = spec.kernel;
        let (weight, bias) = weight_and_bias(Layout::Conv, [kd, kh, kw, in_channels, out_channels], rng);
        Ok(Self { weight, bias, settings: spec.into() })
    }

    /// Without a bias: what a normalisation follows needs none.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// Input channels.
    pub fn in_channels(&self) -> usize {
        self.weight.shape()[3]
    }

    /// Output channels.
    pub fn out_channels(&self) -> usize {
        self.weight.shape()[4]
    }

    /// Computed this way.
    pub fn with_algorithm(mut self, algorithm: ConvAlgorithm) -> Self {
        self.settings.algorithm = algorithm;
        self
    }

    /// See [`functional::conv3d`].
    #[track_caller]
    pub fn forward<'t>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        let x = x.into_input();
        let (weight, bias) = self.enter(x.tape());
        functional::conv3d(x, weight, bias, self.settings)
    }

    /// The result for a normalisation: see [`functional::conv3d_with_stats`].
    #[track_caller]
    pub fn forward_with_stats<'t>(&self, x: impl IntoInput<'t, T>) -> WithStats<'t, T> {
        let x = x.into_input();
        let (weight, bias) = self.enter(x.tape());
        functional::conv3d_with_stats(x, weight, bias, self.settings)
    }

    /// Weight and bias on this tape.
    fn enter<'t>(&self, tape: &'t Tape<T>) -> (Var<'t, T>, Option<Var<'t, T>>) {
        (tape.parameter(&self.weight), enter(tape, self.bias.as_ref()))
    }
}

module! { impl<T: Real> Module<T> for Conv3d<T> { weight: Conv, bias } }

/// A transposed convolution with weight `[kd, kh, kw, ci, co]` and, unless taken away, bias `[co]`.
#[derive(Clone, Debug)]
pub struct ConvTranspose3d<T: Real = f32> {
    /// `[kd, kh, kw, ci, co]`
    pub weight: Parameter<T>,
    /// `[co]`
    pub bias: Option<Parameter<T>>,
    /// Kernel, stride, paddings, dilation.
    pub spec: ConvTranspose3dSpec,
}

impl<T: Real> ConvTranspose3d<T> {
    /// Weight and bias uniform in ±1/√(co·kd·kh·kw), as PyTorch's, whose fan-in of this layer counts outputs.
    ///
    /// # Errors
    /// If a channel count, or a kernel, stride or dilation along an axis, is 0; if the output padding is not below
    /// stride or dilation.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        spec: ConvTranspose3dSpec,
        rng: &mut (impl Rng + ?Sized),
    ) -> Result<Self, Error> {
        at_least_one("in_channels", in_channels)?;
        at_least_one("out_channels", out_channels)?;
        each_at_least_one("kernel_size", spec.kernel)?;
        each_at_least_one("stride", spec.stride)?;
        each_at_least_one("dilation", spec.dilation)?;
        if let Some(a) = (0..3).find(|&a| spec.output_padding[a] >= spec.stride[a].max(spec.dilation[a])) {
            let message = format!(
                "{} along {} must be below stride or dilation ({})",
                spec.output_padding[a],
                ["d", "h", "w"][a],
                spec.stride[a].max(spec.dilation[a])
            );
            return Err(Error::Setting { name: "output_padding", message });
        }
        let [kd, kh, kw] = spec.kernel;
        let shape = [kd, kh, kw, in_channels, out_channels];
        let (weight, bias) = weight_and_bias(Layout::ConvTranspose, shape, rng);
        Ok(Self { weight, bias, spec })
    }

    /// Without a bias.
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// Input channels.
    pub fn in_channels(&self) -> usize {
        self.weight.shape()[3]
    }

    /// Output channels.
    pub fn out_channels(&self) -> usize {
        self.weight.shape()[4]
    }

    /// See [`functional::conv_transpose3d`].
    #[track_caller]
    pub fn forward<'t>(&self, x: impl IntoInput<'t, T>) -> Var<'t, T> {
        let x = x.into_input();
        let tape = x.tape();
        functional::conv_transpose3d(
            x,
            tape.parameter(&self.weight),
            enter(tape, self.bias.as_ref()),
            self.spec,
        )
    }
}

module! { impl<T: Real> Module<T> for ConvTranspose3d<T> { weight: ConvTranspose, bias } }
