//! The passes of a normalisation over one slab of voxels, `[voxels, c]`, channels last.
//!
//! | pass | reads | writes | per channel |
//! |---|---|---|---|
//! | [`moments`] | x (twice, the second time from cache) | | mean, M2 = Σ(x − mean)² |
//! | [`apply`] | x | y = act((x − mean)·scale + shift) | |
//! | [`lead_back`] | x, dy | g = dy·act′, over dy | |
//! | [`backward_sums`] | x, dy | | Σ g and Σ g·(x − mean), with g = dy·act′ |
//! | [`backward_apply`] | x, dy | dx = g·scale + (x − mean)·pull + push, over dy | |
//! | [`apply_sum`] | x0, x1 | y = act(a0(x0) + a1(x1)), ai being an affine or nothing | |
//! | [`backward_sum`] | x0, x1, dy | dy·act′(a0(x0) + a1(x1)), over dy | |
//!
//! All are bound by memory. The inner loops run over a *tile*: one voxel's channels, or those of several voxels
//! where channels are few, so that vectors are full either way; the numbers per channel are repeated to the tile's
//! width. They are compiled once per instruction set and contain no fused multiply-add, so every set yields the
//! same bits.

use autograd::Real;
use autograd::simd::{self, Isa, Job, Simd, dispatch_on};

use super::activation::{Act, Activation, Pass};
use super::{Affine, Pairs, table};

/// A tile has at least this many places, unless it is one voxel of more channels.
const TILE: usize = 32;
/// Numbers of each term of a sum that are held at a time, about: they stay in the first-level cache.
const BLOCK: usize = 2 << 10;

/// How many voxels share a tile.
fn repeats(channels: usize) -> usize {
    TILE.div_ceil(channels)
}

