//! Laws of the optimisers beside their formulas, which `conformance/pytorch_optimisers.rs` holds against PyTorch's.

use std::collections::BTreeMap;

use autograd::parallel::SLAB;
use autograd::{Gradients, Parameter, Real, Tape, Tensor};
use nn::Module;
use nn::optim::{AdamConfig, AdamWConfig, DecayScope, Optimizer, OptimizerConfig, SgdConfig};
use proptest::prelude::*;

/// A convolution's weight of several slabs, its bias, and a buffer.
struct Net<T: Real> {
    weight: Parameter<T>,
    bias: Parameter<T>,
    mean: Parameter<T>,
}

impl<T: Real> Net<T> {
    fn new(ci: usize, co: usize) -> Self {
        let tensor = |shape: &[usize], seed| Tensor::from_fn(shape, |i| number(i, seed));
        Self {
            weight: Parameter::new(tensor(&[3, 3, 3, ci, co], 1)),
            bias: Parameter::new(tensor(&[co], 2)),
            mean: Parameter::buffer(tensor(&[co], 3)),
        }
    }

    /// Gradients of every parameter in `of`, different in every step, and a new value of the buffer.
    fn gradients(&self, of: &[&Parameter<T>], step: usize) -> Gradients<T> {
        let mut all = Gradients::default();
        for (i, parameter) in of.iter().enumerate() {
            let tape = Tape::train(0);
            tape.update(&self.mean, Tensor::full(self.mean.shape(), T::from_f64(step as f64)), 1.0);
            let g = Tensor::from_fn(parameter.shape(), |j| number(j, 100 + 10 * step + i));
            all.add(tape.parameter(parameter).backward_with(g));
        }
        all
    }

    fn train(&mut self, optimizer: &mut dyn Optimizer<T>, steps: std::ops::Range<usize>) {
        for step in steps {
            let gradients = self.gradients(&[&self.weight, &self.bias], step);
            optimizer.step(self, &gradients);
        }
    }
}

nn::module! { impl<T: Real> Module<T> for Net<T> { weight: Conv, bias, mean } }

/// A number in ±1, away from 0, that looks random.
fn number<T: Real>(i: usize, seed: usize) -> T {
    let x = ((i * 7919 + seed * 104_729) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0;
    T::from_f64(x + 0.01 * x.signum())
}

fn all_kinds() -> [OptimizerConfig; 6] {
    let sgd = SgdConfig { lr: 0.1, ..Default::default() };
    let adam = AdamConfig { lr: 0.01, weight_decay: 0.1, ..Default::default() };
    [
        OptimizerConfig::Sgd(sgd),
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, weight_decay: 0.01, ..sgd }),
        OptimizerConfig::Sgd(SgdConfig { momentum: 0.99, nesterov: true, ..sgd }),
        OptimizerConfig::Adam(adam),
        OptimizerConfig::Adam(AdamConfig { amsgrad: true, ..adam }),
        OptimizerConfig::AdamW(AdamWConfig {
            lr: 0.01,
            decay_scope: DecayScope::Weights,
            ..Default::default()
        }),
    ]
}

fn values<T: Real>(net: &Net<T>) -> Vec<Tensor<T>> {
    net.state_dict().into_iter().map(|(_, value)| value).collect()
}

#[test]
fn a_restored_state_continues_with_the_same_bits() {
    for config in all_kinds() {
        let mut first = Net::<f32>::new(4, 6);
        let mut optimizer = config.build().unwrap();
        first.train(&mut *optimizer, 0..3);

        let mut second = Net::<f32>::new(4, 6);
        second.load_state_dict(first.state_dict().into_iter().collect()).unwrap();
        let mut restored = config.build().unwrap();
        restored.load_state(&second, optimizer.state(&first).into_iter().collect()).unwrap();
        assert_eq!(restored.state(&second), optimizer.state(&first));

        first.train(&mut *optimizer, 3..6);
        second.train(&mut *restored, 3..6);
        assert_eq!(values(&first), values(&second), "{config:?}");
        assert_eq!(restored.state(&second), optimizer.state(&first));
    }
}

