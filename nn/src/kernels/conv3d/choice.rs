//! Which algorithm computes a pass of a convolution: the cheapest, unless the shape insists on one.
//!
//! **Cost model.** In multiply-adds, for V output voxels of a sample, K channels that are read, C that are written, t taps
//! along d, and a window of 3x3 in the plane:
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
//! measured. So direct wins below 100 to 500 voxels; for a single channel, in planes of few lines. The number of samples
//! plays no part: each is computed as if it were alone. The gradient of the weight is direct below 8 channels on either
//! side: its products would then wait for the transformed tensors.
//! `cargo run --release -p benches --bin crossover` measures both. The head of a network, one voxel of kernel and few
//! outputs, has loops of its own (`pointwise.rs`), whatever is asked for.

use autograd::Real;

use super::plan::Plan;
use super::pointwise;
use super::shape::{Conv3dShape, ConvAlgorithm};
use super::winograd::schedule;

/// How a pass is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Kernels of one voxel with few outputs.
    Pointwise,
    /// Winograd's along h alone: a single channel that is read, and one tensor that is written.
    SingleChannel,
    /// Winograd's in the plane.
    Winograd,
    /// Everything else.
    Direct,
}

impl Algorithm {
    /// For the correlations of one pass, from or to so many tensors side by side.
    pub(crate) fn of_pass<T: Real>(shape: &Conv3dShape, plans: &[Plan], tensors: usize) -> Self {
        match plans {
            _ if tensors == 1 && pointwise::fits(shape) => Self::Pointwise,
            [plan] if tensors == 1 && uses_single::<T>(shape.algorithm(), plan) => Self::SingleChannel,
            plans if plans.iter().all(|plan| uses_winograd::<T>(shape.algorithm(), plan)) => Self::Winograd,
            _ => Self::Direct,
        }
    }

    /// For the gradient of the weight, of so many sources.
    pub(crate) fn of_weight_gradient<T: Real>(shape: &Conv3dShape, plan: &Plan, sources: usize) -> Self {
        let narrow = shape.ci().min(shape.co()) < 8 && shape.algorithm() == ConvAlgorithm::Auto;
        match sources {
            1 if pointwise::fits(shape) => Self::Pointwise,
            _ if !narrow && uses_winograd::<T>(shape.algorithm(), plan) => Self::Winograd,
            _ => Self::Direct,
        }
    }
}

fn uses_winograd<T: Real>(algorithm: ConvAlgorithm, plan: &Plan) -> bool {
    insists_or_pays(algorithm, schedule::fits(plan), || {
        winograd_cost(plan, plan.lanes::<T>()) < direct_cost(plan, plan.lanes::<T>())
    })
}

fn uses_single<T: Real>(algorithm: ConvAlgorithm, plan: &Plan) -> bool {
    insists_or_pays(algorithm, schedule::fits_single(plan), || {
        single_cost(plan, plan.lanes::<T>()) < direct_cost(plan, plan.lanes::<T>())
    })
}

/// Whether Winograd's algorithm is taken, where it `fits`.
fn insists_or_pays(algorithm: ConvAlgorithm, fits: bool, pays: impl Fn() -> bool) -> bool {
    match algorithm {
        ConvAlgorithm::Direct => false,
        ConvAlgorithm::Winograd => fits,
        ConvAlgorithm::Auto => fits && pays(),
    }
}

fn direct_cost(plan: &Plan, lanes: usize) -> f64 {
    let [d, h, w] = &plan.axes;
    let voxels = (d.count * h.count * w.count) as f64;
    voxels * (plan.depth() * plan.columns.next_multiple_of(lanes)) as f64
}

fn winograd_cost(plan: &Plan, lanes: usize) -> f64 {
    let [d, h, w] = &plan.axes;
    let covered = h.count.next_multiple_of(4) * w.count.next_multiple_of(4);
    let voxels = (d.count * covered) as f64;
    let [k, columns] = [plan.k_channels, plan.columns].map(|channels| channels.next_multiple_of(lanes));
    let products = 2.25 * (d.taps.len() * plan.k_channels * columns) as f64;
    let weights = (d.taps.len() * plan.k_channels * plan.columns) as f64;
    voxels * (products + (18 * k + 14 * columns) as f64) + 1000.0 * weights
}

fn single_cost(plan: &Plan, lanes: usize) -> f64 {
    let [d, h, w] = &plan.axes;
    let voxels = (d.count * h.count.next_multiple_of(4) * w.count) as f64;
    voxels * (4.5 * d.taps.len() as f64 + 4.0) * plan.columns.next_multiple_of(lanes) as f64
}
