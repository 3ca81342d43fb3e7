//! What a convolution works on, and what it does on the way: activate what it reads, and sum up what it writes.
//!
//! A network spends its time in passes over memory, so normalisation and activation are not passes of their own. A
//! convolution reads a *raw* tensor and computes act((x − mean)·scale + shift) in registers ([`Affine`]); zero
//! padding comes after that. What it writes goes through sums per channel ([`Epilogue`]): mean and variance for the
//! next normalisation, or, in the backward pass, the two sums that the gradient of a normalisation needs.
//!
//! Sums run in the number type along one row of tiles and in `f64` from row to row; tasks are merged in their order.

use autograd::Real;

use super::plan::Plan;
use crate::kernels::Affine;

/// One of the tensors that a convolution reads side by side: their channels follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, T> {
    /// `[n, d, h, w, channels]`
    pub x: &'a [T],
    /// Channels.
    pub channels: usize,
    /// Applied to each number as it is read.
    pub affine: Option<&'a Affine<T>>,
}

impl<'a, T> Source<'a, T> {
    /// A tensor that is read as it lies.
    pub fn plain(x: &'a [T], channels: usize) -> Self {
        Self { x, channels, affine: None }
    }
}

impl<T: Real> Source<'_, T> {
    /// Sample `n` of several alone, read through `affine`.
    pub(crate) fn of_sample<'a>(
        &'a self,
        [n, samples]: [usize; 2],
        affine: Option<&'a Affine<T>>,
    ) -> Source<'a, T> {
        let numbers = self.x.len() / samples;
        Source { x: &self.x[n * numbers..(n + 1) * numbers], channels: self.channels, affine }
    }

    /// Makes sure that it is `n` samples of `voxels`, and that its affine has numbers for all of them: kernels read both
    /// by pointers.
    #[track_caller]
    pub(crate) fn check(&self, n: usize, voxels: usize) {
        assert_eq!(self.x.len(), n * voxels * self.channels, "length of the input");
        if let Some(affine) = self.affine {
            affine.check(n, self.channels);
        }
    }
}

/// One of the tensors that a convolution writes side by side.
#[derive(Debug)]
pub struct Target<'a, T> {
    /// `[n, d, h, w, channels]`
    pub y: &'a mut [T],
    /// Channels.
    pub channels: usize,
}

/// A weight tensor, read as `[tap][k][column]`.
#[derive(Clone, Copy)]
pub(crate) struct Weight<'a, T> {
    pub(crate) data: &'a [T],
    /// Taps along d, h, w.
    pub(crate) kernel: [usize; 3],
    /// Elements between neighbouring k.
    pub(crate) k_stride: usize,
    /// Elements between neighbouring columns.
    pub(crate) column_stride: usize,
}

/// The targets = bias + correlation of the sources with the weight, at the places that the plan's axes name, the others
/// being left alone. The sources' channels follow each other in k, those of the targets in the columns.
#[derive(Clone, Copy)]
pub(crate) struct Correlation<'a, T> {
    pub(crate) plan: &'a Plan,
    pub(crate) sources: &'a [Source<'a, T>],
    pub(crate) weight: Weight<'a, T>,
    pub(crate) bias: Option<&'a [T]>,
    pub(crate) epilogue: Epilogue<'a, T>,
}

impl<T: Real> Correlation<'_, T> {
    /// Makes sure that all lengths are those of the plan, that it writes inside the targets, and that sums are of one target
    /// that is written whole: the loops go by pointers.
    #[track_caller]
    pub(crate) fn check(&self, targets: &[Target<'_, T>]) {
        let plan = self.plan;
        check_sources(plan, self.sources);
        let weights = self.weight.kernel.iter().product::<usize>() * plan.k_channels * plan.columns;
        assert_eq!(self.weight.data.len(), weights, "length of the weight");
        assert!(self.bias.is_none_or(|bias| bias.len() == plan.columns), "length of the bias");
        let places = plan.n * plan.axes.iter().map(|axis| axis.out_len).product::<usize>();
        assert_eq!(targets.iter().map(|t| t.channels).sum::<usize>(), plan.columns, "columns of the targets");
        assert!(targets.iter().all(|t| t.y.len() == places * t.channels), "length of a target");
        for axis in &plan.axes {
            let last = axis.out_start + axis.count.saturating_sub(1) * axis.out_step;
            assert!(axis.count == 0 || last < axis.out_len, "the plan writes inside the output");
        }
        if !matches!(self.epilogue, Epilogue::Nothing) {
            let whole = plan.axes.iter().all(|axis| axis.count == axis.out_len);
            assert!(whole && targets.len() == 1, "sums are of one target that is written whole");
        }
        if let Epilogue::Gradient { x, affine } = self.epilogue {
            assert_eq!(x.len(), places * plan.columns, "length of a gradient's x");
            affine.check(plan.n, plan.columns);
        }
    }

    /// The bias or zeros, and zeros up to `len`.
    pub(crate) fn start(&self, len: usize) -> Vec<T> {
        let mut start = self.bias.unwrap_or_default().to_vec();
        start.resize(len, T::ZERO);
        start
    }
}

/// dw\[tap\]\[k\]\[column\] = Σ_pixels x\[pixel·step + offset\]\[k\] · dy\[pixel\]\[column\], written at
/// tap·(their number) + k·`strides[0]` + column·`strides[1]`. The plan is that of the forward pass; its axes write every
/// output.
#[derive(Clone, Copy)]
pub(crate) struct WeightGradient<'a, T> {
    pub(crate) plan: &'a Plan,
    pub(crate) sources: &'a [Source<'a, T>],
    /// The output's gradient, or what stands in its place.
    pub(crate) dy: Source<'a, T>,
    pub(crate) strides: [usize; 2],
}

impl<T: Real> WeightGradient<'_, T> {
    /// Makes sure that all lengths are those of the plan.
    #[track_caller]
    pub(crate) fn check(&self, dw: &[T]) {
        let plan = self.plan;
        check_sources(plan, self.sources);
        assert_eq!(self.dy.channels, plan.columns, "channels of the output's gradient");
        self.dy.check(plan.n, plan.axes.iter().map(|axis| axis.count).product());
        assert_eq!(dw.len(), plan.depth() * plan.columns, "length of the weight's gradient");
    }
}

/// Makes sure that the sources together are the plan's input.
#[track_caller]
fn check_sources<T: Real>(plan: &Plan, sources: &[Source<'_, T>]) {
    let channels: usize = sources.iter().map(|source| source.channels).sum();
    assert_eq!(channels, plan.k_channels, "channels of the input");
    let voxels = plan.axes.iter().map(|axis| axis.input).product();
    sources.iter().for_each(|source| source.check(plan.n, voxels));
}

/// What is summed up of a convolution's single output.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a, T> {
    /// Nothing.
    Nothing,
    /// Mean and M2 = Σ(y − mean)².
    Moments,
    /// The output is the gradient da of a = act(z), z = (x − mean)·scale + shift. Written is g = da·act′(z); the sums
    /// are Σ g and Σ g·(x − mean).
    Gradient {
        /// x, of the output's shape.
        x: &'a [T],
        /// The numbers of z, and act.
        affine: &'a Affine<T>,
    },
}

#[cfg(test)]
mod tests;
