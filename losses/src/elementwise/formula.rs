//! The formulas of element-wise losses, lane by lane.
//!
//! With s(x) = ln(1 + e^x), so that −log σ(x) = s(−x) and −log(1 − σ(x)) = s(x), and with one e^−|x| for all four
//! of s(x), s(−x), σ(x) and 1 − σ(x) = σ(−x):
//!
//! | formula | l / w | ∂l/∂x / w |
//! |---|---|---|
//! | logits | (1−y)·s(x) + p·y·s(−x) | (1−y)·σ − p·y·(1−σ) |
//! | focal | n·(1−y)·σ^γ·s(x) + a·p·y·(1−σ)^γ·s(−x) | n·(1−y)·σ^γ·(γ(1−σ)s(x) + σ) − a·p·y·(1−σ)^γ·(γσs(−x) + 1−σ) |
//! | probabilities | −y·log x − (1−y)·log(1−x), logs ≥ −100 | (x−y) / max(x(1−x), 1e−12) |
//!
//! The first is (1−y)·x + (1+(p−1)·y)·s(−x), as PyTorch has it, in a form whose terms are all positive: nothing
//! cancels, and infinite logits give the limit, because a term with the factor 0 is 0.

use std::any::Any;

use autograd::Real;
use autograd::simd::{Job, Simd, dispatch, math};

/// Which formula.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Formula {
    Logits,
    /// `positive` and `negative` weigh the two terms.
    Focal {
        gamma: f64,
        positive: f64,
        negative: f64,
    },
    Probabilities,
}

/// A chunk as plain numbers: logits (or probabilities) x, targets y, weights w (0 where ignored) and p; losses l and
/// gradients g. The lengths are a multiple of every vector's lanes; beyond the chunk, w is 0.
pub(crate) struct Lanes<T> {
    pub(crate) x: Vec<T>,
    pub(crate) y: Vec<T>,
    pub(crate) w: Vec<T>,
    pub(crate) p: Vec<T>,
    pub(crate) l: Vec<T>,
    pub(crate) g: Vec<T>,
}

/// A multiple of every vector's lanes.
const WIDEST: usize = 16;

impl<T: Real> Lanes<T> {
    pub(crate) fn new(len: usize) -> Self {
        let of = |value| vec![value; len.next_multiple_of(WIDEST)];
        Self { x: of(T::ZERO), y: of(T::ZERO), w: of(T::ZERO), p: of(T::ONE), l: of(T::ZERO), g: of(T::ZERO) }
    }

    /// Loads logits; what lies beyond them counts nothing.
    pub(crate) fn load(&mut self, x: &[T]) {
        self.x[..x.len()].copy_from_slice(x);
        self.x[x.len()..].fill(T::ZERO);
        self.w[x.len()..].fill(T::ZERO);
    }
}

impl Formula {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Logits => "BceWithLogits",
            Self::Focal { .. } => "Focal",
            Self::Probabilities => "Bce",
        }
    }

    /// Losses and gradients of the first `len` lanes; returns the sum of the losses.
    pub(crate) fn run<T: Real>(self, lanes: &mut Lanes<T>, len: usize) -> f64 {
        let len = len.next_multiple_of(WIDEST);
        // As in `compiled`: the loops are compiled in this crate, once for each type.
        let lanes: &mut dyn Any = lanes;
        if let Some(lanes) = lanes.downcast_mut::<Lanes<f32>>() {
            return self.run_f32(lanes, len).into();
        }
        let lanes = lanes.downcast_mut::<Lanes<f64>>().expect("a Real is f32 or f64");
        self.run_f64(lanes, len)
    }

    fn run_f32(self, lanes: &mut Lanes<f32>, len: usize) -> f32 {
        self.run_on(lanes, len)
    }

    fn run_f64(self, lanes: &mut Lanes<f64>, len: usize) -> f64 {
        self.run_on(lanes, len)
    }

    fn run_on<T: Real>(self, lanes: &mut Lanes<T>, len: usize) -> T {
        match self {
            Self::Logits => {
                dispatch(OnLogits::<T, false> { lanes, len, gamma: 0.0, positive: 1.0, negative: 1.0 })
            }
            Self::Focal { gamma, positive, negative } => {
                dispatch(OnLogits::<T, true> { lanes, len, gamma, positive, negative })
            }
            Self::Probabilities => on_probabilities(lanes, len),
        }
    }
}

struct OnLogits<'a, T, const FOCAL: bool> {
    lanes: &'a mut Lanes<T>,
    len: usize,
    gamma: f64,
    positive: f64,
    negative: f64,
}

