//! Winograd's algorithm against the naive loops, forced on small shapes, by both schedules, on every instruction set.

use autograd::Real;
use autograd::simd::{Isa, available};
use proptest::prelude::*;

use super::schedule::{Schedule, fits};
use super::{correlate, grad_weight};
use crate::kernels::conv3d::operands::{Correlation, Epilogue, Source, Target, Weight, WeightGradient};
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::conv3d::tests::random;
use crate::kernels::conv3d::{Conv3dShape, Conv3dSpec, ConvAlgorithm, forward, reference};

/// Asserts what holds for numbers in [−1, 1] in any order of summation: |got − want| ≤ γ(products + 20)·E²·terms / 9,
/// γ(n) = n·u, where an output is a sum of `products` in the transformed domain and of `terms` = 9 · products in the
/// plain one, and 20 bounds the operations on the way there and back.
///
/// E = max_k Σ_i |Aᵀ_ki|·(Σ_t |G_it|)·(Σ_j |Bᵀ_ij|) = 27.4 is the growth along one axis (Higham, *Accuracy and
/// Stability*, §3.5, for products of matrices).
fn assert_within_bound<T: Real>(what: &str, isa: Isa, got: &[T], want: &[f64], products: usize) {
    assert_within(what, isa, got, want, products, E * E);
}

pub(super) const E: f64 = 27.4;

/// As [`assert_within_bound`] for any `growth` on the way there and back, with terms = 3 · products where that is E.
pub(super) fn assert_within<T: Real>(
    what: &str,
    isa: Isa,
    got: &[T],
    want: &[f64],
    products: usize,
    growth: f64,
) {
    let bound = T::EPSILON.to_f64() / 2.0 * (products + 20) as f64 * growth * products as f64;
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got.to_f64() - want).abs();
        assert!(error <= bound, "{what}[{i}] = {got}, not {want} within {bound:e}, on {isa} in {}", T::NAME);
    }
}

fn all_passes<T: Real>(shape: &Conv3dShape, schedule: Schedule) {
    let x = random::<T>(shape.x_len(), 1);
    let weight = random::<T>(shape.weight_len(), 2);
    let bias = random::<T>(shape.co(), 3);
    let dy = random::<T>(shape.y_len(), 4);
    let spec = *shape.spec();
    let y_want = reference::forward(shape, &x, &weight, Some(&bias));
    let dx_want = reference::backward_input(shape, &weight, &dy);
    let dw_want = reference::backward_weight(shape, &x, &dy);
    let taps: usize = spec.kernel.iter().product();
    for isa in available() {
        let shape = shape.with_isa(isa);
        let plan = &Plan::forward(&shape);
        assert!(fits(plan));
        let mut y = vec![T::NAN; shape.y_len()];
        let w = Weight { data: &weight, kernel: spec.kernel, k_stride: shape.co(), column_stride: 1 };
        let sources = &[Source::plain(&x, shape.ci())];
        let (bias, epilogue) = (Some(&bias[..]), Epilogue::Nothing);
        let correlation = Correlation { plan, sources, weight: w, bias, epilogue };
        correlate(schedule, &correlation, &mut [Target { y: &mut y, channels: shape.co() }]);
        assert_within_bound("y", isa, &y, &y_want, taps * shape.ci() / 9);

        let mut dw = vec![T::NAN; shape.weight_len()];
        let of_dy = Source::plain(&dy, shape.co());
        let gradient = WeightGradient { plan, sources, dy: of_dy, strides: [shape.co(), 1] };
        grad_weight(schedule, &gradient, &mut dw);
        // Tiles that reach over the edge count whole.
        let [d, h, w] = shape.output();
        let tiles = shape.n() * d * h.div_ceil(4) * w.div_ceil(4);
        assert_within_bound("dw", isa, &dw, &dw_want, 2 * tiles);

        let mut dx = vec![T::NAN; shape.x_len()];
        let w = Weight { data: &weight, kernel: spec.kernel, k_stride: 1, column_stride: shape.co() };
        for plan in &Plan::backward_input(&shape) {
            assert!(fits(plan));
            let correlation = Correlation { plan, sources: &[of_dy], weight: w, bias: None, epilogue };
            correlate(schedule, &correlation, &mut [Target { y: &mut dx, channels: shape.ci() }]);
        }
        assert_within_bound("dx", isa, &dx, &dx_want, taps * shape.co() / 9);
    }
}

