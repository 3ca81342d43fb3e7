//! Correlations with a window of 3x3 in the plane by Winograd's F(4x4, 3x3), for the forward pass, the gradient of the
//! input and the gradient of the weight.
//!
//! A tile of 4x4 outputs and the 6x6 inputs it depends on are transformed along h and w ([`points`], [`transform`]); in the
//! transformed domain each of the 36 frequencies is a matrix product over channels, and the taps along d, whatever
//! their stride or dilation, are summed there:
//!
//! ```text
//! V = Bᵀ·x·B    U = G·g·Gᵀ    M[f][tile][co] = Σ_kd Σ_ci V[f][d + kd][tile][ci] · U[f][kd][ci][co]    y = Aᵀ·M·A
//! dU[f][kd][ci][co] = Σ_tiles V[f][d + kd][tile][ci] · Z[f][tile][co],    Z = A·dy·Aᵀ,    dg = Gᵀ·dU·G
//! ```
//!
//! That is 36/16 multiplications for each output and tap along d instead of 9: a quarter. The products run in the
//! register tile of the direct kernels ([`super::tile`]).
//!
//! **Schedules.** Where planes are large, a task is a *strip* of tile rows ([`strips`]): it walks along d with a ring
//! of transformed slabs in its second-level cache, and nothing transformed ever leaves it. Where planes are small and
//! weights large, whole *planes* are transformed, multiplied frequency by frequency, and transformed back
//! ([`planes`]), so that U is read once for many tiles. The gradient of the weight goes by strips where its sums are few
//! ([`grad_strips`]), and by planes elsewhere ([`grad_planes`]): there a frequency sums over all tiles, and each sum
//! belongs to one task. A single channel has a kernel of its own, along h alone ([`single`]).
//!
//! **Error.** For |x|, |w| ≤ 1 and P = kd·ci products at a frequency, |computed − exact| ≤ (P + 20)·u·750·P, u = ε/2, in
//! the worst case (the direct sum: 9·P·u·9·P); the tests derive it. On data like a network's, a test holds both to
//! 4e-6 of the largest output in `f32`.
//!
//! **Bits.** An output depends on its own tile alone, and the sums of a gradient are cut by shape alone, so the number
//! of threads changes nothing.

use autograd::Real;

use self::domain::Domain;
use self::schedule::{Schedule, StripCut};
use self::steps::{GradPass, Pass};
use super::operands::{Correlation, Target, WeightGradient};
use super::plan::Plan;
use super::sums::TaskSums;
use crate::kernels::scratch::Scratch;
use crate::kernels::tasks::Tasks;
use crate::kernels::{Output, Pairs};

mod domain;
mod grad_planes;
mod grad_strips;
mod planes;
mod points;
mod ring;
pub(super) mod schedule;
pub(super) mod single;
mod steps;
mod strips;
#[cfg(test)]
mod tests;
mod transform;
mod weight;

/// See [`Correlation`]; and the epilogue's sums.
///
/// # Panics
///
/// If a length does not fit the plan, or the plan does not [fit](schedule::fits).
pub(crate) fn correlate<T: Real>(
    schedule: Schedule,
    correlation: &Correlation<'_, T>,
    targets: &mut [Target<'_, T>],
) -> Pairs {
    correlation.check(targets);
    let &Correlation { plan, sources, weight, epilogue, .. } = correlation;
    assert!(schedule::fits(plan), "a window of 3x3 in the plane, stride 1");
    let u = weight::transform(plan, weight);
    let domain = Domain::new(plan, sources, targets.iter().map(|target| target.channels));
    // Loads of a bias may start at any target's first channel.
    let bias = correlation.start(domain.blocks.padded() + plan.lanes::<T>());
    let mut first = 0;
    let targets = targets.iter_mut().map(|Target { y, channels }| {
        first += *channels;
        (Output(y.as_mut_ptr()), *channels, first - *channels)
    });
    let targets = targets.collect();
    let pass = Pass { domain, correlation, targets, u: &u, bias: &bias, zeros: [T::ZERO; 32] };
    let sums = match schedule {
        Schedule::Strips { tile_rows, depth } => strips::run(&pass, StripCut::new(plan, tile_rows, depth)),
        Schedule::Planes { depth } => planes::run(&pass, depth),
    };
    TaskSums::merge(epilogue, plan.n, &sums)
}

/// See [`WeightGradient`].
///
/// # Panics
///
/// If a length does not fit the plan, the plan does not [fit](schedule::fits), or dy is to be activated.
pub(crate) fn grad_weight<T: Real>(schedule: Schedule, gradient: &WeightGradient<'_, T>, dw: &mut [T]) {
    gradient.check(dw);
    let &WeightGradient { plan, sources, dy, strides } = gradient;
    assert!(schedule::fits(plan), "a window of 3x3 in the plane, stride 1");
    assert!(dy.affine.is_none(), "a gradient that is read as it lies");
    let pass = GradPass { domain: Domain::new(plan, sources, [plan.columns].into_iter()), dy: dy.x };
    let mut du = Scratch::zeros(pass.domain.blocks.len());
    match schedule {
        Schedule::Strips { tile_rows, depth } => {
            grad_strips::run(&pass, StripCut::new(plan, tile_rows, depth), &mut du);
        }
        Schedule::Planes { .. } => grad_planes::run(&pass, &mut du),
    }
    weight::transform_back(plan, &du, strides, dw);
}

/// How a correlation is cut.
pub(crate) fn correlate_tasks<T: Real>(plan: &Plan) -> Vec<Tasks> {
    match Schedule::of::<T>(plan) {
        Schedule::Strips { tile_rows, depth } => vec![StripCut::new(plan, tile_rows, depth).tasks(plan)],
        Schedule::Planes { depth } => planes::tasks::<T>(plan, depth),
    }
}

/// How a gradient of the weight is cut.
pub(crate) fn grad_weight_tasks<T: Real>(plan: &Plan) -> Vec<Tasks> {
    match Schedule::of_grad_weight::<T>(plan) {
        Schedule::Strips { tile_rows, depth } => vec![StripCut::new(plan, tile_rows, depth).tasks(plan)],
        Schedule::Planes { .. } => grad_planes::tasks::<T>(plan),
    }
}
