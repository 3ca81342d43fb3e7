//! Convolution of volumes.

use autograd::{Backward, Real, Shape, Tensor, Var};

use super::deferred::{Input, Reader};
use super::{ChannelStats, check_per_channel, value};
use crate::kernels::Pairs;
use crate::kernels::conv3d::{self, Conv3dShape, Epilogue, Target};
pub use crate::kernels::conv3d::{Conv3dSpec, ConvAlgorithm};

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

/// ```text
/// y[n, od, oh, ow, co] = b[co] + Σ x[n, od·sd + kd·dd − pd, …, ci] · w[kd, kh, kw, ci, co], x being 0 outside
/// ```
///
/// | tensor | shape |
/// |---|---|
/// | x | `[n, d, h, w, ci]`: one input, or two whose channels follow each other |
/// | weight | `[kd, kh, kw, ci, co]` |
/// | bias | `[co]`, or absent |
/// | y | `[n, od, oh, ow, co]`, od = ⌊(d + 2·padding − dilation·(kd − 1) − 1) / stride⌋ + 1 |
///
/// Saved: x as it was given (raw, where it is deferred) and the weight. With dy the gradient of y: dx is the transposed
/// convolution of dy with the weight, dw the correlation of x with dy, db the sum of dy over samples and voxels.
struct Conv3d<T: Real> {
    shape: Conv3dShape,
    readers: Vec<Reader<T>>,
}

/// The convolution of `x` with `weight`, plus `bias` unless absent:
/// y\[od, oh, ow, co\] = b\[co\] + Σ x\[od·sd + kd·dd − pd, …, ci\] · w\[kd, kh, kw, ci, co\], x being 0 outside.
///
/// x `[n, d, h, w, ci]`, weight `[kd, kh, kw, ci, co]`, y `[n, od, oh, ow, co]` with
/// od = ⌊(d + 2·padding − dilation·(kd − 1) − 1) / stride⌋ + 1.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn conv3d<'t, T: Real>(
    x: impl Into<Input<'t, T>>,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    settings: impl Into<Conv3dSettings>,
) -> Var<'t, T> {
    convolve(vec![x.into()], weight, bias, settings.into(), false).0
}

/// As [`conv3d()`], together with what a normalisation of the result needs to know of it.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn conv3d_with_stats<'t, T: Real>(
    x: impl Into<Input<'t, T>>,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    settings: impl Into<Conv3dSettings>,
) -> (Var<'t, T>, ChannelStats<T>) {
    let (y, stats) = convolve(vec![x.into()], weight, bias, settings.into(), true);
    (y, stats.expect("statistics were asked for"))
}

/// As [`conv3d_with_stats`], of two inputs as if their channels were concatenated: `[first, second]`. The concatenation
/// itself is not computed.
///
/// # Panics
/// If a shape does not fit.
#[track_caller]
pub fn conv3d_of_two_with_stats<'t, T: Real>(
    first: impl Into<Input<'t, T>>,
    second: impl Into<Input<'t, T>>,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    settings: impl Into<Conv3dSettings>,
) -> (Var<'t, T>, ChannelStats<T>) {
    let (y, stats) = convolve(vec![first.into(), second.into()], weight, bias, settings.into(), true);
    (y, stats.expect("statistics were asked for"))
}

#[track_caller]
fn convolve<'t, T: Real>(
    inputs: Vec<Input<'t, T>>,
    weight: Var<'t, T>,
    bias: Option<Var<'t, T>>,
    settings: Conv3dSettings,
    wants_stats: bool,
) -> (Var<'t, T>, Option<ChannelStats<T>>) {
    let (x, readers): (Vec<_>, Vec<_>) = inputs.into_iter().map(Input::split).unzip();
    let shape = shape_of(settings, &shapes(&readers), weight.value(), value(&bias));
    let (y, stats) = if wants_stats {
        let (y, stats) = forward_with_stats(&shape, &readers, weight.value(), value(&bias));
        (y, Some(stats))
    } else {
        (forward(&shape, &readers, weight.value(), value(&bias), Epilogue::Nothing).0, None)
    };
    let inputs = [x.first(), x.get(1), Some(&weight), bias.as_ref()];
    let y = weight.tape().record(Conv3d { shape, readers }, inputs, y, weight.value().clone());
    (y, stats)
}

fn shapes<T: Real>(readers: &[Reader<T>]) -> Vec<Shape> {
    readers.iter().map(Reader::shape).collect()
}

