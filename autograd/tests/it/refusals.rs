//! Mistakes that the engine refuses, in words.

use autograd::{Backward, Function, Tape, Tensor};

use crate::engine::vector;

#[test]
#[should_panic(expected = "a Var from before its tape's backward() was used again")]
fn a_value_from_before_the_backward_pass_is_refused() {
    let tape = Tape::train(0);
    let x = tape.variable(vector(&[1.0]));
    x.clone().sum().backward();
    let _ = x.exp();
}

#[test]
#[should_panic(expected = "a tape's backward() can run once")]
fn a_second_backward_pass_is_refused() {
    let tape = Tape::train(0);
    let loss = tape.variable(vector(&[1.0])).sum();
    let again = loss.clone();
    loss.backward();
    again.backward();
}

#[test]
#[should_panic(expected = "a Var of one tape was used on another")]
fn a_value_of_another_tape_is_refused() {
    let (one, other) = (Tape::train(0), Tape::train(0));
    let _ = one.variable(vector(&[1.0])) + other.variable(vector(&[1.0]));
}

#[test]
#[should_panic(expected = "backward() of a constant")]
fn the_gradient_of_a_constant_is_refused() {
    Tape::no_grad().variable(vector(&[1.0])).sum().backward();
}

#[test]
#[should_panic(expected = "backward() starts from one number, not [2]")]
fn the_gradient_of_several_numbers_is_refused() {
    Tape::train(0).variable(vector(&[1.0, 2.0])).exp().backward();
}

/// A function whose backward pass returns this.
struct Careless(Option<Tensor<f64>>);

impl Function<f64, 1> for Careless {
    fn forward(&self, [x]: [&Tensor<f64>; 1], _: [bool; 1]) -> (Tensor<f64>, ()) {
        (x.clone(), ())
    }
}

impl Backward<f64, 1> for Careless {
    type Saved = ();
    fn backward(&self, (): (), _: Tensor<f64>, _: [bool; 1]) -> [Option<Tensor<f64>>; 1] {
        [self.0.clone()]
    }
}

#[test]
#[should_panic(expected = "Careless: the gradient of input 0 has its shape")]
fn a_gradient_of_another_shape_is_refused_by_name() {
    let tape = Tape::train(0);
    let x = tape.variable(vector(&[1.0, 2.0]));
    tape.apply(Careless(Some(vector(&[1.0]))), [x]).sum().backward();
}

#[test]
#[should_panic(expected = "Careless: no gradient for input 0, which needs one")]
fn a_missing_gradient_is_refused_by_name() {
    let tape = Tape::train(0);
    let x = tape.variable(vector(&[1.0, 2.0]));
    tape.apply(Careless(None), [x]).sum().backward();
}

#[test]
#[should_panic(
    expected = "add: [2, 4, 4, 4, 3] and [2, 4, 5, 4, 3] do not go together: axis h is 4 against 5"
)]
fn shapes_that_differ_are_refused_by_axis() {
    let tape = Tape::<f32>::no_grad();
    let _ = tape.constant(Tensor::zeros([2, 4, 4, 4, 3])) + tape.constant(Tensor::zeros([2, 4, 5, 4, 3]));
}

#[test]
#[should_panic(expected = "sub: [3, 1] and [3] do not go together: the channel axis is 1 against 3")]
fn a_column_and_a_vector_of_as_many_numbers_are_not_spread_over_each_other() {
    let tape = Tape::<f32>::no_grad();
    let _ = tape.constant(Tensor::zeros([3, 1])) - tape.constant(Tensor::zeros([3]));
}

#[test]
#[should_panic(expected = "mul: [2, 3] and [4] do not go together: the channel axis is 3 against 4")]
fn a_vector_of_another_channel_count_is_refused() {
    let tape = Tape::<f32>::no_grad();
    let _ = tape.constant(Tensor::zeros([2, 3])) * tape.constant(Tensor::zeros([4]));
}
