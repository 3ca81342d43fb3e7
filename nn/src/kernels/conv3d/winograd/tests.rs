//! Winograd's algorithm against the naive loops, forced on small shapes, by both schedules, on every instruction set.

use autograd::Real;
use autograd::simd::{Isa, available};
use proptest::prelude::*;

use super::{Schedule, correlate, fits, grad_weight};
use crate::kernels::conv3d::direct::{Plan, Weight};
use crate::kernels::conv3d::fuse::{Epilogue, Source, Target};
use crate::kernels::conv3d::tests::random;
use crate::kernels::conv3d::{Conv3dShape, Conv3dSpec, adjoint_axes, reference};

/// Asserts |got − want| ≤ 22·u·√terms·Σ|x||w|, in which `magnitude` bounds Σ|x||w|.
fn assert_within_bound<T: Real>(
    what: &str,
    isa: Isa,
    got: &[T],
    want: &[f64],
    terms: usize,
    magnitude: &[f64],
) {
    let bound = 11.0 * T::EPSILON.to_f64() * (terms as f64).sqrt();
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (got.to_f64() - want).abs();
        let most = bound * magnitude[i % magnitude.len()].max(1.0);
        assert!(error <= most, "{what}[{i}] = {got}, not {want} within {most:e}, on {isa} in {}", T::NAME);
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
    let source = |x, channels| Source { x, channels, prologue: None };
    for isa in available() {
        let plan = Plan { n: shape.n(), axes: shape.axes(), k_channels: shape.ci(), columns: shape.co() };
        assert!(fits(&plan));
        let mut y = vec![T::NAN; shape.y_len()];
        let w = Weight { data: &weight, kernel: spec.kernel, k_stride: shape.co(), column_stride: 1 };
        let mut targets = [Target { y: &mut y, channels: shape.co() }];
        correlate(
            isa,
            schedule,
            &plan,
            &[source(&x, shape.ci())],
            w,
            Some(&bias),
            &mut targets,
            Epilogue::Nothing,
        );
        let terms = taps * shape.ci();
        assert_within_bound("y", isa, &y, &y_want, terms, &[terms as f64]);

        let mut dw = vec![T::NAN; shape.weight_len()];
        grad_weight(isa, &plan, &[source(&x, shape.ci())], &dy, [shape.co(), 1], &mut dw);
        let terms = shape.y_len() / shape.co();
        assert_within_bound("dw", isa, &dw, &dw_want, terms, &[terms as f64]);

        let mut dx = vec![T::NAN; shape.x_len()];
        let w = Weight { data: &weight, kernel: spec.kernel, k_stride: 1, column_stride: shape.co() };
        for axes in adjoint_axes(&spec, shape.output(), shape.input()) {
            let plan = Plan { n: shape.n(), axes, k_channels: shape.co(), columns: shape.ci() };
            assert!(fits(&plan));
            let mut targets = [Target { y: &mut dx, channels: shape.ci() }];
            correlate(
                isa,
                schedule,
                &plan,
                &[source(&dy, shape.co())],
                w,
                None,
                &mut targets,
                Epilogue::Nothing,
            );
        }
        let terms = taps * shape.co();
        assert_within_bound("dx", isa, &dx, &dx_want, terms, &[terms as f64]);
    }
}

fn schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        (1usize..4, 1usize..6).prop_map(|(tile_rows, depth)| Schedule::Strips { tile_rows, depth }),
        (1usize..6).prop_map(|depth| Schedule::Planes { depth }),
    ]
}

/// Any window of 3x3 in the plane, with any taps along d.
fn shapes(channels: impl Strategy<Value = usize> + Clone) -> impl Strategy<Value = Conv3dShape> {
    let d = (1usize..4, 1usize..3, 0usize..3, 1usize..3);
    let spec = (d, [0usize..3, 0usize..3]).prop_map(|((kd, sd, pd, dd), [ph, pw])| Conv3dSpec {
        kernel: [kd, 3, 3],
        stride: [sd, 1, 1],
        padding: [pd, ph, pw],
        dilation: [dd, 1, 1],
    });
    (1usize..3, [1usize..8, 1usize..14, 1usize..14], channels.clone(), channels, spec)
        .prop_filter_map("the window fits", |(n, input, ci, co, spec)| {
            Conv3dShape::new(n, input, ci, co, spec).ok()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_plane_and_any_taps_along_d_equal_the_naive_loops_in_f64(
        shape in shapes(1usize..6), schedule in schedules(),
    ) {
        all_passes::<f64>(&shape, schedule);
    }

    #[test]
    fn any_plane_and_any_taps_along_d_equal_the_naive_loops_in_f32(
        shape in shapes(1usize..6), schedule in schedules(),
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
