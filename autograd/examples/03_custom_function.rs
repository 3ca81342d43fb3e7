//! An operation of your own: softsign, x/(1 + |x|), with its derivative, checked on the spot.
//!
//! `cargo run -p autograd --example 03_custom_function`

use autograd::gradcheck::{Gradcheck, Mismatch};
use autograd::{Backward, Function, Real, Tape, Tensor, Var};

/// y = x/(1 + |x|), dy/dx = 1/(1 + |x|)² = (1 − |y|)²
struct Softsign;

impl<T: Real> Function<T, 1> for Softsign {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Tensor<T>) {
        let y = x.map(|x| x / (T::ONE + x.abs()));
        (y.clone(), y)
    }
}

impl<T: Real> Backward<T, 1> for Softsign {
    type Saved = Tensor<T>;

    fn backward(&self, y: Tensor<T>, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(dy.zip_map(&y, |dy, y| dy * (T::ONE - y.abs()) * (T::ONE - y.abs())))]
    }
}

fn softsign<T: Real>(x: Var<'_, T>) -> Var<'_, T> {
    x.tape().apply(Softsign, [x])
}

fn main() -> Result<(), Mismatch> {
    // It is used like any built-in operation, in f32 ...
    let tape = Tape::<f32>::train(0);
    let x = tape.variable(Tensor::from_vec([5], vec![-4.0, -1.0, 0.5, 1.0, 4.0]));
    let y = softsign(x.clone());
    println!("x     {:?}", x.value().data());
    println!("y     {:?}", y.value().data());
    println!("dy/dx {:?}", y.sum().backward().wrt(&x).unwrap().data());

    // ... and checked in f64, through the same lines, away from the corner of |x| at 0.
    let x = Tensor::from_fn([4, 33], |i| 0.1 + 0.02 * i as f64);
    Gradcheck::new().projections("softsign", std::slice::from_ref(&x), |_, x| softsign(x[0].clone()))?;
    println!("\nthe gradient agrees with difference quotients in {} elements", x.numel());
    Ok(())
}
