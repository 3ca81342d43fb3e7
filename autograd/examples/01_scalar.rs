//! Gradients of a small formula, three ways, and what they are good for.
//!
//! `cargo run -p autograd --example 01_scalar`

use autograd::{Parameter, Tape, Tensor, Var};

/// f(x, y) = x²·y + e^(−x)
fn f<'t>(x: &Var<'t, f64>, y: &Var<'t, f64>) -> Var<'t, f64> {
    x.clone().square() * y + (-x).exp()
}

fn value(x: f64, y: f64) -> f64 {
    let tape = Tape::no_grad(); // the same code, but nothing is recorded
    f(&tape.constant(Tensor::scalar(x)), &tape.constant(Tensor::scalar(y))).item()
}

fn main() {
    let (x0, y0) = (1.5, -0.5);

    // A tape records the pass; backward() runs through the record in reverse.
    let tape = Tape::train(0);
    let x = tape.variable(Tensor::scalar(x0));
    let y = tape.variable(Tensor::scalar(y0));
    let z = f(&x, &y);
    println!("f(x, y) = x²·y + e^(−x) at ({x0}, {y0}) is {:.6}, recorded in {} nodes", z.item(), tape.len());
    let gradients = z.backward();

    let h = 1e-5;
    println!("\n           tape       on paper   difference quotient");
    println!(
        "df/dx {:>10.6} {:>14.6} {:>15.6}",
        gradients.wrt(&x).unwrap().item(),
        2.0 * x0 * y0 - (-x0).exp(),
        (value(x0 + h, y0) - value(x0 - h, y0)) / (2.0 * h)
    );
    println!(
        "df/dy {:>10.6} {:>14.6} {:>15.6}",
        gradients.wrt(&y).unwrap().item(),
        x0 * x0,
        (value(x0, y0 + h) - value(x0, y0 - h)) / (2.0 * h)
    );

    // Gradients tell where downhill is. Minimise (w² − 2)²: w goes to √2.
    println!("\nminimising (w² − 2)² by gradient descent:");
    let mut w = Parameter::new(Tensor::scalar(0.5));
    for step in 0..=20 {
        let tape = Tape::train(step);
        let loss = (tape.parameter(&w).square() - 2.0).square();
        if step % 5 == 0 {
            println!("step {step:>2}: w = {:.6}, loss = {:.2e}", w.value().item(), loss.item());
        }
        let gradients = loss.backward();
        let downhill = gradients.get(&w).unwrap().item();
        w.set(Tensor::scalar(w.value().item() - 0.05 * downhill));
    }
    println!("√2          = {:.6}", 2.0f64.sqrt());
}
