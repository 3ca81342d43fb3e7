//! The passes of a normalisation over one slab of voxels, `[voxels, c]`, channels last.
//!
//! | pass | reads | writes | per channel |
//! |---|---|---|---|
//! | [`moments`] | x (twice, the second time from cache) | | mean, M2 = Σ(x − mean)² |
//! | [`apply`] | x | y = act((x − mean)·scale + shift) | |
//! | [`backward_sums`] | x, dy | | Σ g and Σ g·(x − mean), with g = dy·act′ |
//! | [`backward_apply`] | x, dy | dx = g·scale + (x − mean)·pull + push, over dy | |
//!
//! All are bound by memory. The inner loops run over a *tile*: one voxel's channels, or those of several voxels
//! where channels are few, so that vectors are full either way; the numbers per channel are repeated to the tile's
//! width. They are compiled once per instruction set and contain no fused multiply-add, so every set yields the
//! same bits.

use autograd::Real;
use autograd::simd::{Job, Simd, dispatch};

use super::activation::{Act, Activation, UseAct, WithAct};
use super::{Table, table};

/// Two sums, or a mean and M2, for each channel.
pub type PairPerChannel = Vec<(f64, f64)>;

/// A tile has at least this many places, unless it is one voxel of more channels.
const TILE: usize = 32;

/// How many voxels share a tile.
fn repeats(channels: usize) -> usize {
    TILE.div_ceil(channels)
}

/// The numbers per channel of one sample, repeated to the width of a tile.
#[derive(Clone, Debug)]
pub struct Coefficients<T> {
    mean: Vec<T>,
    scale: Vec<T>,
    shift: Vec<T>,
}

impl<T: Real> Coefficients<T> {
    /// From the numbers of each channel.
    ///
    /// # Panics
    /// If there are not equally many of each, or none.
    #[track_caller]
    pub fn new(mean: &[T], scale: &[T], shift: &[T]) -> Self {
        assert!(!mean.is_empty(), "a tensor has at least one channel");
        assert!(mean.len() == scale.len() && mean.len() == shift.len(), "one number per channel");
        let repeats = repeats(mean.len());
        Self { mean: mean.repeat(repeats), scale: scale.repeat(repeats), shift: shift.repeat(repeats) }
    }

    fn width(&self) -> usize {
        self.mean.len()
    }
}

/// Mean and M2 of each channel of `x`, `[voxels, channels]`.
///
/// Sums run in `T` within the slab. The first pass gives a mean; the second gives M2 and the mean's own rounding
/// error about it, by which both are corrected.
///
/// # Source
/// Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", equation 1.7.
///
/// # Panics
/// Unless `x` holds whole voxels.
pub fn moments<T: Real>(x: &[T], channels: usize) -> PairPerChannel {
    assert!(channels > 0 && x.len().is_multiple_of(channels), "whole voxels of {channels} channels");
    (table::<PassesTable, T>().moments)(x, channels)
}

fn corrected_moments<T: Real>(x: &[T], channels: usize) -> PairPerChannel {
    let voxels = (x.len() / channels) as f64;
    let width = channels * repeats(channels);
    let mut sums = vec![T::ZERO; width];
    dispatch(Sum { x, sums: &mut sums });
    let rough: Vec<T> = (0..channels).map(|c| T::from_f64(fold(&sums, channels, c) / voxels)).collect();
    let tile = rough.repeat(repeats(channels));
    sums.fill(T::ZERO);
    let mut squares = vec![T::ZERO; width];
    dispatch(Deviations { x, mean: &tile, sums: &mut sums, squares: &mut squares });
    (0..channels)
        .map(|c| {
            let error = fold(&sums, channels, c);
            (
                rough[c].to_f64() + error / voxels,
                (fold(&squares, channels, c) - error * error / voxels).max(0.0),
            )
        })
        .collect()
}

/// The sum of channel `c` over the voxels of a tile.
fn fold<T: Real>(tile: &[T], channels: usize, c: usize) -> f64 {
    tile.iter().skip(c).step_by(channels).map(|v| v.to_f64()).sum()
}

