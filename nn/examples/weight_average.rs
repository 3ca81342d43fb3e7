//! An exponential moving average of weights: it lags behind the model and jitters less; saved and loaded.
//!
//! `cargo run -p nn --example weight_average`

use std::io::Cursor;

use autograd::{Tape, Tensor};
use nn::layers::Linear;
use nn::optim::{Optimizer, Sgd, SgdConfig};
use nn::{Ema, state_dict};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// The mean squared difference to y = 2·a − b, of four noisy examples.
fn step_loss(model: &Linear, rng: &mut ChaCha8Rng, tape: &Tape) -> autograd::Gradients {
    let x = Tensor::from_fn([4, 2], |_| rng.random_range(-1.0..1.0));
    let noisy = |i: usize| 2.0 * x.data()[2 * i] - x.data()[2 * i + 1];
    let y = Tensor::from_fn([4, 1], |i| noisy(i) + rng.random_range(-1.0f32..1.0));
    let error = model.forward(tape.constant(x)) - tape.constant(y);
    error.square().mean().backward()
}

fn distance(model: &Linear) -> f32 {
    let [a, b] = model.weight.value().data() else { unreachable!("two weights") };
    (a - 2.0).hypot(b + 1.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut model = Linear::new(2, 1, &mut rng)?;
    let mut average = Ema::new(&model, 0.99)?;
    let mut sgd = Sgd::new(SgdConfig { lr: 0.2, ..Default::default() })?;
    let (mut of_model, mut of_average) = (0.0, 0.0);
    for step in 0..1000 {
        let gradients = step_loss(&model, &mut rng, &Tape::train(step));
        sgd.step(&mut model, &gradients);
        average.update(&model);
        if step >= 500 {
            (of_model, of_average) = (of_model + distance(&model), of_average + distance(average.model()));
        }
    }
    println!(
        "mean distance to the true weights: model {:.3}, average {:.3}",
        of_model / 500.0,
        of_average / 500.0
    );
    assert!(of_average < 0.5 * of_model);

    let mut file = Vec::new();
    state_dict::write(average.state_dict(), None, &mut file)?;
    let mut loaded = Ema::new(&model, 0.99)?;
    loaded.load_state_dict(state_dict::read(Cursor::new(file))?)?;
    assert_eq!(loaded.model().weight.value(), average.model().weight.value());
    Ok(())
}