/// Mean, scale and shift of sample `n`, repeated to the width of a tile.
fn tile<T: Real>(affine: &Affine<T>, n: usize) -> [Vec<T>; 3] {
    affine.of_sample(n).map(|numbers| numbers.repeat(repeats(affine.channels())))
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
pub fn moments<T: Real>(x: &[T], channels: usize) -> Pairs {
    assert!(channels > 0 && x.len().is_multiple_of(channels), "whole voxels of {channels} channels");
    (compiled::<T>().moments)(simd::active(), x, channels)
}

fn corrected_moments<T: Real>(isa: Isa, x: &[T], channels: usize) -> Pairs {
    let voxels = (x.len() / channels) as f64;
    let width = channels * repeats(channels);
    let mut sums = vec![T::ZERO; width];
    dispatch_on(isa, Sum { x, sums: &mut sums });
    let rough: Vec<T> = (0..channels).map(|c| T::from_f64(fold(&sums, channels, c) / voxels)).collect();
    let tile = rough.repeat(repeats(channels));
    sums.fill(T::ZERO);
    let mut squares = vec![T::ZERO; width];
    dispatch_on(isa, Deviations { x, mean: &tile, sums: &mut sums, squares: &mut squares });
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

/// y = act((x − mean)·scale + shift), with the numbers of sample `n`.
///
/// # Panics
/// If `x` and `y` differ in length, or there is no sample `n`.
pub fn apply<T: Real>(affine: &Affine<T>, n: usize, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "x and y of one slab");
    let pass = Apply { tile: &tile(affine, n), x, y };
    (compiled::<T>().apply)(simd::active(), affine.activation(), pass);
}

/// g = dy·act′((x − mean)·scale + shift), written over `dy`, with the numbers of sample `n`.
///
/// # Panics
/// If `x` and `dy` differ in length, or there is no sample `n`.
pub fn lead_back<T: Real>(affine: &Affine<T>, n: usize, x: &[T], dy: &mut [T]) {
    assert_eq!(x.len(), dy.len(), "x and dy of one slab");
    let pass = LeadBack { tile: &tile(affine, n), x, dy };
    (compiled::<T>().lead_back)(simd::active(), affine.activation(), pass);
}

/// Σ g and Σ g·(x − mean) of each channel, where g = dy·act′((x − mean)·scale + shift), with the numbers of sample `n`.
///
/// # Panics
/// If `x` and `dy` differ in length, or there is no sample `n`.
pub fn backward_sums<T: Real>(affine: &Affine<T>, n: usize, x: &[T], dy: &[T]) -> Pairs {
    assert_eq!(x.len(), dy.len(), "x and dy of one slab");
    let tile = &tile(affine, n);
    let (mut sums, mut products) = (vec![T::ZERO; tile[0].len()], vec![T::ZERO; tile[0].len()]);
    let pass = BackwardSums { tile, x, dy, sums: &mut sums, products: &mut products };
    (compiled::<T>().backward_sums)(simd::active(), affine.activation(), pass);
    let channels = affine.channels();
    (0..channels).map(|c| (fold(&sums, channels, c), fold(&products, channels, c))).collect()
}

/// dx = g·scale + (x − mean)·pull + push, written over `dy`, with g as in [`backward_sums`] and the numbers of sample `n`.
///
/// `back` holds pull and push of each channel of the sample.
///
/// # Panics
/// If `x` and `dy` differ in length, `back` is not one pair per channel, or there is no sample `n`.
pub fn backward_apply<T: Real>(affine: &Affine<T>, n: usize, back: &[(f64, f64)], x: &[T], dy: &mut [T]) {
    assert_eq!(x.len(), dy.len(), "x and dy of one slab");
    assert_eq!(back.len(), affine.channels(), "pull and push of each channel");
    let repeats = repeats(back.len());
    let pull = back.iter().map(|(pull, _)| T::from_f64(*pull)).collect::<Vec<T>>().repeat(repeats);
    let push = back.iter().map(|(_, push)| T::from_f64(*push)).collect::<Vec<T>>().repeat(repeats);
    let pass = BackwardApply { tile: &tile(affine, n), back: [&pull, &push], x, dy };
    (compiled::<T>().backward_apply)(simd::active(), affine.activation(), pass);
}

/// One of two tensors that are added up: its slab, and what is applied to it before, its own activation included.
pub type Term<'a, T> = (&'a [T], Option<&'a Affine<T>>);

/// y = act(a0(x0) + a1(x1)), with the numbers of sample `n`.
///
/// # Panics
/// If `x0`, `x1` and `y` differ in length, the affines in channels, or there is no sample `n`.
pub fn apply_sum<T: Real>(activation: Activation, terms: [Term<'_, T>; 2], n: usize, y: &mut [T]) {
    apply_sum_on(simd::active(), activation, terms, n, y);
}

/// dy·act′(a0(x0) + a1(x1)), written over `dy`, with the numbers of sample `n`: the gradient of a0(x0) as of a1(x1).
///
/// # Panics
/// As [`apply_sum`].
pub fn backward_sum<T: Real>(activation: Activation, terms: [Term<'_, T>; 2], n: usize, dy: &mut [T]) {
    backward_sum_on(simd::active(), activation, terms, n, dy);
}

fn apply_sum_on<T: Real>(isa: Isa, activation: Activation, terms: [Term<'_, T>; 2], n: usize, y: &mut [T]) {
    for_each_block(isa, terms, n, y, |a, y| {
        (compiled::<T>().apply_sum)(isa, activation, ApplySum { a, y });
    });
}

fn backward_sum_on<T: Real>(
    isa: Isa,
    activation: Activation,
    terms: [Term<'_, T>; 2],
    n: usize,
    dy: &mut [T],
) {
    for_each_block(isa, terms, n, dy, |a, dy| {
        (compiled::<T>().backward_sum)(isa, activation, BackwardSum { a, dy });
    });
}

/// Calls `pass` for each block of `y` with the two terms of it. The terms are computed one after the other, so that a loop is
/// compiled for each activation and not for each triple of them.
fn for_each_block<T: Real>(
    isa: Isa,
    terms: [Term<'_, T>; 2],
    n: usize,
    y: &mut [T],
    pass: impl Fn([&[T]; 2], &mut [T]),
) {
    assert!(terms.iter().all(|(x, _)| x.len() == y.len()), "the terms and y of one slab");
    let mut channels = terms.iter().filter_map(|(_, affine)| affine.map(Affine::channels));
    let first = channels.next().unwrap_or(TILE);
    assert!(channels.all(|channels| channels == first), "affines of the same channels");
    let tiles = terms.map(|(_, affine)| affine.map(|affine| (affine.activation(), tile(affine, n))));
    let width = first * repeats(first);
    let block = width * (BLOCK / width).max(1);
    let [mut memory0, mut memory1] = [0, 1].map(|_| vec![T::ZERO; block.min(y.len())]);
    for (i, y) in y.chunks_mut(block).enumerate() {
        let [x0, x1] = terms.map(|(x, _)| &x[i * block..][..y.len()]);
        let a0 = term(isa, tiles[0].as_ref(), x0, &mut memory0);
        let a1 = term(isa, tiles[1].as_ref(), x1, &mut memory1);
        pass([a0, a1], y);
    }
}

/// x as it lies, or what is applied to it, in `memory`.
fn term<'a, T: Real>(
    isa: Isa,
    affine: Option<&(Activation, [Vec<T>; 3])>,
    x: &'a [T],
    memory: &'a mut [T],
) -> &'a [T] {
    let Some((activation, tile)) = affine else { return x };
    let y = &mut memory[..x.len()];
    (compiled::<T>().apply)(isa, *activation, Apply { tile, x, y });
    y
}

struct Passes<T: 'static> {
    moments: fn(Isa, &[T], usize) -> Pairs,
    apply: fn(Isa, Activation, Apply<'_, T>),
    lead_back: fn(Isa, Activation, LeadBack<'_, T>),
    backward_sums: fn(Isa, Activation, BackwardSums<'_, T>),
    backward_apply: fn(Isa, Activation, BackwardApply<'_, T>),
    apply_sum: fn(Isa, Activation, ApplySum<'_, T>),
    backward_sum: fn(Isa, Activation, BackwardSum<'_, T>),
}

fn compiled<T: Real>() -> &'static Passes<T> {
    static SINGLE: Passes<f32> = passes();
    static DOUBLE: Passes<f64> = passes();
    table(&SINGLE, &DOUBLE)
}

const fn passes<T: Real>() -> Passes<T> {
    Passes {
        moments: corrected_moments,
        apply: |isa, activation, pass| activation.run(isa, pass),
        lead_back: |isa, activation, pass| activation.run(isa, pass),
        backward_sums: |isa, activation, pass| activation.run(isa, pass),
        backward_apply: |isa, activation, pass| activation.run(isa, pass),
        apply_sum: |isa, activation, pass| activation.run(isa, pass),
        backward_sum: |isa, activation, pass| activation.run(isa, pass),
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
            let sums = &mut self.sums[..x.len()];
            for i in 0..x.len() {
                sums[i] += x[i];
            }
        }
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
            let n = x.len();
            let (mean, sums, squares) = (&self.mean[..n], &mut self.sums[..n], &mut self.squares[..n]);
            for i in 0..n {
                let deviation = x[i] - mean[i];
                sums[i] += deviation;
                squares[i] += deviation * deviation;
            }
        }
    }
}

struct Apply<'a, T> {
    tile: &'a [Vec<T>; 3],
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Real> Pass<T> for Apply<'_, T> {
    #[inline(always)]
    fn run<A: Act<T>>(self, act: A) {
        let [mean, scale, shift] = self.tile;
        let width = mean.len();
        for (x, y) in self.x.chunks(width).zip(self.y.chunks_mut(width)) {
            let n = x.len();
            let (mean, scale, shift, y) = (&mean[..n], &scale[..n], &shift[..n], &mut y[..n]);
            for i in 0..n {
                y[i] = act.value((x[i] - mean[i]) * scale[i] + shift[i]);
            }
        }
    }
}

struct LeadBack<'a, T> {
    tile: &'a [Vec<T>; 3],
    x: &'a [T],
    dy: &'a mut [T],
}

impl<T: Real> Pass<T> for LeadBack<'_, T> {
    #[inline(always)]
    fn run<A: Act<T>>(self, act: A) {
        let [mean, scale, shift] = self.tile;
        let width = mean.len();
        for (x, dy) in self.x.chunks(width).zip(self.dy.chunks_mut(width)) {
            let n = x.len();
            let (mean, scale, shift, dy) = (&mean[..n], &scale[..n], &shift[..n], &mut dy[..n]);
            for i in 0..n {
                dy[i] = dy[i] * act.slope((x[i] - mean[i]) * scale[i] + shift[i]);
            }
        }
    }
}

struct BackwardSums<'a, T> {
    tile: &'a [Vec<T>; 3],
    x: &'a [T],
    dy: &'a [T],
    sums: &'a mut [T],
    products: &'a mut [T],
}

impl<T: Real> Pass<T> for BackwardSums<'_, T> {
    #[inline(always)]
    fn run<A: Act<T>>(self, act: A) {
        let [mean, scale, shift] = self.tile;
        let width = mean.len();
        for (x, dy) in self.x.chunks(width).zip(self.dy.chunks(width)) {
            let n = x.len();
            let (mean, scale, shift, dy) = (&mean[..n], &scale[..n], &shift[..n], &dy[..n]);
            let (sums, products) = (&mut self.sums[..n], &mut self.products[..n]);
            for i in 0..n {
                let deviation = x[i] - mean[i];
                let g = dy[i] * act.slope(deviation * scale[i] + shift[i]);
                sums[i] += g;
                products[i] += g * deviation;
            }
        }
    }
}

struct BackwardApply<'a, T> {
    tile: &'a [Vec<T>; 3],
    /// Pull and push, repeated as the tile is.
    back: [&'a [T]; 2],
    x: &'a [T],
    dy: &'a mut [T],
}

impl<T: Real> Pass<T> for BackwardApply<'_, T> {
    #[inline(always)]
    fn run<A: Act<T>>(self, act: A) {
        let ([mean, scale, shift], [pull, push]) = (self.tile, self.back);
        let width = mean.len();
        for (x, dy) in self.x.chunks(width).zip(self.dy.chunks_mut(width)) {
            let n = x.len();
            let (mean, scale, shift, dy) = (&mean[..n], &scale[..n], &shift[..n], &mut dy[..n]);
            let (pull, push) = (&pull[..n], &push[..n]);
            for i in 0..n {
                let deviation = x[i] - mean[i];
                let g = dy[i] * act.slope(deviation * scale[i] + shift[i]);
                dy[i] = g * scale[i] + deviation * pull[i] + push[i];
            }
        }
    }
}

struct ApplySum<'a, T> {
    a: [&'a [T]; 2],
    y: &'a mut [T],
}

impl<T: Real> Pass<T> for ApplySum<'_, T> {
    #[inline(always)]
    fn run<A: Act<T>>(self, act: A) {
        let n = self.y.len();
        let [a0, a1] = self.a.map(|a| &a[..n]);
        for i in 0..n {
            self.y[i] = act.value(a0[i] + a1[i]);
        }
    }
}

struct BackwardSum<'a, T> {
    a: [&'a [T]; 2],
    dy: &'a mut [T],
}

impl<T: Real> Pass<T> for BackwardSum<'_, T> {
    #[inline(always)]
    fn run<A: Act<T>>(self, act: A) {
        let n = self.dy.len();
        let [a0, a1] = self.a.map(|a| &a[..n]);
        for i in 0..n {
            self.dy[i] *= act.slope(a0[i] + a1[i]);
        }
    }
}

#[cfg(test)]
mod tests;