/// y = act((x − mean)·scale + shift).
///
/// # Panics
/// If `x` and `y` differ in length.
pub fn apply<T: Real>(activation: Activation, coefficients: &Coefficients<T>, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "x and y of one slab");
    (table::<PassesTable, T>().apply)(activation, Apply { coefficients, x, y });
}

/// Σ g and Σ g·(x − mean) of each channel, where g = dy·act′((x − mean)·scale + shift).
///
/// # Panics
/// If `x` and `dy` differ in length.
pub fn backward_sums<T: Real>(
    activation: Activation,
    coefficients: &Coefficients<T>,
    channels: usize,
    x: &[T],
    dy: &[T],
) -> PairPerChannel {
    assert_eq!(x.len(), dy.len(), "x and dy of one slab");
    let width = coefficients.width();
    let (mut sums, mut products) = (vec![T::ZERO; width], vec![T::ZERO; width]);
    let pass = BackwardSums { coefficients, x, dy, sums: &mut sums, products: &mut products };
    (table::<PassesTable, T>().backward_sums)(activation, pass);
    (0..channels).map(|c| (fold(&sums, channels, c), fold(&products, channels, c))).collect()
}

/// dx = g·scale + (x − mean)·pull + push, written over `dy`, with g as in [`backward_sums`].
///
/// `back` holds `mean`, `pull` and `push` in the places of mean, scale and shift.
///
/// # Panics
/// If `x` and `dy` differ in length, or the coefficients in channels.
pub fn backward_apply<T: Real>(
    activation: Activation,
    coefficients: &Coefficients<T>,
    back: &Coefficients<T>,
    x: &[T],
    dy: &mut [T],
) {
    assert_eq!(x.len(), dy.len(), "x and dy of one slab");
    assert_eq!(coefficients.width(), back.width(), "coefficients of the same channels");
    (table::<PassesTable, T>().backward_apply)(activation, BackwardApply { coefficients, back, x, dy });
}

struct Passes<T: 'static> {
    moments: fn(&[T], usize) -> PairPerChannel,
    apply: fn(Activation, Apply<'_, T>),
    backward_sums: fn(Activation, BackwardSums<'_, T>),
    backward_apply: fn(Activation, BackwardApply<'_, T>),
}

struct PassesTable;

impl Table for PassesTable {
    type Of<T: Real> = Passes<T>;

    fn single() -> &'static Passes<f32> {
        &const { passes() }
    }

    fn double() -> &'static Passes<f64> {
        &const { passes() }
    }
}

const fn passes<T: Real>() -> Passes<T> {
    Passes {
        moments: corrected_moments,
        apply: |activation, pass| activation.with(pass),
        backward_sums: |activation, pass| activation.with(pass),
        backward_apply: |activation, pass| activation.with(pass),
    }
}

struct Sum<'a, T> {
    x: &'a [T],
    sums: &'a mut [T],
}

impl<T: Real> Job<T> for Sum<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        for x in self.x.chunks(self.sums.len()) {
            add(x, self.sums);
        }
    }
}

#[inline(always)]
fn add<T: Real>(x: &[T], sums: &mut [T]) {
    let sums = &mut sums[..x.len()];
    for i in 0..x.len() {
        sums[i] += x[i];
    }
}

struct Deviations<'a, T> {
    x: &'a [T],
    mean: &'a [T],
    sums: &'a mut [T],
    squares: &'a mut [T],
}

impl<T: Real> Job<T> for Deviations<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        for x in self.x.chunks(self.mean.len()) {
            add_deviations(x, self.mean, self.sums, self.squares);
        }
    }
}

#[inline(always)]
fn add_deviations<T: Real>(x: &[T], mean: &[T], sums: &mut [T], squares: &mut [T]) {
    let n = x.len();
    let (mean, sums, squares) = (&mean[..n], &mut sums[..n], &mut squares[..n]);
    for i in 0..n {
        let deviation = x[i] - mean[i];
        sums[i] += deviation;
        squares[i] += deviation * deviation;
    }
}

