//! What an epilogue sums up, from vector to vector, row to row and task to task.

use autograd::Real;
use autograd::simd::Simd;

use super::operands::Epilogue;
use crate::kernels::affine::{Affine, AffineVectors, PAD, Pairs};

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
pub(crate) struct GradientSums<'a, T> {
    /// The plane of x.
    pub(crate) x: *const T,
    pub(crate) affine: &'a Affine<T>,
    pub(crate) n: usize,
    pub(crate) sums: *mut T,
    pub(crate) products: *mut T,
}

#[derive(Clone, Copy)]
pub(crate) struct GradientState<S: Simd> {
    affine: AffineVectors<S>,
    sum: S::V,
    product: S::V,
}

impl<S: Simd> RowSums<S> for GradientSums<'_, S::Elem> {
    type State = GradientState<S>;

    #[inline(always)]
    unsafe fn begin(&self, s: S, c: usize) -> GradientState<S> {
        // SAFETY: all are padded to whole vectors.
        unsafe {
            GradientState {
                affine: self.affine.vectors(s, self.n, c),
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
        let (g, deviation) = state.affine.lead_back(s, x, da);
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
    /// Of an output of so many channels; without an epilogue there is nothing to keep.
    pub(crate) fn new(epilogue: Epilogue<'_, T>, channels: usize) -> Self {
        let channels = if matches!(epilogue, Epilogue::Nothing) { 0 } else { channels };
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

    /// With the plane of x, and the numbers of sample `n`.
    pub(crate) fn gradient<'a>(
        &mut self,
        x: *const T,
        affine: &'a Affine<T>,
        n: usize,
    ) -> GradientSums<'a, T> {
        let (padded, row) = (self.padded(), self.row.as_mut_ptr());
        GradientSums { x, affine, n, sums: row.wrapping_add(padded), products: row.wrapping_add(2 * padded) }
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

    /// The epilogue's sums of `n` samples, from those of their tasks in order, equally many of each.
    pub(crate) fn merge(epilogue: Epilogue<'_, T>, n: usize, tasks: &[Self]) -> Pairs {
        let samples = tasks.chunks((tasks.len() / n.max(1)).max(1));
        match epilogue {
            Epilogue::Nothing => Pairs::new(),
            Epilogue::Moments => samples.flat_map(Self::merge_moments).collect(),
            Epilogue::Gradient { .. } => samples.flat_map(Self::merge_sums).collect(),
        }
    }

    /// The merged sums of tasks in their order, as mean and M2.
    ///
    /// # Source
    /// Chan, Golub and LeVeque 1983, equation 2.1.
    fn merge_moments(tasks: &[Self]) -> Pairs {
        let mut all = vec![(0.0, 0.0); tasks[0].channels];
        let mut before = 0.0;
        for task in tasks.iter().filter(|task| !task.is_empty()) {
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
    fn merge_sums(tasks: &[Self]) -> Pairs {
        let mut all = vec![(0.0, 0.0); tasks[0].channels];
        for task in tasks {
            for (all, total) in all.iter_mut().zip(&task.total) {
                all.0 += total.0;
                all.1 += total.1;
            }
        }
        all
    }
}
