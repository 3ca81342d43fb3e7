//! Convolution of volumes: the function, its settings, how it is recorded, and its derivative. The sums themselves are in
//! `kernels/conv3d`; what is read, and may be normalised on the way, is in `input.rs`.

use autograd::{Backward, Real, Shape, Tensor, Var, tape_of};

use super::input::{Input, IntoInput, Part, Reading, SavedInput};
use super::{WithStats, check_per_channel, value};
use crate::kernels::conv3d::{self, Conv3dShape, Epilogue, Target};
pub use crate::kernels::conv3d::{Conv3dSpec, ConvAlgorithm};

/// The convolution of `x` with `weight`, plus `bias` unless absent:
/// y\[od, oh, ow, co\] = b\[co\] + Σ x\[od·sd + kd·dd − pd, …, ci\] · w\[kd, kh, kw, ci, co\], x being 0 outside.
///
/// | tensor | shape |
/// |---|---|
/// | x | `[n, d, h, w, ci]` |
/// | weight | `[kd, kh, kw, ci, co]` |
/// | bias | `[co]`, or absent |
/// | y | `[n, od, oh, ow, co]`, od = ⌊(d + 2·padding − dilation·(kd − 1) − 1) / stride⌋ + 1 |
///
/// A normalised x is computed as it is read, two side by side are read as they are, and zero padding comes after that.
///
/// Saved: x as it was given and the weight. With dy the gradient of y: dx is the transposed convolution of dy with the
/// weight, dw the correlation of x with dy, db the sum of dy over samples and voxels.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn conv3d<'t, T: Real>(
    x: impl IntoInput<'t, T>,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    settings: impl Into<Conv3dSettings>,
) -> Var<'t, T> {
    convolve(x.into_input(), weight, bias, settings.into(), false).into_var()
}

/// As [`conv3d()`], for a normalisation of the result: its statistics are taken while it is written.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn conv3d_with_stats<'t, T: Real>(
    x: impl IntoInput<'t, T>,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    settings: impl Into<Conv3dSettings>,
) -> WithStats<'t, T> {
    convolve(x.into_input(), weight, bias, settings.into(), true)
}

/// What is convolved, and how it is computed.
///
/// A [`Conv3dSpec`] turns into one with [`ConvAlgorithm::Auto`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conv3dSettings {
    /// Kernel, stride, padding, dilation.
    pub spec: Conv3dSpec,
    /// Direct or Winograd's.
    pub algorithm: ConvAlgorithm,
}

impl From<Conv3dSpec> for Conv3dSettings {
    fn from(spec: Conv3dSpec) -> Self {
        Self { spec, algorithm: ConvAlgorithm::Auto }
    }
}

#[track_caller]
fn convolve<'t, T: Real>(
    x: Input<'t, T>,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    settings: Conv3dSettings,
    with_stats: bool,
) -> WithStats<'t, T> {
    let parts = x.parts();
    let shape = shape_of(settings, &parts, weight.value(), value(&bias));
    let [od, oh, ow] = shape.output();
    let mut y = Tensor::scratch([shape.n(), od, oh, ow, shape.co()]);
    let with_stats = with_stats && WithStats::<T>::worth_taking_while_writing(y.shape());
    let moments = {
        let readings: Vec<_> = parts.iter().map(Part::read).collect();
        let sources: Vec<_> = readings.iter().map(Reading::source).collect();
        let epilogue = if with_stats { Epilogue::Moments } else { Epilogue::Nothing };
        let (weight, bias) = (weight.value().data(), value(&bias).map(Tensor::data));
        conv3d::forward(&shape, &sources, weight, bias, y.data_mut(), epilogue)
    };
    let saved = parts.iter().map(|part| part.saved.clone()).collect();
    let [first, second] = [parts.first(), parts.get(1)].map(|part| part.map(|part| &part.place));
    let inputs = [first, second, Some(&weight), bias.as_ref()];
    let y = tape_of(inputs).record(Conv3d { shape }, inputs, y, (saved, weight.value().clone()));
    WithStats::new(y, moments.filter(|_| with_stats))
}