struct Apply<'a, T> {
    coefficients: &'a Coefficients<T>,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> UseAct<T> for Apply<'_, T> {
    type Output = ();
    fn call<A: Act<T>>(self, act: A) {
        dispatch(WithAct { act, pass: self });
    }
}

impl<T: Real, A: Act<T>> Job<T> for WithAct<A, Apply<'_, T>> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        let Self { act, pass: Apply { coefficients, x, y } } = self;
        let width = coefficients.width();
        for (x, y) in x.chunks(width).zip(y.chunks_mut(width)) {
            apply_tile(act, coefficients, x, y);
        }
    }
}

#[inline(always)]
fn apply_tile<T: Real, A: Act<T>>(act: A, k: &Coefficients<T>, x: &[T], y: &mut [T]) {
    let n = x.len();
    let (mean, scale, shift, y) = (&k.mean[..n], &k.scale[..n], &k.shift[..n], &mut y[..n]);
    for i in 0..n {
        y[i] = act.value((x[i] - mean[i]) * scale[i] + shift[i]);
    }
}

struct BackwardSums<'a, T> {
    coefficients: &'a Coefficients<T>,
    x: &'a [T],
    dy: &'a [T],
    sums: &'a mut [T],
    products: &'a mut [T],
}

impl<T: Real> UseAct<T> for BackwardSums<'_, T> {
    type Output = ();
    fn call<A: Act<T>>(self, act: A) {
        dispatch(WithAct { act, pass: self });
    }
}

impl<T: Real, A: Act<T>> Job<T> for WithAct<A, BackwardSums<'_, T>> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        let Self { act, pass: BackwardSums { coefficients, x, dy, sums, products } } = self;
        let width = coefficients.width();
        for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
            sum_tile(act, coefficients, x, dy, sums, products);
        }
    }
}

#[inline(always)]
fn sum_tile<T: Real, A: Act<T>>(
    act: A,
    k: &Coefficients<T>,
    x: &[T],
    dy: &[T],
    sums: &mut [T],
    products: &mut [T],
) {
    let n = x.len();
    let (mean, scale, shift, dy) = (&k.mean[..n], &k.scale[..n], &k.shift[..n], &dy[..n]);
    let (sums, products) = (&mut sums[..n], &mut products[..n]);
    for i in 0..n {
        let deviation = x[i] - mean[i];
        let g = dy[i] * act.slope(deviation * scale[i] + shift[i]);
        sums[i] += g;
        products[i] += g * deviation;
    }
}

struct BackwardApply<'a, T> {
    coefficients: &'a Coefficients<T>,
    back: &'a Coefficients<T>,
    x: &'a [T],
    dy: &'a mut [T],
}

impl<T: Real> UseAct<T> for BackwardApply<'_, T> {
    type Output = ();
    fn call<A: Act<T>>(self, act: A) {
        dispatch(WithAct { act, pass: self });
    }
}

impl<T: Real, A: Act<T>> Job<T> for WithAct<A, BackwardApply<'_, T>> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        let Self { act, pass: BackwardApply { coefficients, back, x, dy } } = self;
        let width = coefficients.width();
        for (x, dy) in x.chunks(width).zip(dy.chunks_mut(width)) {
            backward_tile(act, coefficients, back, x, dy);
        }
    }
}

#[inline(always)]
fn backward_tile<T: Real, A: Act<T>>(
    act: A,
    k: &Coefficients<T>,
    back: &Coefficients<T>,
    x: &[T],
    dy: &mut [T],
) {
    let n = x.len();
    let (mean, scale, shift, dy) = (&k.mean[..n], &k.scale[..n], &k.shift[..n], &mut dy[..n]);
    let (pull, push) = (&back.scale[..n], &back.shift[..n]);
    for i in 0..n {
        let deviation = x[i] - mean[i];
        let g = dy[i] * act.slope(deviation * scale[i] + shift[i]);
        dy[i] = g * scale[i] + deviation * pull[i] + push[i];
    }
}
