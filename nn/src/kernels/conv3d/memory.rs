//! What the passes of a convolution hold beside their operands: packed or transformed weights, transformed inputs, partial
//! sums. The sizes are those that the passes ask for.

use autograd::Real;
use autograd::simd;

use super::plan::Plan;
use super::{Conv3dShape, adjoint_axes, direct, grad_weight, passes, pointwise, winograd};

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
    let (isa, plan) = (simd::active(), passes::forward_plan(shape));
    bytes::<T>(match passes::uses_winograd::<T>(shape.algorithm(), &plan, isa) {
        true => winograd::scratch::<T>(isa, &plan, reading.channels, &[shape.co()], threads),
        false => direct::scratch::<T>(isa, &plan, reading.is_plain(), threads),
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
    let isa = simd::active();
    let plans: Vec<Plan> = adjoint_axes(shape.spec(), shape.output(), shape.input())
        .map(|axes| Plan { n: shape.n(), axes, k_channels: shape.co(), columns: shape.ci() })
        .collect();
    let by_winograd = plans.iter().all(|plan| passes::uses_winograd::<T>(shape.algorithm(), plan, isa));
    let largest = plans.iter().map(|plan| match by_winograd {
        true => winograd::scratch::<T>(isa, plan, &[shape.co()], channels, threads),
        false => direct::scratch::<T>(isa, plan, true, threads),
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
    let (isa, plan) = (simd::active(), passes::forward_plan(shape));
    bytes::<T>(match passes::grad_weight_uses_winograd::<T>(shape, &plan, isa) {
        true => winograd::grad_weight_scratch::<T>(isa, &plan, reading.channels, threads),
        false => grad_weight::scratch::<T>(isa, &plan, reading.is_plain(), threads),
    })
}

pub(crate) fn bytes<T>(numbers: Vec<usize>) -> Vec<usize> {
    numbers.into_iter().map(|len| len * size_of::<T>()).collect()
}
