//! What the passes of a convolution hold beside their operands: packed or transformed weights, transformed inputs, partial
//! sums. The sizes are those that the passes ask for.

use autograd::Real;

use super::choice::Algorithm;
use super::plan::Plan;
use super::shape::Conv3dShape;
use super::{direct, grad_weight, pointwise, winograd};
pub(crate) use super::{direct::scratch as direct_scratch, grad_weight::scratch as grad_weight_scratch};

/// What a convolution reads.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// The channels of each source; those of several follow each other.
    pub channels: &'a [usize],
    /// Whether a source is activated as it is read.
    pub activated: bool,
}

impl Reading<'_> {
    pub(crate) fn is_plain(&self) -> bool {
        self.channels.len() == 1 && !self.activated
    }
}

/// Bytes of each block of scratch memory that the forward pass holds at once in a pool of so many threads.
pub fn forward_scratch<T: Real>(shape: &Conv3dShape, reading: Reading<'_>, threads: usize) -> Vec<usize> {
    if reading.channels.len() == 1 && pointwise::fits(shape) {
        return Vec::new();
    }
    let plan = Plan::forward(shape);
    bytes::<T>(match Algorithm::of_pass::<T>(shape, std::slice::from_ref(&plan), 2) {
        Algorithm::Winograd => winograd::scratch::<T>(&plan, reading.channels, &[shape.co()], threads),
        _ => direct::scratch::<T>(&plan, reading.is_plain(), threads),
    })
}

/// Bytes of each block of scratch memory that the gradient of inputs of so many channels holds at once.
pub fn backward_input_scratch<T: Real>(
    shape: &Conv3dShape,
    channels: &[usize],
    threads: usize,
) -> Vec<usize> {
    if channels.len() == 1 && pointwise::fits(shape) {
        return Vec::new();
    }
    let plans = Plan::backward_input(shape);
    let by_winograd = Algorithm::of_pass::<T>(shape, &plans, 2) == Algorithm::Winograd;
    let largest = plans.iter().map(|plan| match by_winograd {
        true => winograd::scratch::<T>(plan, &[shape.co()], channels, threads),
        false => direct::scratch::<T>(plan, true, threads),
    });
    let mut blocks = largest.max_by_key(|blocks| blocks.iter().sum::<usize>()).unwrap_or_default();
    if !by_winograd && channels.len() > 1 {
        // The gradient of all channels, before it is dealt out.
        blocks.insert(0, shape.x_len());
    }
    bytes::<T>(blocks)
}

/// Bytes of each block of scratch memory that the gradient of the weight holds at once.
pub fn backward_weight_scratch<T: Real>(
    shape: &Conv3dShape,
    reading: Reading<'_>,
    threads: usize,
) -> Vec<usize> {
    if reading.channels.len() == 1 && pointwise::fits(shape) {
        return Vec::new();
    }
    let plan = Plan::forward(shape);
    bytes::<T>(match Algorithm::of_weight_gradient::<T>(shape, &plan, 2) {
        Algorithm::Winograd => winograd::grad_weight_scratch::<T>(&plan, reading.channels, threads),
        _ => grad_weight::scratch::<T>(&plan, reading.is_plain(), threads),
    })
}

pub(crate) fn bytes<T>(numbers: Vec<usize>) -> Vec<usize> {
    numbers.into_iter().map(|len| len * size_of::<T>()).collect()
}
