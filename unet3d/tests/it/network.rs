//! Laws of the whole network: its derivative, its shapes, and that it learns.

use autograd::gradcheck::Gradcheck;
use autograd::{Tape, Tensor};
use losses::{BceWithLogits, Loss};
use nn::Module;
use nn::layers::Activation;
use nn::optim::{AdamConfig, OptimizerConfig};
use proptest::prelude::*;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use unet3d::{Block, BlockConfig, Checkpointing, Error, Norm, UNet3d, UNet3dConfig, Upsampling};

fn random(shape: &[usize], seed: u64) -> Tensor<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Tensor::from_fn(shape, |_| rng.random_range(-1.0..1.0))
}

/// Every choice that a configuration offers, in small.
fn configurations() -> impl Strategy<Value = UNet3dConfig> {
    let norm = prop_oneof![Just(Norm::Instance), Just(Norm::Group(2)), Just(Norm::Batch)];
    let upsampling = prop_oneof![Just(Upsampling::Transposed), Just(Upsampling::Trilinear)];
    let strides = prop_oneof![Just(vec![[2, 2, 2]]), Just(vec![[1, 2, 2]]), Just(vec![[1, 2, 1]])];
    let kernels = prop_oneof![Just(vec![]), Just(vec![[1, 3, 3], [3, 3, 3]])];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (1usize..3, 1usize..3, norm, upsampling, strides, kernels, flags).prop_map(
        |(
            in_channels,
            out_channels,
            norm,
            upsampling,
            strides,
            kernels,
            (residual, drops, deep_supervision, recomputes),
        )| {
            UNet3dConfig {
                in_channels,
                out_channels,
                base_channels: 2,
                levels: 2,
                norm,
                upsampling,
                strides,
                kernels,
                residual,
                // Smooth, so that no voxel sits on a kink.
                activation: Activation::Silu,
                dropout: if drops { 0.3 } else { 0.0 },
                deep_supervision,
                checkpointing: if recomputes { Checkpointing::Level } else { Checkpointing::None },
                ..Default::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn gradient_of_the_network_matches_finite_difference_for_any_configuration(
        config in configurations(),
        seed in any::<u64>(),
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let in_channels = config.in_channels;
        let model = UNet3d::<f64>::new(config, &mut rng).unwrap();
        // Max-pooling has a kink wherever two voxels of a window tie. Now and then a random point lies on one, three
        // independent points do not: a derivative that is wrong at all of them is wrong.
        let failures: Vec<_> = (0..3)
            .map_while(|i| {
                let x = random(&[2, 2, 4, 4, in_channels], seed.wrapping_add(i));
                let check = Gradcheck::new();
                check.projections("unet3d", &[x], |_, x| model.forward_scales(x[0].clone()).unwrap().swap_remove(0)).err()
            })
            .collect();
        prop_assert!(failures.len() < 3, "{}", failures[0]);
    }

    #[test]
    fn weights_survive_their_state_dict(config in configurations(), seed in any::<u64>()) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let model = UNet3d::<f64>::new(config.clone(), &mut rng).unwrap();
        let mut other = UNet3d::<f64>::new(config, &mut rng).unwrap();
        other.load_state_dict(model.state_dict().into_iter().collect()).unwrap();
        prop_assert_eq!(model.state_dict(), other.state_dict());
    }
}

#[test]
fn names_are_those_of_the_reference() {
    let config = UNet3dConfig { levels: 2, base_channels: 4, ..Default::default() };
    let model = UNet3d::<f32>::new(config, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let names: Vec<_> =
        model.state_dict().into_iter().map(|(name, t)| format!("{name} {}", t.shape())).collect();
    let want = "enc.0.0.weight [4, 1, 3, 3, 3]|enc.0.1.weight [4]|enc.0.1.bias [4]|enc.0.3.weight [4, 4, 3, 3, 3]\
                |enc.0.4.weight [4]|enc.0.4.bias [4]|enc.1.0.weight [8, 4, 3, 3, 3]|enc.1.1.weight [8]\
                |enc.1.1.bias [8]|enc.1.3.weight [8, 8, 3, 3, 3]|enc.1.4.weight [8]|enc.1.4.bias [8]\
                |up.0.weight [8, 4, 2, 2, 2]|up.0.bias [4]|dec.0.0.weight [4, 8, 3, 3, 3]|dec.0.1.weight [4]\
                |dec.0.1.bias [4]|dec.0.3.weight [4, 4, 3, 3, 3]|dec.0.4.weight [4]|dec.0.4.bias [4]\
                |head.weight [1, 4, 1, 1, 1]|head.bias [1]";
    assert_eq!(names, want.split('|').collect::<Vec<_>>());
}

#[test]
fn an_input_that_does_not_fit_is_refused_and_not_computed() {
    let model = UNet3d::<f32>::new(UNet3dConfig::default(), &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let tape = Tape::no_grad();
    let run = |shape: &[usize]| model.forward(tape.constant(Tensor::zeros(shape))).unwrap_err();
    assert!(matches!(run(&[1, 30, 32, 32, 1]), Error::Size { axis: 'd', below: 24, above: 32, .. }));
    assert!(matches!(run(&[1, 16, 16, 16, 2]), Error::Channels { expected: 1, got: 2 }));
    assert!(matches!(run(&[16, 16, 16, 1]), Error::Shape(_)));
    assert!(matches!(run(&[0, 16, 16, 16, 1]), Error::Shape(_)));
}

#[test]
fn deep_supervision_yields_a_scale_for_each_decoder_level_in_training_only() {
    let config = UNet3dConfig { levels: 3, base_channels: 2, deep_supervision: true, ..Default::default() };
    let model = UNet3d::<f32>::new(config, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let x = Tensor::zeros([1, 8, 8, 8, 1]);
    let train = Tape::train(0);
    let scales = model.forward_scales(train.constant(x.clone())).unwrap();
    let shapes: Vec<_> = scales.iter().map(|s| s.shape().dims().to_vec()).collect();
    assert_eq!(shapes, [[1, 8, 8, 8, 1], [1, 4, 4, 4, 1]]);
    let eval = Tape::eval();
    assert_eq!(model.forward_scales(eval.constant(x)).unwrap().len(), 1);
}

#[test]
fn the_network_overfits_one_volume() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let config = UNet3dConfig { base_channels: 4, levels: 3, ..Default::default() };
    let mut model = UNet3d::<f32>::new(config, &mut rng).unwrap();
    let image = Tensor::from_fn([1, 8, 16, 16, 1], |_| rng.random_range(-1.0..1.0));
    // A target that is no function of single voxels: a ball.
    let target = Tensor::from_fn([1, 8, 16, 16, 1], |i| {
        let [d, h, w] = [i / 256, i / 16 % 16, i % 16].map(|v| v as f32);
        let distance = (d - 3.5).powi(2) + (h - 7.0).powi(2) + (w - 9.0).powi(2);
        f32::from(u8::from(distance < 9.0))
    });
    let mut adam = OptimizerConfig::Adam(AdamConfig { lr: 1e-2, ..Default::default() }).build().unwrap();
    let criterion = BceWithLogits::new();
    let mut loss_of = |step: u64| {
        let tape = Tape::train(step);
        let logits = model.forward(tape.constant(image.clone())).unwrap();
        let loss = criterion.forward(&logits, &target).unwrap();
        let value = loss.item();
        adam.step(&mut model, &loss.backward());
        value
    };
    let first = loss_of(0);
    let last = (1..150).map(&mut loss_of).last().unwrap();
    assert!(last < 0.02 && last < first / 10.0, "loss {first} -> {last}");
}

#[test]
fn recomputation_changes_neither_loss_nor_gradient() {
    let step = |checkpointing| {
        let config = UNet3dConfig { base_channels: 8, levels: 3, checkpointing, ..Default::default() };
        let model = UNet3d::<f64>::new(config, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let tape = Tape::train(0);
        let logits = model.forward(tape.constant(random(&[1, 8, 16, 16, 1], 2))).unwrap();
        let loss = BceWithLogits::new().forward(&logits, &Tensor::zeros(logits.shape())).unwrap();
        let value = Tensor::scalar(loss.item());
        let gradients = loss.backward();
        let of = |p: &autograd::Parameter<f64>| gradients.get(p).unwrap().clone();
        std::iter::once(value).chain(model.named_parameters().iter().map(|(_, p)| of(p))).collect::<Vec<_>>()
    };
    for (kept, recomputed) in step(Checkpointing::None).iter().zip(&step(Checkpointing::Level)) {
        // A level's output is activated in a pass of its own, which rounds otherwise than on the way.
        let off = kept.data().iter().zip(recomputed.data()).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
        let largest = kept.data().iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        assert!(off <= 1e-10 * largest, "off by {off:e} of {largest:e}");
    }
}

#[test]
fn every_activation_that_a_configuration_allows_runs_in_every_kind_of_block() {
    let activations = [
        Activation::LeakyRelu { slope: -0.1 },
        Activation::LeakyRelu { slope: 1.5 },
        Activation::LeakyRelu { slope: 0.0 },
        Activation::Elu { alpha: -1.0 },
        Activation::Elu { alpha: 0.0 },
        Activation::Identity,
    ];
    for (activation, residual) in activations.into_iter().flat_map(|a| [(a, false), (a, true)]) {
        let config = UNet3dConfig {
            base_channels: 2,
            levels: 2,
            activation,
            residual,
            norm: Norm::Group(1),
            ..Default::default()
        };
        let model = UNet3d::<f64>::new(config.clone(), &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let image = random(&[1, 4, 4, 4, config.in_channels], 2);
        let tape = Tape::train(0);
        let x = tape.variable(image);
        let gradients = model.forward(x.clone()).unwrap().square().sum().backward();
        assert!(gradients.is_finite() && gradients.wrt(&x).is_some_and(Tensor::is_finite), "{config:?}");
    }
}

#[test]
fn parameters_are_those_of_the_network_and_absurd_sizes_are_refused() {
    let base =
        UNet3dConfig { base_channels: 4, levels: 3, in_channels: 3, out_channels: 6, ..Default::default() };
    let strides = vec![[1, 2, 2], [2, 1, 2]];
    for config in [
        base.clone(),
        UNet3dConfig { levels: 1, ..base.clone() },
        UNet3dConfig { deep_supervision: true, ..base.clone() },
        UNet3dConfig { residual: true, ..base.clone() },
        UNet3dConfig { upsampling: Upsampling::Trilinear, norm: Norm::Batch, ..base.clone() },
        UNet3dConfig {
            kernels: vec![[1, 3, 3], [3; 3], [3, 1, 3]],
            strides,
            max_channels: 8,
            ..base.clone()
        },
    ] {
        let model = UNet3d::<f32>::new(config.clone(), &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let learnt = model.named_parameters().into_iter().filter(|(_, p)| p.is_trainable());
        assert_eq!(config.parameters(), learnt.map(|(_, p)| p.shape().numel()).sum::<usize>(), "{config:?}");
    }
    assert!(base.check_size([usize::MAX; 3]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]

    /// The parts, put together by hand, are the network; and an activation by name is what lies between them.
    #[test]
    fn encoder_decoder_and_head_are_the_network(config in configurations(), seed in 0u64..99) {
        let net = UNet3d::<f64>::new(config.clone(), &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let x = random(&[2, 4, 4, 4, config.in_channels], seed);
        let tape = Tape::no_grad();
        let x = || tape.constant(x.clone());
        let features = net.encoder.forward(x());
        for (level, features) in features.iter().enumerate() {
            let activation = net.activation(x(), &format!("enc.{level}")).unwrap();
            let own = features.clone().into_var();
            prop_assert_eq!(own.value(), activation.value());
            prop_assert_eq!(activation.shape().channels(), config.channels(level));
        }
        let last = net.decoder.forward(features);
        let activation = net.activation(x(), &format!("dec.{}", config.levels - 2)).unwrap();
        let own = last.clone().into_var();
        prop_assert_eq!(own.value(), activation.value());
        let (by_hand, whole) = (net.head.forward(last), net.forward(x()).unwrap());
        prop_assert_eq!(by_hand.value(), whole.value());
    }
}

#[test]
fn an_activation_that_is_not_there_is_refused_with_those_that_are() {
    let config = UNet3dConfig { base_channels: 2, levels: 2, ..Default::default() };
    let net = UNet3d::<f32>::new(config, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let tape = Tape::no_grad();
    for name in ["enc.2", "dec.1", "head", "enc", "enc.-1", ""] {
        let error = net.activation(tape.constant(Tensor::zeros([1, 4, 4, 4, 1])), name).unwrap_err();
        let wanted = format!("there is no activation {name:?}: take one of enc.0, enc.1, dec.0");
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
#[should_panic(expected = "a skip of 9 along d beside 8 from below: strides must divide the input's size")]
fn parts_on_a_size_that_the_strides_do_not_divide_say_so() {
    let config = UNet3dConfig { base_channels: 2, levels: 2, ..Default::default() };
    let net = UNet3d::<f32>::new(config, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    let tape = Tape::no_grad();
    net.decoder.forward(net.encoder.forward(tape.constant(Tensor::zeros([1, 9, 8, 8, 1]))));
}

#[test]
fn a_frozen_part_is_off_the_tape_with_and_without_recomputation() {
    for checkpointing in [Checkpointing::None, Checkpointing::Level] {
        let config = UNet3dConfig { base_channels: 2, levels: 2, checkpointing, ..Default::default() };
        let mut net = UNet3d::<f32>::new(config, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
        net.encoder.freeze();
        let tape = Tape::train(0);
        let features = net.encoder.forward(tape.constant(Tensor::zeros([1, 4, 4, 4, 1])));
        assert!(
            tape.is_empty() && features.into_iter().all(|x| x.into_var().is_constant()),
            "{checkpointing:?}"
        );
        let logits = net.forward(tape.constant(Tensor::zeros([1, 4, 4, 4, 1]))).unwrap();
        let gradients = logits.square().mean().backward();
        assert_eq!(gradients.len(), net.decoder.named_parameters().len() + net.head.named_parameters().len());
    }
}

#[test]
fn a_block_of_an_impossible_kernel_or_dropout_is_refused() {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    for (field, config) in [
        ("kernel", BlockConfig { kernel: [3, 2, 3], ..Default::default() }),
        ("dropout", BlockConfig { dropout: -0.5, ..Default::default() }),
        ("dropout", BlockConfig { dropout: f64::NAN, ..Default::default() }),
    ] {
        let error = Block::<f32>::new(1, 2, config, rng).unwrap_err();
        assert!(matches!(error, Error::Config { field: named, .. } if named == field), "{error}");
    }
}
