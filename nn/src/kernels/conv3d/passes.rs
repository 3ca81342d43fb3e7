//! The three passes of a convolution by whichever algorithm is cheaper, with what is to happen on the way.
//!
//! **Cost model.** In multiply-adds, for V output voxels, K channels that are read, C that are written, t taps along d,
//! and a window of 3x3 in the plane:
//!
//! ```text
//! direct           9·t·K·⌈C⌉·V
//! Winograd         w·V·(36/16·t·K·⌈C⌉ + 18·⌈K⌉ + 14·⌈C⌉) + 1000·t·K·C
//! Winograd, K = 1  h·V·(18/4·t + 4)·⌈C⌉
//! ```
//!
//! w ≥ 1 is what tiles of 4x4 cover for each voxel of the plane, h ≥ 1 what 4 lines cover for each line; ⌈·⌉ is the next
//! multiple of the lanes. 18 and 14 count the operations of transforming an input and an output, 4 those of an output
//! along h alone; 1000, for transforming a weight (36 numbers for 9, written to memory), fits the crossings that were
//! measured. So direct wins below 100 to 500 voxels; for a single channel, in planes of few lines. The gradient of the
//! weight is direct below 8 channels on either side: its products would then wait for the transformed tensors.
//! `cargo run --release -p benches --example crossover` measures both. The head of a network, one voxel of kernel and few
//! outputs, has loops of its own (`pointwise.rs`), whatever is asked for.

use autograd::Real;
use autograd::parallel::{for_each_slab, slab_of_rows};
use autograd::simd::Isa;

use super::direct::Weight;
use super::fuse::{Epilogue, Source, Target};
use super::plan::Plan;
use super::winograd::{self, Schedule, single};
use super::{Conv3dShape, ConvAlgorithm, adjoint_axes, engines, pointwise};
use crate::kernels::Pairs;
use crate::kernels::scratch::Scratch;

/// y = bias + sources ∗ weight, and the epilogue's sums where the algorithm takes them.
pub(crate) fn forward_on<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    sources: &[Source<'_, T>],
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
    epilogue: Epilogue<'_, T>,
) -> Option<Pairs> {
    if let ([source], true) = (sources, pointwise::fits(shape)) {
        (engines::<T>().pointwise_forward)(isa, shape, *source, weight, bias, y);
        return None;
    }
    let plan = forward_plan(shape);
    let weight = Weight { data: weight, kernel: shape.spec().kernel, k_stride: shape.co(), column_stride: 1 };
    let single = uses_single::<T>(shape.algorithm(), &plan, isa);
    if !single && uses_winograd::<T>(shape.algorithm(), &plan, isa) {
        let targets = &mut [Target { y, channels: shape.co() }];
        let schedule = Schedule::of::<T>(&plan);
        let correlate = engines::<T>().winograd;
        return Some(correlate(isa, schedule, &plan, sources, weight, bias, targets, epilogue));
    }
    let correlate = if single { engines::<T>().winograd_single } else { engines::<T>().correlate };
    Some(correlate(isa, &plan, sources, weight, bias, y, epilogue))
}

/// The targets = the gradient of the input, whose channels they share among them; and the epilogue's sums, where the
/// algorithm takes them (else the targets hold the plain gradient).
pub(crate) fn backward_input_on<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    weight: &[T],
    dy: &[T],
    targets: &mut [Target<'_, T>],
    epilogue: Epilogue<'_, T>,
) -> Option<Pairs> {
    if let ([target], true) = (&mut *targets, pointwise::fits(shape)) {
        return Some((engines::<T>().pointwise_backward_input)(isa, shape, weight, dy, target.y, epilogue));
    }
    let weight = Weight { data: weight, kernel: shape.spec().kernel, k_stride: 1, column_stride: shape.co() };
    let sources = [Source::plain(dy, shape.co())];
    let plans: Vec<Plan> = adjoint_axes(shape.spec(), shape.output(), shape.input())
        .map(|axes| Plan { n: shape.n(), axes, k_channels: shape.co(), columns: shape.ci() })
        .collect();
    if let ([target], [plan]) = (&mut *targets, plans.as_slice())
        && uses_single::<T>(shape.algorithm(), plan, isa)
    {
        return Some((engines::<T>().winograd_single)(isa, plan, &sources, weight, None, target.y, epilogue));
    }
    if plans.iter().all(|plan| uses_winograd::<T>(shape.algorithm(), plan, isa)) {
        // With a stride along d several plans write the gradient; sums over all of it are not theirs to take.
        let whole = plans.len() == 1;
        let epilogue = if whole { epilogue } else { Epilogue::Nothing };
        let mut sums = Pairs::new();
        for plan in &plans {
            let schedule = Schedule::of::<T>(plan);
            sums = (engines::<T>().winograd)(isa, schedule, plan, &sources, weight, None, targets, epilogue);
        }
        return whole.then_some(sums);
    }
    let correlate = |dx: &mut [T]| {
        for plan in &plans {
            (engines::<T>().correlate)(isa, plan, &sources, weight, None, dx, Epilogue::Nothing);
        }
    };
    match (targets, plans.as_slice()) {
        ([target], [plan]) => {
            return Some((engines::<T>().correlate)(isa, plan, &sources, weight, None, target.y, epilogue));
        }
        ([target], _) => correlate(target.y),
        (targets, _) => {
            let channels = targets.iter().map(|target| target.channels).sum::<usize>();
            assert_eq!(channels, shape.ci(), "channels of the targets");
            let pixels = shape.x_len() / shape.ci();
            assert!(targets.iter().all(|t| t.y.len() == pixels * t.channels), "length of a target");
            let mut dx = Scratch::new(shape.x_len());
            correlate(&mut dx);
            split(&dx, targets);
        }
    }
    None
}

