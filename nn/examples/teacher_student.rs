//! A student and its teacher on one tape: the teacher is frozen, so the gradients are the student's alone.
//!
//! `cargo run -p nn --example teacher_student`

use autograd::{Tape, Tensor};
use nn::functional::{Activation, Conv3dSpec};
use nn::layers::{Conv3d, Sequential};
use nn::optim::{Adam, AdamWConfig, Optimizer};
use nn::{Error, Module};
use rand::{SeedableRng, rngs::ChaCha8Rng};

fn main() -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut conv = |from, to| Conv3d::<f32>::new(from, to, Conv3dSpec::new([3; 3]).same_padding(), &mut rng);
    let mut teacher = Sequential::new().then(conv(1, 8)?).then(Activation::Relu).then(conv(8, 2)?);
    let mut student = Sequential::new().then(conv(1, 4)?).then(Activation::Relu).then(conv(4, 2)?);
    teacher.freeze();

    let image = Tensor::from_fn([1, 4, 8, 8, 1], |i| (0.7 * i as f32).sin());
    let mut adam = Adam::decoupled(AdamWConfig { lr: 0.02, ..Default::default() })?;
    let mut losses = Vec::new();
    for step in 0..50 {
        let tape = Tape::train(step);
        let x = tape.constant(image.clone());
        // Cross-entropy of the student's classes against the teacher's probabilities.
        let wanted = teacher.forward(&x).softmax();
        let loss = -(wanted * student.forward(&x).log_softmax()).mean();
        losses.push(loss.item());
        let gradients = loss.backward();
        assert_eq!(gradients.len(), student.named_parameters().len());
        adam.step(&mut student, &gradients);
    }
    println!("cross-entropy {:.4}, after 50 steps {:.4}", losses[0], losses[49]);
    assert!(losses[49] < losses[0]);

    // The other way: a copy that would be trained beside its original must have parameters of its own.
    let layer = conv(1, 1)?;
    let (clone, copy) = (layer.clone(), layer.fresh_copy());
    assert_eq!(layer.weight.id(), clone.weight.id());
    assert_ne!(layer.weight.id(), copy.weight.id());
    Ok(())
}
