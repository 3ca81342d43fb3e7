//! Every pass against the naive loops, on every instruction set, in both number types.

use autograd::Real;
use autograd::simd::available;
use proptest::prelude::*;

use super::{ConvTranspose3dShape, ConvTranspose3dSpec, backward_input, backward_weight, forward, reference};
use crate::kernels::conv3d::Source;
use crate::kernels::conv3d::tests::{activated, affine, assert_close, random};

fn all_passes_agree_with_the_reference<T: Real>(shape: &ConvTranspose3dShape) {
    let raw = random::<T>(shape.x_len(), 1);
    let affine = affine(shape.n(), shape.ci(), 0.2, 9);
    let x = activated(&raw, &affine, shape.n());
    let plain = Source::plain(&x, shape.ci());
    let deferred = Source { x: &raw, channels: shape.ci(), affine: Some(&affine) };
    let weight = random::<T>(shape.weight_len(), 2);
    let bias = random::<T>(shape.co(), 3);
    let dy = random::<T>(shape.y_len(), 4);
    let y_want = reference::forward(shape, &x, &weight, Some(&bias));
    let dx_want = reference::backward_input(shape, &weight, &dy);
    let dw_want = reference::backward_weight(shape, &x, &dy);
    // Activated numbers are below 3: they are (x − mean)·scale + shift of numbers below 1.
    let taps = 3 * shape.spec().kernel.iter().product::<usize>();
    for isa in available() {
        let shape = &shape.with_isa(isa);
        for source in [plain, deferred] {
            // NaN, so that an element left alone is seen.
            let mut y = vec![T::NAN; shape.y_len()];
            forward(shape, source, &weight, Some(&bias), &mut y);
            assert_close("y", isa, &y, &y_want, taps * shape.ci());
            let mut dw = vec![T::NAN; shape.weight_len()];
            backward_weight(shape, source, &dy, &mut dw);
            assert_close("dw", isa, &dw, &dw_want, 3 * shape.x_len() / shape.ci());
        }
        let mut dx = vec![T::NAN; shape.x_len()];
        backward_input(shape, &weight, &dy, &mut dx);
        assert_close("dx", isa, &dx, &dx_want, taps * shape.co());
    }
}

