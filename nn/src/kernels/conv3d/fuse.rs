//! What a convolution does on the way: activate what it reads, and sum up what it writes.
//!
//! A network spends its time in passes over memory, so normalisation and activation are not passes of their own. A
//! convolution reads a *raw* tensor and computes act((x − mean)·scale + shift) in registers ([`Prologue`]); zero
//! padding comes after that. What it writes goes through sums per channel ([`Epilogue`]): mean and variance for the
//! next normalisation, or, in the backward pass, the two sums that the gradient of a normalisation needs.
//!
//! Sums run in the number type along one row of tiles and in `f64` from row to row; tasks are merged in their order.

use autograd::Real;
use autograd::simd::Simd;

use crate::kernels::activation::{Act as _, Leaky};

mod sums;

pub(crate) use sums::{NoSums, RowSums, TaskSums};

/// Coefficients are padded to a multiple of this, the most lanes of any vector.
const PAD: usize = 16;

/// act((x − mean)·scale + shift) with act(z) = max(slope·z, z): identity, ReLU or leaky ReLU. It is that of
/// [`activation`](crate::kernels::activation) at ±∞ and NaN as well.
///
/// The numbers are per sample and channel.
#[derive(Clone, Debug)]
pub struct Prologue<T> {
    channels: usize,
    slope: T,
    /// `[n, 3, padded]`: mean, scale, shift.
    coefficients: Vec<T>,
}

impl<T: Real> Prologue<T> {
    /// From `[n, channels]` numbers and the slope left of 0.
    ///
    /// # Panics
    ///
    /// If the numbers are not equally many, or the slope is outside [0, 1].
    pub fn new(channels: usize, mean: &[T], scale: &[T], shift: &[T], slope: T) -> Self {
        assert!(mean.len() == scale.len() && mean.len() == shift.len(), "numbers per sample and channel");
        assert!(channels > 0 && mean.len().is_multiple_of(channels), "whole samples of {channels} channels");
        assert!(
            slope >= T::ZERO && slope <= T::ONE,
            "max(slope·z, z) is the activation for slopes in [0, 1]"
        );
        let padded = channels.next_multiple_of(PAD);
        let mut coefficients = vec![T::ZERO; mean.len() / channels * 3 * padded];
        for (n, sample) in coefficients.chunks_exact_mut(3 * padded).enumerate() {
            for (place, numbers) in sample.chunks_exact_mut(padded).zip([mean, scale, shift]) {
                place[..channels].copy_from_slice(&numbers[n * channels..][..channels]);
            }
        }
        Self { channels, slope, coefficients }
    }

    /// The channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The samples.
    pub fn samples(&self) -> usize {
        self.coefficients.len() / (3 * self.channels.next_multiple_of(PAD))
    }

    /// y = act((x − mean)·scale + shift) of one pixel of sample `n`.
    #[inline(always)]
    pub(crate) fn apply(&self, n: usize, x: &[T], y: &mut [T]) {
        let padded = self.channels.next_multiple_of(PAD);
        let sample = &self.coefficients[n * 3 * padded..][..3 * padded];
        let (mean, rest) = sample.split_at(padded);
        let (scale, shift) = rest.split_at(padded);
        let (mean, scale, shift, y) =
            (&mean[..x.len()], &scale[..x.len()], &shift[..x.len()], &mut y[..x.len()]);
        let act = Leaky::new(self.slope);
        for c in 0..x.len() {
            y[c] = act.value((x[c] - mean[c]) * scale[c] + shift[c]);
        }
    }

    /// As [`apply`](Self::apply) to `pixels` neighbours, vector by vector: `len` channels of each, x and y `steps` apart.
    #[inline(always)]
    pub(crate) fn apply_to_row<S: Simd<Elem = T>>(
        &self,
        s: S,
        n: usize,
        first: usize,
        x: &[T],
        y: &mut [T],
        [x_step, y_step]: [usize; 2],
        [pixels, len]: [usize; 2],
    ) {
        if pixels == 0 {
            return;
        }
        assert!(
            first.is_multiple_of(S::LANES) && first + len <= self.channels,
            "whole vectors of the channels"
        );
        assert!((pixels - 1) * x_step + len <= x.len() && (pixels - 1) * y_step + len <= y.len(), "pixels");
        let numbers = self.of_sample(n);
        for c in (0..len).step_by(S::LANES) {
            let lanes = (len - c).min(S::LANES);
            // SAFETY: `first + c` is a multiple of the lanes below the channels, and the last pixel's channels are inside
            // both slices.
            unsafe {
                let act = numbers.vectors::<S, true>(s, first + c);
                for pixel in 0..pixels {
                    let x = s.load_partial_ptr(x.as_ptr().add(pixel * x_step + c), lanes);
                    s.store_partial_ptr(act.apply(s, x), y.as_mut_ptr().add(pixel * y_step + c), lanes);
                }
            }
        }
    }

