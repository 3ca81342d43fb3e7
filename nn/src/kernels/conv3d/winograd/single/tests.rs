//! F(4, 3) along h against the naive loops, on every instruction set, in both number types.

use autograd::Real;
use autograd::simd::available;
use proptest::prelude::*;

use super::{correlate, tasks};
use crate::kernels::conv3d::choice::Algorithm;
use crate::kernels::conv3d::operands::{Correlation, Epilogue, Source, Target, Weight};
use crate::kernels::conv3d::plan::Plan;
use crate::kernels::conv3d::tests::random;
use crate::kernels::conv3d::winograd::schedule::fits_single;
use crate::kernels::conv3d::winograd::tests::{E, assert_within, shapes};
use crate::kernels::conv3d::{Conv3dShape, Conv3dSpec, reference};

fn run<T: Real>(plan: &Plan, x: &[T], weight: Weight<'_, T>, bias: Option<&[T]>, y: &mut [T]) {
    assert!(fits_single(plan));
    let sources = &[Source::plain(x, 1)];
    let correlation = Correlation { plan, sources, weight, bias, epilogue: Epilogue::Nothing };
    correlate(&correlation, &mut [Target { y, channels: plan.columns }]);
}

/// From one channel to any number.
fn forward_agrees<T: Real>(shape: &Conv3dShape) {
    let x = random::<T>(shape.x_len(), 1);
    let weight = random::<T>(shape.weight_len(), 2);
    let bias = random::<T>(shape.co(), 3);
    let want = reference::forward(shape, &x, &weight, Some(&bias));
    let kernel = shape.spec().kernel;
    for isa in available() {
        let plan = Plan::forward(&shape.with_isa(isa));
        // NaN, so that an element left alone is seen.
        let mut y = vec![T::NAN; shape.y_len()];
        let weight = Weight { data: &weight, kernel, k_stride: shape.co(), column_stride: 1 };
        run(&plan, &x, weight, Some(&bias), &mut y);
        assert_within("y", isa, &y, &want, 3 * kernel[0], E);
    }
}

/// From the gradient of one channel to that of any number.
fn backward_agrees<T: Real>(shape: &Conv3dShape) {
    let weight = random::<T>(shape.weight_len(), 2);
    let dy = random::<T>(shape.y_len(), 4);
    let want = reference::backward_input(shape, &weight, &dy);
    let kernel = shape.spec().kernel;
    for isa in available() {
        let mut dx = vec![T::NAN; shape.x_len()];
        for plan in Plan::backward_input(&shape.with_isa(isa)) {
            let weight = Weight { data: &weight, kernel, k_stride: 1, column_stride: 1 };
            run(&plan, &dy, weight, None, &mut dx);
        }
        assert_within("dx", isa, &dx, &want, 3 * kernel[0], E);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_plane_and_any_taps_along_d_equal_the_naive_loops(shape in shapes([1usize..2, 1usize..40])) {
        forward_agrees::<f64>(&shape);
        forward_agrees::<f32>(&shape);
    }

    #[test]
    fn the_gradient_of_the_input_equals_the_naive_loops(shape in shapes([1usize..40, 1usize..2])) {
        backward_agrees::<f64>(&shape);
        backward_agrees::<f32>(&shape);
    }
}

#[test]
fn every_tail_of_lines_pixels_and_columns_is_right() {
    for kernel in [[3, 3, 3], [1, 3, 3]] {
        let spec = Conv3dSpec::new(kernel).same_padding();
        for (h, w, co) in (1..10).flat_map(|h| (1..10).map(move |w| (h, w, 4 * h + w))) {
            let shape = Conv3dShape::new(1, [2, h, w], 1, co, spec).unwrap();
            forward_agrees::<f32>(&shape);
        }
        for co in [1, 2, 4, 8, 16, 32, 33, 64] {
            let shape = Conv3dShape::new(2, [3, 8, 37], 1, co, spec).unwrap();
            forward_agrees::<f32>(&shape);
            forward_agrees::<f64>(&shape);
        }
    }
}

#[test]
fn neither_the_output_nor_its_moments_depend_on_the_number_of_threads() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    let shape = Conv3dShape::new(2, [9, 23, 30], 1, 40, spec).unwrap();
    let (x, weight) = (random::<f32>(shape.x_len(), 1), random::<f32>(shape.weight_len(), 2));
    for isa in available() {
        let plan = &Plan::forward(&shape.with_isa(isa));
        assert!(tasks(plan).count > 3, "{:?}", tasks(plan));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let weight = Weight { data: &weight, kernel: [3; 3], k_stride: 40, column_stride: 1 };
            let mut y = vec![f32::NAN; shape.y_len()];
            let (sources, epilogue) = (&[Source::plain(&x, 1)], Epilogue::Moments);
            let correlation = Correlation { plan, sources, weight, bias: None, epilogue };
            let targets = &mut [Target { y: &mut y, channels: 40 }];
            let sums = pool.install(|| correlate(&correlation, targets));
            let sums: Vec<_> = sums.iter().map(|(mean, m2)| [mean.to_bits(), m2.to_bits()]).collect();
            (y.iter().map(|y| y.to_bits()).collect::<Vec<u32>>(), sums)
        };
        let one = run(1);
        assert!(run(2) == one && run(3) == one, "on {isa}");
    }
}

#[test]
fn the_first_layer_of_a_network_goes_this_way_in_even_tasks_and_a_single_line_does_not() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    let shape = |input| Conv3dShape::new(1, input, 1, 32, spec).unwrap();
    let chosen = |input| {
        available().into_iter().map(move |isa| {
            let shape = shape(input).with_isa(isa);
            Algorithm::of_pass::<f32>(&shape, &[Plan::forward(&shape)], 1) == Algorithm::SingleChannel
        })
    };
    for input in [[32, 128, 128], [96; 3], [30, 64, 64]] {
        assert!(chosen(input).all(|chosen| chosen), "{input:?}");
        let tasks = tasks(&Plan::forward(&shape(input)));
        assert!(tasks.count >= 64 && tasks.evenness >= 0.75, "{input:?}: {tasks:?}");
    }
    assert!(chosen([30, 1, 64]).all(|chosen| !chosen));
}
