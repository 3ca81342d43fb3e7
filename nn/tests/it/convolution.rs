//! Laws of the convolutions and the linear map.

use autograd::gradcheck::adjoint;
use autograd::{Real, Tape, Tensor, Var};
use nn::functional::{Conv3dSpec, ConvTranspose3dSpec, conv_transpose3d, conv3d, linear};
use proptest::prelude::*;

use crate::support::{CHANNELS, check, distance, random, single_agrees_with_double};

fn three(range: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 3]> {
    prop::array::uniform3(range)
}

/// A convolution that fits an input of at least 5 voxels along each axis.
fn specs() -> impl Strategy<Value = Conv3dSpec> {
    (three(1..4), three(1..4), three(0..3), three(1..3))
        .prop_map(|(kernel, stride, padding, dilation)| Conv3dSpec { kernel, stride, padding, dilation })
}

/// A transposed convolution that leaves something of any input.
fn transposed_specs() -> impl Strategy<Value = ConvTranspose3dSpec> {
    (three(1..4), three(1..4), three(0..2), three(0..3), three(1..3)).prop_map(
        |(kernel, stride, padding, output_padding, dilation)| {
            let least = |a: usize| padding[a].min(dilation[a] * (kernel[a] - 1) / 2);
            let below = |a: usize| output_padding[a].min(stride[a].max(dilation[a]) - 1);
            ConvTranspose3dSpec {
                kernel,
                stride,
                padding: [0, 1, 2].map(least),
                output_padding: [0, 1, 2].map(below),
                dilation,
            }
        },
    )
}

fn few_channels() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1usize, 2, 3, 7, 8, 9])
}

fn convolve<'t, T: Real>(v: &[Var<'t, T>], spec: Conv3dSpec) -> Var<'t, T> {
    conv3d(v[0].clone(), v[1].clone(), Some(v[2].clone()), spec)
}

fn convolve_transposed<'t, T: Real>(v: &[Var<'t, T>], spec: ConvTranspose3dSpec) -> Var<'t, T> {
    conv_transpose3d(v[0].clone(), v[1].clone(), Some(v[2].clone()), spec)
}

fn multiply<'t, T: Real>(v: &[Var<'t, T>]) -> Var<'t, T> {
    linear(v[0].clone(), v[1].clone(), Some(v[2].clone()))
}

/// x, weight and bias of a convolution with this kernel.
fn inputs<T: Real>(
    [d, h, w]: [usize; 3],
    [ci, co]: [usize; 2],
    [kd, kh, kw]: [usize; 3],
    seed: u64,
) -> [Tensor<T>; 3] {
    [random([2, d, h, w, ci], seed), random([kd, kh, kw, ci, co], seed ^ 1), random([co], seed ^ 2)]
}

