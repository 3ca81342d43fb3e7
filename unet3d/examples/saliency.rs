//! What a prediction rests on: the gradient with respect to the volume, and Grad-CAM (Selvaraju et al. 2017) from the deepest
//! features; and an inner activation by its name.
//!
//! `cargo run -p unet3d --example saliency`

use autograd::{Tape, Tensor, Var};
use nn::functional::Input;
use rand::{SeedableRng, rngs::ChaCha8Rng};
use unet3d::{Error, UNet3d, UNet3dConfig};

/// What is explained: the logit of the voxel in the middle.
fn middle(logits: Var<'_>) -> Var<'_> {
    logits.slice(1, 4..5).slice(2, 8..9).slice(3, 8..9).sum()
}

fn main() -> Result<(), Error> {
    let config = UNet3dConfig { base_channels: 4, levels: 3, ..Default::default() };
    let net = UNet3d::<f32>::new(config, &mut ChaCha8Rng::seed_from_u64(0))?;
    let volume = Tensor::from_fn([1, 8, 16, 16, 1], |i| (0.3 * i as f32).sin());
    // Saliency: |d logit / d voxel|.
    let tape = Tape::eval();
    let x = tape.variable(volume.clone());
    let gradients = middle(net.forward(x.clone())?).backward();
    let saliency = gradients.wrt(&x).expect("the logit depends on the volume").map(f32::abs);
    let seen = saliency.data().iter().filter(|&&v| v > 0.0).count();
    println!("{seen} of {} voxels matter to the one in the middle", saliency.numel());

    // Grad-CAM: the deepest features as a variable, each channel weighted by the mean of its gradient.
    let mut features = net.encoder.forward(tape.constant(volume.clone()));
    let deepest = tape.variable(features.pop().expect("the deepest level").into_var().into_value());
    features.push(Input::from(deepest.clone()));
    let gradients = middle(net.head.forward(net.decoder.forward(features))).backward();
    let weights = tape.constant(gradients.wrt(&deepest).expect("it is read").clone()).mean_axes(&[1, 2, 3]);
    let cam = (tape.constant(deepest.into_value()) * weights).sum_axes(&[4]).relu();
    println!("Grad-CAM {}: {:.5?}", cam.shape(), cam.max_axes(&[1, 2, 3, 4]).item());

    // An inner activation by its name.
    let tape = Tape::no_grad();
    let inner = net.activation(tape.constant(volume), "dec.0")?;
    println!("dec.0 {}, mean {:.5}", inner.shape(), inner.mean().item());
    Ok(())
}