/// The sizes, after making sure that the inputs fit each other.
#[track_caller]
fn shape_of<T: Real>(
    Conv3dSettings { spec, algorithm }: Conv3dSettings,
    parts: &[Part<'_, T>],
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
) -> Conv3dShape {
    let shapes: Vec<Shape> = parts.iter().map(|part| part.saved.shape()).collect();
    let [n, d, h, w, _] = shapes[0].dims5();
    let ci: usize = shapes.iter().map(Shape::channels).sum();
    let [kd, kh, kw, weight_ci, co] = weight.dims5();
    assert!(
        [kd, kh, kw] == spec.kernel,
        "conv3d: the weight {} has another kernel than the settings, {:?}",
        weight.shape(),
        spec.kernel
    );
    assert!(
        ci == weight_ci,
        "conv3d: x {} has ci = {ci} channels, the weight {} expects {weight_ci}",
        shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(" with "),
        weight.shape()
    );
    check_per_channel("conv3d", "bias", bias, co);
    match Conv3dShape::new(n, [d, h, w], ci, co, spec) {
        Ok(shape) => shape.with_algorithm(algorithm),
        Err(error) => panic!("conv3d: {error}"),
    }
}

/// db = Σ dy over all axes but the last: over the voxels of each sample, then over samples in their order.
pub(super) fn backward_bias<T: Real>(dy: &Tensor<T>) -> Tensor<T> {
    let (samples, channels) = (dy.shape()[0], dy.channels());
    let of_sample = |dy: &[T]| {
        let mut db = Tensor::scratch([channels]);
        conv3d::backward_bias(dy, channels, db.data_mut());
        db
    };
    let all = dy.data().chunks_exact((dy.numel() / samples.max(1)).max(1)).map(of_sample);
    let sum = all.reduce(|mut sum, next| {
        sum.add_assign(&next);
        sum
    });
    sum.unwrap_or_else(|| Tensor::zeros([channels]))
}

/// The derivative of [`conv3d()`], whose input has one part or two.
struct Conv3d {
    shape: Conv3dShape,
}

impl<T: Real> Backward<T, 4> for Conv3d {
    type Saved = (Vec<SavedInput<T>>, Tensor<T>);

    fn backward(
        &self,
        (saved, weight): Self::Saved,
        dy: Tensor<T>,
        [wants_first, wants_second, wants_weight, wants_bias]: [bool; 4],
    ) -> [Option<Tensor<T>>; 4] {
        let dw = wants_weight.then(|| self.weight_gradient(&saved, weight.shape(), &dy));
        let db = wants_bias.then(|| backward_bias(&dy));
        if !(wants_first || wants_second) {
            return [None, None, dw, db];
        }
        let mut dx = self.input_gradients(&saved, &weight, &dy).into_iter();
        let first = dx.next().filter(|_| wants_first);
        [first, dx.next().filter(|_| wants_second), dw, db]
    }
}

impl Conv3d {
    /// dw
    fn weight_gradient<T: Real>(&self, saved: &[SavedInput<T>], weight: Shape, dy: &Tensor<T>) -> Tensor<T> {
        let mut dw = Tensor::scratch(weight);
        let readings: Vec<_> = saved.iter().map(SavedInput::read).collect();
        let sources: Vec<_> = readings.iter().map(Reading::source).collect();
        conv3d::backward_weight(&self.shape, &sources, dy.data(), dw.data_mut());
        dw
    }

    /// dx of each part. That of the only reader of a normalisation is led back through the activation at once.
    fn input_gradients<T: Real>(
        &self,
        saved: &[SavedInput<T>],
        weight: &Tensor<T>,
        dy: &Tensor<T>,
    ) -> Vec<Tensor<T>> {
        let mut dx: Vec<_> = saved.iter().map(|x| Tensor::scratch(x.shape())).collect();
        let mut targets: Vec<_> =
            dx.iter_mut().map(|dx| Target { channels: dx.channels(), y: dx.data_mut() }).collect();
        let epilogue = match saved {
            [x] => x.epilogue(),
            _ => Epilogue::Nothing,
        };
        let takes_sums = !matches!(epilogue, Epilogue::Nothing);
        let sums = conv3d::backward_input(&self.shape, weight.data(), dy.data(), &mut targets, epilogue);
        if let Some(sums) = sums.filter(|_| takes_sums) {
            saved[0].leave(sums);
        }
        dx
    }
}
