//! A classifier of volumes: residual blocks with squeeze and excitation (Hu et al. 2018), which weigh each channel by what
//! the whole volume says. Its losses are those of PyTorch.
//!
//! `cargo run -p unet3d --example se_classifier [WEIGHTS.safetensors]`; the weights that training starts with go to the file,
//! for `pytorch/se_classifier.py`.

use autograd::{Tape, Tensor, Var};
use losses::{CrossEntropy, Labels, Loss};
use nn::functional::global_avg_pool3d;
use nn::layers::{Conv3d, Linear};
use nn::optim::{Adam, AdamWConfig, Optimizer};
use nn::{Module, state_dict};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use unet3d::{Block, BlockConfig};

/// Twice convolution, norm and activation, whose channels are weighted before the input is added.
struct SeBlock {
    body: Block<f64>,
    squeeze: Linear<f64>,
    excite: Linear<f64>,
}

impl SeBlock {
    /// `[n, d, h, w, c]` to the same.
    fn forward<'t>(&self, x: Var<'t, f64>) -> Var<'t, f64> {
        let y = self.body.forward(&x).into_var();
        let gate = self.squeeze.forward(global_avg_pool3d(y.clone())).relu();
        (x + y * self.excite.forward(gate).sigmoid()).relu()
    }
}

struct Classifier {
    stem: Conv3d<f64>,
    blocks: [SeBlock; 2],
    head: Linear<f64>,
}

impl Classifier {
    /// `[n, d, h, w, 1]` to logits `[n, 3]`.
    fn forward<'t>(&self, x: Var<'t, f64>) -> Var<'t, f64> {
        let n = x.shape()[0];
        let x = self.blocks.iter().fold(self.stem.forward(x), |x, block| block.forward(x));
        self.head.forward(global_avg_pool3d(x)).reshape([n, 3])
    }
}

nn::module! { impl Module<f64> for SeBlock { body, squeeze, excite } }
nn::module! { impl Module<f64> for Classifier { stem, blocks, head } }

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    let mut block = || -> Result<_, unet3d::Error> {
        let (body, squeeze) = (Block::new(8, 8, BlockConfig::default(), rng)?, Linear::new(8, 2, rng)?);
        Ok(SeBlock { body, squeeze, excite: Linear::new(2, 8, rng)? })
    };
    let blocks = [block()?, block()?];
    let mut net = Classifier { blocks, stem: Conv3d::new(1, 8, [3; 3], rng)?, head: Linear::new(8, 3, rng)? };
    if let Some(path) = std::env::args_os().nth(1) {
        state_dict::write(net.state_dict(), None, &mut std::fs::File::create(path)?)?;
    }
    // Three volumes, one of each class: waves of three lengths.
    let volumes = Tensor::from_fn([3, 8, 8, 8, 1], |i| (0.1 * (i % 512) as f64 * (i / 512 + 1) as f64).sin());
    let classes = Labels::from_vec([3], vec![0u8, 1, 2]);
    let mut adam = Adam::decoupled(AdamWConfig { lr: 0.01, ..Default::default() })?;
    for (step, of_pytorch) in include_str!("pytorch/se_classifier.txt").lines().enumerate() {
        let tape = Tape::train(step as u64);
        let loss = CrossEntropy::new().forward(&net.forward(tape.constant(volumes.clone())), &classes)?;
        println!("step {step}  loss {:.12}  PyTorch's {of_pytorch}", loss.item());
        assert!((loss.item() - of_pytorch.parse::<f64>()?).abs() < 1e-9);
        adam.step(&mut net, &loss.backward());
    }
    Ok(())
}
