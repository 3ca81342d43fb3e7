//! Laws of normalisation with activation, and of the unit with a convolution.

use autograd::{Real, Tape, Tensor, Var};
use nn::functional::{
    Activation, ChannelStats, Conv3dSpec, Input, IntoInput, NormKind, NormSettings, WithStats, add_act,
    conv3d, conv3d_with_stats, norm_act, norm_act_by,
};
use proptest::prelude::*;

use crate::support::{CHANNELS, check, equal_functions, random, single_agrees_with_double};

/// A kind of normalisation that `channels` allow.
fn kind(choice: usize, channels: usize) -> NormKind {
    let divisors: Vec<usize> = (1..=channels).filter(|g| channels.is_multiple_of(*g)).collect();
    match choice % 3 {
        0 => NormKind::Instance,
        1 => NormKind::Batch,
        _ => NormKind::Group(divisors[choice / 3 % divisors.len()]),
    }
}

/// Those without a kink.
fn smooth_activations() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::Identity), Just(Activation::Gelu), Just(Activation::Silu)]
}

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        smooth_activations(),
        Just(Activation::Relu),
        Just(Activation::leaky_relu(0.01)),
        Just(Activation::Elu { alpha: 1.3 }),
    ]
}

/// v\[0\] normalised with γ = v\[1\] and β = v\[2\].
fn normalised<'t, T: Real>(v: &[Var<'t, T>], settings: NormSettings) -> Input<'t, T> {
    norm_act(v[0].clone(), Some(v[1].clone()), Some(v[2].clone()), settings)
}

/// As [`normalised`], by this mean and variance.
fn normalised_by<'t>(
    v: &[Var<'t, f64>],
    (mean, variance): (&Tensor<f64>, &Tensor<f64>),
    settings: NormSettings,
) -> Input<'t, f64> {
    norm_act_by(v[0].clone(), mean, variance, Some(v[1].clone()), Some(v[2].clone()), settings)
}

/// The terms of a residual block: v\[0\] normalised, and v\[5\] normalised and activated.
fn terms<'t>(v: &[Var<'t, f64>], settings: NormSettings, activation: Activation) -> [Input<'t, f64>; 2] {
    let shortcut = norm_act(v[5].clone(), Some(v[2].clone()), None, settings.with_activation(activation));
    [normalised(v, settings), shortcut]
}

fn norm<'t, T: Real>(v: &[Var<'t, T>], settings: NormSettings) -> Var<'t, T> {
    normalised(v, settings).into_var()
}

