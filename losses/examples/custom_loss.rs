//! A loss of your own: the Brier score (σ(x) − y)², averaged. Run it with `cargo run -p losses --example custom_loss`.

use autograd::gradcheck::Gradcheck;
use autograd::{Backward, Function, Real, Tensor, Var};
use losses::{Combined, Dice, Error, Loss, Report, Target};

struct Brier<T: Real>(Tensor<T>);

impl<T: Real> Function<T, 1> for Brier<T> {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Tensor<T>) {
        let difference = x.map(T::sigmoid).zip_map(&self.0, |p, y| p - y);
        let sum: T = difference.data().iter().map(|&d| d * d).sum();
        (Tensor::scalar(sum / T::from_f64(x.numel() as f64)), difference)
    }
}

impl<T: Real> Backward<T, 1> for Brier<T> {
    type Saved = Tensor<T>;

    fn backward(&self, difference: Tensor<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let factor = dy.item() * T::from_f64(2.0 / difference.numel() as f64);
        // σ = difference + y, and dσ/dx = σ·(1 − σ).
        [Some(difference.zip_map(&self.0, |d, y| factor * d * (d + y) * (T::ONE - d - y)))]
    }
}

/// The score as one of the workspace's losses, to be combined with the others.
struct BrierLoss;

impl<T: Real> Loss<T> for BrierLoss {
    fn report<'t>(&self, x: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        let Target::Soft { values: y, mask: None } = target else {
            return Err(Error::Parts("the Brier score takes probabilities, without a mask".into()));
        };
        let n = y.numel();
        let loss = x.tape().apply(Brier(y.clone()), [x.clone()]);
        Ok(Report { loss, counted: n as u64, ignored: 0, normaliser: n as f64 })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let x = [Tensor::<f64>::from_fn([2, 3, 4, 1], |i| (i as f64 * 0.7).sin() * 3.0)];
    let y = Tensor::from_fn([2, 3, 4, 1], |i| f64::from(i % 5 == 0));
    let both = Combined::new().and(1.0, BrierLoss).and(0.5, Dice::new());
    Gradcheck::new()
        .projections("Brier + Dice", &x, |_, x| both.forward(&x[0], &y).expect("shapes that fit"))?;
    println!("gradient checked");
    Ok(())
}
