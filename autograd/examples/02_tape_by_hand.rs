//! A tape from nothing, in about sixty lines; then the same with the crate.
//!
//! `cargo run -p autograd --example 02_tape_by_hand`

use std::cell::RefCell;

/// A number that was computed: which numbers from (at most two), and how it changes with each of them.
struct Node {
    inputs: [usize; 2],
    slopes: [f64; 2],
}

/// What was computed, in order. An input always stands before its result.
#[derive(Default)]
struct Tape {
    nodes: RefCell<Vec<Node>>,
}

/// A number and its place on the tape.
#[derive(Clone, Copy)]
struct Var<'t> {
    tape: &'t Tape,
    index: usize,
    value: f64,
}

impl Tape {
    /// A number that was computed from nothing: it depends on itself with slope 0.
    fn variable(&self, value: f64) -> Var<'_> {
        let index = self.nodes.borrow().len();
        self.push(value, [index; 2], [0.0; 2])
    }

    fn push(&self, value: f64, inputs: [usize; 2], slopes: [f64; 2]) -> Var<'_> {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { inputs, slopes });
        Var { tape: self, index: nodes.len() - 1, value }
    }
}

impl<'t> Var<'t> {
    fn add(self, b: Var<'t>) -> Var<'t> {
        self.tape.push(self.value + b.value, [self.index, b.index], [1.0, 1.0])
    }

    fn mul(self, b: Var<'t>) -> Var<'t> {
        self.tape.push(self.value * b.value, [self.index, b.index], [b.value, self.value])
    }

    fn tanh(self) -> Var<'t> {
        let y = self.value.tanh();
        self.tape.push(y, [self.index; 2], [1.0 - y * y, 0.0])
    }

    /// The gradient of this number with respect to every number on the tape, by the chain rule in reverse:
    /// when a node's turn comes, everything that used it has had its own, so its gradient is complete.
    fn backward(self) -> Vec<f64> {
        let nodes = self.tape.nodes.borrow();
        let mut gradients = vec![0.0; nodes.len()];
        gradients[self.index] = 1.0;
        for (i, node) in nodes.iter().enumerate().rev() {
            for (&input, slope) in node.inputs.iter().zip(node.slopes) {
                gradients[input] += gradients[i] * slope;
            }
        }
        gradients
    }

    fn of(self, gradients: &[f64]) -> f64 {
        gradients[self.index]
    }
}

fn main() {
    let [w0, x0, b0] = [0.7, -1.2, 0.3];
    println!("y = tanh(w·x + b)·w at w = {w0}, x = {x0}, b = {b0}: w is used twice.\n");

    let tape = Tape::default();
    let [w, x, b] = [w0, x0, b0].map(|v| tape.variable(v));
    let y = w.mul(x).add(b).tanh().mul(w);
    let gradients = y.backward();
    println!("by hand:   y = {:.6}", y.value);
    for (name, v) in [("w", w), ("x", x), ("b", b)] {
        println!("           dy/d{name} = {:>9.6}", v.of(&gradients));
    }

    use autograd::Tensor;
    let tape = autograd::Tape::train(0);
    let [w, x, b] = [w0, x0, b0].map(|v| tape.variable(Tensor::scalar(v)));
    let y = (&w * &x + &b).tanh() * &w;
    println!("the crate: y = {:.6}", y.item());
    let gradients = y.backward();
    for (name, v) in [("w", &w), ("x", &x), ("b", &b)] {
        println!("           dy/d{name} = {:>9.6}", gradients.wrt(v).unwrap().item());
    }

    println!(
        "\nWhat the crate adds: numbers become tensors, and a slope becomes a function that is run backwards"
    );
    println!(
        "(a slope for each pair of elements would be a huge matrix, mostly zeros). The tape is consumed as it"
    );
    println!("is read, so memory is freed on the way. Constants have no place on it. That is all.");
}
