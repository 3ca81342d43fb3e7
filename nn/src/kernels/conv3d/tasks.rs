//! How the passes of a convolution are cut.

use autograd::Real;
use autograd::simd;

use super::plan::Plan;
use super::{Conv3dShape, adjoint_axes, direct, grad_weight, passes, pointwise, winograd};
use crate::kernels::tasks::Tasks;

/// The tasks of the forward pass.
pub fn forward_tasks<T: Real>(shape: &Conv3dShape) -> Vec<Tasks> {
    if pointwise::fits(shape) {
        return vec![pointwise::tasks(shape)];
    }
    correlate_tasks::<T>(shape, &passes::forward_plan(shape))
}

/// The tasks of the gradient of the input; with a stride, of one of its parts.
pub fn backward_input_tasks<T: Real>(shape: &Conv3dShape) -> Vec<Tasks> {
    if pointwise::fits(shape) {
        return vec![pointwise::tasks(shape)];
    }
    let axes =
        adjoint_axes(shape.spec(), shape.output(), shape.input()).next().expect("a stride has remainders");
    correlate_tasks::<T>(shape, &Plan { n: shape.n(), axes, k_channels: shape.co(), columns: shape.ci() })
}

/// The tasks of the gradient of the weight.
pub fn backward_weight_tasks<T: Real>(shape: &Conv3dShape) -> Vec<Tasks> {
    if pointwise::fits(shape) {
        return vec![pointwise::tasks(shape)];
    }
    let plan = passes::forward_plan(shape);
    let isa = simd::active();
    if passes::grad_weight_uses_winograd::<T>(shape, &plan, isa) {
        return winograd::grad_weight_tasks::<T>(&plan, isa);
    }
    vec![grad_weight::tasks(&plan, isa.lanes::<T>())]
}

fn correlate_tasks<T: Real>(shape: &Conv3dShape, plan: &Plan) -> Vec<Tasks> {
    let isa = simd::active();
    if passes::uses_single::<T>(shape.algorithm(), plan, isa) {
        return vec![winograd::single::tasks(plan)];
    }
    if passes::uses_winograd::<T>(shape.algorithm(), plan, isa) {
        return winograd::correlate_tasks::<T>(plan, isa);
    }
    vec![direct::tasks(plan)]
}
