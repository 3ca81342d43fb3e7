//! Every pass against the naive loops, on every instruction set, in both number types.

use autograd::Real;
use autograd::buffer::Buffer;
use autograd::simd::{Isa, available};
use proptest::prelude::*;

use super::direct::streams;
use super::plan::Plan;
use super::{
    Conv3dShape, Conv3dSpec, ConvAlgorithm, Epilogue, Source, Target, backward_bias, backward_input,
    backward_weight, forward, reference,
};
use crate::kernels::Affine;
use crate::kernels::activation::Activation;

/// Uniform numbers in [−1, 1).
pub(crate) fn random<T: Real>(len: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        T::from_f64((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    };
    (0..len).map(|_| next()).collect()
}

/// Asserts |got − want| <= ε·(terms + 2) everywhere: the bound on the rounding of a sum of `terms` products
/// of numbers in [−1, 1], in any order (Higham, *Accuracy and Stability*, §3.1, and one rounding more for the
/// bias).
pub(crate) fn assert_close<T: Real>(what: &str, isa: Isa, got: &[T], want: &[f64], terms: usize) {
    let bound = T::EPSILON.to_f64() * (terms + 2) as f64;
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got.to_f64() - want).abs();
        assert!(error <= bound, "{what}[{i}] = {got}, not {want}, on {isa} in {}", T::NAME);
    }
}

/// The three passes from one plain tensor to another.
fn run_forward<T: Real>(shape: &Conv3dShape, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T]) {
    forward(shape, &[Source::plain(x, shape.ci())], weight, bias, y, Epilogue::Nothing);
}

fn run_backward_input<T: Real>(shape: &Conv3dShape, weight: &[T], dy: &[T], dx: &mut [T]) {
    let targets = &mut [Target { y: dx, channels: shape.ci() }];
    backward_input(shape, weight, dy, targets, Epilogue::Nothing);
}

fn run_backward_weight<T: Real>(shape: &Conv3dShape, x: &[T], dy: &[T], dw: &mut [T]) {
    backward_weight(shape, &[Source::plain(x, shape.ci())], dy, dw);
}

fn all_passes_agree_with_the_reference<T: Real>(shape: &Conv3dShape) {
    // The bound is that of the direct sum.
    let shape = &shape.with_algorithm(ConvAlgorithm::Direct);
    let x = random::<T>(shape.x_len(), 1);
    let weight = random::<T>(shape.weight_len(), 2);
    let bias = random::<T>(shape.co(), 3);
    let dy = random::<T>(shape.y_len(), 4);
    let y_want = reference::forward(shape, &x, &weight, Some(&bias));
    let dx_want = reference::backward_input(shape, &weight, &dy);
    let dw_want = reference::backward_weight(shape, &x, &dy);
    let taps: usize = shape.spec().kernel.iter().product();
    let pixels = shape.y_len() / shape.co();
    for isa in available() {
        let shape = &shape.with_isa(isa);
        // NaN, so that an element left alone is seen.
        let mut y = vec![T::NAN; shape.y_len()];
        run_forward(shape, &x, &weight, Some(&bias), &mut y);
        assert_close("y", isa, &y, &y_want, taps * shape.ci());
        let mut dx = vec![T::NAN; shape.x_len()];
        run_backward_input(shape, &weight, &dy, &mut dx);
        assert_close("dx", isa, &dx, &dx_want, taps * shape.co());
        let mut dw = vec![T::NAN; shape.weight_len()];
        run_backward_weight(shape, &x, &dy, &mut dw);
        assert_close("dw", isa, &dw, &dw_want, pixels);
    }
    let mut db = vec![T::NAN; shape.co()];
    backward_bias(&dy, shape.co(), &mut db);
    let db_want: Vec<f64> =
        (0..shape.co()).map(|c| dy.iter().skip(c).step_by(shape.co()).map(|dy| dy.to_f64()).sum()).collect();
    assert_close("db", autograd::simd::active(), &db, &db_want, pixels);
}

/// Any spec that gives an output.
fn shapes(
    max_size: usize,
    channels: impl Strategy<Value = usize> + Clone,
) -> impl Strategy<Value = Conv3dShape> {
    let three = |range: std::ops::Range<usize>| [range.clone(), range.clone(), range];
    let spec = (three(1..4), three(1..4), three(0..4), three(1..4))
        .prop_map(|(kernel, stride, padding, dilation)| Conv3dSpec { kernel, stride, padding, dilation });
    (1usize..3, three(1..max_size), channels.clone(), channels, spec)
        .prop_filter_map("the window fits", |(n, input, ci, co, spec)| {
            Conv3dShape::new(n, input, ci, co, spec).ok()
        })
}

