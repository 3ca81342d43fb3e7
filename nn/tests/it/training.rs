//! Laws of what stands around a step: freezing, groups, copies, averages, updates of buffers, weights on disk.

use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind};

use autograd::{Gradients, Parameter, Tape, Tensor, Var};
use nn::functional::{Activation, Conv3dSpec};
use nn::layers::{Conv3d, Dropout, Linear, NormAct, Sequential};
use nn::optim::{Adam, AdamWConfig, Group, Optimizer, Sgd, SgdConfig};
use nn::{Ema, Error, Module, state_dict};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

#[derive(Clone)]
struct Net {
    encoder: Conv3d,
    norm: NormAct,
    dropout: Dropout,
    head: Linear,
}

nn::module! { impl Module<f32> for Net { encoder, norm, dropout, head } }

impl Net {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            encoder: Conv3d::new(1, 4, Conv3dSpec::new([3; 3]).same_padding(), &mut rng).unwrap(),
            norm: NormAct::batch(4).unwrap().with_activation(Activation::Silu).unwrap(),
            dropout: Dropout::new(0.5).unwrap(),
            head: Linear::new(4, 2, &mut rng).unwrap(),
        }
    }

    fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let x = self.norm.forward(self.encoder.forward_with_stats(x)).into_var();
        self.head.forward(self.dropout.forward(x))
    }

    fn gradients(&self, key: u64) -> Gradients {
        let tape = Tape::train(key);
        self.forward(tape.constant(image(key))).square().mean().backward()
    }
}

fn image(seed: u64) -> Tensor {
    Tensor::from_fn([2, 2, 3, 4, 1], |i| ((i as f32 + seed as f32) * 0.37).sin())
}