fn shapes(
    max_size: usize,
    channels: impl Strategy<Value = usize> + Clone,
) -> impl Strategy<Value = ConvTranspose3dShape> {
    let three = |range: std::ops::Range<usize>| [range.clone(), range.clone(), range];
    let spec = (three(1..4), three(1..4), three(0..3), three(0..3), three(1..4)).prop_map(
        |(kernel, stride, padding, output_padding, dilation)| {
            // Below the stride or the dilation, as it must be.
            let output_padding = [0, 1, 2].map(|i: usize| output_padding[i] % stride[i].max(dilation[i]));
            ConvTranspose3dSpec { kernel, stride, padding, output_padding, dilation }
        },
    );
    (1usize..3, three(1..max_size), channels.clone(), channels, spec)
        .prop_filter_map("an output is left", |(n, input, ci, co, spec)| {
            ConvTranspose3dShape::new(n, input, ci, co, spec).ok()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_stride_padding_and_dilation_equals_the_naive_loops(shape in shapes(6, 1usize..6)) {
        all_passes_agree_with_the_reference::<f32>(&shape);
        all_passes_agree_with_the_reference::<f64>(&shape);
    }

    #[test]
    fn the_adjoint_identities_hold(shape in shapes(5, 1usize..20)) {
        let (x, weight) = (random::<f64>(shape.x_len(), 5), random::<f64>(shape.weight_len(), 6));
        let dy = random::<f64>(shape.y_len(), 7);
        let (mut y, mut dx) = (vec![0.0; shape.y_len()], vec![0.0; shape.x_len()]);
        let mut dw = vec![0.0; weight.len()];
        forward(&shape, Source::plain(&x, shape.ci()), &weight, None, &mut y);
        backward_input(&shape, &weight, &dy, &mut dx);
        backward_weight(&shape, Source::plain(&x, shape.ci()), &dy, &mut dw);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let products = shape.flops() as f64 / 2.0;
        prop_assert!((dot(&y, &dy) - dot(&x, &dx)).abs() <= products * f64::EPSILON);
        prop_assert!((dot(&y, &dy) - dot(&weight, &dw)).abs() <= products * f64::EPSILON);
    }
}

#[test]
fn upsampling_by_two_is_right_for_every_channel_tail() {
    let spec = ConvTranspose3dSpec { stride: [1, 2, 2], ..ConvTranspose3dSpec::new([1, 2, 2]) };
    for (ci, co) in [(1, 33), (7, 8), (8, 7), (15, 16), (16, 15), (17, 1), (33, 17), (64, 32)] {
        for spec in [spec, ConvTranspose3dSpec { stride: [2; 3], ..ConvTranspose3dSpec::new([2; 3]) }] {
            let shape = ConvTranspose3dShape::new(1, [2, 3, 5], ci, co, spec).unwrap();
            all_passes_agree_with_the_reference::<f32>(&shape);
            all_passes_agree_with_the_reference::<f64>(&shape);
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let spec = ConvTranspose3dSpec { stride: [2; 3], ..ConvTranspose3dSpec::new([2; 3]) };
        let shape = ConvTranspose3dShape::new(2, [9, 32, 32], 20, 9, spec).unwrap();
        let x = random::<f32>(shape.x_len(), 1);
        let weight = random::<f32>(shape.weight_len(), 2);
        let dy = random::<f32>(shape.y_len(), 3);
        pool.install(|| {
            let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; weight.len()]);
            forward(&shape, Source::plain(&x, shape.ci()), &weight, None, &mut y);
            backward_input(&shape, &weight, &dy, &mut dx);
            backward_weight(&shape, Source::plain(&x, shape.ci()), &dy, &mut dw);
            [y, dx, dw].map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<u32>>())
        })
    };
    let one = run(1);
    assert!(run(2) == one && run(3) == one);
}

#[test]
fn an_impossible_shape_says_what_to_change() {
    let spec =
        ConvTranspose3dSpec { output_padding: [0, 0, 2], stride: [2; 3], ..ConvTranspose3dSpec::new([3; 3]) };
    let message = spec.output([4; 3]).unwrap_err().to_string();
    assert_eq!(message, "output padding 2 along w must be below the stride, 2, or the dilation, 1");
    let spec = ConvTranspose3dSpec { padding: [1, 2, 1], ..ConvTranspose3dSpec::new([3; 3]) };
    let message = spec.output([2; 3]).unwrap_err().to_string();
    assert_eq!(message, "the output along h is 0: use less padding");
}

#[test]
fn a_batch_of_none_is_an_empty_output() {
    let tiling = ConvTranspose3dSpec { stride: [2; 3], ..ConvTranspose3dSpec::new([2; 3]) };
    for spec in [tiling, ConvTranspose3dSpec { padding: [1; 3], ..ConvTranspose3dSpec::new([3; 3]) }] {
        let shape = ConvTranspose3dShape::new(0, [2, 3, 5], 20, 9, spec).unwrap();
        let weight = random::<f32>(shape.weight_len(), 1);
        let mut dw = vec![f32::NAN; shape.weight_len()];
        forward(&shape, Source::plain(&[], 20), &weight, None, &mut []);
        backward_input(&shape, &weight, &[], &mut []);
        backward_weight(&shape, Source::plain(&[], 20), &[], &mut dw);
        assert!(dw.iter().all(|&dw| dw == 0.0));
    }
    let vast = ConvTranspose3dSpec { stride: [1 << 40; 3], ..ConvTranspose3dSpec::new([1; 3]) };
    let message = ConvTranspose3dShape::new(1, [1 << 30; 3], 1, 1, vast).unwrap_err().to_string();
    assert!(message.contains("more than any memory holds"), "{message}");
}
