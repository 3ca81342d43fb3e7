//! Sums of two tensors, each through an affine or as it lies, against the naive formulas, on every instruction set, in
//! both number types.

use autograd::Real;
use autograd::simd::available;
use proptest::prelude::*;

use super::{Term, apply_sum_on, backward_sum_on};
use crate::kernels::Affine;
use crate::kernels::activation::Activation;
use crate::kernels::conv3d::tests::random;

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::LeakyRelu { slope: 0.1 }),
        Just(Activation::LeakyRelu { slope: 1.5 }),
        Just(Activation::Elu { alpha: 1.3 }),
        Just(Activation::Gelu),
        Just(Activation::Silu),
    ]
}

/// act(z) and act′(z) by the formulas.
fn naive(activation: Activation, z: f64) -> (f64, f64) {
    let leaky = |slope: f64| if z <= 0.0 { (slope * z, slope) } else { (z, 1.0) };
    match activation {
        Activation::Identity => (z, 1.0),
        // 0, and not 0·∞, at −∞.
        Activation::Relu if z <= 0.0 => (0.0, 0.0),
        Activation::Relu => (z, 1.0),
        Activation::LeakyRelu { slope } => leaky(slope),
        Activation::Elu { alpha } if z <= 0.0 => (alpha * z.exp_m1(), alpha * z.exp()),
        Activation::Elu { .. } => (z, 1.0),
        Activation::Gelu => {
            let phi = 0.5 * (1.0 + Real::erf(z / std::f64::consts::SQRT_2));
            (z * phi, phi + z * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt())
        }
        Activation::Silu => {
            let sigmoid = 1.0 / (1.0 + (-z).exp());
            (z * sigmoid, sigmoid * (1.0 + z * (1.0 - sigmoid)))
        }
    }
}

/// Equal up to a few roundings of numbers below `size`; NaN equals NaN.
#[track_caller]
fn assert_near<T: Real>(what: &str, got: T, want: f64, size: f64) {
    let near = (got.to_f64() - want).abs() <= 32.0 * T::EPSILON.to_f64() * size;
    assert!(near || got.to_f64() == want || (got.is_nan() && want.is_nan()), "{what}: {got}, not {want}");
}

fn affine<T: Real>(channels: usize, activation: Activation, seed: u64) -> Affine<T> {
    let numbers = |seed| random::<T>(2 * channels, seed);
    Affine::new(channels, &numbers(seed), &numbers(seed ^ 1), &numbers(seed ^ 2), activation)
}

/// Numbers in [−1, 1), and a few that activations take care of.
fn numbers<T: Real>(len: usize, seed: u64) -> Vec<T> {
    let mut x = random::<T>(len, seed);
    let ends = [f64::NEG_INFINITY, f64::INFINITY, f64::NAN, -90.0, 90.0, 0.0, -0.0];
    for (i, end) in ends.into_iter().enumerate() {
        x[(seed as usize % 11 + 5 * i) % len] = T::from_f64(end);
    }
    x
}

fn a_sum_is_activated<T: Real>(
    [channels, voxels]: [usize; 2],
    activation: Activation,
    of_terms: [Option<Activation>; 2],
    seed: u64,
) {
    let len = channels * voxels;
    let x = [0, 1].map(|i| numbers::<T>(len, seed + i));
    let affines =
        [0, 1].map(|i| of_terms[i].map(|of_term| affine::<T>(channels, of_term, seed + 4 * i as u64)));
    let terms: [Term<'_, T>; 2] = [0, 1].map(|i| (&x[i][..], affines[i].as_ref()));
    let dy = random::<T>(len, seed + 9);
    // In `T`, for the formulas to fall on the same side of a kink.
    let z = |i: usize| {
        let of_term = |k: usize| match terms[k].1 {
            None => x[k][i],
            Some(affine) => {
                let [mean, scale, shift] = affine.of_sample(1).map(|numbers| numbers[i % channels]);
                let (value, _) = naive(affine.activation(), ((x[k][i] - mean) * scale + shift).to_f64());
                T::from_f64(value)
            }
        };
        (of_term(0) + of_term(1)).to_f64()
    };
    for isa in available() {
        let (mut y, mut dx) = (vec![T::NAN; len], dy.clone());
        apply_sum_on(isa, activation, terms, 1, &mut y);
        backward_sum_on(isa, activation, terms, 1, &mut dx);
        for i in 0..len {
            let (value, slope) = naive(activation, z(i));
            let what = format!("{activation:?} of {} on {isa} in {}", z(i), T::NAME);
            assert_near(&what, y[i], value, z(i).abs().max(1.0));
            // Of a sum that is 0 but for rounding, either side of the kink may be taken.
            if z(i) == 0.0 || z(i).abs() > 1e-5 || z(i).is_nan() {
                let size = z(i).abs().max(1.0);
                assert_near(&format!("derivative of {what}"), dx[i], dy[i].to_f64() * slope, size);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sum_of_two_normalised_tensors_equals_the_naive_formulas(
        channels in 1usize..70, voxels in 40usize..200, activation in activations(),
        of_terms in [prop::option::of(activations()), prop::option::of(activations())], seed in 0u64..1000,
    ) {
        a_sum_is_activated::<f64>([channels, voxels], activation, of_terms, seed);
        a_sum_is_activated::<f32>([channels, voxels], activation, of_terms, seed);
    }
}

#[test]
fn a_sum_has_the_same_bits_on_every_instruction_set() {
    let (channels, len) = (7, 7 * 501);
    let x = [0, 1].map(|i| random::<f32>(len, i));
    let affine = affine::<f32>(channels, Activation::Gelu, 3);
    let terms: [Term<'_, f32>; 2] = [(&x[0], Some(&affine)), (&x[1], None)];
    let run = |isa| {
        let (mut y, mut dy) = (vec![0.0; len], random::<f32>(len, 5));
        apply_sum_on(isa, Activation::Silu, terms, 0, &mut y);
        backward_sum_on(isa, Activation::Silu, terms, 0, &mut dy);
        [y, dy].map(|v| v.iter().map(|v| v.to_bits()).collect::<Vec<u32>>())
    };
    let first = run(available()[0]);
    assert!(available().into_iter().all(|isa| run(isa) == first));
}
