//! Derivatives held against finite differences, in `f64`, through the same code that `f32` runs.
//!
//! Three checks, from cheap to thorough:
//!
//! - [`adjoint`]: for a linear operation A, ⟨A x, u⟩ = ⟨x, Aᵀ u⟩, without any step size, so in `f32` too.
//! - [`Gradcheck::projections`]: for random `u`, `v` the derivative of t ↦ Σ u·f(x + t·v) at 0 must be Σ dx·v. A few
//!   evaluations whatever the size; an error in any element shows, if it is above the tolerance, but for an unlucky v.
//! - [`Gradcheck::elements`]: the same for each element of each input in turn.
//!
//! The difference quotient of g(t) = Σ u·f(x + t·v) is (8[g(h) − g(−h)] − [g(2h) − g(−2h)]) / 12h with h = 1e-4. Inputs
//! must keep more than 2h·|v| away from kinks (relu at 0, ties in a max).
//!
//! # Which differences are allowed
//!
//! The quotient has two errors. *Truncation* is h⁴·g⁽⁵⁾/30: 3e-18 where the fifth derivative is 1. (The quotient of second order
//! has h²·g⁽³⁾/6, 2e-9, which a third derivative of 60 times the first would raise above the tolerance of 1e-7.) *Rounding* is
//! what counts: if each value of g is wrong by δ at most, the quotient is wrong by (8 + 8 + 1 + 1)·δ/12h = 1.5·δ/h at most.
//! Allowed are 64·ε·Σ|u·y|/h beside the tolerance, so δ may be 42·ε·Σ|u·y|: 85 roundings of each number of y = f(x) in one
//! direction, or 2400 independent ones at three standard deviations of their sum.
//!
//! # Source
//! The random projection is that of HIPS autograd's `check_grads`; the stencil is Fornberg 1988, table 1.

use std::fmt;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::{Real, Tape, Tensor, Var};

/// The step of the difference quotient.
pub const STEP: f64 = 1e-4;

/// Settings of a check; [`Gradcheck::new`] gives the usual ones.
#[derive(Clone, Copy, Debug)]
pub struct Gradcheck {
    /// Random pairs `u`, `v` that are tried.
    pub trials: usize,
    /// Allowed difference relative to Σ|dx·v|; rounding of the function itself is allowed for beside it.
    pub tolerance: f64,
    /// Seed of the random directions.
    pub seed: u64,
}

/// A derivative that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Mismatch {
    /// The function, as the caller named it.
    pub function: String,
    /// Which input.
    pub input: usize,
    /// Which element of it, as flat index and as coordinates; `None` if only the sum over all is known to be wrong.
    pub index: Option<(usize, Vec<usize>)>,
    /// What the backward pass says.
    pub got: f64,
    /// What the difference quotient says.
    pub expected: f64,
    /// The difference that would have been accepted.
    pub allowed: f64,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: gradient of input {}", self.function, self.input)?;
        match &self.index {
            Some((_, coordinates)) => write!(f, " at {coordinates:?}")?,
            None => write!(f, " along a random direction")?,
        }
        write!(
            f,
            ": got {:e}, expected {:e} (allowed difference {:e})",
            self.got, self.expected, self.allowed
        )
    }
}

impl std::error::Error for Mismatch {}

impl Default for Gradcheck {
    /// Two trials, tolerance 1e-7.
    fn default() -> Self {
        Self { trials: 2, tolerance: 1e-7, seed: 0 }
    }
}

impl Gradcheck {
    /// The usual settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the gradient along random directions; a failure is narrowed down to an element.
    ///
    /// `f` is called on tapes in training mode that all carry the same key.
    ///
    /// # Errors
    /// The first [`Mismatch`].
    pub fn projections<F>(&self, function: &str, inputs: &[Tensor<f64>], f: F) -> Result<(), Mismatch>
    where
        F: for<'t> Fn(&'t Tape<f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
    {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        for _ in 0..self.trials {
            let probe = Probe::new(inputs, &f, &mut rng);
            for (i, dx) in probe.gradients.iter().enumerate() {
                let v = random_like(&inputs[i], &mut rng);
                let (got, scale) = dot(dx, &v);
                let expected = probe.derivative(&f, inputs, i, |x, t| x.zip_map(&v, |x, v| x + t * v));
                let allowed = self.tolerance * scale + probe.rounding;
                if let Err(coarse) = compare(function, i, None, [got, expected, allowed]) {
                    return Err(self.elements(function, inputs, &f).err().unwrap_or(coarse));
                }
            }
        }
        Ok(())
    }

    /// Checks the gradient of every element of every input.
    ///
    /// # Errors
    /// The first [`Mismatch`].
    pub fn elements<F>(&self, function: &str, inputs: &[Tensor<f64>], f: F) -> Result<(), Mismatch>
    where
        F: for<'t> Fn(&'t Tape<f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
    {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let probe = Probe::new(inputs, &f, &mut rng);
        for (i, dx) in probe.gradients.iter().enumerate() {
            let finite = dx.data().iter().filter(|v| v.is_finite());
            let largest = finite.fold(0.0f64, |m, v| m.max(v.abs()));
            let allowed = self.tolerance * largest + probe.rounding;
            for (at, &got) in dx.data().iter().enumerate() {
                let expected = probe.derivative(&f, inputs, i, |mut x, t| {
                    x.data_mut()[at] += t;
                    x
                });
                compare(function, i, Some((at, dx.dims())), [got, expected, allowed])?;
            }
        }
        Ok(())
    }
}