/// A leaky ReLU, with numbers of its own for each sample and channel.
pub(crate) fn affine<T: Real>(n: usize, channels: usize, slope: f64, seed: u64) -> Affine<T> {
    let numbers = |seed| random::<T>(n * channels, seed);
    let (mean, scale, shift) = (numbers(seed), numbers(seed ^ 1), numbers(seed ^ 2));
    Affine::new(channels, &mean, &scale, &shift, Activation::LeakyRelu { slope })
}

/// Activated beforehand.
pub(crate) fn activated<T: Real>(x: &[T], affine: &Affine<T>, samples: usize) -> Vec<T> {
    let mut y = x.to_vec();
    let (channels, sample) = (affine.channels(), x.len() / samples);
    for (i, (x, y)) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)).enumerate() {
        affine.apply_to_pixel(i * channels / sample, x, y);
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_stride_padding_and_dilation_equals_the_naive_loops(shape in shapes(9, 1usize..6)) {
        all_passes_agree_with_the_reference::<f32>(&shape);
        all_passes_agree_with_the_reference::<f64>(&shape);
    }

    #[test]
    fn the_adjoint_identities_hold(shape in shapes(8, 1usize..20)) {
        let shape = shape.with_algorithm(ConvAlgorithm::Direct);
        let (x, weight) = (random::<f64>(shape.x_len(), 5), random::<f64>(shape.weight_len(), 6));
        let dy = random::<f64>(shape.y_len(), 7);
        let (mut y, mut dx) = (vec![0.0; shape.y_len()], vec![0.0; shape.x_len()]);
        let mut dw = vec![0.0; weight.len()];
        run_forward(&shape, &x, &weight, None, &mut y);
        run_backward_input(&shape, &weight, &dy, &mut dx);
        run_backward_weight(&shape, &x, &dy, &mut dw);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let products = shape.flops() as f64 / 2.0;
        prop_assert!((dot(&y, &dy) - dot(&x, &dx)).abs() <= products * f64::EPSILON);
        prop_assert!((dot(&y, &dy) - dot(&weight, &dw)).abs() <= products * f64::EPSILON);
    }
}

#[test]
fn every_channel_tail_is_right() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    for (ci, co) in
        [(1, 33), (7, 8), (8, 7), (15, 16), (16, 15), (17, 1), (33, 17), (2, 32), (32, 64), (5, 49)]
    {
        let shape = Conv3dShape::new(1, [2, 3, 5], ci, co, spec).unwrap();
        all_passes_agree_with_the_reference::<f32>(&shape);
        all_passes_agree_with_the_reference::<f64>(&shape);
    }
}

#[test]
fn every_tile_height_and_both_ends_of_a_line_are_right() {
    for kernel in [[3, 3, 3], [1, 3, 3], [1, 1, 1], [1, 1, 5], [3, 1, 7]] {
        for w in (1..31).chain([64]) {
            let spec = Conv3dSpec::new(kernel).same_padding();
            let shape = Conv3dShape::new(1, [2, 2, w], 3, 18, spec).unwrap();
            all_passes_agree_with_the_reference::<f32>(&shape);
        }
    }
}

#[test]
fn a_batch_of_none_is_an_empty_output_whatever_the_algorithm() {
    let strided = Conv3dSpec { stride: [2, 1, 1], ..Conv3dSpec::new([3; 3]).same_padding() };
    let specs = [Conv3dSpec::new([1; 3]), Conv3dSpec::new([3; 3]).same_padding(), strided];
    // Planes, and strips.
    let sizes = [([2, 3, 5], [2, 3]), ([2, 3, 5], [20, 30]), ([9, 40, 40], [16, 16]), ([9, 40, 40], [1, 16])];
    for (spec, (input, [ci, co])) in specs.into_iter().flat_map(|spec| sizes.map(|size| (spec, size))) {
        for algorithm in [ConvAlgorithm::Auto, ConvAlgorithm::Direct, ConvAlgorithm::Winograd] {
            let shape = Conv3dShape::new(0, input, ci, co, spec).unwrap().with_algorithm(algorithm);
            let weight = random::<f32>(shape.weight_len(), 1);
            for isa in available() {
                let shape = shape.with_isa(isa);
                let mut dw = vec![f32::NAN; shape.weight_len()];
                run_forward(&shape, &[], &weight, None, &mut []);
                run_backward_input(&shape, &weight, &[], &mut []);
                run_backward_weight(&shape, &[], &[], &mut dw);
                assert!(dw.iter().all(|&dw| dw == 0.0), "{shape:?} on {isa}");
            }
        }
    }
}