/// dw = the gradient of the weight.
pub(crate) fn backward_weight_on<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    sources: &[Source<'_, T>],
    dy: &[T],
    dw: &mut [T],
) {
    if let ([source], true) = (sources, pointwise::fits(shape)) {
        (engines::<T>().pointwise_backward_weight)(isa, shape, *source, dy, dw);
        return;
    }
    let plan = forward_plan(shape);
    if grad_weight_uses_winograd::<T>(shape, &plan, isa) {
        let schedule = Schedule::of_grad_weight::<T>(&plan);
        (engines::<T>().winograd_grad_weight)(isa, schedule, &plan, sources, dy, [shape.co(), 1], dw);
        return;
    }
    (engines::<T>().grad_weight)(isa, &plan, sources, Source::plain(dy, shape.co()), [shape.co(), 1], dw);
}

pub(super) fn forward_plan(shape: &Conv3dShape) -> Plan {
    Plan { n: shape.n(), axes: shape.axes(), k_channels: shape.ci(), columns: shape.co() }
}

/// The choice by shape and instruction set: see the header.
pub(super) fn uses_winograd<T: Real>(algorithm: ConvAlgorithm, plan: &Plan, isa: Isa) -> bool {
    if algorithm == ConvAlgorithm::Direct || !winograd::fits(plan) {
        return false;
    }
    let lanes = isa.lanes::<T>();
    algorithm == ConvAlgorithm::Winograd || winograd_cost(plan, lanes) < direct_cost(plan, lanes)
}

/// As [`uses_winograd`], along h alone: for a single channel that is read, and one tensor that is written.
pub(super) fn uses_single<T: Real>(algorithm: ConvAlgorithm, plan: &Plan, isa: Isa) -> bool {
    if algorithm == ConvAlgorithm::Direct || !single::fits_single(plan) {
        return false;
    }
    let lanes = isa.lanes::<T>();
    algorithm == ConvAlgorithm::Winograd || single_cost(plan, lanes) < direct_cost(plan, lanes)
}

/// As [`uses_winograd`], for the gradient of the weight.
pub(super) fn grad_weight_uses_winograd<T: Real>(shape: &Conv3dShape, plan: &Plan, isa: Isa) -> bool {
    let narrow = shape.ci().min(shape.co()) < 8 && shape.algorithm() == ConvAlgorithm::Auto;
    !narrow && uses_winograd::<T>(shape.algorithm(), plan, isa)
}

fn direct_cost(plan: &Plan, lanes: usize) -> f64 {
    let [d, h, w] = &plan.axes;
    let voxels = (plan.n * d.count * h.count * w.count) as f64;
    voxels * (plan.depth() * plan.columns.next_multiple_of(lanes)) as f64
}

fn winograd_cost(plan: &Plan, lanes: usize) -> f64 {
    let [d, h, w] = &plan.axes;
    let covered = h.count.next_multiple_of(4) * w.count.next_multiple_of(4);
    let voxels = (plan.n * d.count * covered) as f64;
    let [k, columns] = [plan.k_channels, plan.columns].map(|channels| channels.next_multiple_of(lanes));
    let products = 2.25 * (d.taps.len() * plan.k_channels * columns) as f64;
    let weights = (d.taps.len() * plan.k_channels * plan.columns) as f64;
    voxels * (products + (18 * k + 14 * columns) as f64) + 1000.0 * weights
}

fn single_cost(plan: &Plan, lanes: usize) -> f64 {
    let [d, h, w] = &plan.axes;
    let voxels = (plan.n * d.count * h.count.next_multiple_of(4) * w.count) as f64;
    voxels * (4.5 * d.taps.len() as f64 + 4.0) * plan.columns.next_multiple_of(lanes) as f64
}

/// Deals the channels of `x` out.
fn split<T: Real>(x: &[T], targets: &mut [Target<'_, T>]) {
    let channels = targets.iter().map(|target| target.channels).sum::<usize>();
    let mut column = 0;
    for target in targets {
        let own = target.channels;
        for_each_slab(target.y, slab_of_rows(own), |start, slab| {
            for (i, pixel) in slab.chunks_exact_mut(own).enumerate() {
                pixel.copy_from_slice(&x[(start / own + i) * channels + column..][..own]);
            }
        });
        column += own;
    }
}
