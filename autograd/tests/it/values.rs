//! What operations compute, against loops by index and against published values, and their conventions at 0, ∞, NaN.

use autograd::{Tape, Tensor, Var};
use proptest::prelude::*;

fn numbers(n: usize, seed: usize) -> Vec<f64> {
    (0..n).map(|i| ((i * 37 + seed * 101) % 211) as f64 / 64.0 - 1.5).collect()
}

fn evaluate(x: &Tensor<f64>, f: impl for<'t> Fn(Var<'t, f64>) -> Var<'t, f64>) -> Tensor<f64> {
    f(Tape::no_grad().constant(x.clone())).into_value()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_matrix_product_is_the_sum_of_products(m in 1usize..400, k in 0usize..40, n in 0usize..20, seed in 0usize..99) {
        let (a, b) = (numbers(m * k, seed), numbers(k * n, seed + 1));
        let at = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum::<f64>();
        let product = {
            let tape = Tape::no_grad();
            let constant = |shape: [usize; 2], x: &[f64]| tape.constant(Tensor::from_slice(shape, x));
            constant([m, k], &a).matmul(constant([k, n], &b)).into_value()
        };
        // The inputs are multiples of 1/64 below 2, so all sums are exact.
        for i in 0..m * n {
            prop_assert_eq!(product.data()[i], at(i / n, i % n));
        }
    }

    #[test]
    fn sums_are_those_of_the_numbers(rows in 0usize..60, c in 1usize..40, seed in 0usize..99) {
        let x = Tensor::from_vec([rows, c], numbers(rows * c, seed));
        let column = |j: usize| (0..rows).map(|i| x.data()[i * c + j]).sum::<f64>();
        let sums = evaluate(&x, |x| x.sum_axes(&[0]));
        for j in 0..c {
            prop_assert_eq!(sums.data()[j], column(j));
        }
        prop_assert_eq!(evaluate(&x, |x| x.sum()).item(), (0..c).map(column).sum::<f64>());
    }

    #[test]
    fn slices_and_pads_move_each_number_to_its_place(
        dims in prop::array::uniform3(1usize..6), axis in 0usize..3, cut in 0usize..6, before in 0usize..3, after in 0usize..3,
    ) {
        let x = Tensor::from_vec(dims, numbers(dims.iter().product(), 1));
        let at = |x: &Tensor<f64>, i: [usize; 3]| {
            let inside = (0..3).all(|axis| i[axis] < x.dims()[axis]);
            inside.then(|| x.data()[(i[0] * x.dims()[1] + i[1]) * x.dims()[2] + i[2]])
        };
        let start = cut % dims[axis];
        let sliced = evaluate(&x, |x| x.slice(axis, start..dims[axis]));
        let padded = evaluate(&x, |x| x.pad(axis, before, after));
        for flat in 0..padded.numel() {
            let p = padded.dims();
            let i = [flat / p[2] / p[1], flat / p[2] % p[1], flat % p[2]];
            let mut from = i;
            from[axis] = i[axis].wrapping_sub(before);
            prop_assert_eq!(at(&padded, i).unwrap(), at(&x, from).unwrap_or(0.0));
            from[axis] = i[axis] + start;
            prop_assert_eq!(at(&sliced, i), at(&x, from));
        }
        prop_assert_eq!(sliced.dims()[axis], dims[axis] - start);
        prop_assert_eq!(padded.dims()[axis], dims[axis] + before + after);
    }
}

#[test]
fn a_vector_is_spread_over_the_last_axis_in_either_order() {
    let tape = Tape::<f64>::no_grad();
    let x = tape.constant(Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let v = tape.constant(Tensor::from_vec([3], vec![1.0, 2.0, 4.0]));
    assert_eq!((&x - &v).value().data(), [0.0, 0.0, -1.0, 3.0, 3.0, 2.0]);
    assert_eq!((&v - &x).value().data(), [0.0, 0.0, 1.0, -3.0, -3.0, -2.0]);
    assert_eq!((&v / &x).value().data(), [1.0, 1.0, 4.0 / 3.0, 0.25, 0.4, 4.0 / 6.0]);
    assert_eq!((12.0 / &x).value().data(), [12.0, 6.0, 4.0, 3.0, 2.4, 2.0]);
    assert_eq!((1.0 - x).value().data(), [0.0, -1.0, -2.0, -3.0, -4.0, -5.0]);
    assert_eq!(
        (tape.constant(Tensor::scalar(1.0)) + tape.constant(Tensor::full([1], 2.0))).shape().dims(),
        [1]
    );
}

type Unary = for<'t> fn(Var<'t, f64>) -> Var<'t, f64>;

