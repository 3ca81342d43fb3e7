//! Layers: names, initial values, modes, and settings that are refused.

use autograd::{Gradients, Parameter, Tape, Tensor};
use nn::functional::{self, Activation, Conv3dSpec, ConvTranspose3dSpec, Pool3dSpec, UpsampleMode};
use nn::layers::{AvgPool3d, Conv3d, ConvTranspose3d, Dropout, Linear, MaxPool3d, NormAct, Upsample};
use nn::optim::{Optimizer, Sgd, SgdConfig};
use nn::{Error, Module};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use crate::support::{distance, random};

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(11)
}

/// Names and shapes in PyTorch's layout.
fn state(module: &impl Module<f64>) -> Vec<(String, Vec<usize>)> {
    module.state_dict().into_iter().map(|(name, value)| (name, value.dims().to_vec())).collect()
}

fn named(entries: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
    entries.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
}

fn conv(ci: usize, co: usize) -> Conv3d<f64> {
    Conv3d::new(ci, co, Conv3dSpec::new([3, 2, 1]), &mut rng()).unwrap()
}

#[test]
fn parameters_have_pytorchs_names_and_shapes() {
    assert_eq!(state(&conv(4, 5)), named(&[("weight", &[5, 4, 3, 2, 1]), ("bias", &[5])]));
    assert_eq!(state(&conv(4, 5).without_bias()), named(&[("weight", &[5, 4, 3, 2, 1])]));
    let up = ConvTranspose3d::<f64>::new(4, 5, ConvTranspose3dSpec::new([3, 2, 1]), &mut rng()).unwrap();
    assert_eq!(state(&up), named(&[("weight", &[4, 5, 3, 2, 1]), ("bias", &[5])]));
    let linear = Linear::<f64>::new(4, 5, &mut rng()).unwrap();
    assert_eq!(state(&linear), named(&[("weight", &[5, 4]), ("bias", &[5])]));
    assert_eq!(state(&NormAct::<f64>::group(2, 6).unwrap()), named(&[("weight", &[6]), ("bias", &[6])]));
    assert_eq!(state(&NormAct::<f64>::instance(6).unwrap().without_affine()), named(&[]));
    let running: [(&str, &[usize]); 2] = [("running_mean", &[6]), ("running_var", &[6])];
    let batch = NormAct::<f64>::batch(6).unwrap();
    assert_eq!(state(&batch), named(&[&[("weight", &[6][..]), ("bias", &[6])], &running[..]].concat()));
    assert_eq!(batch.parameter_count(), 12, "running statistics are not trained");
    assert_eq!(state(&MaxPool3d::new(Pool3dSpec::new([2; 3])).unwrap()), named(&[]));
}

