//! The loops under both kinds of convolution, which are compiled here once for each number type: see [`table`].

use autograd::Real;
use autograd::simd::Isa;

use super::operands::{Correlation, Target, WeightGradient};
use super::winograd::schedule::Schedule;
use super::winograd::single;
use super::{bias, direct, grad_weight, pointwise, winograd};
use crate::kernels::{Pairs, table};

pub(crate) struct Engines<T> {
    pub(crate) direct: Correlate<T>,
    pub(crate) single_channel: Correlate<T>,
    pub(crate) winograd: fn(Schedule, &Correlation<'_, T>, &mut [Target<'_, T>]) -> Pairs,
    pub(crate) pointwise_forward: Correlate<T>,
    pub(crate) pointwise_backward_input: Correlate<T>,
    pub(crate) grad_weight: GradWeight<T>,
    pub(crate) winograd_grad_weight: fn(Schedule, &WeightGradient<'_, T>, &mut [T]),
    pub(crate) pointwise_grad_weight: GradWeight<T>,
    pub(crate) sum_channels: fn(Isa, &[T], usize, &mut [T]),
}

type Correlate<T> = fn(&Correlation<'_, T>, &mut [Target<'_, T>]) -> Pairs;
type GradWeight<T> = fn(&WeightGradient<'_, T>, &mut [T]);

pub(crate) fn engines<T: Real>() -> &'static Engines<T> {
    static SINGLE: Engines<f32> = compiled();
    static DOUBLE: Engines<f64> = compiled();
    table(&SINGLE, &DOUBLE)
}

const fn compiled<T: Real>() -> Engines<T> {
    Engines {
        direct: direct::correlate,
        single_channel: single::correlate,
        winograd: winograd::correlate,
        pointwise_forward: pointwise::forward,
        pointwise_backward_input: pointwise::backward_input,
        grad_weight: grad_weight::grad_weight,
        winograd_grad_weight: winograd::grad_weight,
        pointwise_grad_weight: pointwise::backward_weight,
        sum_channels: bias::sum_channels,
    }
}