/// The convolution of `x` with v\[3\] and v\[4\], whose statistics are those of its result.
fn convolved<'t>(x: impl IntoInput<'t, f64>, v: &[Var<'t, f64>], spec: Conv3dSpec) -> WithStats<'t, f64> {
    let y = conv3d_with_stats(x, v[3].clone(), Some(v[4].clone()), spec);
    assert_eq!(*y.stats(), ChannelStats::of(y.clone().into_var().value()));
    y
}

fn unit<'t>(v: &[Var<'t, f64>], settings: NormSettings, spec: Conv3dSpec) -> Var<'t, f64> {
    convolved(normalised(v, settings), v, spec).into_var()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // A large ε keeps sets of few numbers away from the singularity at variance 0.

    #[test]
    fn gradient_of_a_normalisation_matches_finite_difference(
        n in 1usize..3, d in 1usize..3, h in 2usize..4, w in 1usize..4,
        c in prop::sample::select(&CHANNELS[..]), choice in 0usize..20,
        activation in smooth_activations(), seed in any::<u64>(),
    ) {
        let settings = NormSettings::new(kind(choice, c)).with_eps(0.1).with_activation(activation);
        let inputs = [random([n, d, h, w, c], seed), random([c], seed ^ 1), random([c], seed ^ 2)];
        check("norm_act", &inputs, |_, v| norm(v, settings));
        check("norm_act without affine", &inputs[..1], |_, v| {
            norm_act(v[0].clone(), None, None, settings).into_var()
        });
    }

    #[test]
    fn gradient_with_constant_moments_matches_finite_difference(
        n in 1usize..3, h in 1usize..4, w in 1usize..4,
        c in prop::sample::select(&CHANNELS[..]), activation in smooth_activations(), seed in any::<u64>(),
    ) {
        let inputs = [random([n, 2, h, w, c], seed), random([c], seed ^ 1), random([c], seed ^ 2)];
        let mean = random([c], seed ^ 3);
        let variance = random([c], seed ^ 4).map(|v: f64| v * v);
        let settings = NormSettings::new(NormKind::Batch).with_eps(0.1).with_activation(activation);
        check("norm_act_by", &inputs, |_, v| normalised_by(v, (&mean, &variance), settings).into_var());
    }

    #[test]
    fn gradient_of_the_unit_matches_finite_difference(
        n in 1usize..3, h in 2usize..4, w in 1usize..4,
        ci in prop::sample::select(vec![1usize, 2, 7, 8]), co in prop::sample::select(vec![1usize, 3, 8]),
        choice in 0usize..20, activation in smooth_activations(), seed in any::<u64>(),
    ) {
        let inputs = [
            random([n, 2, h, w, ci], seed), random([ci], seed ^ 1), random([ci], seed ^ 2),
            random([1, 3, 3, ci, co], seed ^ 3), random([co], seed ^ 4),
        ];
        let settings = NormSettings::new(kind(choice, ci)).with_eps(0.1).with_activation(activation);
        let spec = Conv3dSpec::new([1, 3, 3]).same_padding();
        check("norm_act_conv3d", &inputs, |_, v| unit(v, settings, spec));
    }

    #[test]
    fn fused_activation_equals_normalisation_then_activation(
        n in 1usize..3, d in 1usize..4, h in 2usize..5, w in 1usize..5,
        c in prop::sample::select(&CHANNELS[..]), choice in 0usize..20,
        activation in activations(), seed in any::<u64>(),
    ) {
        let inputs = [random([n, d, h, w, c], seed), random([c], seed ^ 1), random([c], seed ^ 2)];
        let plain = NormSettings::new(kind(choice, c));
        equal_functions(
            &inputs,
            |_, v| norm(v, plain.with_activation(activation)),
            |_, v| activation.forward(norm(v, plain)),
        );
    }

    #[test]
    fn the_unit_equals_the_composition_of_its_parts(
        n in 1usize..3, h in 3usize..6, w in 3usize..6,
        ci in prop::sample::select(&CHANNELS[..]), co in prop::sample::select(vec![1usize, 3, 16, 17]),
        stride in 1usize..3, dilation in 1usize..3, padding in 1usize..3, choice in 0usize..20,
        activation in activations(), seed in any::<u64>(),
    ) {
        let inputs = [
            random([n, 2, h, w, ci], seed), random([ci], seed ^ 1), random([ci], seed ^ 2),
            random([1, 3, 2, ci, co], seed ^ 3), random([co], seed ^ 4),
        ];
        let settings = NormSettings::new(kind(choice, ci)).with_activation(activation);
        let spec = Conv3dSpec {
            kernel: [1, 3, 2],
            stride: [1, stride, 1],
            padding: [0, padding, 1],
            dilation: [1, dilation, 1],
        };
        equal_functions(&inputs, |_, v| unit(v, settings, spec), |_, v| {
            convolved(norm(v, settings), v, spec).into_var()
        });
        // A second reader, of which nothing comes: the convolution is not the only one to lead the gradient back.
        equal_functions(&inputs, |_, v| unit(v, settings, spec), |_, v| {
            let x = normalised(v, settings);
            let _unused = x.clone().into_var();
            convolved(x, v, spec).into_var()
        });
        // Running statistics, as batch normalisation in use.
        let (mean, variance) = (random([ci], seed ^ 5), random([ci], seed ^ 6).map(|v: f64| v * v));
        let running = (&mean, &variance);
        equal_functions(
            &inputs,
            |_, v| convolved(normalised_by(v, running, settings), v, spec).into_var(),
            |_, v| conv3d(normalised_by(v, running, settings).into_var(), v[3].clone(), Some(v[4].clone()), spec),
        );
    }

    #[test]
    fn gradient_of_an_activated_sum_matches_finite_difference(
        n in 1usize..3, h in 2usize..4, w in 1usize..4, c in prop::sample::select(&CHANNELS[..]),
        choice in 0usize..20, activation in smooth_activations(), seed in any::<u64>(),
    ) {
        let shape = [n, 2, h, w, c];
        let inputs = [random(shape, seed), random([c], seed ^ 1), random([c], seed ^ 2), random(shape, seed ^ 3)];
        let settings = NormSettings::new(kind(choice, c)).with_eps(0.1);
        check("add_act", &inputs, |_, v| {
            add_act(normalised(v, settings), v[3].clone(), activation).into_var()
        });
        check("conv3d of add_act", &inputs, |tape, v| {
            let weight = tape.constant(random([1, 3, 3, c, 2], seed ^ 4));
            let spec = Conv3dSpec::new([1, 3, 3]).same_padding();
            conv3d(add_act(normalised(v, settings), v[3].clone(), activation), weight, None, spec)
        });
    }

    #[test]
    fn an_activated_sum_equals_the_composition_of_its_parts(
        // Of two voxels what is normalised is ±1, and the gradient 0 but for rounding.
        n in 1usize..3, d in 1usize..3, h in 3usize..6, w in 1usize..5, c in prop::sample::select(&CHANNELS[..]),
        choice in 0usize..20, of_terms in activations(), activation in activations(), seed in any::<u64>(),
    ) {
        let shape = [n, d, h, w, c];
        let inputs = [
            random(shape, seed), random([c], seed ^ 1), random([c], seed ^ 2),
            random([1, 1, 1, c, 3], seed ^ 3), random([3], seed ^ 4), random(shape, seed ^ 5),
        ];
        let plain = NormSettings::new(kind(choice, c));
        let head = Conv3dSpec::new([1; 3]);
        equal_functions(
            &inputs,
            |_, v| {
                let [a, b] = terms(v, plain, of_terms);
                let y = add_act(a, b.clone(), activation);
                let [bias, weight] = [v[4].clone(), v[3].clone()];
                y.clone().into_var().sum() + b.into_var().sum() + conv3d(y, weight, Some(bias), head).sum()
            },
            |_, v| {
                let [a, b] = terms(v, plain, of_terms);
                let b = b.into_var();
                let y = activation.forward(a.into_var() + b.clone());
                let [bias, weight] = [v[4].clone(), v[3].clone()];
                y.clone().sum() + b.sum() + conv3d(y, weight, Some(bias), head).sum()
            },
        );
    }

    #[test]
    fn f32_agrees_with_f64(
        n in 1usize..3, h in 3usize..9, w in 3usize..9,
        c in prop::sample::select(&CHANNELS[..]), choice in 0usize..20,
        activation in smooth_activations(), seed in any::<u64>(),
    ) {
        let inputs = [random([n, 4, h, w, c], seed), random([c], seed ^ 1), random([c], seed ^ 2)];
        let settings = NormSettings::new(kind(choice, c)).with_activation(activation);
        single_agrees_with_double(&inputs, |_, v| norm(v, settings), |_, v| norm(v, settings));
    }

    #[test]
    fn statistics_are_those_of_the_definition_across_slabs(
        n in 1usize..3, w in 1usize..3000, c in prop::sample::select(&CHANNELS[..]), seed in any::<u64>(),
    ) {
        let x: Tensor<f64> = random([n, 1, 3, w, c], seed);
        let stats = ChannelStats::of(&x);
        for i in 0..n * c {
            let channel: Vec<f64> =
                x.data()[i / c * 3 * w * c..][..3 * w * c].iter().copied().skip(i % c).step_by(c).collect();
            let mean = channel.iter().sum::<f64>() / channel.len() as f64;
            let m2: f64 = channel.iter().map(|v| (v - mean) * (v - mean)).sum();
            prop_assert!((stats.mean()[i] - mean).abs() <= 1e-13);
            prop_assert!((stats.m2()[i] - m2).abs() <= 1e-12 * (1.0 + m2));
        }
    }
}