fn schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        (1usize..4, 1usize..6).prop_map(|(tile_rows, depth)| Schedule::Strips { tile_rows, depth }),
        (1usize..6).prop_map(|depth| Schedule::Planes { depth }),
    ]
}

/// Any window of 3x3 in the plane, with any taps along d.
pub(super) fn shapes(channels: [impl Strategy<Value = usize>; 2]) -> impl Strategy<Value = Conv3dShape> {
    let [ci, co] = channels;
    let d = (1usize..4, 1usize..3, 0usize..3, 1usize..3);
    let spec = (d, [0usize..3, 0usize..3]).prop_map(|((kd, sd, pd, dd), [ph, pw])| Conv3dSpec {
        kernel: [kd, 3, 3],
        stride: [sd, 1, 1],
        padding: [pd, ph, pw],
        dilation: [dd, 1, 1],
    });
    (1usize..3, [1usize..8, 1usize..14, 1usize..14], ci, co, spec)
        .prop_filter_map("the window fits", |(n, input, ci, co, spec)| {
            Conv3dShape::new(n, input, ci, co, spec).ok()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_plane_and_any_taps_along_d_equal_the_naive_loops_in_f64(
        shape in shapes([1usize..6, 1usize..6]), schedule in schedules(),
    ) {
        all_passes::<f64>(&shape, schedule);
    }

    #[test]
    fn any_plane_and_any_taps_along_d_equal_the_naive_loops_in_f32(
        shape in shapes([1usize..6, 1usize..6]), schedule in schedules(),
    ) {
        all_passes::<f32>(&shape, schedule);
    }
}

#[test]
fn every_channel_tail_is_right() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    for (ci, co) in
        [(1, 33), (7, 8), (8, 7), (15, 16), (16, 15), (17, 1), (33, 17), (2, 32), (32, 64), (5, 49)]
    {
        let shape = Conv3dShape::new(1, [2, 5, 9], ci, co, spec).unwrap();
        for schedule in [Schedule::Strips { tile_rows: 1, depth: 2 }, Schedule::Planes { depth: 2 }] {
            all_passes::<f32>(&shape, schedule);
            all_passes::<f64>(&shape, schedule);
        }
    }
}

/// What the header states: on data like a network's, the error against the exact result, relative to the largest
/// output, is that of the direct sum.
#[test]
fn the_error_in_f32_is_no_larger_than_the_direct_sums() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    for ci in [1, 32] {
        let shape = Conv3dShape::new(1, [4, 24, 24], ci, 32, spec).unwrap();
        // Half-normal in, as after a ReLU.
        let x: Vec<f32> = random::<f32>(shape.x_len(), 1).iter().map(|v| v.max(0.0)).collect();
        let weight = random::<f32>(shape.weight_len(), 2);
        let want = reference::forward(&shape, &x, &weight, None);
        let largest = want.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        for (algorithm, bound) in [(ConvAlgorithm::Direct, 4e-6), (ConvAlgorithm::Winograd, 4e-6)] {
            let mut y = vec![f32::NAN; shape.y_len()];
            let (shape, sources) = (shape.with_algorithm(algorithm), &[Source::plain(&x, ci)]);
            forward(&shape, sources, &weight, None, &mut y, Epilogue::Nothing);
            let error =
                y.iter().zip(&want).fold(0.0, |m: f64, (y, want)| m.max((f64::from(*y) - want).abs()));
            assert!(error <= bound * largest, "{ci} channels, {algorithm:?}: {:e}", error / largest);
        }
    }
}
