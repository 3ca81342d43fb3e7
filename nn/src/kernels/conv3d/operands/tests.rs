//! Every algorithm with affines, epilogues and tensors side by side against the naive loops on activated,
//! concatenated tensors.

use std::panic::{AssertUnwindSafe, catch_unwind};

use autograd::simd::{Isa, available};
use autograd::{Real, Tape, Tensor};
use proptest::prelude::*;

use super::{Epilogue, Source, Target};
use crate::kernels::activation::Activation;
use crate::kernels::conv3d::tests::{activated, affine, random};
use crate::kernels::conv3d::{self, Conv3dShape, Conv3dSpec, ConvAlgorithm, reference};
use crate::kernels::{Affine, Pairs, norm};

fn side_by_side<T: Real>(parts: &[(Vec<T>, usize)]) -> Vec<T> {
    let pixels = parts[0].0.len() / parts[0].1;
    let pixel = |p: usize| parts.iter().flat_map(move |(x, c)| x[p * c..(p + 1) * c].iter().copied());
    (0..pixels).flat_map(pixel).collect()
}

#[track_caller]
fn assert_near<T: Real>(what: &str, isa: Isa, got: &[T], want: &[f64]) {
    let largest = want.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    let bound = 1e4 * T::EPSILON.to_f64() * largest;
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got.to_f64() - want).abs();
        assert!(error <= bound, "{what}[{i}] = {got}, not {want} within {bound:e}, on {isa} in {}", T::NAME);
    }
}

/// Mean and M2 of each sample and channel, or, with g, Σ g and Σ g·(x − mean).
fn sums(samples: usize, channels: usize, y: &[f64], factor: impl Fn(usize) -> f64, moments: bool) -> Pairs {
    let sample = y.len() / samples;
    let of = |i: usize| {
        let (n, c) = (i / channels, i % channels);
        let at: Vec<usize> = (n * sample + c..(n + 1) * sample).step_by(channels).collect();
        let total: f64 = at.iter().map(|&i| y[i]).sum();
        if moments {
            let mean = total / at.len() as f64;
            (mean, at.iter().map(|&i| (y[i] - mean) * (y[i] - mean)).sum())
        } else {
            (total, at.iter().map(|&i| y[i] * factor(i)).sum())
        }
    };
    (0..samples * channels).map(of).collect()
}

fn assert_sums<T: Real>(what: &str, isa: Isa, got: &Pairs, want: &Pairs) {
    let flat = |sums: &Pairs| sums.iter().flat_map(|s| [s.0, s.1]).collect::<Vec<f64>>();
    let got: Vec<T> = flat(got).into_iter().map(T::from_f64).collect();
    assert_near(what, isa, &got, &flat(want));
}

