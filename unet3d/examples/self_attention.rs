//! A U-Net whose deepest level looks at itself as a whole: a transformer's self-attention between encoder and decoder.
//!
//! `cargo run -p unet3d --example self_attention`

use autograd::{Tape, Tensor, Var};
use losses::{DiceBce, Labels, Loss};
use nn::functional::{Input, attention};
use nn::layers::{Conv3d, Linear};
use nn::optim::{Adam, AdamWConfig, Optimizer};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use unet3d::{Decoder, Encoder, UNet3dConfig};

/// x + W·attention(x), with so many heads.
struct SelfAttention {
    heads: usize,
    qkv: Linear,
    out: Linear,
}

impl SelfAttention {
    /// `[n, d, h, w, c]` to the same.
    fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let [n, d, h, w, c] = x.value().dims5();
        // [n, voxels, 3, heads, c/heads] to [3, n, heads, voxels, c/heads].
        let qkv = self.qkv.forward(x.clone()).reshape([n, d * h * w, 3, self.heads, c / self.heads]);
        let qkv = qkv.permute(&[2, 0, 3, 1, 4]);
        let part = |i| qkv.clone().slice(0, i..i + 1);
        let y = attention(part(0), part(1), part(2)).permute(&[0, 1, 3, 2, 4]);
        x + self.out.forward(y.reshape([n, d, h, w, c]))
    }
}

struct Net {
    encoder: Encoder,
    attention: SelfAttention,
    decoder: Decoder,
    head: Conv3d,
}

impl Net {
    fn forward<'t>(&self, x: Var<'t>) -> Var<'t> {
        let mut features = self.encoder.forward(x);
        let deepest = features.pop().expect("the deepest level").into_var();
        features.push(Input::from(self.attention.forward(deepest)));
        self.head.forward(self.decoder.forward(features))
    }
}

nn::module! { impl Module<f32> for SelfAttention { qkv, out } }
nn::module! { impl Module<f32> for Net { encoder, attention, decoder, head } }

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let config = UNet3dConfig { base_channels: 4, levels: 3, ..Default::default() };
    let attention =
        SelfAttention { heads: 4, qkv: Linear::new(16, 48, &mut rng)?, out: Linear::new(16, 16, &mut rng)? };
    let mut net = Net {
        attention,
        encoder: Encoder::new(&config, &mut rng)?,
        decoder: Decoder::new(&config, &mut rng)?,
        head: Conv3d::new(4, 1, [1; 3], &mut rng)?,
    };
    let image = Tensor::from_fn([1, 8, 16, 16, 1], |i| (0.3 * i as f32).sin());
    let mask = Labels::from_fn([1, 8, 16, 16, 1], |i| i32::from((0.3 * i as f32).sin() > 0.8));
    let mut adam = Adam::decoupled(AdamWConfig { lr: 0.01, ..Default::default() })?;
    for step in 0..20 {
        let tape = Tape::train(step);
        let loss = DiceBce::default().forward(&net.forward(tape.constant(image.clone())), &mask)?;
        println!("step {step:2}  loss {:.4}", loss.item());
        adam.step(&mut net, &loss.backward());
    }
    Ok(())
}
