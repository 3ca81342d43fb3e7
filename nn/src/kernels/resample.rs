//! Separable linear maps between grids: nearest and trilinear upsampling, average pooling, and their adjoints.
//!
//! Along each axis an output position is a weighted sum of a few input positions ([`Taps`]); along three axes the
//! weights multiply. The adjoint has the transposed taps, so one loop serves all of them, forward and backward,
//! and each output element is written once:
//!
//! y[od, oh, ow, c] = Σ wd·wh·ww · x[d, h, w, c] over the taps (d, wd) of od, (h, wh) of oh, (w, ww) of ow.

use autograd::Real;
use autograd::simd::{Job, Simd, dispatch};

use super::table;

/// For each output position along one axis, the input positions that it reads, with their weights.
#[derive(Clone, PartialEq, Debug)]
pub struct Taps<T> {
    inputs: usize,
    of: Vec<Vec<(usize, T)>>,
}

impl<T: Real> Taps<T> {
    fn new(inputs: usize, outputs: usize, taps: impl Fn(usize) -> Vec<(usize, T)>) -> Self {
        Self { inputs, of: (0..outputs).map(taps).collect() }
    }

    /// Each input position `factor` times.
    pub fn nearest(inputs: usize, factor: usize) -> Self {
        Self::new(inputs, inputs * factor, |o| vec![(o / factor, T::ONE)])
    }

    /// Linear interpolation at (o + ½)/factor − ½, clamped to the grid (`align_corners=false`).
    pub fn linear(inputs: usize, factor: usize) -> Self {
        Self::new(inputs, inputs * factor, |o| {
            let at = ((o as f64 + 0.5) / factor as f64 - 0.5).max(0.0);
            let low = (at.floor() as usize).min(inputs - 1);
            let high = (low + 1).min(inputs - 1);
            let fraction = at - low as f64;
            if high == low || fraction == 0.0 {
                return vec![(low, T::ONE)];
            }
            vec![(low, T::from_f64(1.0 - fraction)), (high, T::from_f64(fraction))]
        })
    }

    /// The mean of a window; with `count_padding`, positions outside count as zeros, else they do not count.
    pub fn average(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        count_padding: bool,
    ) -> Self {
        Self::new(inputs, outputs, |o| {
            let first = (o * stride).saturating_sub(padding);
            let range = first..(o * stride + kernel - padding).min(inputs);
            let count = if count_padding { kernel } else { range.len() };
            let weight = T::from_f64(1.0 / count as f64);
            range.map(|i| (i, weight)).collect()
        })
    }

    /// The adjoint's taps.
    pub fn transposed(&self) -> Self {
        let mut of = vec![Vec::new(); self.inputs];
        for (o, taps) in self.of.iter().enumerate() {
            for &(i, weight) in taps {
                of[i].push((o, weight));
            }
        }
        Self { inputs: self.of.len(), of }
    }

    /// The number of input positions.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The number of output positions.
    pub fn outputs(&self) -> usize {
        self.of.len()
    }
}

/// One output row `(od, oh)` of one sample.
///
/// | slice | shape |
/// |---|---|
/// | `x` | `[d, h, w, channels]`, the extents being the taps' inputs |
/// | `y` | `[ow, channels]` |
///
/// # Panics
/// If a slice is too short for the shapes.
pub fn row<T: Real>(taps: &[Taps<T>; 3], channels: usize, x: &[T], [od, oh]: [usize; 2], y: &mut [T]) {
    static SINGLE: fn(Row<'_, f32>) = |row| dispatch(row);
    static DOUBLE: fn(Row<'_, f64>) = |row| dispatch(row);
    table::<fn(Row<'_, T>)>(&SINGLE, &DOUBLE)(Row { taps, channels, x, at: [od, oh], y });
}

struct Row<'a, T> {
    taps: &'a [Taps<T>; 3],
    channels: usize,
    x: &'a [T],
    at: [usize; 2],
    y: &'a mut [T],
}

impl<T: Real> Job<T> for Row<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        let Self { taps, channels, x, at: [od, oh], y } = self;
        let [taps_d, taps_h, taps_w] = taps;
        let (h, w) = (taps_h.inputs, taps_w.inputs);
        for (y, taps_w) in y.chunks_exact_mut(channels).zip(&taps_w.of) {
            y.fill(T::ZERO);
            for &(i_d, weight_d) in &taps_d.of[od] {
                for &(i_h, weight_h) in &taps_h.of[oh] {
                    for &(i_w, weight_w) in taps_w {
                        let x = &x[((i_d * h + i_h) * w + i_w) * channels..][..channels];
                        add_scaled(x, weight_d * weight_h * weight_w, y);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add_scaled<T: Real>(x: &[T], weight: T, y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += weight * x;
    }
}