#[test]
fn sizes_whose_product_wraps_around_are_refused() {
    let spec = Conv3dSpec::new([1; 3]);
    let shapes = [
        Conv3dShape::new(1 << 32, [1 << 32, 1, 1], 1, 1, spec),
        Conv3dShape::new(1, [1; 3], 1 << 32, 1 << 32, spec),
        Conv3dShape::new(1, [1; 3], 1, 1, Conv3dSpec { padding: [usize::MAX; 3], ..spec }),
    ];
    for shape in shapes {
        let message = shape.unwrap_err().to_string();
        assert!(message.contains("more than any memory holds"), "{message}");
    }
    let dilated = Conv3dSpec { dilation: [usize::MAX; 3], ..Conv3dSpec::new([3; 3]) };
    assert!(Conv3dShape::new(1, [1; 3], 1, 1, dilated).is_err());
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let run = |ci: usize, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let spec = Conv3dSpec::new([3; 3]).same_padding();
        let shape = Conv3dShape::new(2, [5, 24, 30], ci, 40, spec).unwrap();
        let x = random::<f32>(shape.x_len(), 1);
        let weight = random::<f32>(shape.weight_len(), 2);
        let dy = random::<f32>(shape.y_len(), 3);
        pool.install(|| {
            let (mut y, mut dx) = (vec![0.0; shape.y_len()], vec![0.0; shape.x_len()]);
            let (mut dw, mut db) = (vec![0.0; shape.weight_len()], vec![0.0; 40]);
            run_forward(&shape, &x, &weight, None, &mut y);
            run_backward_input(&shape, &weight, &dy, &mut dx);
            run_backward_weight(&shape, &x, &dy, &mut dw);
            backward_bias(&dy, 40, &mut db);
            [y, dx, dw, db].map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<u32>>())
        })
    };
    for ci in [1, 9] {
        let one = run(ci, 1);
        assert!(run(ci, 2) == one && run(ci, 3) == one, "{ci} channels");
    }
}

#[test]
fn an_impossible_shape_says_what_to_change() {
    let spec = Conv3dSpec { dilation: [1, 4, 1], ..Conv3dSpec::new([3; 3]) };
    let message = Conv3dShape::new(1, [8, 8, 8], 1, 1, spec).unwrap_err().to_string();
    assert!(message.contains("spans 9 voxels along h") && message.contains("input's 8"), "{message}");
    let message = Conv3dSpec { stride: [1, 1, 0], ..spec }.output([9; 3]).unwrap_err().to_string();
    assert_eq!(message, "stride size along w is 0: it must be at least 1");
}

#[test]
#[should_panic(expected = "length of the input")]
fn a_wrong_length_is_refused() {
    let shape = Conv3dShape::new(1, [2, 2, 2], 1, 1, Conv3dSpec::new([1; 3])).unwrap();
    run_forward(&shape, &[0.0f32; 7], &[1.0], None, &mut [0.0; 8]);
}

#[test]
fn an_output_written_past_the_caches_has_the_same_bits() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    let shape = Conv3dShape::new(1, [20, 90, 90], 1, 32, spec).expect("it fits");
    let (x, weight) = (random::<f32>(shape.x_len(), 1), random::<f32>(shape.weight_len(), 2));
    let bias = random::<f32>(shape.co(), 3);
    let mut memory = Buffer::<f32>::scratch(shape.y_len() + 1);
    let plan = Plan::forward(&shape);
    for algorithm in [ConvAlgorithm::Direct, ConvAlgorithm::Winograd] {
        let shape = shape.with_algorithm(algorithm);
        let mut run = |start: usize, streamed: bool| {
            let y = &mut memory[start..][..shape.y_len()];
            assert_eq!(streams(&plan, y), streamed, "from number {start} on");
            run_forward(&shape, &x, &weight, Some(&bias), y);
            y.iter().map(|y| y.to_bits()).collect::<Vec<u32>>()
        };
        assert!(run(0, true) == run(1, false), "{algorithm:?}");
    }
}
