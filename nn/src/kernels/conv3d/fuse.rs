//! What a convolution does on the way: activate what it reads, and sum up what it writes.
//!
//! A network spends its time in passes over memory, so normalisation and activation are not passes of their own. A
//! convolution reads a *raw* tensor and computes act((x − mean)·scale + shift) in registers ([`Affine`]); zero
//! padding comes after that. What it writes goes through sums per channel ([`Epilogue`]): mean and variance for the
//! next normalisation, or, in the backward pass, the two sums that the gradient of a normalisation needs.
//!
//! Sums run in the number type along one row of tiles and in `f64` from row to row; tasks are merged in their order.

use autograd::Real;

use crate::kernels::Affine;

mod sums;

pub(crate) use sums::{NoSums, RowSums, TaskSums};

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

impl<T: Real> Epilogue<'_, T> {
    /// Makes sure that what it reads has the shape of an output of `n` samples, `len` numbers in all, `channels` each.
    #[track_caller]
    pub(crate) fn check(&self, n: usize, len: usize, channels: usize) {
        if let Self::Gradient { x, affine } = self {
            assert_eq!(x.len(), len, "length of a gradient's x");
            affine.check(n, channels);
        }
    }
}

#[cfg(test)]
mod tests;
