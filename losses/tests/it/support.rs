//! What the tests of losses share.

use autograd::{Real, Tape, Tensor};
use losses::{Error, Loss, Report, Target};

/// The loss's values and its gradient with respect to the logits, of Σ loss.
pub(crate) fn run<T: Real>(
    loss: &dyn Loss<T>,
    logits: &Tensor<T>,
    target: Target<'_, T>,
) -> (Vec<f64>, Vec<f64>) {
    try_run(loss, logits, target).unwrap()
}

pub(crate) fn try_run<T: Real>(
    loss: &dyn Loss<T>,
    logits: &Tensor<T>,
    target: Target<'_, T>,
) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let tape = Tape::train(0);
    let x = tape.variable(logits.clone());
    let y = loss.report(&x, target)?.loss;
    let values = y.value().data().iter().map(|v| v.to_f64()).collect();
    let ones = Tensor::full(y.shape(), T::ONE);
    let gradients = y.backward_with(ones);
    let dx = gradients.wrt(&x).unwrap().data().iter().map(|v| v.to_f64()).collect();
    Ok((values, dx))
}

/// What a report says beside the loss: counted, ignored, normaliser.
pub(crate) fn counts<T: Real>(
    loss: &dyn Loss<T>,
    logits: &Tensor<T>,
    target: Target<'_, T>,
) -> (u64, u64, f64) {
    let tape = Tape::no_grad();
    let Report { counted, ignored, normaliser, .. } =
        loss.report(&tape.constant(logits.clone()), target).unwrap();
    (counted, ignored, normaliser)
}

/// |got − want| ≤ tolerance · max(1, max|want|)
#[track_caller]
pub(crate) fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * scale, "[{i}]: {g} instead of {w}; {got:?} instead of {want:?}");
    }
}

/// Numbers in [−1, 1) that look random, the same for the same key.
pub(crate) fn noise(key: u64, i: usize) -> f64 {
    let mut x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ key.wrapping_mul(0xd134_2543_de82_ef95);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((x >> 11) as f64 / (1u64 << 53) as f64) * 2.0 - 1.0
}

pub(crate) fn noise_tensor<T: Real>(key: u64, shape: &[usize], scale: f64) -> Tensor<T> {
    Tensor::from_fn(shape, |i| T::from_f64(noise(key, i) * scale))
}