#[test]
fn forgetting_the_state_changes_what_follows() {
    for config in &all_kinds()[1..] {
        let nets = [false, true].map(|forgets| {
            let mut net = Net::<f64>::new(2, 3);
            let mut optimizer = config.build().unwrap();
            net.train(&mut *optimizer, 0..2);
            if forgets {
                optimizer.load_state(&net, BTreeMap::new()).unwrap();
            }
            net.train(&mut *optimizer, 2..3);
            values(&net)
        });
        assert_ne!(nets[0], nets[1], "{config:?}");
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let [ci, co] = [20, 33];
    assert!(27 * ci * co > SLAB, "the weight must need several slabs");
    for config in all_kinds() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut net = Net::<f32>::new(ci, co);
                net.train(&mut *config.build().unwrap(), 0..3);
                values(&net)
            })
        };
        let one = run(1);
        assert_eq!(one, run(2), "{config:?}");
        assert_eq!(one, run(5), "{config:?}");
    }
}

#[test]
fn a_parameter_without_a_gradient_stays_and_its_steps_do_not_count() {
    for config in all_kinds() {
        let mut both = Net::<f64>::new(2, 3);
        let mut optimizer = config.build().unwrap();
        both.train(&mut *optimizer, 0..1);
        let before = both.bias.value().clone();
        let state = |optimizer: &dyn Optimizer<f64>, net: &Net<f64>| {
            let of_bias = optimizer.state(net).into_iter().filter(|(name, _)| name.starts_with("bias."));
            of_bias.collect::<Vec<_>>()
        };
        let remembered = state(&*optimizer, &both);
        let gradients = both.gradients(&[&both.weight], 1);
        let weight = both.weight.value().clone();
        optimizer.step(&mut both, &gradients);
        assert_eq!(both.bias.value(), &before, "{config:?}");
        assert_eq!(state(&*optimizer, &both), remembered, "{config:?}");
        assert_ne!(both.weight.value(), &weight, "{config:?}");
    }
}

#[test]
fn a_step_sets_the_buffers_and_remembers_nothing_of_them() {
    let mut net = Net::<f32>::new(2, 3);
    let mut optimizer = OptimizerConfig::default().build().unwrap();
    net.train(&mut *optimizer, 0..8);
    assert_eq!(net.mean.value().data(), [7.0; 3]);
    assert!(optimizer.state(&net).iter().all(|(name, _)| !name.starts_with("mean")));
}

#[test]
fn a_step_writes_in_place() {
    for config in all_kinds() {
        let mut net = Net::<f32>::new(20, 33);
        let mut optimizer = config.build().unwrap();
        let address = net.weight.value().data().as_ptr();
        net.train(&mut *optimizer, 0..2);
        assert_eq!(net.weight.value().data().as_ptr(), address, "{config:?}");
    }
}

#[test]
fn decay_of_weights_leaves_vectors_alone() {
    let run = |weight_decay, decay_scope| {
        let mut net = Net::<f64>::new(2, 3);
        let config = SgdConfig { weight_decay, decay_scope, ..Default::default() };
        net.train(&mut *OptimizerConfig::Sgd(config).build().unwrap(), 0..1);
        [net.weight.value().clone(), net.bias.value().clone()]
    };
    let [none, all, weights] =
        [run(0.0, DecayScope::All), run(0.5, DecayScope::All), run(0.5, DecayScope::Weights)];
    assert_eq!(weights[0], all[0]);
    assert_eq!(weights[1], none[1]);
    assert_ne!(all[0], none[0]);
    assert_ne!(all[1], none[1]);
}

