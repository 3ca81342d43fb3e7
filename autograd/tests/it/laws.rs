//! The laws that hold for every operation, each checked on the table in `laws/cases.rs`.

mod cases;

use std::collections::BTreeSet;
use std::path::Path;

use autograd::gradcheck::{Gradcheck, adjoint};
use autograd::{Shape, Tape, Tensor, buffer};
use cases::{CASES, Case, Linear, random, run};
use proptest::prelude::*;

/// More than one slab, with a ragged end, and channels that are no multiple of a vector.
const LARGE: [usize; 3] = [2, 601, 17];

fn shapes() -> impl Strategy<Value = Shape> {
    let channels = prop::sample::select(vec![1usize, 7, 8, 15, 16, 17, 33]);
    (prop::collection::vec(1usize..4, 0..=4), channels).prop_map(|(mut dims, channels)| {
        dims.push(channels);
        Shape::new(&dims)
    })
}

fn check_gradient(case: &Case, shape: Shape, seed: u64) {
    let inputs = case.inputs(shape, seed);
    let check = Gradcheck { seed, ..Gradcheck::new() };
    if let Err(mismatch) = check.projections(case.name, &inputs, |_, x| (case.run)(x)) {
        panic!("{mismatch} for {shape}, seed {seed}");
    }
}

/// ⟨A x, u⟩ = ⟨x, Aᵀ u⟩ for input `i`, in f32.
fn check_adjoint(case: &Case, i: usize, inputs: &[Tensor<f32>], seed: u64) {
    let y = |tape: &Tape<f32>, x: &Tensor<f32>, u: Option<&Tensor<f32>>| {
        let constant = |j: usize| tape.constant(inputs[j].clone());
        let mut vars: Vec<_> = (0..inputs.len()).map(constant).collect();
        vars[i] = tape.variable(x.clone());
        let y = (case.run32)(&vars);
        let Some(u) = u else { return y.into_value() };
        y.backward_with(u.clone()).wrt(&vars[i]).unwrap().clone()
    };
    let forward = |x: &Tensor<f32>| y(&Tape::train(0), x, None);
    let backward = |u: &Tensor<f32>| y(&Tape::train(0), &inputs[i], Some(u));
    let u = random(forward(&inputs[i]).shape(), seed).cast();
    if let Err(mismatch) = adjoint(case.name, &inputs[i], &u, forward, backward) {
        panic!("{mismatch} for input {i}, seed {seed}");
    }
}

fn check_linearity(case: &Case, shape: Shape, seed: u64) {
    let inputs: Vec<Tensor<f32>> = case.inputs(shape, seed).iter().map(Tensor::cast).collect();
    match case.linear {
        Linear::No => {}
        Linear::In(which) => which.iter().for_each(|&i| check_adjoint(case, i, &inputs, seed)),
        Linear::Jointly => {
            for i in 0..inputs.len() {
                let mut alone: Vec<_> = inputs.iter().map(|x| Tensor::zeros(x.shape())).collect();
                alone[i] = inputs[i].clone();
                check_adjoint(case, i, &alone, seed);
            }
        }
    }
}

fn largest(x: &Tensor<f64>) -> f64 {
    x.data().iter().fold(0.0, |m, v| v.abs().max(m))
}

/// f32 differs from f64 by at most 16·√terms·ε of the largest number involved: no operation has more than 16
/// roundings besides a sum's, whose errors add up like a random walk.
fn check_precisions(case: &Case, shape: Shape, seed: u64) {
    let inputs: Vec<Tensor<f32>> = case.inputs(shape, seed).iter().map(Tensor::cast).collect();
    let exact: Vec<Tensor<f64>> = inputs.iter().map(Tensor::cast).collect();
    let expected = run(case.run, &exact, seed);
    let of_inputs = exact.iter().map(largest).fold(1.0, f64::max);
    for (i, (got, want)) in run(case.run32, &inputs, seed).iter().zip(&expected).enumerate() {
        let terms = shape.numel().max(5) as f64;
        let allowed = 16.0 * terms.sqrt() * f64::from(f32::EPSILON) * largest(want).max(of_inputs);
        let difference = largest(&got.cast().zip_map(want, |a, b| a - b));
        assert!(difference <= allowed, "{} {shape} result {i}: {difference:e} > {allowed:e}", case.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn gradients_match_finite_differences_for_any_shape(shape in shapes(), seed in 0u64..1 << 32) {
        CASES.iter().for_each(|case| check_gradient(case, shape, seed));
    }

    #[test]
    fn backward_is_the_adjoint_of_every_linear_operation_in_f32(shape in shapes(), seed in 0u64..1 << 32) {
        CASES.iter().for_each(|case| check_linearity(case, shape, seed));
    }

    #[test]
    fn f32_agrees_with_f64_to_rounding(shape in shapes(), seed in 0u64..1 << 32) {
        CASES.iter().for_each(|case| check_precisions(case, shape, seed));
    }
}

#[test]
fn the_laws_hold_beyond_one_slab() {
    for case in CASES {
        check_gradient(case, LARGE.into(), 1);
        check_linearity(case, LARGE.into(), 2);
        check_precisions(case, LARGE.into(), 3);
    }
}

#[test]
fn every_operation_is_in_the_table() {
    let tested: BTreeSet<&str> = CASES.iter().filter_map(|case| case.name.split(' ').next()).collect();
    let mut operations: BTreeSet<String> = ["add", "sub", "mul", "div", "neg"].map(String::from).into();
    for entry in Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops").read_dir().unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let methods = source.lines().filter_map(|line| line.trim().strip_prefix("pub fn "));
        operations.extend(methods.filter_map(|line| Some(line.split_once("(self")?.0.to_string())));
    }
    assert!(operations.len() > 30, "the sources were found: {operations:?}");
    let untested: Vec<_> = operations.iter().filter(|name| !tested.contains(name.as_str())).collect();
    assert!(untested.is_empty(), "no law is checked on {untested:?}: add them to tests/it/laws/cases.rs");
}

fn bits(results: &[Tensor<f32>]) -> Vec<Vec<u32>> {
    results.iter().map(|x| x.data().iter().map(|v| v.to_bits()).collect()).collect()
}

#[test]
fn results_have_the_same_bits_for_any_number_of_threads() {
    for case in CASES {
        let inputs: Vec<Tensor<f32>> =
            case.inputs([3, 40, 40, 17].into(), 5).iter().map(Tensor::cast).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            bits(&pool.install(|| run(case.run32, &inputs, 6)))
        };
        let one = with(1);
        assert_eq!(one, with(2), "{} with two threads", case.name);
        assert_eq!(one, with(3), "{} with three threads", case.name);
    }
}

#[test]
fn no_result_contains_what_was_in_a_recycled_buffer() {
    buffer::poison_recycled(true);
    for case in CASES {
        let inputs: Vec<Tensor<f32>> = case.inputs(LARGE.into(), 7).iter().map(Tensor::cast).collect();
        let first = run(case.run32, &inputs, 8);
        let expected = bits(&first);
        drop(first); // its buffers are what the second run finds on the free list
        let again = run(case.run32, &inputs, 8);
        assert!(again.iter().all(Tensor::is_finite), "{}: a result was not written whole", case.name);
        assert_eq!(bits(&again), expected, "{}", case.name);
    }
}