/// The sizes, after making sure that the inputs fit each other.
#[track_caller]
pub(super) fn shape_of<T: Real>(
    settings: Conv3dSettings,
    inputs: &[Shape],
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
) -> Conv3dShape {
    let Conv3dSettings { spec, algorithm } = settings;
    let [n, d, h, w, _] = inputs[0].dims5();
    let ci = inputs.iter().map(Shape::channels).sum();
    let [kd, kh, kw, weight_ci, co] = weight.dims5();
    for x in inputs {
        assert_eq!(
            x.dims5()[..4],
            [n, d, h, w],
            "conv3d: inputs side by side share n, d, h, w; got {} and {x}",
            inputs[0]
        );
    }
    assert_eq!(
        [kd, kh, kw],
        spec.kernel,
        "conv3d: the weight {} has another kernel than the settings",
        weight.shape()
    );
    assert_eq!(
        ci,
        weight_ci,
        "conv3d: x {} has ci = {ci} channels, the weight {} expects {weight_ci}",
        inputs.iter().map(Shape::to_string).collect::<Vec<_>>().join(" with "),
        weight.shape()
    );
    check_per_channel("conv3d", "bias", bias, co);
    Conv3dShape::new(n, [d, h, w], ci, co, spec)
        .unwrap_or_else(|error| panic!("conv3d: {error}"))
        .with_algorithm(algorithm)
}

/// y, and the epilogue's sums where they were taken.
pub(super) fn forward<T: Real>(
    shape: &Conv3dShape,
    readers: &[Reader<T>],
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
    epilogue: Epilogue<'_, T>,
) -> (Tensor<T>, Option<Pairs>) {
    let [od, oh, ow] = shape.output();
    let mut y = Tensor::scratch([shape.n(), od, oh, ow, shape.co()]);
    let readings: Vec<_> = readers.iter().map(Reader::read).collect();
    let sources: Vec<_> = readings.iter().map(|reading| reading.source()).collect();
    let sums =
        conv3d::forward_fused(shape, &sources, weight.data(), bias.map(Tensor::data), y.data_mut(), epilogue);
    (y, sums)
}

/// y and its statistics.
pub(super) fn forward_with_stats<T: Real>(
    shape: &Conv3dShape,
    readers: &[Reader<T>],
    weight: &Tensor<T>,
    bias: Option<&Tensor<T>>,
) -> (Tensor<T>, ChannelStats<T>) {
    let [od, oh, ow] = shape.output();
    let on_the_way = ChannelStats::<T>::worth_taking_on_the_way([shape.n(), od, oh, ow, shape.co()].into());
    let epilogue = if on_the_way { Epilogue::Moments } else { Epilogue::Nothing };
    let (y, sums) = forward(shape, readers, weight, bias, epilogue);
    let stats = match sums.filter(|_| on_the_way) {
        Some(sums) => ChannelStats::from_sums(y.shape(), &sums),
        None => ChannelStats::of(&y),
    };
    (y, stats)
}

/// dw
pub(super) fn backward_weight<T: Real>(
    shape: &Conv3dShape,
    readers: &[Reader<T>],
    dy: &Tensor<T>,
) -> Tensor<T> {
    let [kd, kh, kw] = shape.spec().kernel;
    let mut dw = Tensor::scratch([kd, kh, kw, shape.ci(), shape.co()]);
    let readings: Vec<_> = readers.iter().map(Reader::read).collect();
    let sources: Vec<_> = readings.iter().map(|reading| reading.source()).collect();
    conv3d::backward_weight_fused(shape, &sources, dy.data(), dw.data_mut());
    dw
}

/// db
pub(super) fn backward_bias<T: Real>(dy: &Tensor<T>) -> Tensor<T> {
    let mut db = Tensor::scratch([dy.channels()]);
    conv3d::backward_bias(dy.data(), dy.channels(), db.data_mut());
    db
}

impl<T: Real> Backward<T, 4> for Conv3d<T> {
    /// The weight.
    type Saved = Tensor<T>;

    fn backward(
        &self,
        weight: Tensor<T>,
        dy: Tensor<T>,
        [wants_first, wants_second, wants_weight, wants_bias]: [bool; 4],
    ) -> [Option<Tensor<T>>; 4] {
        let dw = wants_weight.then(|| backward_weight(&self.shape, &self.readers, &dy));
        let db = wants_bias.then(|| backward_bias(&dy));
        if !(wants_first || wants_second) {
            return [None, None, dw, db];
        }
        let mut dx: Vec<_> = self.readers.iter().map(|reader| Tensor::scratch(reader.shape())).collect();
        let mut targets: Vec<_> =
            dx.iter_mut().map(|dx| Target { channels: dx.channels(), y: dx.data_mut() }).collect();
        conv3d::backward_input_fused(&self.shape, weight.data(), dy.data(), &mut targets, Epilogue::Nothing);
        let mut dx = dx.into_iter();
        let first = dx.next().filter(|_| wants_first);
        [first, dx.next().filter(|_| wants_second), dw, db]
    }
}
