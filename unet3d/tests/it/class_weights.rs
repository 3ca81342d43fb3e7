//! Where one way to weigh the classes is another one: U-Nets that are trained with either end at the same weights.
//!
//! The identities hold of one loss and its gradient (`losses/tests/it/bridges.rs`); here they are held through
//! twenty steps of training, where a difference that lasted would grow.

use autograd::{Tape, Tensor, Var};
use losses::{BceWithLogits, CrossEntropy, Labels, Loss, Reduction};
use nn::Module;
use nn::optim::{AdamConfig, OptimizerConfig, SgdConfig};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use unet3d::{UNet3d, UNet3dConfig};

const STEPS: u64 = 20;
const ADAM_LR: f64 = 1e-2;
const SHAPE: [usize; 5] = [2, 4, 8, 8, 1];
const VOXELS: usize = 2 * 4 * 8 * 8;

/// The weights of class 0 and class 1: the share of the other class.
const WEIGHTS: [f64; 2] = [0.1015, 0.8985];
const P: f64 = WEIGHTS[1] / WEIGHTS[0];

/// Weights and gradients are near 1 and round by 1e-16; 20 steps may amplify that ten-thousandfold.
const SAME: f64 = 1e-12;

/// Weights that differ by this much were trained on different losses.
const DIFFERENT: f64 = 1e-3;

/// How the classes are weighed, by class or by the positive one.
#[derive(Clone, Copy)]
enum Weighting {
    /// `pos_weight`, on one logit.
    PosWeight(f64),
    /// The unreduced loss times `weight[y]`, then the mean, on one logit.
    Unreduced([f64; 2]),
    /// `class_weights` of a softmax over [0, z], z the one logit; the sum divided by the number of voxels.
    TwoLogits([f64; 2]),
}

use Weighting::{PosWeight, TwoLogits, Unreduced};

impl Weighting {
    /// The loss of logits `[n, d, h, w, 1]`.
    fn loss<'t>(self, logits: Var<'t, f64>, labels: &Labels) -> Var<'t, f64> {
        match self {
            PosWeight(p) => BceWithLogits::new().pos_weight(p).forward(&logits, labels).unwrap(),
            Unreduced(weights) => {
                let weight = Tensor::from_fn(SHAPE, |i| weights[labels.get(i) as usize]);
                let unreduced = BceWithLogits::new().reduction(Reduction::None).forward(&logits, labels);
                let weight = logits.tape().constant(weight);
                (unreduced.unwrap() * weight).mean()
            }
            TwoLogits(weights) => {
                let criterion = CrossEntropy::new().class_weights(weights);
                let two = logits.pad(4, 1, 0);
                criterion.reduction(Reduction::SumOver(VOXELS as f64)).forward(&two, labels).unwrap()
            }
        }
    }
}

/// All weights of a small U-Net after training. The initial weights and the batches are the same in every call.
fn train(optimizer: OptimizerConfig, weighting: Weighting) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let config = UNet3dConfig { base_channels: 2, levels: 2, ..Default::default() };
    let mut model = UNet3d::<f64>::new(config, &mut rng).unwrap();
    let mut optimizer = optimizer.build().unwrap();
    for step in 0..STEPS {
        let image = Tensor::from_fn(SHAPE, |_| rng.random_range(-1.0..1.0));
        // One voxel in ten, bright ones more often.
        let labels =
            Labels::from_fn(&SHAPE[..4], |i| i32::from(image.data()[i] + rng.random_range(-1.0..1.0) > 1.1));
        let tape = Tape::train(step);
        let logits = model.forward(tape.constant(image)).unwrap();
        let gradients = weighting.loss(logits, &labels).backward();
        optimizer.step(&mut model, &gradients);
    }
    model.named_parameters().into_iter().flat_map(|(_, p)| p.value().data().to_vec()).collect()
}