/// y and dy/dx at x.
fn at(f: Unary, x: f64) -> (f64, f64) {
    let tape = Tape::train(0);
    let x = tape.variable(Tensor::scalar(x));
    let y = f(x.clone());
    let value = y.item();
    (value, y.backward().wrt(&x).unwrap().item())
}

#[test]
fn kinks_have_pytorchs_derivatives() {
    assert_eq!(at(|x| x.relu(), 0.0), (0.0, 0.0));
    assert_eq!(at(|x| x.leaky_relu(0.01), 0.0), (0.0, 0.01));
    assert_eq!(at(|x| x.elu(1.5), 0.0), (0.0, 1.5));
    assert_eq!(at(|x| x.leaky_relu(0.0), -3.0), (0.0, 0.0));
    assert_eq!(at(|x| x.powf(0.0), 0.0), (1.0, 0.0));
    assert_eq!(at(|x| x.sqrt(), 0.0), (0.0, f64::INFINITY));
    assert_eq!(at(|x| x.ln(), 0.0), (f64::NEG_INFINITY, f64::INFINITY));
}

#[test]
fn saturated_activations_have_flat_finite_tails() {
    for x in [-1e4, -800.0, 800.0, 1e4] {
        let sign = f64::from(u8::from(x > 0.0));
        assert_eq!(at(|x| x.sigmoid(), x), (sign, 0.0));
        assert_eq!(at(|x| x.tanh(), x), (x.signum(), 0.0));
        let tails: [Unary; 4] = [|x| x.softplus(), |x| x.silu(), |x| x.gelu(), |x| x.relu()];
        for f in tails {
            let (y, slope) = at(f, x);
            assert!(y == x * sign && slope == sign, "{y} {slope} at {x}");
        }
        assert_eq!(at(|x| x.elu(1.0), x), (x.max(-1.0), sign));
    }
}

#[test]
fn activations_are_at_infinity_what_pytorch_says() {
    let inf = f64::INFINITY;
    let cases: [(Unary, [(f64, f64); 2]); 9] = [
        (|x| x.relu(), [(0.0, 0.0), (inf, 1.0)]),
        (|x| x.leaky_relu(0.0), [(0.0, 0.0), (inf, 1.0)]),
        (|x| x.leaky_relu(0.1), [(-inf, 0.1), (inf, 1.0)]),
        (|x| x.leaky_relu(-0.1), [(inf, -0.1), (inf, 1.0)]),
        (|x| x.elu(1.5), [(-1.5, 0.0), (inf, 1.0)]),
        (|x| x.elu(-1.0), [(1.0, 0.0), (inf, 1.0)]),
        (|x| x.sigmoid(), [(0.0, 0.0), (1.0, 0.0)]),
        (|x| x.tanh(), [(-1.0, 0.0), (1.0, 0.0)]),
        (|x| x.softplus(), [(0.0, 0.0), (inf, 1.0)]),
    ];
    for (i, (f, want)) in cases.into_iter().enumerate() {
        assert_eq!([at(f, -inf), at(f, inf)], want, "activation {i}");
    }
    // Products of 0 and ∞, in PyTorch as well.
    let falling: [Unary; 2] = [|x| x.silu(), |x| x.gelu()];
    for f in falling {
        assert!(at(f, -inf).0.is_nan() && at(f, inf).0 == inf && at(f, inf).1.is_nan());
    }
}

