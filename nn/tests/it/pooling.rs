//! Laws of pooling, upsampling and dropout.

use autograd::gradcheck::{Gradcheck, adjoint};
use autograd::{Real, Tape, Tensor, Var};
use nn::functional::{Pool3dSpec, UpsampleMode, avg_pool3d, dropout, max_pool3d, upsample};
use proptest::prelude::*;

use crate::support::{CHANNELS, check, distinct, random, single_agrees_with_double};

fn three(range: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 3]> {
    prop::array::uniform3(range)
}

/// A window that fits an input of at least 4 voxels along each axis.
fn windows() -> impl Strategy<Value = Pool3dSpec> {
    (three(1..4), three(1..4), three(0..2)).prop_map(|(kernel, stride, padding)| {
        let padding = [0, 1, 2].map(|a: usize| padding[a].min(kernel[a] / 2));
        Pool3dSpec { kernel, stride, padding }
    })
}

fn modes() -> impl Strategy<Value = UpsampleMode> {
    prop_oneof![Just(UpsampleMode::Nearest), Just(UpsampleMode::Trilinear)]
}

/// The linear operations of this file: average pooling and upsampling.
#[derive(Clone, Copy, Debug)]
enum Linear {
    Average(Pool3dSpec, bool),
    Upsample([usize; 3], UpsampleMode),
}

impl Linear {
    fn of<'t, T: Real>(self, x: &Var<'t, T>) -> Var<'t, T> {
        match self {
            Self::Average(spec, count_include_pad) => avg_pool3d(x.clone(), spec, count_include_pad),
            Self::Upsample(factors, mode) => upsample(x.clone(), factors, mode),
        }
    }
}

fn linear_operations() -> impl Strategy<Value = Linear> {
    prop_oneof![
        (windows(), any::<bool>()).prop_map(|(spec, count)| Linear::Average(spec, count)),
        (three(1..4), modes()).prop_map(|(factors, mode)| Linear::Upsample(factors, mode)),
    ]
}