/// Forward with moments, the gradient of the weight, and the gradient of the input side by side.
fn reads_and_sums<T: Real>(shape: &Conv3dShape, first: usize, slope: f64, deferred: [bool; 2]) {
    let n = shape.n();
    let voxels = shape.input().iter().product::<usize>();
    let channels: Vec<usize> = if first < shape.ci() { vec![first, shape.ci() - first] } else { vec![first] };
    let raw: Vec<Vec<T>> =
        channels.iter().enumerate().map(|(i, c)| random(n * voxels * c, 10 + i as u64)).collect();
    let affines: Vec<Option<Affine<T>>> = channels
        .iter()
        .enumerate()
        .map(|(i, &c)| deferred[i].then(|| affine(n, c, slope, 20 + 4 * i as u64)))
        .collect();
    let sources: Vec<Source<'_, T>> = channels
        .iter()
        .enumerate()
        .map(|(i, &channels)| Source { x: &raw[i], channels, affine: affines[i].as_ref() })
        .collect();
    let parts: Vec<(Vec<T>, usize)> = sources
        .iter()
        .map(|s| (s.affine.map_or_else(|| s.x.to_vec(), |p| activated(s.x, p, n)), s.channels))
        .collect();
    let x = side_by_side(&parts);
    let weight = random::<T>(shape.weight_len(), 2);
    let bias = random::<T>(shape.co(), 3);
    let dy = random::<T>(shape.y_len(), 4);
    let y_want = reference::forward(shape, &x, &weight, Some(&bias));
    let dx_want = reference::backward_input(shape, &weight, &dy);
    let dw_want = reference::backward_weight(shape, &x, &dy);
    for isa in available() {
        let mut y = vec![T::NAN; shape.y_len()];
        let moments =
            conv3d::forward(&shape.with_isa(isa), &sources, &weight, Some(&bias), &mut y, Epilogue::Moments);
        assert_near("y", isa, &y, &y_want);
        // The head's few outputs are measured afterwards.
        let head = shape.spec().kernel == [1; 3] && shape.co() <= 8 && sources.len() == 1;
        assert!(moments.is_some() || head, "moments were taken on the way");
        if let Some(moments) = moments {
            let want = sums(n, shape.co(), &y_want, |_| 0.0, true);
            assert_sums::<T>("moments", isa, &moments, &want);
        }
        let mut dw = vec![T::NAN; shape.weight_len()];
        conv3d::backward_weight(&shape.with_isa(isa), &sources, &dy, &mut dw);
        assert_near("dw", isa, &dw, &dw_want);

        let mut dx: Vec<Vec<T>> = raw.iter().map(|x| vec![T::NAN; x.len()]).collect();
        let mut targets: Vec<Target<'_, T>> =
            dx.iter_mut().zip(&channels).map(|(y, &channels)| Target { y, channels }).collect();
        conv3d::backward_input(&shape.with_isa(isa), &weight, &dy, &mut targets, Epilogue::Nothing);
        let parts: Vec<_> = dx.into_iter().zip(channels.iter().copied()).collect();
        assert_near("dx", isa, &side_by_side(&parts), &dx_want);
    }
}

/// The gradient led back through an activation, and its two sums.
fn leads_the_gradient_back<T: Real>(shape: &Conv3dShape, slope: f64) {
    let (n, ci) = (shape.n(), shape.ci());
    let x = random::<T>(shape.x_len(), 1);
    let weight = random::<T>(shape.weight_len(), 2);
    let dy = random::<T>(shape.y_len(), 4);
    let mean = random::<T>(n * ci, 5);
    let (scale, shift) = (random::<T>(n * ci, 6), random::<T>(n * ci, 7));
    let affine = Affine::new(ci, &mean, &scale, &shift, Activation::LeakyRelu { slope });
    let da = reference::backward_input(shape, &weight, &dy);
    let channel = |i: usize| i / (x.len() / n) * ci + i % ci;
    let deviation = |i: usize| x[i].to_f64() - mean[channel(i)].to_f64();
    let z = |i: usize| deviation(i) * scale[channel(i)].to_f64() + shift[channel(i)].to_f64();
    let g: Vec<f64> =
        da.iter().enumerate().map(|(i, da)| if z(i) > 0.0 { *da } else { da * slope }).collect();
    for isa in available() {
        let mut got = vec![T::NAN; x.len()];
        let targets = &mut [Target { y: &mut got, channels: ci }];
        let epilogue = Epilogue::Gradient { x: &x, affine: &affine };
        match conv3d::backward_input(&shape.with_isa(isa), &weight, &dy, targets, epilogue) {
            Some(got_sums) => {
                assert_near("g", isa, &got, &g);
                assert_sums::<T>("sums of g", isa, &got_sums, &sums(n, ci, &g, deviation, false));
            }
            // Several plans write it, one for each remainder.
            None if shape.spec().stride != [1; 3] => assert_near("da", isa, &got, &da),
            None => panic!("the gradient was led back on the way"),
        }
    }
}

