//! Laws of Winograd's convolution on the tape, and of tensors that their readers activate.

use autograd::{Real, Tape, Tensor, Var};
use nn::functional::{
    Activation, ChannelStats, Conv3dSettings, Conv3dSpec, ConvAlgorithm, ConvTranspose3dSpec, Input,
    NormKind, NormSettings, Pool3dSpec, checkpoint, conv_transpose3d, conv3d, conv3d_with_stats, max_pool3d,
    norm_act,
};
use proptest::prelude::*;

use crate::support::{
    check, equal_functions, random, same_for_any_threads, single_agrees_with_double, value_and_gradients,
};

fn winograd(kernel_d: usize) -> Conv3dSettings {
    let spec = Conv3dSpec::new([kernel_d, 3, 3]).same_padding();
    Conv3dSettings { spec, algorithm: ConvAlgorithm::Winograd }
}

/// v\[0\] normalised by its own statistics with γ = v\[1\] and β = v\[2\], left to the reader.
fn deferred<'t, T: Real>(v: &[Var<'t, T>], activation: Activation) -> Input<'t, T> {
    let settings = NormSettings::new(NormKind::Instance).with_eps(0.1).with_activation(activation);
    norm_act(v[0].clone(), Some(v[1].clone()), Some(v[2].clone()), settings)
}

/// Two readers of one deferred tensor: a convolution beside v\[3\], and a pooling; then a transposed convolution.
fn network<'t, T: Real>(v: &[Var<'t, T>], x: &Input<'t, T>, conv: Conv3dSettings) -> Var<'t, T> {
    let y = conv3d(x.clone().concat(v[3].clone()), v[4].clone(), None, conv);
    let pooled = max_pool3d(x.clone(), Pool3dSpec::new([1, 2, 2]));
    let up = ConvTranspose3dSpec { stride: [1, 2, 2], ..ConvTranspose3dSpec::new([1, 2, 2]) };
    let transposed = conv_transpose3d(x.clone(), v[5].clone(), None, up);
    let head = conv3d(x.clone(), v[6].clone(), Some(v[7].clone()), Conv3dSpec::new([1; 3]));
    y.sum()
        + pooled.sum() * T::from_f64(2.0)
        + (transposed.clone() * transposed).sum()
        + (head.clone() * head).sum()
}

/// A convolution of two side by side, normalised and activated.
fn level<'t>([x, more]: [Input<'t, f64>; 2], weight: &Tensor<f64>, activation: Activation) -> Input<'t, f64> {
    let weight = x.tape().constant(weight.clone());
    let y = conv3d_with_stats(x.concat(more), weight, None, winograd(3));
    norm_act(y, None, None, NormSettings::new(NormKind::Instance).with_activation(activation))
}

fn inputs<T: Real>(n: usize, [d, h, w]: [usize; 3], [c, own, co]: [usize; 3], seed: u64) -> Vec<Tensor<T>> {
    vec![
        random([n, d, 2 * h, 2 * w, c], seed),
        random([c], seed ^ 1),
        random([c], seed ^ 2),
        random([n, d, 2 * h, 2 * w, own], seed ^ 3),
        random([3, 3, 3, c + own, co], seed ^ 4),
        random([1, 2, 2, c, 2], seed ^ 5),
        random([1, 1, 1, c, 3], seed ^ 6),
        random([3], seed ^ 7),
    ]
}

