//! A U-Net whose skips pass attention gates (Oktay et al. 2018), of the public blocks and a decoder of one's own. Its losses are
//! those of PyTorch.
//!
//! `cargo run -p unet3d --example attention_unet [WEIGHTS.safetensors]`; the weights that training starts with go to the file,
//! for `pytorch/attention_unet.py`.

use autograd::{Tape, Tensor, Var};
use losses::{BceWithLogits, Labels, Loss};
use nn::optim::{Adam, AdamWConfig, Optimizer};
use nn::{Module, functional::Input, layers::Conv3d, state_dict};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use unet3d::{Block, BlockConfig, Encoder, UNet3dConfig, Up, Upsampling::Transposed};

/// A step up: what comes from below says where the skip counts.
struct Level {
    up: Up<f64>,
    /// Of the skip, of what comes from below, and of their sum.
    gate: [Conv3d<f64>; 3],
    block: Block<f64>,
}

impl Level {
    fn new(from: usize, to: usize, rng: &mut ChaCha8Rng) -> Result<Self, unet3d::Error> {
        let up = Up::new(from, to, [2; 3], Transposed, rng)?;
        let mut conv = |from, to| Conv3d::new(from, to, [1; 3], rng);
        let gate = [conv(to, to / 2)?, conv(to, to / 2)?, conv(to / 2, 1)?];
        Ok(Self { up, gate, block: Block::new(2 * to, to, BlockConfig::default(), rng)? })
    }

    fn forward<'t>(&self, skip: Var<'t, f64>, below: Input<'t, f64>) -> Input<'t, f64> {
        let (up, [of_skip, of_up, of_sum]) = (self.up.forward(below), &self.gate);
        let weight = of_sum.forward((of_skip.forward(&skip) + of_up.forward(&up)).relu()).sigmoid();
        self.block.forward(Input::from(skip * weight).concat(up))
    }
}

struct AttentionUNet {
    encoder: Encoder<f64>,
    levels: [Level; 2],
    head: Conv3d<f64>,
}

nn::module! { impl Module<f64> for Level { up, gate, block } }
nn::module! { impl Module<f64> for AttentionUNet { encoder, levels, head } }

impl AttentionUNet {
    /// `[n, d, h, w, 1]` to logits of the same shape.
    fn forward<'t>(&self, x: Var<'t, f64>) -> Var<'t, f64> {
        let mut features = self.encoder.forward(x).into_iter().rev();
        let deepest = features.next().expect("the deepest level");
        let up = |x, (level, skip): (&Level, Input<'t, f64>)| level.forward(skip.into_var(), x);
        self.head.forward(self.levels.iter().zip(features).fold(deepest, up))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let config = UNet3dConfig { base_channels: 4, levels: 3, ..Default::default() };
    let (encoder, levels) = (Encoder::new(&config, rng)?, [Level::new(16, 8, rng)?, Level::new(8, 4, rng)?]);
    let mut net = AttentionUNet { encoder, levels, head: Conv3d::new(4, 1, [1; 3], rng)? };
    if let Some(path) = std::env::args_os().nth(1) {
        state_dict::write(net.state_dict(), None, &mut std::fs::File::create(path)?)?;
    }
    let volume = Tensor::from_fn([1, 8, 16, 16, 1], |i| (0.05 * i as f64).sin() + (0.31 * i as f64).cos());
    let mask = Labels::from_fn(volume.shape(), |i| i32::from(volume.data()[i] > 1.2));
    let mut adam = Adam::decoupled(AdamWConfig { lr: 0.01, ..Default::default() })?;
    for (step, of_pytorch) in include_str!("pytorch/attention_unet.txt").lines().enumerate() {
        let tape = Tape::train(step as u64);
        let logits = net.forward(tape.constant(volume.clone()));
        let loss = BceWithLogits::new().pos_weight(5.0).forward(&logits, &mask)?;
        println!("step {step}  loss {:.12}  PyTorch's {of_pytorch}", loss.item());
        assert!((loss.item() - of_pytorch.parse::<f64>()?).abs() < 1e-9);
        adam.step(&mut net, &loss.backward());
    }
    Ok(())
}