#[test]
fn what_is_sliced_or_padded_from_one_long_block_is_the_same_number_by_number() {
    // Several slabs in one block, and blocks that end inside a slab.
    for (dims, axis) in [([1, 50_000, 1], 1), ([50_000, 1, 1], 0), ([3, 7_001, 2], 1)] {
        let x = Tensor::<f32>::from_fn(dims, |i| i as f32 + 1.0);
        let inner: usize = dims[axis + 1..].iter().product();
        let extent = dims[axis];
        let tape = Tape::no_grad();
        let cut = tape.constant(x.clone()).slice(axis, 5..extent - 3);
        let number = |block: usize, place: usize| x.data()[block * extent * inner + place];
        let block = (extent - 8) * inner;
        let want = |i: usize| number(i / block, i % block + 5 * inner);
        assert!(cut.value().data().iter().enumerate().all(|(i, &v)| v == want(i)), "{dims:?}");

        let padded = tape.constant(x.clone()).pad(axis, 4, 2);
        let block = (extent + 6) * inner;
        let want = |i: usize| match (i % block).checked_sub(4 * inner) {
            Some(place) if place < extent * inner => number(i / block, place),
            _ => 0.0,
        };
        assert!(padded.value().data().iter().enumerate().all(|(i, &v)| v == want(i)), "{dims:?}");
    }
}

#[test]
fn nan_stays_nan() {
    let functions: [Unary; 16] = [
        |x| x.exp(),
        |x| x.ln(),
        |x| x.sqrt(),
        |x| x.square(),
        |x| x.powf(2.5),
        |x| x.relu(),
        |x| x.leaky_relu(0.1),
        |x| x.elu(1.0),
        |x| x.gelu(),
        |x| x.silu(),
        |x| x.sigmoid(),
        |x| x.tanh(),
        |x| x.softplus(),
        |x| x.reshape([1, 1]).softmax(),
        |x| x.reshape([1, 1]).log_softmax(),
        |x| x.mean(),
    ];
    for (i, f) in functions.into_iter().enumerate() {
        assert!(evaluate(&Tensor::scalar(f64::NAN), f).item().is_nan(), "function {i}");
    }
}

/// Φ(1) = 0.8413447460685429 (tables of the normal distribution), σ(1) = 0.7310585786300049, tanh 1 =
/// 0.7615941559557649, e^−1 = 0.36787944117144233; the other values follow from them.
#[test]
fn activations_have_their_published_values_at_one_and_minus_one() {
    let close = |f: Unary, x: f64, want: f64| {
        let got = at(f, x).0;
        assert!((got - want).abs() <= 4.0 * f64::EPSILON, "{got} is not {want} at {x}");
    };
    close(|x| x.gelu(), 1.0, 0.841_344_746_068_542_9);
    close(|x| x.gelu(), -1.0, 0.841_344_746_068_542_9 - 1.0);
    close(|x| x.silu(), 1.0, 0.731_058_578_630_004_9);
    close(|x| x.silu(), -1.0, 0.731_058_578_630_004_9 - 1.0);
    close(|x| x.sigmoid(), 1.0, 0.731_058_578_630_004_9);
    close(|x| x.tanh(), -1.0, -0.761_594_155_955_764_9);
    close(|x| x.elu(2.0), -1.0, 2.0 * (0.367_879_441_171_442_33 - 1.0));
    close(|x| x.softplus(), -1.0, -(0.731_058_578_630_004_9f64).ln());
}

#[test]
fn softmax_is_a_distribution_and_the_exponential_of_its_logarithm() {
    let x = Tensor::from_vec([4, 3], numbers(12, 3)).scaled(400.0);
    let y = evaluate(&x, |x| x.softmax());
    let of_log = evaluate(&x, |x| x.log_softmax());
    for row in 0..4 {
        let sum: f64 = y.data()[row * 3..row * 3 + 3].iter().sum();
        assert!((sum - 1.0).abs() <= 4.0 * f64::EPSILON);
    }
    for (y, log) in y.data().iter().zip(of_log.data()) {
        assert!(log.is_finite() && (y - log.exp()).abs() <= 1e3 * f64::EPSILON);
    }
    let sure = Tensor::from_vec([2], vec![0.0, f64::NEG_INFINITY]);
    assert_eq!(evaluate(&sure, |x| x.softmax()).data(), [1.0, 0.0]);
    assert_eq!(evaluate(&sure, |x| x.log_softmax()).data(), [0.0, f64::NEG_INFINITY]);
}