#[test]
fn what_is_frozen_is_off_the_tape_and_stays_until_it_is_not() {
    let mut net = Net::new(0);
    let mut adam = Adam::decoupled(AdamWConfig { lr: 0.1, ..Default::default() }).unwrap();
    let gradients = net.gradients(0);
    adam.step(&mut net, &gradients);
    let remembered = adam.state(&net);

    net.encoder.freeze();
    net.norm.freeze();
    let (before, head) = (net.state_dict(), net.head.state_dict());
    let tape = Tape::train(1);
    let x = net.norm.forward(net.encoder.forward_with_stats(tape.constant(image(1)))).into_var();
    assert!(tape.is_empty() && x.is_constant(), "nothing of a frozen encoder is recorded");
    // A frozen batch normalisation normalises as in use.
    let used = Tape::no_grad();
    let in_use = net.norm.forward(net.encoder.forward_with_stats(used.constant(image(1)))).into_var();
    assert_eq!(x.value(), in_use.value());

    let gradients = net.gradients(1);
    assert_eq!(gradients.len(), 2);
    adam.step(&mut net, &gradients);
    let after = net.state_dict();
    for ((name, before), (_, after)) in before.iter().zip(&after) {
        assert_eq!(before == after, !name.starts_with("head"), "{name}");
    }
    assert_ne!(net.head.state_dict(), head);
    // The optimiser knows what it knew of the frozen ones, also on disk.
    let state = adam.state(&net);
    let of_encoder = |state: &[(String, Tensor)]| -> Vec<(String, Tensor)> {
        state.iter().filter(|(name, _)| name.starts_with("encoder")).cloned().collect()
    };
    assert_eq!(of_encoder(&state), of_encoder(&remembered));
    adam.load_state(&net, state.into_iter().collect::<BTreeMap<_, _>>()).unwrap();

    // What was announced before it was frozen is not done either.
    net.unfreeze();
    let gradients = net.gradients(3);
    net.norm.freeze();
    let running = net.norm.running.as_ref().unwrap().mean.value().clone();
    net.update_buffers(&gradients);
    assert_eq!(*net.norm.running.as_ref().unwrap().mean.value(), running);
    net.unfreeze();
    let gradients = net.gradients(2);
    adam.step(&mut net, &gradients);
    assert!(after.iter().zip(net.state_dict()).all(|(after, now)| *after != now), "all move again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// A group's parameters move as under an optimiser with the group's numbers, the others as under one without groups.
    #[test]
    fn a_group_is_an_optimiser_of_its_own(factor in 0.0f64..3.0, decay in 0.0f64..0.5, seed in 0u64..99) {
        let (lr, weight_decay) = (0.05, 0.1);
        let groups = || [Group::new("head").lr_factor(factor).unwrap().weight_decay(decay).unwrap()];
        let adamw = |lr, weight_decay| Adam::<f32>::decoupled(AdamWConfig { lr, weight_decay, ..Default::default() }).unwrap();
        let sgd = |lr, weight_decay| Sgd::<f32>::new(SgdConfig { lr, weight_decay, momentum: 0.9, ..Default::default() }).unwrap();
        let pairs: [[Box<dyn Optimizer<f32>>; 3]; 2] = [
            [Box::new(adamw(lr, weight_decay).with_groups(groups())), Box::new(adamw(lr * factor, decay)), Box::new(adamw(lr, weight_decay))],
            [Box::new(sgd(lr, weight_decay).with_groups(groups())), Box::new(sgd(lr * factor, decay)), Box::new(sgd(lr, weight_decay))],
        ];
        for optimizers in pairs {
            let nets = optimizers.map(|mut optimizer| {
                let mut net = Net::new(seed);
                (0..3).for_each(|step| {
                    // The same gradients for all three, whatever the weights have become.
                    let gradients = gradients_by_place(&net, step);
                    optimizer.step(&mut net, &gradients);
                });
                net.state_dict()
            });
            for ((grouped, of_group), of_rest) in nets[0].iter().zip(&nets[1]).zip(&nets[2]) {
                let wanted = if grouped.0.starts_with("head") { of_group } else { of_rest };
                prop_assert_eq!(grouped, wanted);
            }
        }
    }
}

fn gradients_by_place(net: &Net, step: usize) -> Gradients {
    let mut gradients = Gradients::default();
    for (_, parameter) in net.named_parameters().into_iter().filter(|(_, p)| p.is_trainable()) {
        let g = Tensor::from_fn(parameter.shape(), |i| ((i + 7 * step) as f32 * 0.9).sin());
        assert!(gradients.insert(parameter, g).is_none());
    }
    gradients
}

/// Parameters under names of any kind.
struct Named(Vec<(&'static str, Parameter)>);

impl Module<f32> for Named {
    fn visit<'a>(&'a self, _: &str, f: &mut dyn FnMut(String, nn::Layout, &'a Parameter)) {
        self.0.iter().for_each(|(name, p)| f((*name).to_owned(), nn::Layout::Plain, p));
    }

    fn visit_mut<'a>(&'a mut self, _: &str, f: &mut dyn FnMut(String, nn::Layout, &'a mut Parameter)) {
        self.0.iter_mut().for_each(|(name, p)| f((*name).to_owned(), nn::Layout::Plain, p));
    }
}

#[test]
fn a_group_is_of_a_module_not_of_a_prefix() {
    let names = ["enc", "enc.0.weight", "encoder.weight", "a.enc"];
    let mut named = Named(names.map(|name| (name, Parameter::new(Tensor::scalar(1.0)))).into());
    let mut gradients = Gradients::default();
    named.0.iter().for_each(|(_, p)| drop(gradients.insert(p, Tensor::scalar(1.0))));
    let sgd = Sgd::new(SgdConfig { lr: 0.5, ..Default::default() }).unwrap();
    sgd.with_groups([Group::new("enc").lr_factor(0.0).unwrap()]).step(&mut named, &gradients);
    let values: Vec<f32> = named.0.iter().map(|(_, p)| p.value().item()).collect();
    assert_eq!(values, [1.0, 1.0, 0.5, 0.5]);
    assert!(Group::new("").lr_factor(f64::NAN).is_err() && Group::new("").weight_decay(-1.0).is_err());
}

#[test]
fn gradients_are_changed_inserted_and_taken_away() {
    let net = Net::new(0);
    let mut gradients = net.gradients(0);
    let weight = &net.head.weight;
    let before = gradients.get(weight).unwrap().clone();
    gradients.get_mut(weight).unwrap().scale_assign(2.0);
    assert_eq!(gradients.insert(weight, Tensor::zeros(weight.shape())), Some(before.scaled(2.0)));
    assert_eq!(gradients.remove(weight), Some(Tensor::zeros(weight.shape())));
    assert!(gradients.get(weight).is_none() && gradients.get_mut(weight).is_none());
}

#[test]
fn a_fresh_copy_shares_values_and_no_identity() {
    let mut net = Net::new(0);
    net.head.freeze();
    let (clone, copy) = (net.clone(), net.fresh_copy());
    assert_eq!(copy.state_dict(), net.state_dict());
    for (((_, own), (_, of_clone)), (_, of_copy)) in
        net.named_parameters().iter().zip(clone.named_parameters()).zip(copy.named_parameters())
    {
        assert!(own.id() == of_clone.id() && own.id() != of_copy.id());
        assert!(own.is_buffer() == of_copy.is_buffer() && own.is_frozen() == of_copy.is_frozen());
    }
}

#[test]
fn an_average_is_that_of_the_formula_and_goes_on_from_disk() {
    let mut net = Net::new(0);
    let mut average = Ema::new(&net, 0.3).unwrap();
    let mut wanted: Vec<f32> = net.head.weight.value().data().to_vec();
    let mut states = Vec::new();
    for t in 0..8 {
        let value = Tensor::from_fn(net.head.weight.shape(), |i| (i as f32 + t as f32 * 1.7).cos());
        net.head.weight.set(value);
        average.update(&net);
        let decay = 0.3f64.min((1.0 + t as f64) / (10.0 + t as f64));
        for (wanted, &now) in wanted.iter_mut().zip(net.head.weight.value().data()) {
            *wanted = decay as f32 * *wanted + (1.0 - decay) as f32 * now;
        }
        assert_eq!(average.model().head.weight.value().data(), wanted);
        states.push(average.state_dict());
    }
    // From the third on again.
    let mut resumed = Ema::new(&Net::new(5), 0.3).unwrap();
    resumed.load_state_dict(states[2].iter().cloned().collect()).unwrap();
    for t in 3..8 {
        let value = Tensor::from_fn(net.head.weight.shape(), |i| (i as f32 + t as f32 * 1.7).cos());
        net.head.weight.set(value);
        resumed.update(&net);
    }
    assert_eq!(resumed.state_dict(), states[7]);
    assert!(Ema::new(&net, 1.0).is_err());
    let missing = resumed.load_state_dict(net.state_dict().into_iter().collect());
    assert_eq!(missing, Err(Error::MissingParameter { name: "ema.updates".into() }));
}

#[test]
fn running_statistics_are_measured_anew_as_the_mean_over_the_passes() {
    let mut net = Net::new(0);
    let mut each = Vec::new();
    for k in 0..3 {
        let tape = Tape::train(k).without_recording();
        net.forward(tape.constant(image(k)));
        assert!(tape.is_empty());
        let mut alone = net.clone();
        let tape = Tape::train(k).without_recording().with_momentum(1.0);
        net.forward(tape.constant(image(k)));
        alone.update_buffers(&tape.into_updates());
        each.push(alone.norm.running.unwrap().mean.value().clone());
    }
    for k in 0..3 {
        let tape = Tape::train(k).without_recording().with_momentum(1.0 / (k + 1) as f64);
        net.forward(tape.constant(image(k)));
        net.update_buffers(&tape.into_updates());
    }
    let mean = net.norm.running.as_ref().unwrap().mean.value();
    for c in 0..4 {
        let wanted = each.iter().map(|mean| mean.data()[c]).sum::<f32>() / 3.0;
        assert!((mean.data()[c] - wanted).abs() < 1e-6, "{mean:?}");
    }
}

#[test]
fn a_monte_carlo_tape_drops_and_normalises_as_in_use() {
    let net = Net::new(0);
    let say = |tape: Tape| net.forward(tape.constant(image(0))).into_value();
    let [a, again, b] = [1, 1, 2].map(|key| say(Tape::monte_carlo(key)));
    assert!(a == again && a != b && a != say(Tape::no_grad()));
    // Without dropout it is a tape of use.
    let norm = |tape: Tape| {
        net.norm.forward(net.encoder.forward_with_stats(tape.constant(image(0)))).into_var().into_value()
    };
    assert_eq!(norm(Tape::monte_carlo(3)), norm(Tape::no_grad()));
}

#[test]
fn modules_of_modules_are_named_by_field_and_index() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut linear = || Linear::<f32>::new(2, 2, &mut rng).unwrap().without_bias();
    let names = |module: &dyn Module<f32>| -> Vec<String> {
        module.named_parameters().into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&[linear(), linear()]), ["0.weight", "1.weight"]);
    assert_eq!(names(&vec![Some(linear()), None, Some(linear())]), ["0.weight", "2.weight"]);
    assert_eq!(names(&Box::new(linear())), ["weight"]);
    let net = Sequential::new().then(linear()).then(Activation::Relu).then(linear());
    assert_eq!(names(&net), ["0.weight", "2.weight"]);
    let tape = Tape::train(0);
    let x = tape.constant(Tensor::from_fn([3, 2], |i| i as f32 - 2.0));
    let by_hand = |x: Var<'_>| -> Tensor {
        let layers = net.named_parameters();
        let product = x.matmul(tape.parameter(layers[0].1)).relu();
        product.matmul(tape.parameter(layers[1].1)).into_value()
    };
    let (got, wanted) = (net.forward(&x).into_value(), by_hand(x.clone()));
    assert!(got.data().iter().zip(wanted.data()).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn weights_come_back_from_a_stream_in_either_precision_and_damage_is_named() {
    let net = Net::new(0);
    let mut file = Vec::new();
    state_dict::write(net.state_dict(), None, &mut file).unwrap();
    let mut other = Net::new(1);
    other.load_state_dict(state_dict::read(Cursor::new(&file)).unwrap()).unwrap();
    assert_eq!(other.state_dict(), net.state_dict());
    // As safetensors' own reader and writer see it.
    let theirs = safetensors::SafeTensors::deserialize(&file).unwrap();
    assert_eq!(theirs.tensor("head.weight").unwrap().shape(), [2, 4]);
    let wide: BTreeMap<String, Tensor<f64>> = state_dict::read(Cursor::new(&file)).unwrap();
    assert_eq!(wide["head.bias"].cast::<f32>(), *net.head.bias.as_ref().unwrap().value());

    let mut doubles = Vec::new();
    state_dict::write(wide.iter(), None, &mut doubles).unwrap();
    assert_eq!(
        safetensors::SafeTensors::deserialize(&doubles).unwrap().tensor("head.bias").unwrap().dtype(),
        safetensors::Dtype::F64
    );
    let narrow: BTreeMap<String, Tensor<f32>> = state_dict::read(Cursor::new(&doubles)).unwrap();
    assert_eq!(narrow, net.state_dict().into_iter().collect());

    let twice = [("a", net.head.weight.value()), ("a", net.head.weight.value())];
    let error = state_dict::write(twice, None, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "two tensors are called a");
    let message = |bytes: &[u8]| {
        let error = state_dict::read::<f32>(Cursor::new(bytes)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        error.to_string()
    };
    assert!(message(&file[..5]).contains("ends within its header"));
    assert!(message(&file[..file.len() - 1]).contains("its length is not that of its tensors"));
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![1], &[0; 8]).unwrap();
    let integers = safetensors::serialize([("steps", view)], None).unwrap();
    assert_eq!(message(&integers), "holds steps as I64: convert it to F32");
    let header = br#"{"w":{"dtype":"F32","shape":[0,1099511627776,1099511627776],"data_offsets":[0,0]}}"#;
    let huge = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    assert!(message(&huge).contains("more than any memory holds"));
}

#[test]
#[should_panic(expected = "no parameter is of the group \"enc\": there are encoder.weight, ")]
fn a_group_of_nothing_is_refused_with_the_names_that_are() {
    let mut net = Net::new(0);
    let groups = [Group::new("head"), Group::new("enc").lr_factor(0.0).unwrap()];
    let mut sgd = Sgd::new(SgdConfig::default()).unwrap().with_groups(groups);
    let gradients = net.gradients(0);
    sgd.step(&mut net, &gradients);
}

#[test]
fn a_sequence_is_cloned_and_copied_afresh() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let net = Sequential::new().then(Linear::<f32>::new(2, 3, &mut rng).unwrap()).then(Activation::Relu);
    let copy = net.fresh_copy();
    assert_eq!(net.clone().state_dict(), net.state_dict());
    assert_eq!(copy.state_dict(), net.state_dict());
    assert_ne!(copy.named_parameters()[0].1.id(), net.named_parameters()[0].1.id());
}

#[test]
fn two_heads_read_the_same_features_and_their_gradients_are_added() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let conv = Conv3d::<f32>::new(1, 4, Conv3dSpec::new([3; 3]).same_padding(), &mut rng).unwrap();
    let norm = NormAct::instance(4).unwrap().with_activation(Activation::Relu).unwrap();
    let heads = [Linear::<f32>::new(4, 2, &mut rng).unwrap(), Linear::new(4, 1, &mut rng).unwrap()];
    let gradient = |used: &[usize]| {
        let tape = Tape::train(0);
        let features = norm.forward(conv.forward_with_stats(tape.constant(image(0))));
        let losses = used.iter().map(|&i| heads[i].forward(features.clone()).square().mean());
        losses.reduce(|a, b| a + b).unwrap().backward().get(&conv.weight).unwrap().clone()
    };
    let (both, sum) = (gradient(&[0, 1]), gradient(&[0]).zip_map(&gradient(&[1]), |a, b| a + b));
    let largest = sum.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert!(both.data().iter().zip(sum.data()).all(|(a, b)| (a - b).abs() < 1e-5 * largest));
}