#[test]
fn a_state_that_was_saved_is_loaded() {
    let (from, mut to) = (NormAct::<f64>::batch(3).unwrap(), NormAct::<f64>::batch(3).unwrap());
    let saved = from.state_dict().into_iter().zip(1..).map(|((name, v), i)| (name, v.map(|_| f64::from(i))));
    to.load_state_dict(saved.collect()).unwrap();
    let values: Vec<f64> = to.state_dict().iter().map(|(_, v)| v.data()[0]).collect();
    assert_eq!(values, [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn weights_start_within_pytorchs_bound_and_fill_it() {
    let up = ConvTranspose3d::<f64>::new(8, 16, ConvTranspose3dSpec::new([2; 3]), &mut rng()).unwrap();
    let conv = Conv3d::<f64>::new(8, 16, Conv3dSpec::new([3; 3]), &mut rng()).unwrap();
    let linear = Linear::<f64>::new(30, 50, &mut rng()).unwrap();
    for (weight, bias, fan_in) in [
        (&conv.weight, conv.bias.as_ref().unwrap(), 8 * 27),
        (&up.weight, up.bias.as_ref().unwrap(), 16 * 8),
        (&linear.weight, linear.bias.as_ref().unwrap(), 30),
    ] {
        let bound = 1.0 / f64::from(fan_in).sqrt();
        let largest = |t: &Tensor<f64>| t.data().iter().fold(0.0f64, |m, v| m.max(v.abs()));
        // The largest of 1000 uniform numbers is below 0.97 of the bound once in 10^13.
        assert!(weight.value().numel() >= 1000);
        assert!(largest(weight.value()) <= bound && largest(weight.value()) > 0.97 * bound);
        assert!(largest(bias.value()) <= bound && largest(bias.value()) > 0.0);
    }
}

#[test]
fn running_statistics_follow_the_batches_and_serve_in_use() {
    let mut norm = NormAct::<f64>::batch(3).unwrap().with_activation(Activation::Relu).unwrap();
    let [first, second] = [1, 2].map(|seed| random([2, 2, 3, 4, 3], seed).map(|v: f64| 2.0 * v + 1.0));
    let tape = Tape::train(0);
    // The layer is used twice in one pass: the second use continues from the first.
    let a = norm.forward(tape.constant(first.clone())).into_var();
    let b = norm.forward(tape.constant(second.clone())).into_var();
    let gradients = (a + b).sum().backward();
    let running = norm.running.as_mut().unwrap();
    for (i, buffer) in [&mut running.mean, &mut running.variance].into_iter().enumerate() {
        let mut want = [0.0, 1.0][i];
        for x in [&first, &second] {
            let channel: Vec<f64> = x.data().iter().copied().step_by(3).collect();
            let mean = channel.iter().sum::<f64>() / 48.0;
            let unbiased = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 47.0;
            want = 0.9 * want + 0.1 * [mean, unbiased][i];
        }
        let updated = gradients.update_of(buffer).expect("a training pass moves them");
        assert!((updated.data()[0] - want).abs() <= 1e-14, "{} {want}", updated.data()[0]);
        buffer.set(updated);
    }

    let running = norm.running.as_ref().unwrap();
    let (mean, variance) = (running.mean.value().data(), running.variance.value().data());
    let want = Tensor::from_fn(first.shape(), |i| {
        ((first.data()[i] - mean[i % 3]) / (variance[i % 3] + 1e-5).sqrt()).max(0.0)
    });
    let tape = Tape::eval();
    let x = tape.variable(first.clone());
    let y = norm.forward(x.clone()).into_var();
    assert!(distance(y.value(), &want) <= 1e-14);
    assert!(y.sum().backward().update_of(&running.mean).is_none(), "in use nothing moves");
}

#[test]
fn running_statistics_follow_the_parts_of_a_batch_in_their_order() {
    // Two micro-batches, one step. In PyTorch each part moves the statistics as it passes: 0 → 0.1 → 0.09.
    let mut norm = NormAct::<f32>::batch(1).unwrap();
    let mut gradients = Gradients::default();
    for mean in [1.0, 0.0] {
        let tape = Tape::train(0);
        let x = tape.constant(Tensor::from_vec([1, 1, 1, 2, 1], vec![mean - 2.0, mean + 2.0]));
        gradients.add(norm.forward(x).into_var().sum().backward());
    }
    Sgd::new(SgdConfig { lr: 0.1, ..SgdConfig::default() }).unwrap().step(&mut norm, &gradients);
    let running = norm.running.as_ref().unwrap();
    let near =
        |got: &Parameter<f32>, want: f32| (got.value().item() - want).abs() <= 4.0 * f32::EPSILON * want;
    assert!(near(&running.mean, 0.09), "{:?}", running.mean);
    // The unbiased variance of each part is 8.
    assert!(near(&running.variance, 0.9 * (0.9 + 0.8) + 0.8), "{:?}", running.variance);
}

#[test]
fn layers_in_units_equal_layers_one_by_one() {
    let x: Tensor<f64> = random([2, 6, 4, 5, 2], 1);
    let (first, second) = (conv(2, 6), conv(6, 3));
    for norm in [NormAct::instance(6), NormAct::group(3, 6), NormAct::batch(6)] {
        let norm = norm.unwrap().with_activation(Activation::leaky_relu(0.1)).unwrap();
        for tape in [Tape::train(0), Tape::eval()] {
            let x = tape.constant(x.clone());
            let got = second.forward(norm.forward(first.forward_with_stats(x.clone())));
            let want = second.forward(norm.forward(first.forward(x)).into_var());
            assert!(distance(got.value(), want.value()) <= 1e-13);
        }
    }
}

#[test]
fn layers_do_what_their_functions_do() {
    let tape = Tape::<f64>::train(5);
    let x = tape.constant(random([1, 4, 4, 4, 3], 1));
    let window = Pool3dSpec::new([2; 3]);
    let pairs = [
        (MaxPool3d::new(window).unwrap().forward(x.clone()), functional::max_pool3d(x.clone(), window)),
        (AvgPool3d::new(window).unwrap().forward(x.clone()), functional::avg_pool3d(x.clone(), window, true)),
        (
            Upsample::new([2; 3], UpsampleMode::Trilinear).unwrap().forward(x.clone()),
            functional::upsample(x.clone(), [2; 3], UpsampleMode::Trilinear),
        ),
        (Dropout::new(0.0).unwrap().forward(x.clone()), x),
    ];
    for (got, want) in pairs {
        assert_eq!(got.value(), want.value());
    }
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let conv = |ci, co, spec| Conv3d::<f32>::new(ci, co, spec, &mut rng()).map(|_| ());
    let up = |spec| ConvTranspose3d::<f32>::new(1, 1, spec, &mut rng()).map(|_| ());
    let kernel = Conv3dSpec::new([3; 3]);
    let plain = ConvTranspose3dSpec::new([2; 3]);
    let refused = [
        (conv(0, 1, kernel), "in_channels"),
        (conv(1, 0, kernel), "out_channels"),
        (conv(1, 1, Conv3dSpec::new([3, 0, 3])), "kernel_size"),
        (conv(1, 1, Conv3dSpec { stride: [1, 0, 1], ..kernel }), "stride"),
        (conv(1, 1, Conv3dSpec { dilation: [1, 1, 0], ..kernel }), "dilation"),
        (up(ConvTranspose3dSpec { output_padding: [0, 0, 1], ..plain }), "output_padding"),
        (Linear::<f32>::new(0, 1, &mut rng()).map(|_| ()), "in_features"),
        (NormAct::<f32>::instance(0).map(|_| ()), "channels"),
        (NormAct::<f32>::group(4, 6).map(|_| ()), "num_groups"),
        (NormAct::<f32>::instance(1).unwrap().with_eps(0.0).map(|_| ()), "eps"),
        (
            NormAct::<f32>::instance(1)
                .unwrap()
                .with_activation(Activation::leaky_relu(f64::NAN))
                .map(|_| ()),
            "slope",
        ),
        (MaxPool3d::new(Pool3dSpec::new([7, 7, 6])).map(|_| ()), "kernel_size"),
        (
            AvgPool3d::new(Pool3dSpec { padding: [2, 0, 0], ..Pool3dSpec::new([3; 3]) }).map(|_| ()),
            "pooling window",
        ),
        (Upsample::new([1, 0, 1], UpsampleMode::Nearest).map(|_| ()), "scale_factor"),
        (Dropout::new(1.5).map(|_| ()), "p"),
    ];
    for (result, setting) in refused {
        let Err(Error::Setting { name, .. }) = result else { panic!("{setting}: {result:?}") };
        assert_eq!(name, setting);
    }
}