fn shapes() -> impl Strategy<Value = Conv3dShape> {
    let d = (1usize..4, 1usize..3, 0usize..3);
    let plane = prop_oneof![
        Just(([3, 3], [1, 1])),
        Just(([3, 3], [2, 1])),
        Just(([1, 1], [1, 1])),
        Just(([2, 3], [1, 1])),
    ];
    let algorithm = prop_oneof![Just(ConvAlgorithm::Direct), Just(ConvAlgorithm::Winograd)];
    let sizes = [1usize..6, 3usize..11, 3usize..11];
    // A single channel has a kernel of its own.
    let channels = prop_oneof![1 => Just(1usize), 2 => 1usize..20];
    (1usize..3, sizes, channels.clone(), channels, d, plane, any::<bool>(), algorithm).prop_filter_map(
        "the window fits",
        |(n, input, ci, co, (kd, sd, pd), (kernel, stride), voxel, algorithm)| {
            let spec = Conv3dSpec {
                kernel: [if voxel { 1 } else { kd }, kernel[0], kernel[1]],
                stride: [if voxel { 1 } else { sd }, stride[0], stride[1]],
                padding: if kernel == [1, 1] { [0; 3] } else { [pd, 1, 1] },
                dilation: [1; 3],
            };
            Conv3dShape::new(n, input, ci, co, spec).ok().map(|shape| shape.with_algorithm(algorithm))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reading_through_affines_side_by_side_equals_activating_and_concatenating(
        shape in shapes(), first in 1usize..20, slope in 0.0f64..1.0, deferred in [any::<bool>(), any::<bool>()],
    ) {
        reads_and_sums::<f64>(&shape, first.min(shape.ci()), slope, deferred);
        reads_and_sums::<f32>(&shape, first.min(shape.ci()), slope, deferred);
    }

    #[test]
    fn an_epilogue_leads_the_gradient_back_through_the_activation(shape in shapes(), slope in 0.0f64..1.0) {
        leads_the_gradient_back::<f64>(&shape, slope);
        leads_the_gradient_back::<f32>(&shape, slope);
    }
}

#[test]
fn moments_survive_a_mean_that_is_much_larger() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    for ci in [1, 8] {
        let shape = Conv3dShape::new(1, [3, 40, 40], ci, 8, spec).unwrap();
        let shape = shape.with_algorithm(ConvAlgorithm::Winograd);
        let (x, weight) = (random::<f32>(shape.x_len(), 1), random::<f32>(shape.weight_len(), 2));
        let mut y = vec![f32::NAN; shape.y_len()];
        let run = |bias: f32, y: &mut [f32]| {
            let source = Source::plain(&x, ci);
            let bias = [bias; 8];
            let isa = autograd::simd::active();
            conv3d::forward(&shape.with_isa(isa), &[source], &weight, Some(&bias), y, Epilogue::Moments)
                .unwrap()
        };
        let (near, far) = (run(0.0, &mut y), run(1e4, &mut y));
        for (near, far) in near.iter().zip(&far) {
            assert!((near.1 - far.1).abs() <= 1e-3 * near.1, "{ci} channels: {near:?} {far:?}");
        }
    }
}

/// Asserts that `run` refuses, and says that it is for the numbers of an affine.
#[track_caller]
fn assert_refused(what: &str, shape: &Conv3dShape, run: impl FnOnce()) {
    let Err(payload) = catch_unwind(AssertUnwindSafe(run)) else {
        panic!("{what} of {shape:?} was computed")
    };
    let message = payload.downcast_ref::<String>().expect("a formatted message");
    assert!(message.contains("samples and channels of a"), "{what} of {shape:?}: {message}");
}

#[test]
fn numbers_for_other_channels_or_samples_are_refused_by_every_entry() {
    let voxel = Conv3dSpec::new([1; 3]);
    let window = Conv3dSpec::new([3; 3]).same_padding();
    let all = [(voxel, 64, 2), (voxel, 64, 20), (window, 64, 20), (window, 1, 20), (window, 20, 1)];
    for ((spec, ci, co), algorithm) in
        all.into_iter().flat_map(|c| [(c, ConvAlgorithm::Direct), (c, ConvAlgorithm::Winograd)])
    {
        let shape = Conv3dShape::new(2, [3, 5, 6], ci, co, spec).unwrap().with_algorithm(algorithm);
        let (x, weight) = (random::<f32>(shape.x_len(), 1), random::<f32>(shape.weight_len(), 2));
        let (mut y, dy) = (vec![0.0; shape.y_len()], random::<f32>(shape.y_len(), 3));
        let (mut dx, mut dw) = (vec![0.0; shape.x_len()], vec![0.0; shape.weight_len()]);
        // Numbers of fewer samples, and of more channels, which is of fewer where the shape has many.
        for (n, channels) in [(1, ci), (2, if ci == 1 { 40 } else { 1 })] {
            let affine = affine::<f32>(n, channels, 0.0, 4);
            let sources = [Source { x: &x, channels: ci, affine: Some(&affine) }];
            for isa in available() {
                assert_refused("y", &shape, || {
                    let epilogue = Epilogue::Nothing;
                    conv3d::forward(&shape.with_isa(isa), &sources, &weight, None, &mut y, epilogue);
                });
                assert_refused("dw", &shape, || {
                    conv3d::backward_weight(&shape.with_isa(isa), &sources, &dy, &mut dw);
                });
                assert_refused("dx", &shape, || {
                    let targets = &mut [Target { y: &mut dx, channels: ci }];
                    let epilogue = Epilogue::Gradient { x: &x, affine: &affine };
                    conv3d::backward_input(&shape.with_isa(isa), &weight, &dy, targets, epilogue);
                });
            }
        }
    }
}

#[test]
fn a_transposed_convolution_refuses_numbers_for_other_channels() {
    use crate::kernels::conv_transpose3d::{
        ConvTranspose3dShape, ConvTranspose3dSpec, backward_weight, forward,
    };
    let spec = ConvTranspose3dSpec { stride: [2; 3], ..ConvTranspose3dSpec::new([2; 3]) };
    let shape = ConvTranspose3dShape::new(1, [2, 3, 4], 64, 20, spec).unwrap();
    let (x, weight) = (random::<f32>(shape.x_len(), 1), random::<f32>(shape.weight_len(), 2));
    let (mut y, mut dw) = (vec![0.0; shape.y_len()], vec![0.0; shape.weight_len()]);
    let dy = random::<f32>(shape.y_len(), 3);
    let affine = affine::<f32>(1, 80, 0.0, 4);
    let source = Source { x: &x, channels: 64, affine: Some(&affine) };
    let of_same = Conv3dShape::new(1, [2, 3, 4], 64, 20, Conv3dSpec::new([1; 3])).unwrap();
    assert_refused("y", &of_same, || forward(&shape, source, &weight, None, &mut y));
    assert_refused("dw", &of_same, || backward_weight(&shape, source, &dy, &mut dw));
}

/// The numbers at which activations differ in how they are computed.
const ENDS: [f64; 11] =
    [f64::NEG_INFINITY, -90.0, -1.5, -1e-30, -0.0, 0.0, 1e-30, 1.5, 90.0, f64::INFINITY, f64::NAN];

/// Value and derivative at [`ENDS`], as an operation on the tape.
fn as_operation<T: Real>(activation: Activation) -> [Vec<T>; 2] {
    let tape = Tape::train(0);
    let x = tape.variable(Tensor::from_fn([ENDS.len()], |i| T::from_f64(ENDS[i])));
    let y = activation.forward(x.clone());
    let value = y.value().data().to_vec();
    let gradients = y.backward_with(Tensor::full([ENDS.len()], T::ONE));
    [value, gradients.wrt(&x).expect("a variable").data().to_vec()]
}

/// The same, by the passes of a normalisation that changes nothing.
fn by_a_normalisation<T: Real>(activation: Activation) -> [Vec<T>; 2] {
    let [zero, one] = [[T::ZERO], [T::ONE]];
    let same = Affine::new(1, &zero, &one, &zero, activation);
    let x: Vec<T> = ENDS.map(T::from_f64).to_vec();
    let (mut y, mut dy) = (x.clone(), vec![T::ONE; x.len()]);
    norm::apply(&same, 0, &x, &mut y);
    // Of what is finite: dx has a term in x, which is 0·∞ elsewhere.
    norm::backward_apply(&same, 0, &[(0.0, 0.0)], &x, &mut dy);
    [y, dy]
}

/// The same, by a convolution of one voxel and weight 1 that reads through an affine, and leads a gradient back.
fn by_a_convolution<T: Real>(isa: Isa, activation: Activation) -> [Vec<T>; 2] {
    let [zero, one] = [[T::ZERO], [T::ONE]];
    let affine = Affine::new(1, &zero, &one, &zero, activation);
    let shape = Conv3dShape::new(1, [1, 1, ENDS.len()], 1, 1, Conv3dSpec::new([1; 3])).unwrap();
    let x: Vec<T> = ENDS.map(T::from_f64).to_vec();
    let (mut y, mut dx) = (x.clone(), x.clone());
    let source = Source { x: &x, channels: 1, affine: Some(&affine) };
    conv3d::forward(&shape.with_isa(isa), &[source], &one, None, &mut y, Epilogue::Nothing);
    let targets = &mut [Target { y: &mut dx, channels: 1 }];
    let epilogue = Epilogue::Gradient { x: &x, affine: &affine };
    conv3d::backward_input(&shape.with_isa(isa), &one, &vec![T::ONE; x.len()], targets, epilogue);
    [y, dx]
}

/// Equal up to a few roundings of numbers of the size of 1; NaN equals NaN.
fn assert_same<T: Real>(what: &str, activation: Activation, got: &[T], want: &[T]) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let near = (got.to_f64() - want.to_f64()).abs() <= 4.0 * T::EPSILON.to_f64();
        let same = got == want || near || (got.is_nan() && want.is_nan());
        assert!(same, "{activation:?} {what} at {}: {got}, not {want}, in {}", ENDS[i], T::NAME);
    }
}

