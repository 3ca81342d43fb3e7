//! Each operation on each set against the scalar one.

use proptest::prelude::*;

use super::isa::{parse, strongest};
use super::{Isa, Job, Simd, available, dispatch_on, math};
use crate::real::Real;

/// Applies one operation to a slice of any length.
struct Apply<'a, T> {
    operation: Operation,
    x: &'a [T],
    y: &'a mut [T],
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Exp,
    Ln1p,
    Sigmoid,
    Softplus,
    Abs,
    Sqrt,
    Round,
    Negate,
    Max,
    Min,
    Select,
    Fma,
}

impl<T: Real> Job<T> for Apply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        for (x, y) in self.x.chunks(S::LANES).zip(self.y.chunks_mut(S::LANES)) {
            let v = s.load_partial(x);
            let one = s.splat(T::ONE);
            let result = match self.operation {
                Operation::Exp => math::exp(s, v),
                Operation::Ln1p => math::ln_1p_unit(s, v),
                Operation::Sigmoid => math::sigmoid(s, v),
                Operation::Softplus => math::softplus(s, v),
                Operation::Abs => s.abs(v),
                Operation::Sqrt => s.sqrt(v),
                Operation::Round => s.round(v),
                Operation::Negate => -v,
                Operation::Max => s.max(one, v),
                Operation::Min => s.min(one, v),
                Operation::Select => s.select_lt(v, one, v + v, v / one - one),
                Operation::Fma => s.mul_add(v, v, one),
            };
            s.store_partial(result, y);
        }
    }
}

fn apply<T: Real>(isa: Isa, operation: Operation, x: &[T]) -> Vec<T> {
    let mut y = vec![T::NAN; x.len()];
    dispatch_on(isa, Apply { operation, x, y: &mut y });
    y
}

/// Asserts that `operation` is within `epsilons`, relatively, of `want` on each set; `want` is computed in
/// `f64`.
fn holds<T: Real>(operation: Operation, epsilons: f64, smallest: f64, xs: &[f64], want: impl Fn(f64) -> f64) {
    let x: Vec<T> = xs.iter().map(|x| T::from_f64(*x)).collect();
    for isa in available() {
        for (x, y) in x.iter().zip(apply(isa, operation, &x)) {
            let (want, y) = (want(x.to_f64()), y.to_f64());
            let bound = epsilons * T::EPSILON.to_f64() * want.abs() + smallest;
            let equal = y == T::from_f64(want).to_f64() || (y.is_nan() && want.is_nan());
            assert!(equal || (y - want).abs() <= bound, "{operation:?}({x}) = {y}, not {want}, on {isa}");
        }
    }
}

/// `count` points, evenly spread.
fn points(low: f64, high: f64, count: usize) -> Vec<f64> {
    (0..count).map(|i| low + (high - low) * i as f64 / (count - 1) as f64).collect()
}

#[test]
fn exp_is_within_two_epsilon_and_right_at_its_limits() {
    let subnormal = 1.5e-45;
    holds::<f32>(Operation::Exp, 2.0, subnormal, &points(-110.0, 95.0, 40_001), f64::exp);
    holds::<f64>(Operation::Exp, 2.0, 1e-323, &points(-760.0, 720.0, 40_001), f64::exp);
    holds::<f64>(Operation::Exp, 2.0, 0.0, &points(-1.0, 1.0, 20_001), f64::exp);
    for special in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0] {
        holds::<f32>(Operation::Exp, 0.0, 0.0, &[special; 3], f64::exp);
        holds::<f64>(Operation::Exp, 0.0, 0.0, &[special; 3], f64::exp);
    }
}

#[test]
fn ln_1p_is_within_three_epsilon_down_to_the_smallest_argument() {
    let mut xs = points(0.0, 1.0, 20_001);
    xs.extend(points(-80.0, 0.0, 5_001).into_iter().map(f64::exp));
    holds::<f32>(Operation::Ln1p, 3.0, 0.0, &xs, f64::ln_1p);
    holds::<f64>(Operation::Ln1p, 3.0, 0.0, &xs, f64::ln_1p);
}