/// The maximum by its definition, over taps in order, with PyTorch's rule for ties and NaN; and where it lies in x.
fn max_by_definition(x: &Tensor<f64>, spec: Pool3dSpec) -> (Vec<f64>, Vec<usize>) {
    let [n, d, h, w, c] = x.dims5();
    let [od, oh, ow] = spec.output([d, h, w]);
    let inside = |o: usize, a: usize, k: usize| {
        let at = (o * spec.stride[a] + k).checked_sub(spec.padding[a])?;
        (at < [d, h, w][a]).then_some(at)
    };
    let (mut values, mut places) = (vec![], vec![]);
    for o in 0..n * od * oh * ow * c {
        let [on, o_d, o_h, o_w, oc] =
            [o / (od * oh * ow * c), o / (oh * ow * c) % od, o / (ow * c) % oh, o / c % ow, o % c];
        let mut best = None;
        for k in 0..spec.kernel.iter().product() {
            let [_, kh, kw] = spec.kernel;
            let taps = [inside(o_d, 0, k / (kh * kw)), inside(o_h, 1, k / kw % kh), inside(o_w, 2, k % kw)];
            let [Some(i_d), Some(i_h), Some(i_w)] = taps else { continue };
            let at = (((on * d + i_d) * h + i_h) * w + i_w) * c + oc;
            let value = x.data()[at];
            if best.is_none_or(|(_, largest)| value > largest || value.is_nan()) {
                best = Some((at, value));
            }
        }
        let (at, value) = best.expect("a window has a voxel inside");
        values.push(value);
        places.push(at);
    }
    (values, places)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn gradient_of_max_pooling_matches_finite_difference(
        n in 1usize..3, [d, h, w] in three(4..7), c in prop::sample::select(&CHANNELS[..]),
        spec in windows(), seed in any::<u64>(),
    ) {
        check("max_pool3d", &[distinct([n, d, h, w, c], seed)], |_, v| max_pool3d(v[0].clone(), spec));
    }

    #[test]
    fn max_pooling_follows_its_definition_with_ties_and_nan(
        n in 1usize..3, [d, h, w] in three(4..7), c in prop::sample::select(&CHANNELS[..]),
        spec in windows(), seed in any::<u64>(),
    ) {
        // Few different values, so many ties; one in nine is NaN, one −∞.
        let x = random([n, d, h, w, c], seed).map(|v: f64| match (v * 4.5).floor() as i32 {
            -5 => f64::NAN,
            -4 => f64::NEG_INFINITY,
            v => f64::from(v),
        });
        let (values, places) = max_by_definition(&x, spec);
        let tape = Tape::train(0);
        let v = tape.variable(x.clone());
        let y = max_pool3d(v.clone(), spec);
        prop_assert!(y.value().data().iter().zip(&values).all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
        let dy = random(y.shape(), seed ^ 1);
        let mut want = vec![0.0; x.numel()];
        dy.data().iter().zip(&places).for_each(|(dy, &at)| want[at] += dy);
        let dx = y.backward_with(dy).wrt(&v).unwrap().clone();
        // A voxel gets at most 27 terms, whose order may differ.
        prop_assert!(dx.data().iter().zip(&want).all(|(a, b)| (a - b).abs() <= 27.0 * f64::EPSILON * 27.0));
    }

    #[test]
    fn gradient_of_linear_operations_matches_finite_difference(
        n in 1usize..3, [d, h, w] in three(4..6), c in prop::sample::select(&CHANNELS[..]),
        operation in linear_operations(), seed in any::<u64>(),
    ) {
        check("linear operation", &[random([n, d, h, w, c], seed)], |_, v| operation.of(&v[0]));
    }

    #[test]
    fn backward_is_the_adjoint_of_forward_in_f32(
        n in 1usize..3, [d, h, w] in three(4..7), c in prop::sample::select(&CHANNELS[..]),
        operation in linear_operations(), seed in any::<u64>(),
    ) {
        let x: Tensor<f32> = random([n, d, h, w, c], seed);
        let forward = |x: &Tensor<f32>| operation.of(&Tape::no_grad().constant(x.clone())).into_value();
        let backward = |u: &Tensor<f32>| {
            let tape = Tape::train(0);
            let x = tape.variable(x.clone());
            operation.of(&x).backward_with(u.clone()).wrt(&x).unwrap().clone()
        };
        let u = random(forward(&x).shape(), seed ^ 1);
        adjoint("linear operation", &x, &u, forward, backward).unwrap_or_else(|mismatch| panic!("{mismatch}"));
    }

    #[test]
    fn f32_agrees_with_f64(
        n in 1usize..3, [d, h, w] in three(4..7), c in prop::sample::select(&CHANNELS[..]),
        operation in linear_operations(), spec in windows(), seed in any::<u64>(),
    ) {
        let x = [random([n, d, h, w, c], seed)];
        single_agrees_with_double(&x, |_, v| operation.of(&v[0]), |_, v| operation.of(&v[0]));
        single_agrees_with_double(&x, |_, v| max_pool3d(v[0].clone(), spec), |_, v| max_pool3d(v[0].clone(), spec));
    }

    #[test]
    fn upsampling_and_averaging_keep_a_constant(
        [d, h, w] in three(4..7), factors in three(1..5), spec in windows(), mode in modes(),
    ) {
        let tape = Tape::<f64>::no_grad();
        let x = tape.constant(Tensor::full([1, d, h, w, 2], 0.7));
        for y in [upsample(x.clone(), factors, mode), avg_pool3d(x, spec, false)] {
            prop_assert!(y.value().data().iter().all(|v| (v - 0.7).abs() <= 1e-15 * 27.0));
        }
    }

    #[test]
    fn averaging_what_was_repeated_restores_it([d, h, w] in three(1..5), factors in three(1..5), seed in any::<u64>()) {
        let tape = Tape::<f64>::no_grad();
        let x = tape.constant(random([2, d, h, w, 3], seed));
        let y = avg_pool3d(upsample(x.clone(), factors, UpsampleMode::Nearest), Pool3dSpec::new(factors), true);
        // A mean of at most 64 equal numbers.
        let off = y.value().data().iter().zip(x.value().data()).map(|(a, b)| (a - b).abs());
        prop_assert!(off.fold(0.0, f64::max) <= 64.0 * f64::EPSILON);
    }

    #[test]
    fn trilinear_upsampling_keeps_a_ramp_away_from_the_edges(w in 2usize..7, factor in 1usize..5) {
        let tape = Tape::<f64>::no_grad();
        let ramp = tape.constant(Tensor::from_fn([1, 1, 1, w, 1], |i| i as f64));
        let y = upsample(ramp, [1, 1, factor], UpsampleMode::Trilinear);
        for (o, y) in y.value().data().iter().enumerate() {
            let at = (o as f64 + 0.5) / factor as f64 - 0.5;
            prop_assert!((y - at.clamp(0.0, (w - 1) as f64)).abs() <= 1e-14, "{o}: {y} {at}");
        }
    }

    #[test]
    fn dropout_zeroes_or_scales_and_its_gradient_does_the_same(
        p in 0.05f64..0.95, key in any::<u64>(), seed in any::<u64>(),
    ) {
        let x: Tensor<f64> = random([20_000], seed);
        let tape = Tape::train(key);
        let v = tape.variable(x.clone());
        let y = dropout(v.clone(), p);
        let mask = y.value().clone().zip_map(&x, |y, x| y / x);
        let kept = mask.data().iter().filter(|m| **m != 0.0).count() as f64;
        prop_assert!(mask.data().iter().all(|m| *m == 0.0 || (m * (1.0 - p) - 1.0).abs() < 1e-12));
        // Six standard deviations of the binomial distribution: one failure in 5e8.
        let deviation = (20_000.0 * p * (1.0 - p)).sqrt();
        prop_assert!((kept - 20_000.0 * (1.0 - p)).abs() <= 6.0 * deviation, "{kept} of 20000 kept at p = {p}");
        let dx = y.backward_with(Tensor::full([20_000], 1.0)).wrt(&v).unwrap().clone();
        prop_assert!(dx.data().iter().zip(mask.data()).all(|(g, m)| (g - m).abs() <= 1e-12));
        let few: Tensor<f64> = random([50], seed);
        Gradcheck::new().projections("dropout", &[few], |_, x| dropout(x[0].clone(), p)).unwrap();
    }
}

#[test]
fn dropout_passes_where_nothing_is_trained_and_differs_from_draw_to_draw() {
    let x: Tensor<f32> = random([1000], 3);
    let tape = Tape::eval();
    assert_eq!(*dropout(tape.variable(x.clone()), 0.5).value(), x);
    let tape = Tape::train(1);
    let [a, b] = [(); 2].map(|()| dropout(tape.constant(x.clone()), 0.5).into_value());
    assert_ne!(a, b);
    assert_eq!(a, dropout(Tape::train(1).constant(x.clone()), 0.5).into_value());
    assert!(dropout(tape.constant(x), 1.0).value().data().iter().all(|v| *v == 0.0));
}

#[test]
#[should_panic(expected = "at most 256")]
fn a_window_whose_winner_fits_no_byte_is_refused() {
    let tape = Tape::<f32>::no_grad();
    max_pool3d(tape.constant(random([1, 7, 7, 7, 1], 0)), Pool3dSpec::new([7, 7, 6]));
}

#[test]
#[should_panic(expected = "along w does not fit the input of 2")]
fn a_window_that_does_not_fit_is_refused_and_its_axis_named() {
    let tape = Tape::<f32>::no_grad();
    avg_pool3d(tape.constant(random([1, 7, 7, 2, 1], 0)), Pool3dSpec::new([3; 3]), true);
}