#[test]
fn reductions_over_axes_are_those_of_the_numbers_and_of_none_are_zero() {
    let x = Tensor::from_vec([2, 3, 2], numbers(12, 3));
    let at = |i: usize, j: usize, k: usize| x.data()[(i * 3 + j) * 2 + k];
    let sums = evaluate(&x, |x| x.sum_axes(&[1]));
    let largest = evaluate(&x, |x| x.max_axes(&[1]));
    for (i, k) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let column: Vec<f64> = (0..3).map(|j| at(i, j, k)).collect();
        assert_eq!(sums.data()[i * 2 + k], column.iter().sum::<f64>());
        assert_eq!(largest.data()[i * 2 + k], column.iter().fold(f64::NEG_INFINITY, |m, &v| m.max(v)));
    }
    assert_eq!(sums.dims(), [2, 1, 2]);
    let empty = Tensor::zeros([2, 0, 3]);
    assert_eq!(evaluate(&empty, |x| x.sum_axes(&[1])), Tensor::zeros([2, 1, 3]));
    assert_eq!(evaluate(&empty, |x| x.sum_axes(&[0, 2])), Tensor::zeros([1, 0, 1]));
    assert!(evaluate(&empty, |x| x.mean_axes(&[1])).data().iter().all(|v| v.is_nan()));
    assert_eq!(evaluate(&empty, |x| x.permute(&[2, 0, 1])), Tensor::zeros([3, 2, 0]));
}

#[test]
fn nan_wins_an_extreme_and_equals_share_the_gradient() {
    let x = Tensor::from_vec([4], vec![1.0, f64::NAN, 3.0, f64::INFINITY]);
    assert!(evaluate(&x, |x| x.max_axes(&[0])).item().is_nan());
    assert!(evaluate(&x, |x| x.min_axes(&[0])).item().is_nan());
    let tape = Tape::<f64>::train(0);
    let x = tape.variable(Tensor::from_vec([4], vec![2.0, 1.0, 2.0, 2.0]));
    let gradients = (x.clone().max_axes(&[0]) * 6.0).backward();
    assert_eq!(gradients.wrt(&x).unwrap().data(), [2.0, 0.0, 2.0, 2.0]);
    let y = tape.variable(Tensor::from_vec([2], vec![f64::NAN, 1.0]));
    let gradients = y.clone().max_axes(&[0]).backward();
    assert!(gradients.wrt(&y).unwrap().data().iter().all(|v| v.is_nan()), "as in PyTorch");
    let (a, b) = (tape.variable(Tensor::scalar(1.0)), tape.variable(Tensor::scalar(1.0)));
    let gradients = a.clone().minimum(b.clone()).backward();
    assert_eq!((gradients.wrt(&a).unwrap().item(), gradients.wrt(&b).unwrap().item()), (0.5, 0.5));
    for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
        let [a, b] = [a, b].map(|v| tape.constant(Tensor::scalar(v)));
        assert!(a.clone().maximum(b.clone()).item().is_nan() && a.minimum(b).item().is_nan());
    }
}

#[test]
fn a_magnitude_and_a_clamp_keep_to_the_conventions_at_their_kinks() {
    let tape = Tape::<f64>::train(0);
    let x = tape.variable(Tensor::from_vec([5], vec![-2.0, -1.0, 0.0, 0.5, f64::NAN]));
    let y = x.clone().abs();
    assert_eq!(y.value().data()[..4], [2.0, 1.0, 0.0, 0.5]);
    let dx = y.sum().backward();
    assert_eq!(dx.wrt(&x).unwrap().data()[..4], [-1.0, -1.0, 0.0, 1.0]);
    let x = tape.variable(Tensor::from_vec([5], vec![-2.0, -1.0, 0.0, 0.5, f64::NAN]));
    let y = x.clone().clamp(-1.0, 0.5);
    assert_eq!(y.value().data()[..4], [-1.0, -1.0, 0.0, 0.5]);
    assert!(y.value().data()[4].is_nan());
    let dx = y.sum().backward();
    assert_eq!(dx.wrt(&x).unwrap().data(), [0.0, 0.0, 1.0, 0.0, 0.0]);
}
