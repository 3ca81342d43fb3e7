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

/// Coefficients are padded to a multiple of this, the most lanes of any vector.
const PAD: usize = 16;

/// act((x − mean)·scale + shift) with act(z) = max(slope·z, z): identity, ReLU or leaky ReLU.
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

    /// y = act((x − mean)·scale + shift) of one pixel of sample `n`.
    #[inline(always)]
    pub(crate) fn apply(&self, n: usize, x: &[T], y: &mut [T]) {
        let padded = self.channels.next_multiple_of(PAD);
        let sample = &self.coefficients[n * 3 * padded..][..3 * padded];
        let (mean, rest) = sample.split_at(padded);
        let (scale, shift) = rest.split_at(padded);
        let (mean, scale, shift, y) =
            (&mean[..x.len()], &scale[..x.len()], &shift[..x.len()], &mut y[..x.len()]);
        for c in 0..x.len() {
            let z = (x[c] - mean[c]) * scale[c] + shift[c];
            y[c] = if z > T::ZERO { z } else { self.slope * z };
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
            return Act { mean: s.zero(), scale: s.zero(), shift: s.zero(), slope: s.zero() };
        }
        // SAFETY: the coefficients are padded to whole vectors.
        unsafe {
            Act {
                mean: s.load_ptr(self.mean.add(c)),
                scale: s.load_ptr(self.scale.add(c)),
                shift: s.load_ptr(self.shift.add(c)),
                slope: s.splat(self.slope),
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
}

impl<S: Simd> Act<S> {
    /// act((x − mean)·scale + shift)
    #[inline(always)]
    pub(crate) fn apply(&self, s: S, x: S::V) -> S::V {
        let z = s.mul_add(x - self.mean, self.scale, self.shift);
        s.max(z * self.slope, z)
    }
}

/// What happens to the vectors of a row of outputs; see [`Epilogue`].
pub(crate) trait RowSums<S: Simd> {
    /// What is kept in registers from vector to vector of the same channels.
    type State: Copy;

    /// The state for the channels from `c` on.
    ///
    /// # Safety
    ///
    /// `c` must be a multiple of the lanes below the channels.
    unsafe fn begin(&self, s: S, c: usize) -> Self::State;

    /// Takes `y` into account and returns what is to be written at `place` of the plane.
    ///
    /// # Safety
    ///
    /// `place` must be inside the plane, `lanes` numbers.
    unsafe fn pass(&self, s: S, state: &mut Self::State, y: S::V, place: usize, lanes: usize) -> S::V;

    /// Puts the state back.
    ///
    /// # Safety
    ///
    /// As [`begin`](Self::begin).
    unsafe fn end(&mut self, s: S, c: usize, state: Self::State);
}

/// No sums.
pub(crate) struct NoSums;

impl<S: Simd> RowSums<S> for NoSums {
    type State = ();

    #[inline(always)]
    unsafe fn begin(&self, _: S, _: usize) {}

    #[inline(always)]
    unsafe fn pass(&self, _: S, (): &mut (), y: S::V, _: usize, _: usize) -> S::V {
        y
    }

    #[inline(always)]
    unsafe fn end(&mut self, _: S, _: usize, (): ()) {}
}

/// Σ (y − pivot) and Σ (y − pivot)².
pub(crate) struct MomentSums<T> {
    pub(crate) pivot: *const T,
    pub(crate) sums: *mut T,
    pub(crate) squares: *mut T,
}

impl<S: Simd> RowSums<S> for MomentSums<S::Elem> {
    type State = [S::V; 3];

    #[inline(always)]
    unsafe fn begin(&self, s: S, c: usize) -> [S::V; 3] {
        // SAFETY: the three are padded to whole vectors.
        unsafe {
            [s.load_ptr(self.pivot.add(c)), s.load_ptr(self.sums.add(c)), s.load_ptr(self.squares.add(c))]
        }
    }

    #[inline(always)]
    unsafe fn pass(&self, s: S, state: &mut [S::V; 3], y: S::V, _: usize, _: usize) -> S::V {
        let deviation = y - state[0];
        state[1] = state[1] + deviation;
        state[2] = s.mul_add(deviation, deviation, state[2]);
        y
    }

    #[inline(always)]
    unsafe fn end(&mut self, s: S, c: usize, state: [S::V; 3]) {
        // SAFETY: as in `begin`.
        unsafe {
            s.store_ptr(state[1], self.sums.add(c));
            s.store_ptr(state[2], self.squares.add(c));
        }
    }
}

/// g = da·act′(z), Σ g and Σ g·(x − mean).
pub(crate) struct GradientSums<T> {
    /// The plane of x.
    pub(crate) x: *const T,
    pub(crate) act: OnLoad<T>,
    pub(crate) sums: *mut T,
    pub(crate) products: *mut T,
}

#[derive(Clone, Copy)]
pub(crate) struct GradientState<S: Simd> {
    act: Act<S>,
    sum: S::V,
    product: S::V,
}

impl<S: Simd> RowSums<S> for GradientSums<S::Elem> {
    type State = GradientState<S>;

    #[inline(always)]
    unsafe fn begin(&self, s: S, c: usize) -> GradientState<S> {
        // SAFETY: all are padded to whole vectors.
        unsafe {
            GradientState {
                act: self.act.vectors::<S, true>(s, c),
                sum: s.load_ptr(self.sums.add(c)),
                product: s.load_ptr(self.products.add(c)),
            }
        }
    }

    #[inline(always)]
    unsafe fn pass(&self, s: S, state: &mut GradientState<S>, da: S::V, place: usize, lanes: usize) -> S::V {
        let x = self.x.wrapping_add(place);
        // SAFETY: x has the output's shape.
        let x = unsafe { if lanes == S::LANES { s.load_ptr(x) } else { s.load_partial_ptr(x, lanes) } };
        let act = &state.act;
        let deviation = x - act.mean;
        let z = s.mul_add(deviation, act.scale, act.shift);
        let g = s.select_lt(s.zero(), z, da, da * act.slope);
        state.sum = state.sum + g;
        state.product = s.mul_add(g, deviation, state.product);
        g
    }

    #[inline(always)]
    unsafe fn end(&mut self, s: S, c: usize, state: GradientState<S>) {
        // SAFETY: as in `begin`.
        unsafe {
            s.store_ptr(state.sum, self.sums.add(c));
            s.store_ptr(state.product, self.products.add(c));
        }
    }
}

/// The sums of a task: in the number type for the row at hand, in `f64` over its rows.
pub(crate) struct TaskSums<T> {
    channels: usize,
    /// Numbers that went into the sums of each channel.
    count: usize,
    /// `[3, padded]`: pivot, and the two sums of the row at hand.
    row: Vec<T>,
    total: Vec<(f64, f64)>,
}

impl<T: Real> TaskSums<T> {
    pub(crate) fn new(channels: usize) -> Self {
        let padded = channels.next_multiple_of(PAD);
        Self { channels, count: 0, row: vec![T::ZERO; 3 * padded], total: vec![(0.0, 0.0); channels] }
    }

    fn padded(&self) -> usize {
        self.row.len() / 3
    }

    /// Whether nothing was summed up yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn moments(&mut self) -> MomentSums<T> {
        let (padded, pivot) = (self.padded(), self.row.as_mut_ptr());
        MomentSums { pivot, sums: pivot.wrapping_add(padded), squares: pivot.wrapping_add(2 * padded) }
    }

    pub(crate) fn gradient(&mut self, x: *const T, act: OnLoad<T>) -> GradientSums<T> {
        let (padded, row) = (self.padded(), self.row.as_mut_ptr());
        GradientSums { x, act, sums: row.wrapping_add(padded), products: row.wrapping_add(2 * padded) }
    }

    /// Makes the mean of the row at hand, of `count` numbers a channel, the pivot, and forgets the row: it must be
    /// summed again. The first row of a task goes this way, since a pivot near the mean is what keeps
    /// Σ d² − (Σ d)²/n from cancelling.
    pub(crate) fn set_pivot(&mut self, count: usize) {
        let padded = self.padded();
        let (pivot, rest) = self.row.split_at_mut(padded);
        for (pivot, sum) in pivot.iter_mut().zip(&rest[..padded]) {
            *pivot = T::from_f64(pivot.to_f64() + sum.to_f64() / count as f64);
        }
        rest.fill(T::ZERO);
    }

    /// Adds the row at hand, of `count` numbers a channel, to the total.
    pub(crate) fn close_row(&mut self, count: usize) {
        let padded = self.padded();
        let (first, second) = self.row[padded..].split_at_mut(padded);
        for (total, (a, b)) in self.total.iter_mut().zip(first.iter().zip(second.iter())) {
            total.0 += a.to_f64();
            total.1 += b.to_f64();
        }
        first.fill(T::ZERO);
        second.fill(T::ZERO);
        self.count += count;
    }

    /// The epilogue's sums of all samples, from those of each sample's tasks in order.
    pub(crate) fn merge<'a>(
        epilogue: Epilogue<'_, T>,
        channels: usize,
        samples: impl Iterator<Item = &'a [Self]>,
    ) -> Sums {
        match epilogue {
            Epilogue::Nothing => Sums::new(),
            Epilogue::Moments => {
                samples.flat_map(|tasks| Self::merge_moments(channels, tasks.iter())).collect()
            }
            Epilogue::Gradient { .. } => {
                samples.flat_map(|tasks| Self::merge_sums(channels, tasks.iter())).collect()
            }
        }
    }

    /// The merged sums of tasks in their order, as mean and M2.
    ///
    /// # Source
    /// Chan, Golub and LeVeque 1983, equation 2.1.
    fn merge_moments<'a>(channels: usize, tasks: impl Iterator<Item = &'a Self>) -> Sums {
        let mut all = vec![(0.0, 0.0); channels];
        let mut before = 0.0;
        for task in tasks.filter(|task| !task.is_empty()) {
            let count = task.count as f64;
            for c in 0..task.channels {
                let (sum, squares) = task.total[c];
                let mean = task.row[c].to_f64() + sum / count;
                let m2 = (squares - sum * sum / count).max(0.0);
                let delta = mean - all[c].0;
                let share = count / (before + count);
                all[c] = (all[c].0 + delta * share, all[c].1 + m2 + delta * delta * before * share);
            }
            before += count;
        }
        all
    }

    /// The sums of tasks, added in their order.
    fn merge_sums<'a>(channels: usize, tasks: impl Iterator<Item = &'a Self>) -> Sums {
        let mut all = vec![(0.0, 0.0); channels];
        for task in tasks {
            for (all, total) in all.iter_mut().zip(&task.total) {
                all.0 += total.0;
                all.1 += total.1;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests;