/// Checks that `backward` is the adjoint of the linear `forward`: ⟨A x, u⟩ = ⟨x, Aᵀ u⟩.
///
/// The allowed difference is 8·√n·ε relative to Σ|A x·u|, n being the larger of the two sizes.
///
/// # Errors
/// The [`Mismatch`], without an index.
pub fn adjoint<T: Real>(
    function: &str,
    x: &Tensor<T>,
    u: &Tensor<T>,
    forward: impl Fn(&Tensor<T>) -> Tensor<T>,
    backward: impl Fn(&Tensor<T>) -> Tensor<T>,
) -> Result<(), Mismatch> {
    let (expected, scale_y) = dot(&forward(x), u);
    let (got, scale_x) = dot(x, &backward(u));
    let terms = x.numel().max(u.numel()) as f64;
    let allowed = 8.0 * terms.sqrt() * T::EPSILON.to_f64() * scale_x.max(scale_y);
    compare(function, 0, None, [got, expected, allowed])
}

/// One evaluation of f with its gradients for a random `u`.
struct Probe {
    u: Tensor<f64>,
    gradients: Vec<Tensor<f64>>,
    /// What rounding inside f may add to a difference quotient.
    rounding: f64,
}

impl Probe {
    fn new<F>(inputs: &[Tensor<f64>], f: &F, rng: &mut ChaCha8Rng) -> Self
    where
        F: for<'t> Fn(&'t Tape<f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
    {
        let tape = Tape::train(0);
        let variables: Vec<_> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
        let y = f(&tape, &variables);
        let u = random_like(y.value(), rng);
        let (_, magnitude) = dot(y.value(), &u);
        // See the header.
        let rounding = 64.0 * f64::EPSILON * magnitude / STEP;
        if y.is_constant() {
            let gradients = inputs.iter().map(|x| Tensor::zeros(x.shape())).collect();
            return Self { u, gradients, rounding };
        }
        let gradients = y.backward_with(u.clone());
        let of = |x: &Var<'_, f64>| gradients.wrt(x).cloned().unwrap_or_else(|| Tensor::zeros(x.shape()));
        Self { u, gradients: variables.iter().map(of).collect(), rounding }
    }

    /// d/dt of Σ u·f with input `i` moved by `shift(x, t)`, at t = 0.
    fn derivative<F>(
        &self,
        f: &F,
        inputs: &[Tensor<f64>],
        i: usize,
        shift: impl Fn(Tensor<f64>, f64) -> Tensor<f64>,
    ) -> f64
    where
        F: for<'t> Fn(&'t Tape<f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
    {
        let at = |t: f64| {
            let tape = Tape::train(0);
            let constants: Vec<_> = inputs
                .iter()
                .enumerate()
                .map(|(j, x)| tape.constant(if i == j { shift(x.clone(), t) } else { x.clone() }))
                .collect();
            dot(f(&tape, &constants).value(), &self.u).0
        };
        let near = at(STEP) - at(-STEP);
        let far = at(2.0 * STEP) - at(-2.0 * STEP);
        (8.0 * near - far) / (12.0 * STEP)
    }
}

/// Σ a·b and Σ |a·b|, in `f64`.
fn dot<T: Real>(a: &Tensor<T>, b: &Tensor<T>) -> (f64, f64) {
    let (of_a, of_b) = (a.shape(), b.shape());
    assert!(of_a == of_b, "an inner product of different shapes, {of_a} and {of_b}");
    let products = a.data().iter().zip(b.data()).map(|(a, b)| a.to_f64() * b.to_f64());
    products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()))
}

/// A mismatch also for NaN and for infinite gradients: those make the allowed difference infinite. `at` is a flat index, with
/// the extents.
fn compare(
    function: &str,
    input: usize,
    at: Option<(usize, &[usize])>,
    [got, expected, allowed]: [f64; 3],
) -> Result<(), Mismatch> {
    let difference = (got - expected).abs();
    if difference <= allowed && allowed.is_finite() {
        return Ok(());
    }
    let index = at.map(|(flat, dims)| {
        let step = |axis: usize| dims[axis + 1..].iter().product::<usize>();
        (flat, dims.iter().enumerate().map(|(axis, extent)| flat / step(axis) % extent).collect())
    });
    Err(Mismatch { function: function.into(), input, index, got, expected, allowed })
}

fn random_like<T: Real>(x: &Tensor<T>, rng: &mut ChaCha8Rng) -> Tensor<T> {
    Tensor::from_fn(x.shape(), |_| T::from_f64(rng.random_range(-1.0..1.0)))
}