#[test]
fn a_state_of_another_model_or_optimiser_is_refused_and_changes_nothing() {
    let mut net = Net::<f64>::new(2, 3);
    let config = OptimizerConfig::default();
    let mut optimizer = config.build().unwrap();
    net.train(&mut *optimizer, 0..2);
    let good: State = optimizer.state(&net).into_iter().collect();
    type State = BTreeMap<String, Tensor<f64>>;
    let change = |f: &dyn Fn(&mut State)| {
        let mut state = good.clone();
        f(&mut state);
        state
    };
    let wrong = [
        ("bias.exp_avg", change(&|s| drop(s.remove("bias.exp_avg")))),
        ("head.exp_avg", change(&|s| drop(s.insert("head.exp_avg".into(), Tensor::zeros([3]))))),
        ("mean.exp_avg", change(&|s| drop(s.insert("mean.exp_avg".into(), Tensor::zeros([3]))))),
        ("weight.exp_avg_sq", change(&|s| drop(s.insert("weight.exp_avg_sq".into(), Tensor::zeros([3]))))),
        ("weight.step", change(&|s| drop(s.insert("weight.step".into(), Tensor::scalar(1.5))))),
        ("weight.step", change(&|s| drop(s.insert("weight.step".into(), Tensor::zeros([2]))))),
    ];
    for (name, state) in wrong {
        let error = optimizer.load_state(&net, state).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        assert_eq!(optimizer.state(&net).into_iter().collect::<BTreeMap<_, _>>(), good);
    }
    let sgd = OptimizerConfig::Sgd(SgdConfig { momentum: 0.9, ..Default::default() });
    assert!(sgd.build().unwrap().load_state(&net, good).is_err());
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let adam = AdamConfig::default();
    let sgd = SgdConfig::default();
    let wrong = [
        ("lr", OptimizerConfig::Sgd(SgdConfig { lr: -1.0, ..sgd })),
        ("momentum", OptimizerConfig::Sgd(SgdConfig { momentum: 1.0, ..sgd })),
        ("nesterov", OptimizerConfig::Sgd(SgdConfig { nesterov: true, ..sgd })),
        ("lr", OptimizerConfig::Adam(AdamConfig { lr: f64::NAN, ..adam })),
        ("betas[0]", OptimizerConfig::Adam(AdamConfig { betas: [1.0, 0.9], ..adam })),
        ("betas[1]", OptimizerConfig::Adam(AdamConfig { betas: [0.9, -0.1], ..adam })),
        ("eps", OptimizerConfig::Adam(AdamConfig { eps: -1e-8, ..adam })),
        (
            "weight_decay",
            OptimizerConfig::AdamW(AdamWConfig { weight_decay: f64::INFINITY, ..Default::default() }),
        ),
    ];
    for (name, config) in wrong {
        let Err(error) = config.build::<f32>() else { panic!("{config:?} was accepted") };
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[test]
fn settings_are_read_with_pytorchs_defaults_and_strangers_refused() {
    let read = |text: &str| serde_json::from_str::<OptimizerConfig>(text);
    assert_eq!(read(r#"{"kind":"adam"}"#).unwrap(), OptimizerConfig::Adam(AdamConfig::default()));
    let adamw = OptimizerConfig::AdamW(AdamWConfig { lr: 0.5, ..Default::default() });
    assert_eq!(read(r#"{"kind":"adamw","lr":0.5,"weight_decay":0.01}"#).unwrap(), adamw);
    assert!(read(r#"{"kind":"sgd","eps":1e-8}"#).is_err());
    for config in all_kinds() {
        assert_eq!(read(&serde_json::to_string(&config).unwrap()).unwrap(), config);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// With m = (1 − β₁)g and v = (1 − β₂)g², both corrections cancel: the step is lr · g / (|g| + ε).
    #[test]
    fn adams_first_step_is_the_learning_rate_against_the_gradients_sign(
        lr in 1e-4..0.1f64, beta1 in 0.0..0.99f64, beta2 in 0.0..0.9999f64,
    ) {
        let mut net = Net::<f64>::new(1, 2);
        let before = net.weight.value().clone();
        let config = AdamConfig { lr, betas: [beta1, beta2], ..Default::default() };
        let gradients = net.gradients(&[&net.weight], 0);
        let g = gradients.get(&net.weight).unwrap().clone();
        OptimizerConfig::Adam(config).build().unwrap().step(&mut net, &gradients);
        for ((w, w0), g) in net.weight.value().data().iter().zip(before.data()).zip(g.data()) {
            let want = w0 - lr * g / (g.abs() + 1e-8);
            // 1 − β loses up to 1/(1 − β) of its bits.
            let lost = 1.0 / (1.0 - beta1) + 1.0 / (1.0 - beta2);
            prop_assert!((w - want).abs() <= f64::EPSILON * (4.0 + lr * 8.0 * lost), "{w} {want}");
        }
    }

    #[test]
    fn a_learning_rate_of_zero_changes_nothing(kind in 0usize..6) {
        let mut net = Net::<f32>::new(2, 3);
        let before = net.weight.value().clone();
        let mut optimizer = all_kinds()[kind].build().unwrap();
        optimizer.set_lr(0.0);
        net.train(&mut *optimizer, 0..2);
        prop_assert_eq!(net.weight.value(), &before);
        prop_assert_eq!(optimizer.lr(), 0.0);
    }
}
