//! What the tests of operations share.

use autograd::gradcheck::Gradcheck;
use autograd::{Real, Shape, Tape, Tensor, Var};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Channel counts below, at and above the lanes of every instruction set.
pub(crate) const CHANNELS: [usize; 7] = [1, 7, 8, 15, 16, 17, 33];

/// Uniform in [−1, 1).
pub(crate) fn random<T: Real>(shape: impl Into<Shape>, seed: u64) -> Tensor<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Tensor::from_fn(shape, |_| T::from_f64(rng.random_range(-1.0..1.0)))
}

/// Multiples of 0.01 in random order: no two are closer than that, so no step of a difference quotient changes
/// which is the larger.
pub(crate) fn distinct(shape: impl Into<Shape>, seed: u64) -> Tensor<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = shape.into();
    let mut values: Vec<f64> = (0..shape.numel()).map(|i| 0.01 * i as f64).collect();
    for i in (1..values.len()).rev() {
        values.swap(i, rng.random_range(0..=i));
    }
    Tensor::from_vec(shape, values)
}

/// Every gradient of `f` against difference quotients along random directions.
#[track_caller]
pub(crate) fn check<F>(name: &str, inputs: &[Tensor<f64>], f: F)
where
    F: for<'t> Fn(&'t Tape<f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
{
    Gradcheck::new().projections(name, inputs, f).unwrap_or_else(|mismatch| panic!("{mismatch}"));
}

/// The largest difference, relative to the largest expected number.
pub(crate) fn distance<T: Real>(got: &Tensor<T>, want: &Tensor<f64>) -> f64 {
    assert_eq!(got.shape(), want.shape(), "compared tensors have one shape");
    let largest = want.data().iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
    let difference = got.data().iter().zip(want.data()).map(|(g, w)| (g.to_f64() - w).abs());
    // NaN is infinitely far.
    difference.fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { f64::max(m, d) }) / largest
}

/// Value and gradients of Σ y·u, u random, with every input a variable.
pub(crate) fn value_and_gradients<T: Real, F>(inputs: &[Tensor<T>], f: F) -> Vec<Tensor<T>>
where
    F: for<'t> Fn(&'t Tape<T>, &[Var<'t, T>]) -> Var<'t, T>,
{
    let tape = Tape::train(7);
    let variables: Vec<_> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
    let y = f(&tape, &variables);
    let mut all = vec![y.value().clone()];
    let u = random(y.shape(), 99);
    let gradients = y.backward_with(u);
    all.extend(variables.iter().map(|x| gradients.wrt(x).expect("the result depends on it").clone()));
    all
}

/// What `f` yields with 1, 2 and 3 threads must be the same bits; recycled memory is full of NaN meanwhile.
#[track_caller]
pub(crate) fn same_for_any_threads(name: &str, f: impl Fn() -> Vec<Tensor<f32>> + Sync) {
    autograd::buffer::poison_recycled(true);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
        pool.install(|| bits(&f()))
    };
    let one = with(1);
    assert!(
        one.iter().flatten().all(|&b| f32::from_bits(b).is_finite()),
        "{name}: an element was not written"
    );
    for threads in [2, 3] {
        assert!(one == with(threads), "{name}: other bits with {threads} threads than with 1");
    }
}

fn bits(tensors: &[Tensor<f32>]) -> Vec<Vec<u32>> {
    tensors.iter().map(|t| t.data().iter().map(|v| v.to_bits()).collect()).collect()
}

/// `f` in `f32` agrees with `f` in `f64`, value and gradients, within 16·ε·√n of the largest number, n being the size
/// of the largest tensor and so at least the length of every sum. A smaller tensor holds sums, whose terms of about 1 may
/// cancel: its largest number counts as 1 at least.
#[track_caller]
pub(crate) fn single_agrees_with_double<F, G>(inputs: &[Tensor<f32>], single: F, double: G)
where
    F: for<'t> Fn(&'t Tape<f32>, &[Var<'t, f32>]) -> Var<'t, f32>,
    G: for<'t> Fn(&'t Tape<f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
{
    let wide: Vec<Tensor<f64>> = inputs.iter().map(Tensor::cast).collect();
    let (got, want) = (value_and_gradients(inputs, single), value_and_gradients(&wide, double));
    let n = want.iter().map(Tensor::numel).max().unwrap_or(1) as f64;
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let largest = want.data().iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
        let cancelled = if (want.numel() as f64) < n { largest.recip().max(1.0) } else { 1.0 };
        let allowed = 16.0 * f64::from(f32::EPSILON) * n.sqrt() * cancelled;
        let off = distance(got, want);
        assert!(off <= allowed, "tensor {i} (0 is the value): off by {off:e}, allowed {allowed:e}");
    }
}

/// Value and gradients of `f` and `g` agree within 1e-12 of the largest number.
#[track_caller]
pub(crate) fn equal_functions<F, G>(inputs: &[Tensor<f64>], f: F, g: G)
where
    F: for<'t> Fn(&'t Tape<f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
    G: for<'t> Fn(&'t Tape<f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
{
    let (got, want) = (value_and_gradients(inputs, f), value_and_gradients(inputs, g));
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let off = distance(got, want);
        assert!(off <= 1e-12, "tensor {i} (0 is the value): off by {off:e}");
    }
}
