//! A batch in parts, whose gradients are added, through batch normalisation: each part is normalised by its own statistics and
//! moves the running ones, in order. Afterwards the running statistics are measured anew, without recording anything.
//!
//! `cargo run -p nn --example micro_batches`

use autograd::{Gradients, Tape, Tensor, Var};
use nn::functional::{Activation, Conv3dSpec};
use nn::layers::{Conv3d, NormAct};
use nn::optim::{Adam, AdamWConfig, Optimizer};
use nn::{Error, Module};
use rand::{SeedableRng, rngs::ChaCha8Rng};

struct Net {
    conv: Conv3d,
    norm: NormAct,
    head: Conv3d,
}

impl Net {
    fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        self.head.forward(self.norm.forward(self.conv.forward_with_stats(x)))
    }
}

nn::module! { impl Module<f32> for Net { conv, norm, head } }

/// The i-th two volumes of the batch.
fn part(i: usize) -> Tensor {
    Tensor::from_fn([2, 4, 4, 4, 1], |at| ((at + 3 * i) % 7) as f32 / 7.0)
}

fn main() -> Result<(), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut net = Net {
        conv: Conv3d::new(1, 4, Conv3dSpec::new([3; 3]).same_padding(), &mut rng)?,
        norm: NormAct::batch(4)?.with_activation(Activation::Relu)?,
        head: Conv3d::new(4, 1, [1; 3], &mut rng)?,
    };
    let mut adam = Adam::decoupled(AdamWConfig { lr: 0.01, ..Default::default() })?;
    for step in 0..30 {
        // One step from four parts of the batch; only one of them is in memory at a time.
        let mut gradients = Gradients::default();
        for i in 0..4 {
            let tape = Tape::train(step).from_sample(2 * i as u64);
            let error = net.forward(tape.constant(part(i))) - tape.constant(part(i));
            gradients.add((error.square().mean() * 0.25).backward());
        }
        adam.step(&mut net, &gradients);
    }
    // Mean and variance over the four parts, for the weights as they are now.
    for i in 0..4 {
        let tape = Tape::train(0).without_recording().with_momentum(1.0 / (i + 1) as f64);
        net.forward(tape.constant(part(i)));
        assert!(tape.is_empty());
        net.update_buffers(&tape.into_updates());
    }
    for (name, parameter) in net.named_parameters() {
        println!("{name:18} {:?}", parameter.value().data());
    }
    // In use, the running statistics normalise.
    let tape = Tape::no_grad();
    let error = net.forward(tape.constant(part(1))) - tape.constant(part(1));
    println!("mean squared error in use {:.4}", error.square().mean().item());
    Ok(())
}