fn leaky_activations() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        Just(Activation::leaky_relu(0.01)),
        Just(Activation::leaky_relu(1.5)),
        Just(Activation::Silu),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn gradient_of_winograds_convolution_matches_finite_difference(
        n in 1usize..3, d in 1usize..4, h in 1usize..8, w in 1usize..8, kd in prop::sample::select(vec![1usize, 3]),
        ci in prop::sample::select(vec![1usize, 3, 8, 9]), co in prop::sample::select(vec![1usize, 7, 8]),
        seed in any::<u64>(),
    ) {
        let inputs = [
            random([n, d, h, w, ci], seed), random([kd, 3, 3, ci, co], seed ^ 1), random([co], seed ^ 2),
        ];
        check("conv3d by Winograd", &inputs, |_, v| {
            conv3d(v[0].clone(), v[1].clone(), Some(v[2].clone()), winograd(kd))
        });
    }

    #[test]
    fn gradient_of_the_unit_by_winograd_matches_finite_difference(
        n in 1usize..3, h in 2usize..6, w in 2usize..6, ci in prop::sample::select(vec![1usize, 2, 8, 9]),
        co in prop::sample::select(vec![1usize, 3, 8]), seed in any::<u64>(),
    ) {
        let inputs = [
            random([n, 2, h, w, ci], seed), random([ci], seed ^ 1), random([ci], seed ^ 2),
            random([3, 3, 3, ci, co], seed ^ 3), random([co], seed ^ 4),
        ];
        // The identity has no kink.
        check("norm_act and conv3d by Winograd", &inputs, |_, v| {
            conv3d(deferred(v, Activation::Identity), v[3].clone(), Some(v[4].clone()), winograd(3))
        });
    }

    #[test]
    fn gradient_of_a_deferred_tensor_matches_finite_difference(
        n in 1usize..3, h in 2usize..5, w in 1usize..5, c in 1usize..10, seed in any::<u64>(),
    ) {
        let inputs = [random([n, 2, h, w, c], seed), random([c], seed ^ 1), random([c], seed ^ 2)];
        // Neither has a kink; the identity is read through an affine, the other one activated beforehand.
        for activation in [Activation::Identity, Activation::Silu] {
            check("deferred", &inputs, |_, v| deferred(v, activation).into_var());
            check("conv3d of a deferred tensor", &inputs, |tape, v| {
                let weight = tape.constant(random([1, 3, 3, c, 2], seed ^ 3));
                conv3d(deferred(v, activation), weight, None, winograd(1))
            });
        }
    }

    #[test]
    fn readers_of_a_deferred_tensor_equal_readers_of_the_tensor(
        n in 1usize..3, d in 1usize..3, h in 1usize..4, w in 1usize..4, c in 1usize..10, own in 1usize..10,
        co in 1usize..10, activation in leaky_activations(), by_winograd in any::<bool>(), seed in any::<u64>(),
    ) {
        let algorithm = if by_winograd { ConvAlgorithm::Winograd } else { ConvAlgorithm::Direct };
        let conv = Conv3dSettings { algorithm, ..winograd(3) };
        equal_functions(
            &inputs(n, [d, h, w], [c, own, co], seed),
            |_, v| network(v, &deferred(v, activation), conv),
            |_, v| {
                let x = deferred(v, activation).into_var();
                let beside = x.clone().concat_channels(v[3].clone());
                let y = conv3d(beside, v[4].clone(), None, conv);
                let others = network(v, &x.clone().into(), conv);
                // The same sum, with the concatenation computed: network() − y + y.
                let two = conv3d(Input::from(x).concat(v[3].clone()), v[4].clone(), None, conv);
                others - two.sum() + y.sum()
            },
        );
    }

    #[test]
    fn recomputed_readers_equal_kept_ones(
        n in 1usize..3, h in 1usize..4, w in 1usize..4, c in 1usize..10, own in 1usize..10,
        activation in leaky_activations(), seed in any::<u64>(),
    ) {
        let weight = random([3, 3, 3, c + own, 4], seed ^ 4);
        let inputs = inputs(n, [2, h, w], [c, own, 1], seed);
        equal_functions(
            &inputs[..4],
            |_, v| {
                let weight = weight.clone();
                checkpoint([deferred(v, activation), v[3].clone().into()], move |x| level(x, &weight, activation))
                    .into_var()
            },
            |_, v| level([deferred(v, activation), v[3].clone().into()], &weight, activation).into_var(),
        );
    }

    #[test]
    fn statistics_taken_on_the_way_are_those_of_the_result(
        n in 1usize..3, d in 1usize..4, h in 1usize..20, w in 1usize..20, co in 1usize..20, seed in any::<u64>(),
    ) {
        let tape = Tape::<f64>::no_grad();
        let (x, weight) = (random([n, d, h, w, 3], seed), random([3, 3, 3, 4, co], seed ^ 1));
        let (x, more) = (tape.constant(x), tape.constant(random([n, d, h, w, 1], seed ^ 2)));
        let y = conv3d_with_stats(Input::from(x).concat(more), tape.constant(weight), None, winograd(3));
        let (got, want) = (y.stats().clone(), ChannelStats::of(y.into_var().value()));
        for i in 0..n * co {
            prop_assert!((got.mean()[i] - want.mean()[i]).abs() <= 1e-12);
            prop_assert!((got.m2()[i] - want.m2()[i]).abs() <= 1e-11 * (1.0 + want.m2()[i]));
        }
    }
}

#[test]
fn winograds_convolution_agrees_in_f32_and_does_not_depend_on_threads() {
    let single = inputs::<f32>(2, [5, 9, 11], [17, 8, 16], 3);
    let by = |algorithm| Conv3dSettings { algorithm, ..winograd(3) };
    let unit = Activation::Identity;
    single_agrees_with_double(
        &single,
        |_, v| network(v, &deferred(v, unit), by(ConvAlgorithm::Winograd)),
        |_, v| network(v, &deferred(v, unit), by(ConvAlgorithm::Direct)),
    );
    same_for_any_threads("a network by Winograd", || {
        value_and_gradients(&single, |_, v| network(v, &deferred(v, unit), by(ConvAlgorithm::Winograd)))
    });
}
