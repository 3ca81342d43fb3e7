//! The gradient of a weight over a batch: each sample's own, rounded, added in the order of the samples.
//!
//! With the cuts of the other passes, which follow from the shape of a sample alone, this makes the passes of a batch those
//! of its samples bit for bit, so that a batch may be passed in parts.

use autograd::Real;
use autograd::parallel::{SLAB, for_each_slab};

use super::operands::{Source, WeightGradient};
use crate::kernels::scratch::Scratch;

/// dw = Σ_n of what `one` writes for sample n.
///
/// # Panics
///
/// If a length does not fit the plan.
pub(crate) fn sum_over_samples<T: Real>(
    gradient: &WeightGradient<'_, T>,
    dw: &mut [T],
    one: impl Fn(&WeightGradient<'_, T>, &mut [T]),
) {
    gradient.check(dw);
    match gradient.plan.n {
        0 => dw.fill(T::ZERO),
        1 => one(gradient, dw),
        samples => {
            of_sample(gradient, 0, |gradient| one(gradient, dw));
            let mut next = Scratch::new(dw.len());
            for n in 1..samples {
                of_sample(gradient, n, |gradient| one(gradient, &mut next));
                for_each_slab(dw, SLAB, |start, dw| {
                    dw.iter_mut().zip(&next[start..]).for_each(|(dw, &next)| *dw += next);
                });
            }
        }
    }
}

/// Calls `f` with the gradient of sample `n` of several.
fn of_sample<T: Real>(all: &WeightGradient<'_, T>, n: usize, f: impl FnOnce(&WeightGradient<'_, T>)) {
    let samples = all.plan.n;
    let affine = |source: &Source<'_, T>| source.affine.map(|affine| affine.of(n));
    let affines: Vec<_> = all.sources.iter().map(affine).collect();
    let sources: Vec<_> = (all.sources.iter().zip(&affines))
        .map(|(source, affine)| source.of_sample([n, samples], affine.as_ref()))
        .collect();
    let affine = affine(&all.dy);
    let dy = all.dy.of_sample([n, samples], affine.as_ref());
    f(&WeightGradient { plan: &all.plan.of_sample(), sources: &sources, dy, strides: all.strides });
}