/// Checks that what `f` does to its input 0 has the adjoint that its backward pass says, with inputs 1.. fixed.
fn adjoint_in_f32<F>(name: &str, inputs: &[Tensor<f32>], f: F)
where
    F: for<'t> Fn(&'t Tape<f32>, Var<'t, f32>) -> Var<'t, f32>,
{
    let forward = |x: &Tensor<f32>| {
        let tape = Tape::no_grad();
        f(&tape, tape.constant(x.clone())).into_value()
    };
    let backward = |u: &Tensor<f32>| {
        let tape = Tape::train(0);
        let x = tape.variable(inputs[0].clone());
        f(&tape, x.clone()).backward_with(u.clone()).wrt(&x).expect("y depends on x").clone()
    };
    let u = random(forward(&inputs[0]).shape(), 77);
    adjoint(name, &inputs[0], &u, forward, backward).unwrap_or_else(|mismatch| panic!("{mismatch}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gradient_of_a_convolution_matches_finite_difference(
        size in three(5..7), ci in few_channels(), co in few_channels(), spec in specs(), seed in any::<u64>(),
    ) {
        let inputs = inputs(size, [ci, co], spec.kernel, seed);
        check("conv3d", &inputs, |_, v| convolve(v, spec));
        check("conv3d without bias", &inputs[..2], |_, v| {
            conv3d(v[0].clone(), v[1].clone(), None, spec)
        });
    }

    #[test]
    fn gradient_of_a_transposed_convolution_matches_finite_difference(
        size in three(1..4), ci in few_channels(), co in few_channels(), spec in transposed_specs(),
        seed in any::<u64>(),
    ) {
        let inputs = inputs(size, [ci, co], spec.kernel, seed);
        check("conv_transpose3d", &inputs, |_, v| convolve_transposed(v, spec));
        check("conv_transpose3d without bias", &inputs[..2], |_, v| {
            conv_transpose3d(v[0].clone(), v[1].clone(), None, spec)
        });
    }

    #[test]
    fn gradient_of_a_linear_map_matches_finite_difference(
        rows in 1usize..6, i in prop::sample::select(&CHANNELS[..]), o in prop::sample::select(&CHANNELS[..]),
        seed in any::<u64>(),
    ) {
        let inputs = [random([2, rows, i], seed), random([i, o], seed ^ 1), random([o], seed ^ 2)];
        check("linear", &inputs, |_, v| multiply(v));
    }

    #[test]
    fn backward_is_the_adjoint_of_forward_in_f32(
        size in three(5..8), ci in prop::sample::select(&CHANNELS[..]), co in prop::sample::select(&CHANNELS[..]),
        spec in specs(), transposed in transposed_specs(), seed in any::<u64>(),
    ) {
        let [x, weight, _] = inputs(size, [ci, co], spec.kernel, seed);
        adjoint_in_f32("conv3d", &[x], |tape, x| conv3d(x, tape.constant(weight.clone()), None, spec));
        let [x, weight, _] = inputs([2, 3, 2], [ci, co], transposed.kernel, seed);
        adjoint_in_f32("conv_transpose3d", &[x], |tape, x| {
            conv_transpose3d(x, tape.constant(weight.clone()), None, transposed)
        });
        let (x, weight) = (random([3, 5, ci], seed), random([ci, co], seed ^ 1));
        adjoint_in_f32("linear", &[x], |tape, x| linear(x, tape.constant(weight.clone()), None));
    }

    #[test]
    fn f32_agrees_with_f64(
        size in three(5..8), ci in prop::sample::select(&CHANNELS[..]), co in prop::sample::select(&CHANNELS[..]),
        spec in specs(), transposed in transposed_specs(), seed in any::<u64>(),
    ) {
        let x = inputs(size, [ci, co], spec.kernel, seed);
        single_agrees_with_double(&x, |_, v| convolve(v, spec), |_, v| convolve(v, spec));
        let x = inputs([2, 3, 4], [ci, co], transposed.kernel, seed);
        single_agrees_with_double(
            &x,
            |_, v| convolve_transposed(v, transposed),
            |_, v| convolve_transposed(v, transposed),
        );
        let x = [random([3, 5, ci], seed), random([ci, co], seed ^ 1), random([co], seed ^ 2)];
        single_agrees_with_double(&x, |_, v| multiply(v), |_, v| multiply(v));
    }

    #[test]
    fn a_transposed_convolution_is_the_gradient_of_a_convolutions_input(
        size in three(5..7), ci in few_channels(), co in few_channels(), spec in specs(), seed in any::<u64>(),
    ) {
        let [x, weight, _] = inputs::<f64>(size, [ci, co], spec.kernel, seed);
        let tape = Tape::train(0);
        let x = tape.variable(x);
        let y = conv3d(x.clone(), tape.constant(weight.clone()), None, spec);
        let (dy, output) = (random(y.shape(), seed ^ 3), spec.output(size).unwrap());
        let want = y.backward_with(dy.clone()).wrt(&x).unwrap().clone();

        let Conv3dSpec { kernel, stride, padding, dilation } = spec;
        let lost = |a: usize| size[a] + 2 * padding[a] - dilation[a] * (kernel[a] - 1) - 1 - (output[a] - 1) * stride[a];
        let output_padding = [0, 1, 2].map(lost);
        let transposed = ConvTranspose3dSpec { kernel, stride, padding, output_padding, dilation };
        let tape = Tape::no_grad();
        // A convolution's [.., ci, co] is the transposed one's [.., co, ci].
        let weight = tape.constant(weight.permute(&[0, 1, 2, 4, 3]));
        let got = conv_transpose3d(tape.constant(dy), weight, None, transposed);
        prop_assert!(distance(got.value(), &want) <= 1e-13);
    }
}

#[test]
fn a_linear_map_is_a_matrix_product_for_any_number_of_rows() {
    for (rows, outputs) in [0, 1, 255, 256, 257, 600].into_iter().flat_map(|rows| [(rows, 3), (rows, 20)]) {
        let inputs = [random::<f64>([rows, 7], 1), random([7, outputs], 2), random([outputs], 3)];
        let run = |f: for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>| {
            let tape = Tape::train(0);
            let v: Vec<_> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
            let y = f(&v);
            let value = y.value().clone();
            let gradients = y.backward_with(random(value.shape(), 4));
            let of = |x: &Var<'_, f64>| gradients.wrt(x).expect("it depends on all").clone();
            [value, of(&v[0]), of(&v[1]), of(&v[2])]
        };
        let want = run(|v| v[0].clone().matmul(v[1].clone()) + &v[2]);
        // Sums of so many products of numbers in [−1, 1], in two orders.
        let terms = rows.max(7 + 1).max(outputs) as f64;
        for (got, want) in run(multiply).iter().zip(&want) {
            assert_eq!(got.shape(), want.shape());
            let near = |(got, want): (&f64, &f64)| (got - want).abs() <= 2.0 * f64::EPSILON * terms * terms;
            assert!(got.data().iter().zip(want.data()).all(near), "{rows} rows to {outputs}");
        }
    }
}

#[test]
#[should_panic(
    expected = "conv3d: x [1, 4, 4, 4, 3] has ci = 3 channels, the weight [3, 3, 3, 2, 5] expects 2"
)]
fn a_weight_for_other_channels_is_refused() {
    let tape = Tape::<f32>::no_grad();
    let (x, weight) = (tape.constant(random([1, 4, 4, 4, 3], 0)), tape.constant(random([3, 3, 3, 2, 5], 0)));
    conv3d(x, weight, None, Conv3dSpec::new([3; 3]));
}

#[test]
#[should_panic(expected = "along h")]
fn a_window_larger_than_the_input_is_refused_and_its_axis_named() {
    let tape = Tape::<f32>::no_grad();
    let (x, weight) = (tape.constant(random([1, 4, 2, 4, 3], 0)), tape.constant(random([3, 3, 3, 3, 5], 0)));
    conv3d(x, weight, None, Conv3dSpec::new([3; 3]));
}
