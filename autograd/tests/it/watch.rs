//! A tape that watches names the first operation whose numbers are not finite; an observer is told of every operation.

use std::sync::{Arc, Mutex};

use autograd::{Event, NonFinite, Parameter, Pass, Tape, Tensor, Var};

fn vector(values: &[f64]) -> Tensor<f64> {
    Tensor::from_slice([values.len()], values)
}

/// log(x·a)·b, summed.
fn loss<'t>(tape: &'t Tape<f64>, x: f64, a: &Parameter<f64>, b: &Parameter<f64>) -> Var<'t, f64> {
    let scaled = tape.constant(vector(&[1.0, x])) * tape.parameter(a);
    (scaled.ln() * tape.parameter(b)).sum()
}

fn parameters() -> [Parameter<f64>; 2] {
    [Parameter::new(vector(&[2.0, 2.0])), Parameter::new(vector(&[3.0, 3.0]))]
}

/// What is found in both passes.
fn found(tape: &Tape<f64>, x: f64, [a, b]: &[Parameter<f64>; 2]) -> Option<NonFinite> {
    tape.watch();
    loss(tape, x, a, b).backward();
    tape.first_non_finite()
}

#[test]
fn finite_numbers_are_no_fault() {
    assert_eq!(found(&Tape::train(0), 1.0, &parameters()), None);
}

#[test]
fn the_first_value_is_named_with_the_parameter_before_it() {
    let parameters = parameters();
    let fault = found(&Tape::train(0), -1.0, &parameters).unwrap();
    assert_eq!((fault.operation, fault.pass), ("Ln", Pass::Forward));
    assert_eq!((fault.shape.dims(), fault.parameter), (&[2][..], Some(parameters[0].id())));
}

#[test]
fn a_tape_that_does_not_watch_finds_nothing() {
    let ([a, b], tape) = (parameters(), Tape::train(0));
    assert!(loss(&tape, -1.0, &a, &b).item().is_nan());
    assert_eq!(tape.first_non_finite(), None);
}

#[test]
fn a_gradient_is_named_where_all_values_are_finite() {
    // The square root's slope at 0.
    let w = Parameter::new(vector(&[0.0]));
    let tape = Tape::train(0);
    tape.watch();
    tape.parameter(&w).sqrt().sum().backward();
    let fault = tape.first_non_finite().unwrap();
    assert_eq!((fault.operation, fault.pass, fault.parameter), ("parameter", Pass::Backward, Some(w.id())));
}

#[test]
fn what_is_computed_again_is_watched_in_both_passes() {
    let parameters = parameters();
    let [a, b] = parameters.clone();
    let tape = Tape::train(0);
    tape.watch();
    let x = tape.constant(vector(&[1.0]));
    tape.checkpoint([x], move |tape, [x]| x * loss(tape, -1.0, &a, &b)).sum().backward();
    let fault = tape.first_non_finite().unwrap();
    assert_eq!(
        (fault.operation, fault.pass, fault.parameter),
        ("Ln", Pass::Forward, Some(parameters[0].id()))
    );

    let w = Parameter::new(vector(&[0.0]));
    let (inside, tape) = (w.clone(), Tape::train(0));
    tape.watch();
    let x = tape.constant(vector(&[1.0]));
    tape.checkpoint([x], move |tape, [x]| x * tape.parameter(&inside).sqrt()).sum().backward();
    let fault = tape.first_non_finite().unwrap();
    assert_eq!((fault.operation, fault.pass, fault.parameter), ("parameter", Pass::Backward, Some(w.id())));
}

#[test]
fn inference_is_watched_too() {
    let ([a, b], tape) = (parameters(), Tape::no_grad());
    tape.watch();
    assert!(loss(&tape, -1.0, &a, &b).item().is_nan());
    assert_eq!(tape.first_non_finite().map(|fault| fault.operation), Some("Ln"));
}

/// The events of the pass that `f` records, forward and backward.
fn events(f: impl for<'t> FnOnce(&'t Tape<f64>) -> Var<'t, f64>) -> Vec<Event> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (tape, events) = (Tape::train(0), seen.clone());
    tape.observe(move |event| events.lock().unwrap().push(event));
    f(&tape).backward();
    let events = seen.lock().unwrap();
    events.clone()
}

fn event(operation: &'static str, pass: Pass, dims: &[usize]) -> Event {
    Event { operation, pass, shape: dims.into() }
}

#[test]
fn an_observer_sees_the_recorded_operations_forward_and_then_backward_in_reverse() {
    let w = Parameter::new(vector(&[1.0, 2.0]));
    let seen = events(|tape| {
        let constant = tape.constant(vector(&[3.0])).square();
        let unused = tape.parameter(&w).tanh();
        drop(unused);
        (tape.parameter(&w).exp() * constant).sum()
    });
    let expected = [
        event("Tanh", Pass::Forward, &[2]),
        event("Exp", Pass::Forward, &[2]),
        event("Mul", Pass::Forward, &[2]),
        event("Sum", Pass::Forward, &[]),
        event("Sum", Pass::Backward, &[]),
        event("Mul", Pass::Backward, &[2]),
        event("Exp", Pass::Backward, &[2]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_checkpoint_is_one_operation_to_an_observer_and_is_watched_inside() {
    let w = Parameter::new(vector(&[1.0, 2.0]));
    let inside = w.clone();
    let seen = events(|tape| {
        tape.watch();
        let x = tape.variable(vector(&[0.5, -0.5]));
        let y = tape.checkpoint([x.exp()], move |tape, [x]| (x * tape.parameter(&inside)).square()).sum();
        assert_eq!(tape.first_non_finite(), None);
        y
    });
    let expected = [
        event("Exp", Pass::Forward, &[2]),
        event("checkpoint", Pass::Forward, &[2]),
        event("Sum", Pass::Forward, &[]),
        event("Sum", Pass::Backward, &[]),
        event("checkpoint", Pass::Backward, &[2]),
        event("Exp", Pass::Backward, &[2]),
    ];
    assert_eq!(seen, expected);

    // A fault two checkpoints deep is named by the operation itself, and by its parameter.
    let tape = Tape::train(0);
    tape.watch();
    let (x, inside) = (tape.variable(vector(&[-1.0, 1.0])), w.clone());
    let y = tape.checkpoint([x], move |tape, [x]| {
        let inside = inside.clone();
        tape.checkpoint([x], move |tape, [x]| (x * tape.parameter(&inside)).sqrt())
    });
    let fault = tape.first_non_finite().unwrap();
    assert_eq!((fault.operation, fault.pass, fault.parameter), ("Sqrt", Pass::Forward, Some(w.id())));
    y.sum().backward();
    assert_eq!(tape.first_non_finite(), Some(fault), "the first one stays");
}
