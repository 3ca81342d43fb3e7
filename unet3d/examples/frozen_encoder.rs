//! Fine-tuning: the encoder frozen at first, then trained at a tenth of the rate. The optimiser goes on with what it remembers.
//!
//! `cargo run -p unet3d --example frozen_encoder`

use autograd::{Tape, Tensor};
use losses::{DiceBce, Labels, Loss};
use nn::Module;
use nn::optim::{Adam, AdamWConfig, Group, Optimizer};
use rand::{SeedableRng, rngs::ChaCha8Rng};
use unet3d::{UNet3d, UNet3dConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = UNet3dConfig { base_channels: 4, levels: 3, ..Default::default() };
    let mut net = UNet3d::<f32>::new(config, &mut ChaCha8Rng::seed_from_u64(0))?;
    let image = Tensor::from_fn([1, 8, 16, 16, 1], |i| (0.3 * i as f32).sin());
    let mask = Labels::from_fn([1, 8, 16, 16, 1], |i| i32::from((0.3 * i as f32).sin() > 0.8));

    let groups = [Group::new("enc").lr_factor(0.1)?, Group::new("head").weight_decay(0.0)?];
    let mut adam = Adam::decoupled(AdamWConfig { lr: 0.01, ..Default::default() })?.with_groups(groups);
    let mut step = |net: &mut UNet3d, key: u64| -> Result<(usize, f32), Box<dyn std::error::Error>> {
        let tape = Tape::train(key);
        let logits = net.forward(tape.constant(image.clone()))?;
        let loss = DiceBce::default().forward(&logits, &mask)?;
        let (recorded, value) = (tape.len(), loss.item());
        adam.step(net, &loss.backward());
        Ok((recorded, value))
    };

    net.encoder.freeze();
    let before = net.encoder.state_dict();
    let mut frozen = 0;
    for key in 0..10 {
        let (recorded, loss) = step(&mut net, key)?;
        frozen = recorded;
        println!("frozen  step {key:2}  loss {loss:.4}  {recorded} operations and parameters on the tape");
    }
    assert_eq!(net.encoder.state_dict(), before);

    net.encoder.unfreeze();
    for key in 10..20 {
        let (recorded, loss) = step(&mut net, key)?;
        assert!(frozen < recorded, "what is frozen is not on the tape");
        println!("all     step {key:2}  loss {loss:.4}  {recorded} operations and parameters on the tape");
    }
    assert_ne!(net.encoder.state_dict(), before);
    Ok(())
}
