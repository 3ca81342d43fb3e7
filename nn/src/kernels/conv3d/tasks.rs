//! How the passes of a convolution are cut.

use std::slice::from_ref;

use autograd::Real;

use super::choice::Algorithm;
use super::plan::Plan;
use super::pointwise;
use super::shape::Conv3dShape;
use super::winograd::{self, single};
pub(crate) use super::{direct::tasks as direct_tasks, grad_weight::tasks as grad_weight_tasks};
use crate::kernels::tasks::Tasks;

/// The tasks of the forward pass.
pub fn forward_tasks<T: Real>(shape: &Conv3dShape) -> Vec<Tasks> {
    correlate_tasks::<T>(shape, from_ref(&Plan::forward(shape)))
}

/// The tasks of the gradient of the input; with a stride, of one of its parts.
pub fn backward_input_tasks<T: Real>(shape: &Conv3dShape) -> Vec<Tasks> {
    correlate_tasks::<T>(shape, &Plan::backward_input(shape))
}

/// The tasks of the gradient of the weight; of one sample.
pub fn backward_weight_tasks<T: Real>(shape: &Conv3dShape) -> Vec<Tasks> {
    let plan = Plan::forward(shape).of_sample();
    match Algorithm::of_weight_gradient::<T>(shape, &plan, 1) {
        Algorithm::Pointwise => vec![pointwise::tasks(shape)],
        Algorithm::Winograd => winograd::grad_weight_tasks::<T>(&plan),
        _ => vec![grad_weight_tasks::<T>(&plan)],
    }
}

fn correlate_tasks<T: Real>(shape: &Conv3dShape, plans: &[Plan]) -> Vec<Tasks> {
    let plan = plans.first().expect("a stride has remainders");
    match Algorithm::of_pass::<T>(shape, plans, 1) {
        Algorithm::Pointwise => vec![pointwise::tasks(shape)],
        Algorithm::SingleChannel => vec![single::tasks(plan)],
        Algorithm::Winograd => winograd::correlate_tasks::<T>(plan),
        Algorithm::Direct => vec![direct_tasks(plan)],
    }
}