/// The largest difference of two weights.
fn distance(optimizer: OptimizerConfig, a: Weighting, b: Weighting) -> f64 {
    between(&train(optimizer, a), &train(optimizer, b))
}

fn between(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn sgd(lr: f64) -> OptimizerConfig {
    OptimizerConfig::Sgd(SgdConfig { lr, momentum: 0.9, ..Default::default() })
}

fn adam(eps: f64) -> OptimizerConfig {
    OptimizerConfig::Adam(AdamConfig { lr: ADAM_LR, eps, ..Default::default() })
}

#[track_caller]
fn assert_same(distance: f64) {
    assert!(distance < SAME, "weights differ by {distance:e}");
}

#[track_caller]
fn assert_different(distance: f64) {
    assert!(distance > DIFFERENT, "weights differ by {distance:e} only");
}

#[test]
fn training_two_logits_with_class_weights_is_training_one_with_pos_weight() {
    for optimizer in [sgd(0.05), adam(1e-8)] {
        assert_same(distance(optimizer, TwoLogits([1.0, P]), PosWeight(P)));
        // Or the test would pass whatever a weight did.
        assert_different(distance(optimizer, TwoLogits([P, 1.0]), PosWeight(P)));
        assert_different(distance(optimizer, TwoLogits([1.0, 1.0]), PosWeight(P)));
    }
}

#[test]
fn training_on_weights_by_class_times_the_unreduced_loss_is_training_with_pos_weight() {
    for optimizer in [sgd(0.05), adam(1e-8)] {
        assert_same(distance(optimizer, Unreduced([1.0, P]), PosWeight(P)));
        assert_different(distance(optimizer, Unreduced([1.0, 1.0]), PosWeight(P)));
    }
}

#[test]
fn weights_that_are_not_scaled_to_1_for_class_0_scale_the_learning_rate_of_sgd() {
    let lr = 0.05;
    let weighted = train(sgd(lr / WEIGHTS[0]), Unreduced(WEIGHTS));
    assert_same(between(&weighted, &train(sgd(lr), PosWeight(P))));
    assert_different(distance(sgd(lr), Unreduced(WEIGHTS), PosWeight(P)));
}

#[test]
fn adam_hides_the_scale_of_the_weights_except_through_eps() {
    // The step is m/(√v + ε): of gradients times w0 it is that of the gradients with ε/w0.
    let eps = 1e-3;
    let weighted = train(adam(eps * WEIGHTS[0]), Unreduced(WEIGHTS));
    assert_same(between(&weighted, &train(adam(eps), PosWeight(P))));
    assert_different(distance(adam(eps), Unreduced(WEIGHTS), PosWeight(P)));
    // So a tiny ε leaves little: where √v is 1e-6 or more, a step of about lr changes by its share ε/(w0·√v) at most.
    let eps = 1e-12;
    let bound = STEPS as f64 * ADAM_LR * eps / (WEIGHTS[0] * 1e-6);
    let little = distance(adam(eps), Unreduced(WEIGHTS), PosWeight(P));
    assert!(little < bound, "weights differ by {little:e}, which is over {bound:e}");
}

#[test]
fn a_vector_by_class_given_as_pos_weight_is_the_scalar_of_class_1() {
    // Each element's own weight meets its positive term only, so that of class 0 meets nothing.
    let labels = Labels::from_fn(&SHAPE[..4], |i| i32::from(i % 10 == 0));
    let weight = Tensor::from_fn(SHAPE, |i| WEIGHTS[labels.get(i) as usize]);
    let tape = Tape::no_grad();
    let logits = tape.constant(Tensor::from_fn(SHAPE, |i| (i as f64 * 0.37).sin() * 3.0));
    let vector = BceWithLogits::new().pos_weight(weight).forward(&logits, &labels).unwrap().item();
    let scalar = BceWithLogits::new().pos_weight(WEIGHTS[1]).forward(&logits, &labels).unwrap().item();
    assert!((vector - scalar).abs() < 1e-14, "{vector} instead of {scalar}");
}