impl<T: Real, const FOCAL: bool> Job<T> for OnLogits<'_, T, FOCAL> {
    type Output = T;

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) -> T {
        let Lanes { x, y, w, p, l, g } = self.lanes;
        let (zero, one) = (s.zero(), s.splat(T::ONE));
        let gamma = s.splat(T::from_f64(self.gamma));
        let largest = s.splat(T::MAX);
        let (positive, negative) = (s.splat(T::from_f64(self.positive)), s.splat(T::from_f64(self.negative)));
        let mut sum = zero;
        for i in (0..self.len).step_by(S::LANES) {
            let lanes = i..i + S::LANES;
            let (x, y) = (s.load(&x[lanes.clone()]), s.load(&y[lanes.clone()]));
            let (w, p) = (s.load(&w[lanes.clone()]), s.load(&p[lanes.clone()]));

            let e = math::exp(s, -s.abs(x));
            let log = math::ln_1p_unit(s, e);
            let (s_plus, s_minus) = (s.max(zero, x) + log, s.max(zero, -x) + log);
            let right = one / (one + e);
            let left = e * right;
            let sigma = s.select_lt(x, zero, left, right);
            let other = s.select_lt(x, zero, right, left);

            let (of_0, of_1) = (one - y, p * y);
            let (loss, gradient) = if FOCAL {
                // 0·∞ is 0 in the limit.
                let (log_0, log_1) = (s.min(largest, s_plus), s.min(largest, s_minus));
                // σ^γ = e^(−γ·s(−x)), as σ = e^(−s(−x)).
                let hard_0 = math::exp(s, -gamma * log_1);
                let hard_1 = math::exp(s, -gamma * log_0);
                let (of_0, of_1) = (negative * of_0, positive * of_1);
                let steep_0 = s.mul_add(gamma * other, log_0, sigma);
                let steep_1 = s.mul_add(gamma * sigma, log_1, other);
                (
                    weighted(s, of_0, hard_0 * s_plus) + weighted(s, of_1, hard_1 * s_minus),
                    of_0 * hard_0 * steep_0 - of_1 * hard_1 * steep_1,
                )
            } else {
                (weighted(s, of_0, s_plus) + weighted(s, of_1, s_minus), of_0 * sigma - of_1 * other)
            };
            let loss = weighted(s, w, loss);
            sum = sum + loss;
            s.store(loss, &mut l[lanes.clone()]);
            s.store(weighted(s, w, gradient), &mut g[lanes]);
        }
        s.sum(sum)
    }
}

/// weight · value, and 0 where the weight is.
#[inline(always)]
fn weighted<S: Simd>(s: S, weight: S::V, value: S::V) -> S::V {
    s.select_lt(s.zero(), weight, weight * value, s.zero())
}

fn on_probabilities<T: Real>(lanes: &mut Lanes<T>, len: usize) -> T {
    let (lowest, thinnest) = (T::from_f64(-100.0), T::from_f64(1e-12));
    let mut sum = T::ZERO;
    for i in 0..len {
        let (x, y, w) = (lanes.x[i], lanes.y[i], lanes.w[i]);
        if w == T::ZERO {
            (lanes.l[i], lanes.g[i]) = (T::ZERO, T::ZERO);
            continue;
        }
        let (log_1, log_0) = (x.ln().max(lowest), (-x).ln_1p().max(lowest));
        lanes.l[i] = w * ((y - T::ONE) * log_0 - y * log_1);
        lanes.g[i] = w * (x - y) / (x * (T::ONE - x)).max(thinnest);
        sum += lanes.l[i];
    }
    sum
}

#[cfg(test)]
mod tests {
    use autograd::simd::{available, dispatch_on};

    use super::*;

    /// Value and gradient of each logit at `ends`, for targets of 0 and of 1, on each instruction set.
    fn limits_hold<T: Real, const FOCAL: bool>(gamma: f64) {
        let ends = [f64::NEG_INFINITY, -90.0, 90.0, f64::INFINITY];
        for (isa, y) in available().into_iter().flat_map(|isa| [(isa, 0.0), (isa, 1.0)]) {
            let mut lanes = Lanes::<T>::new(ends.len());
            lanes.load(&ends.map(T::from_f64));
            lanes.w[..ends.len()].fill(T::ONE);
            lanes.y.fill(T::from_f64(y));
            let len = lanes.x.len();
            let job = OnLogits::<T, FOCAL> { lanes: &mut lanes, len, gamma, positive: 1.0, negative: 1.0 };
            assert_eq!(dispatch_on(isa, job).to_f64(), f64::INFINITY, "the sum on {isa}");
            for (i, x) in ends.into_iter().enumerate() {
                // How wrong the logit is, and which way it would go.
                let (z, sign) = if y == 0.0 { (x, 1.0) } else { (-x, -1.0) };
                let want = if z < 0.0 { [0.0, 0.0] } else { [z, sign] };
                let got = [lanes.l[i], lanes.g[i]].map(|v| v.to_f64());
                let near = |i: usize| got[i] == want[i] || (got[i] - want[i]).abs() <= 1e-38;
                assert!(
                    near(0) && near(1),
                    "γ = {gamma} at {x}, target {y}, on {isa}: {got:?}, not {want:?}"
                );
            }
        }
    }

    #[test]
    fn infinite_and_large_logits_give_the_limit_on_every_instruction_set() {
        limits_hold::<f32, false>(0.0);
        limits_hold::<f64, false>(0.0);
        for gamma in [0.0, 0.5, 2.0] {
            limits_hold::<f32, true>(gamma);
            limits_hold::<f64, true>(gamma);
        }
    }
}