fn an_activation_has_one_answer<T: Real>(activation: Activation) {
    let [value, slope] = as_operation::<T>(activation);
    let [y, dy] = by_a_normalisation::<T>(activation);
    assert_same("by a normalisation", activation, &y, &value);
    let finite: Vec<usize> = (0..ENDS.len()).filter(|&i| ENDS[i].is_finite()).collect();
    let at = |of: &[T]| finite.iter().map(|&i| of[i]).collect::<Vec<T>>();
    assert_same("derived by a normalisation", activation, &at(&dy), &at(&slope));
    let same = Affine::new(1, &[T::ZERO], &[T::ONE], &[T::ZERO], activation);
    if !same.is_fusible() {
        return;
    }
    for isa in available() {
        let [y, dx] = by_a_convolution::<T>(isa, activation);
        assert_same(&format!("by a convolution on {isa}"), activation, &y, &value);
        assert_same(&format!("derived by a convolution on {isa}"), activation, &dx, &slope);
    }
    let one_by_one = ENDS.map(|x| {
        let mut y = [T::ZERO];
        same.apply_to_pixel(0, &[T::from_f64(x)], &mut y);
        y[0]
    });
    assert_same("by pooling", activation, &one_by_one, &value);
}

#[test]
fn an_activation_is_the_same_function_wherever_it_is_applied() {
    let all = [
        Activation::Identity,
        Activation::Relu,
        Activation::leaky_relu(0.0),
        Activation::leaky_relu(0.01),
        Activation::leaky_relu(-0.1),
        Activation::leaky_relu(1.5),
        Activation::Elu { alpha: 1.0 },
        Activation::Elu { alpha: -1.0 },
        Activation::Gelu,
        Activation::Silu,
    ];
    for activation in all {
        an_activation_has_one_answer::<f32>(activation);
        an_activation_has_one_answer::<f64>(activation);
    }
    // PyTorch's ReLU: NaN goes through, and infinity is cut off.
    let [value, _] = as_operation::<f32>(Activation::Relu);
    assert!(value[0] == 0.0 && value[9] == f32::INFINITY && value[10].is_nan());
}