#[test]
fn sigmoid_and_softplus_hold_their_bounds_for_extreme_logits() {
    let mut xs = points(-86.0, 100.0, 30_001);
    xs.extend([1e4, 1e30, f64::INFINITY, f64::NAN]);
    holds::<f32>(Operation::Sigmoid, 4.0, 0.0, &xs, Real::sigmoid);
    holds::<f64>(Operation::Sigmoid, 4.0, 0.0, &xs, Real::sigmoid);
    holds::<f32>(Operation::Softplus, 5.0, 0.0, &xs, Real::softplus);
    holds::<f64>(Operation::Softplus, 5.0, 0.0, &xs, Real::softplus);
    for zero in [-1e4, f64::NEG_INFINITY] {
        holds::<f32>(Operation::Sigmoid, 0.0, 0.0, &[zero], |_| 0.0);
        holds::<f32>(Operation::Softplus, 0.0, 0.0, &[zero], |_| 0.0);
        holds::<f64>(Operation::Sigmoid, 0.0, 0.0, &[zero], |_| 0.0);
        holds::<f64>(Operation::Softplus, 0.0, 0.0, &[zero], |_| 0.0);
    }
    // Below the smallest normal number, where as many digits are left as there are.
    holds::<f32>(Operation::Sigmoid, 4.0, 3e-45, &[-90.0], Real::sigmoid);
    holds::<f32>(Operation::Softplus, 5.0, 3e-45, &[-90.0], Real::softplus);
}

#[test]
fn arithmetic_equals_the_scalar_operation() {
    let mut xs = points(-9.25, 9.25, 149);
    xs.extend([f64::NAN, f64::INFINITY, -0.0]);
    type Case = (Operation, fn(f64) -> f64);
    let cases: [Case; 7] = [
        (Operation::Abs, f64::abs),
        (Operation::Sqrt, f64::sqrt),
        (Operation::Round, f64::round_ties_even),
        (Operation::Negate, |x| -x),
        (Operation::Max, |x| if 1.0 > x { 1.0 } else { x }),
        (Operation::Min, |x| if 1.0 < x { 1.0 } else { x }),
        (Operation::Select, |x| if x < 1.0 { x + x } else { x - 1.0 }),
    ];
    for (operation, want) in cases {
        holds::<f32>(operation, 0.5, 0.0, &xs, want);
        holds::<f64>(operation, 0.5, 0.0, &xs, want);
    }
    // Rounded once or twice.
    holds::<f32>(Operation::Fma, 1.0, 0.0, &xs, |x| x.mul_add(x, 1.0));
    holds::<f64>(Operation::Fma, 1.0, 0.0, &xs, |x| x.mul_add(x, 1.0));
}

/// Sum, and partial loads and stores, for one length.
struct Reduce<'a, T>(&'a [T], &'a mut [T]);

impl<T: Real> Job<T> for Reduce<'_, T> {
    type Output = (usize, T);

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) -> Self::Output {
        let v = s.load_partial(self.0);
        s.store_partial(v + v, self.1);
        (S::LANES, s.sum(v))
    }
}

fn partial_operations_touch_their_lanes_only<T: Real>(x: &[T], n: usize) {
    for isa in available() {
        let mut y = vec![T::NAN; x.len()];
        let (lanes, sum) = dispatch_on(isa, Reduce(&x[..n], &mut y[..n]));
        assert_eq!(lanes, isa.lanes::<T>());
        let n = n.min(lanes);
        let want: f64 = x[..n].iter().map(|x| x.to_f64()).sum();
        let size: f64 = x[..n].iter().map(|x| x.to_f64().abs()).sum();
        assert!((sum.to_f64() - want).abs() <= 16.0 * T::EPSILON.to_f64() * size, "sum on {isa}");
        for i in 0..x.len() {
            assert!(if i < n { y[i] == x[i] + x[i] } else { y[i].is_nan() }, "place {i} on {isa}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn partial_vectors_read_and_write_exactly_their_length(
        x in prop::collection::vec(-1e3f64..1e3, 20), n in 0usize..20,
    ) {
        partial_operations_touch_their_lanes_only(&x, n);
        let x: Vec<f32> = x.iter().map(|x| *x as f32).collect();
        partial_operations_touch_their_lanes_only(&x, n);
    }
}

#[test]
fn a_cap_is_obeyed_and_an_unknown_name_is_refused() {
    assert_eq!(parse("avx2"), Ok(Isa::Avx2));
    assert_eq!(strongest(Isa::Portable), Isa::Portable);
    assert!(strongest(Isa::Avx2) <= Isa::Avx2);
    let message = parse("sse9").unwrap_err();
    assert!(message.contains("sse9") && message.contains("portable, avx2 or avx512"), "{message}");
}