    /// The numbers of sample `n`.
    #[inline(always)]
    pub(crate) fn of_sample(&self, n: usize) -> OnLoad<T> {
        let padded = self.channels.next_multiple_of(PAD);
        let sample = &self.coefficients[n * 3 * padded..][..3 * padded];
        let mean = sample.as_ptr();
        OnLoad {
            mean,
            scale: mean.wrapping_add(padded),
            shift: mean.wrapping_add(2 * padded),
            slope: self.slope,
        }
    }
}

/// One of the tensors that a convolution reads side by side: their channels follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a, T> {
    /// `[n, d, h, w, channels]`
    pub x: &'a [T],
    /// Channels.
    pub channels: usize,
    /// Applied to each number as it is read.
    pub prologue: Option<&'a Prologue<T>>,
}

impl<'a, T> Source<'a, T> {
    /// A tensor that is read as it lies.
    pub fn plain(x: &'a [T], channels: usize) -> Self {
        Self { x, channels, prologue: None }
    }
}

impl<T: Real> Source<'_, T> {
    /// Makes sure that it is `n` samples of `voxels`, and that its prologue has numbers for all of them: kernels read both
    /// by pointers.
    #[track_caller]
    pub(crate) fn check(&self, n: usize, voxels: usize) {
        assert_eq!(self.x.len(), n * voxels * self.channels, "length of the input");
        if let Some(prologue) = self.prologue {
            let numbers = [prologue.samples(), prologue.channels()];
            assert_eq!(numbers, [n, self.channels], "samples and channels of a prologue");
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
        /// The numbers of z, and the slope.
        prologue: &'a Prologue<T>,
    },
}

impl<T: Real> Epilogue<'_, T> {
    /// Makes sure that what it reads has the shape of an output of `n` samples, `len` numbers in all, `channels` each.
    #[track_caller]
    pub(crate) fn check(&self, n: usize, len: usize, channels: usize) {
        if let Self::Gradient { x, prologue } = self {
            let numbers = [x.len(), prologue.samples(), prologue.channels()];
            assert_eq!(numbers, [len, n, channels], "numbers, samples and channels of a gradient's x");
        }
    }
}

/// The two sums of each sample and channel that an [`Epilogue`] names; empty for [`Epilogue::Nothing`].
pub type Sums = Vec<(f64, f64)>;

/// A [`Prologue`] of one sample.
#[derive(Clone, Copy)]
pub(crate) struct OnLoad<T> {
    mean: *const T,
    scale: *const T,
    shift: *const T,
    slope: T,
}

impl<T: Real> OnLoad<T> {
    /// A value for where none is applied.
    #[inline(always)]
    pub(crate) fn none() -> Self {
        let null = std::ptr::null();
        Self { mean: null, scale: null, shift: null, slope: T::ONE }
    }

    /// The numbers of the channels from `c` on.
    ///
    /// # Safety
    ///
    /// With `USED`, `c` must be a multiple of the lanes below the channels.
    #[inline(always)]
    pub(crate) unsafe fn vectors<S: Simd<Elem = T>, const USED: bool>(self, s: S, c: usize) -> Act<S> {
        if !USED {
            return Act {
                mean: s.zero(),
                scale: s.zero(),
                shift: s.zero(),
                slope: s.zero(),
                floor: s.zero(),
            };
        }
        // SAFETY: the coefficients are padded to whole vectors.
        unsafe {
            Act {
                mean: s.load_ptr(self.mean.add(c)),
                scale: s.load_ptr(self.scale.add(c)),
                shift: s.load_ptr(self.shift.add(c)),
                slope: s.splat(self.slope),
                floor: s.splat(Leaky::new(self.slope).floor()),
            }
        }
    }
}

/// A normalisation and activation of one vector of channels.
#[derive(Clone, Copy)]
pub(crate) struct Act<S: Simd> {
    mean: S::V,
    scale: S::V,
    shift: S::V,
    slope: S::V,
    floor: S::V,
}

impl<S: Simd> Act<S> {
    /// act((x − mean)·scale + shift)
    #[inline(always)]
    pub(crate) fn apply(&self, s: S, x: S::V) -> S::V {
        let z = s.mul_add(x - self.mean, self.scale, self.shift);
        // The floor takes the place of 0·∞, and the second argument that of a NaN: so the NaN of z alone is kept.
        s.max(s.max(z * self.slope, self.floor), z)
    }

    /// dy·act′(z)
    #[inline(always)]
    fn lead_back(&self, s: S, z: S::V, dy: S::V) -> S::V {
        // z ≤ 0
        s.select_lt(z, s.splat(S::Elem::SMALLEST), dy * self.slope, dy)
    }
}

#[cfg(test)]
mod tests;