#[test]
fn variance_survives_a_mean_that_is_much_larger() {
    // ε·mean = 0.0012 is what an input of this size can resolve; E[x²] − E[x]² would lose the variance of 1/3 whole.
    let noise: Tensor<f64> = random([1, 8, 32, 32, 7], 5);
    let x: Tensor<f32> = noise.map(|v| 1e4 + v).cast();
    let (got, want) = (ChannelStats::of(&x), ChannelStats::of(&x.cast::<f64>()));
    for (got, want) in got.m2().iter().zip(want.m2()) {
        assert!((f64::from(*got) - want).abs() <= 1e-5 * want, "{got} {want}");
    }
    for (got, want) in got.mean().iter().zip(want.mean()) {
        assert!((f64::from(*got) - want).abs() <= f64::from(f32::EPSILON) * want, "{got} {want}");
    }
}

#[test]
fn a_normalised_set_has_mean_0_and_variance_1() {
    let x: Tensor<f64> = random([2, 3, 4, 5, 6], 1).map(|v: f64| 3.0 * v + 7.0);
    let voxels = 3 * 4 * 5;
    // The numbers of sample n and channel c belong to set n·a + c·b / d.
    let cases =
        [(NormKind::Instance, [6, 1, 1]), (NormKind::Group(2), [2, 1, 3]), (NormKind::Batch, [0, 1, 1])];
    for (kind, [a, b, d]) in cases {
        let tape = Tape::no_grad();
        let settings = NormSettings::new(kind).with_eps(0.0);
        let y = norm_act(tape.constant(x.clone()), None, None, settings).into_var();
        let mut sums = vec![(0.0, 0.0, 0.0); 12];
        for (i, y) in y.value().data().iter().enumerate() {
            let (count, sum, squares) = &mut sums[i / (voxels * 6) * a + i % 6 * b / d];
            *count += 1.0;
            *sum += y;
            *squares += y * y;
        }
        for (count, sum, squares) in sums.into_iter().filter(|s| s.0 > 0.0) {
            assert!(f64::abs(sum / count) <= 1e-13 && f64::abs(squares / count - 1.0) <= 1e-12, "{kind:?}");
        }
    }
}

#[test]
fn of_one_voxel_only_beta_is_left() {
    let tape = Tape::<f32>::no_grad();
    let x = tape.constant(random([2, 1, 1, 1, 3], 1));
    let beta = tape.constant(random([3], 2));
    let y = norm_act(x, None, Some(beta.clone()), NormSettings::new(NormKind::Instance)).into_var();
    assert_eq!(y.value().data()[..3], *beta.value().data());
}

#[test]
#[should_panic(expected = "6 channels do not divide into 4 groups")]
fn groups_that_do_not_divide_the_channels_are_refused() {
    let tape = Tape::<f32>::no_grad();
    let x = tape.constant(random([1, 2, 2, 2, 6], 1));
    norm_act(x, None, None, NormSettings::new(NormKind::Group(4)));
}

#[test]
#[should_panic(expected = "normalisation: gamma has shape [5], expected [c = 6]")]
fn an_affine_of_another_channel_count_is_refused() {
    let tape = Tape::<f32>::no_grad();
    let x = tape.constant(random([1, 2, 2, 2, 6], 1));
    norm_act(x, Some(tape.constant(random([5], 1))), None, NormSettings::new(NormKind::Instance));
}
