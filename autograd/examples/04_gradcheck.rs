//! A derivative with a mistake, and the report that it gets.
//!
//! `cargo run -p autograd --example 04_gradcheck`

use autograd::gradcheck::Gradcheck;
use autograd::{Backward, Function, Tape, Tensor, Var};

/// y = x·σ(x). The derivative is σ(x)·(1 + x·(1 − σ(x))); it is right only if `careful`.
struct Silu {
    careful: bool,
}

impl Function<f64, 1> for Silu {
    fn forward(&self, [x]: [&Tensor<f64>; 1], _: [bool; 1]) -> (Tensor<f64>, Tensor<f64>) {
        (x.map(|x| x / (1.0 + (-x).exp())), x.clone())
    }
}

impl Backward<f64, 1> for Silu {
    type Saved = Tensor<f64>;

    fn backward(&self, x: Tensor<f64>, dy: Tensor<f64>, _: [bool; 1]) -> [Option<Tensor<f64>>; 1] {
        let slope = |x: f64| {
            let s = 1.0 / (1.0 + (-x).exp());
            // The mistake: x was forgotten in the second term. At x = 1 nobody would notice.
            if self.careful { s * (1.0 + x * (1.0 - s)) } else { s * (1.0 + (1.0 - s)) }
        };
        [Some(dy.zip_map(&x, |dy, x| dy * slope(x)))]
    }
}

fn silu<'t>(tape: &'t Tape<f64>, x: &[Var<'t, f64>], careful: bool) -> Var<'t, f64> {
    tape.apply(Silu { careful }, [x[0].clone()])
}

fn main() {
    let check = Gradcheck::new();
    let ones = [Tensor::full([2, 3], 1.0)];
    let x = [Tensor::from_vec([2, 3], vec![1.0, 1.0, 1.0, 1.0, -0.5, 2.0])];

    println!("Derivatives are compared with difference quotients along random directions.\n");
    let report = |what: &str, result| match result {
        Ok(()) => println!("{what}: passes"),
        Err(mismatch) => println!("{what}: FAILS\n    {mismatch}"),
    };
    report("right, at random x        ", check.projections("silu", &x, |tape, x| silu(tape, x, true)));
    report("wrong, but only at x = 1  ", check.projections("silu", &ones, |tape, x| silu(tape, x, false)));
    report("wrong, at random x        ", check.projections("silu", &x, |tape, x| silu(tape, x, false)));

    println!(
        "\nThe mistake hides where x = 1: a check is as good as its inputs. Once a direction disagrees,"
    );
    println!("every element is tried, and the first one that is wrong is named: [1, 1], where x is −0.5.");

    // A step over a kink looks like a mistake too: keep inputs away from it.
    let kink = [Tensor::from_vec([3], vec![-1.0, 5e-5, 1.0])];
    println!("\nrelu is right, but not smooth at 0, and one x is nearer to 0 than the step of 1e-4:");
    report("relu, across its kink     ", check.projections("relu", &kink, |_, x| x[0].clone().relu()));
}
