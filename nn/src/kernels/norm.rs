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
    let slab = Slab::Apply { tile: &tile(affine, n), x, y };
    (compiled::<T>().pass)(simd::active(), affine.activation(), slab);
}

/// g = dy·act′((x − mean)·scale + shift), written over `dy`, with the numbers of sample `n`.
///
/// # Panics
/// If `x` and `dy` differ in length, or there is no sample `n`.
pub fn lead_back<T: Real>(affine: &Affine<T>, n: usize, x: &[T], dy: &mut [T]) {
    assert_eq!(x.len(), dy.len(), "x and dy of one slab");
    let slab = Slab::LeadBack { tile: &tile(affine, n), x, dy };
    (compiled::<T>().pass)(simd::active(), affine.activation(), slab);
}

/// Σ g and Σ g·(x − mean) of each channel, where g = dy·act′((x − mean)·scale + shift), with the numbers of sample `n`.
///
/// # Panics
/// If `x` and `dy` differ in length, or there is no sample `n`.
pub fn backward_sums<T: Real>(affine: &Affine<T>, n: usize, x: &[T], dy: &[T]) -> Pairs {
    assert_eq!(x.len(), dy.len(), "x and dy of one slab");
    let tile = &tile(affine, n);
    let (mut sums, mut products) = (vec![T::ZERO; tile[0].len()], vec![T::ZERO; tile[0].len()]);
    let slab = Slab::BackwardSums { tile, x, dy, sums: [&mut sums, &mut products] };
    (compiled::<T>().pass)(simd::active(), affine.activation(), slab);
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
    let slab = Slab::BackwardApply { tile: &tile(affine, n), back: [&pull, &push], x, dy };
    (compiled::<T>().pass)(simd::active(), affine.activation(), slab);
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
        (compiled::<T>().pass)(isa, activation, Slab::ApplySum { a, y });
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
        (compiled::<T>().pass)(isa, activation, Slab::BackwardSum { a, dy });
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
    (compiled::<T>().pass)(isa, *activation, Slab::Apply { tile, x, y });
    y
}

struct Compiled<T> {
    moments: fn(Isa, &[T], usize) -> Pairs,
    pass: fn(Isa, Activation, Slab<'_, T>),
}

fn compiled<T: Real>() -> &'static Compiled<T> {
    static SINGLE: Compiled<f32> =
        Compiled { moments: corrected_moments, pass: |isa, act, slab| act.run(isa, slab) };
    static DOUBLE: Compiled<f64> =
        Compiled { moments: corrected_moments, pass: |isa, act, slab| act.run(isa, slab) };
    table(&SINGLE, &DOUBLE)
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

/// One of the passes that apply an activation or its derivative. A tile is mean, scale and shift.
enum Slab<'a, T> {
    Apply {
        tile: &'a [Vec<T>; 3],
        x: &'a [T],
        y: &'a mut [T],
    },
    LeadBack {
        tile: &'a [Vec<T>; 3],
        x: &'a [T],
        dy: &'a mut [T],
    },
    /// `sums` is Σ g and Σ g·(x − mean) of each place of a tile.
    BackwardSums {
        tile: &'a [Vec<T>; 3],
        x: &'a [T],
        dy: &'a [T],
        sums: [&'a mut [T]; 2],
    },
    /// `back` is pull and push, repeated as the tile is.
    BackwardApply {
        tile: &'a [Vec<T>; 3],
        back: [&'a [T]; 2],
        x: &'a [T],
        dy: &'a mut [T],
    },
    ApplySum {
        a: [&'a [T]; 2],
        y: &'a mut [T],
    },
    BackwardSum {
        a: [&'a [T]; 2],
        dy: &'a mut [T],
    },
}

impl<T: Real> Pass<T> for Slab<'_, T> {
    #[inline(always)]
    fn run<A: Act<T>>(self, act: A) {
        match self {
            Self::Apply { tile: [mean, scale, shift], x, y } => {
                for (x, y) in x.chunks(mean.len()).zip(y.chunks_mut(mean.len())) {
                    let n = x.len();
                    let (mean, scale, shift, y) = (&mean[..n], &scale[..n], &shift[..n], &mut y[..n]);
                    for i in 0..n {
                        y[i] = act.value((x[i] - mean[i]) * scale[i] + shift[i]);
                    }
                }
            }
            Self::LeadBack { tile: [mean, scale, shift], x, dy } => {
                for (x, dy) in x.chunks(mean.len()).zip(dy.chunks_mut(mean.len())) {
                    let n = x.len();
                    let (mean, scale, shift, dy) = (&mean[..n], &scale[..n], &shift[..n], &mut dy[..n]);
                    for i in 0..n {
                        dy[i] *= act.slope((x[i] - mean[i]) * scale[i] + shift[i]);
                    }
                }
            }
            Self::BackwardSums { tile: [mean, scale, shift], x, dy, sums: [sums, products] } => {
                for (x, dy) in x.chunks(mean.len()).zip(dy.chunks(mean.len())) {
                    let n = x.len();
                    let (mean, scale, shift, dy) = (&mean[..n], &scale[..n], &shift[..n], &dy[..n]);
                    let (sums, products) = (&mut sums[..n], &mut products[..n]);
                    for i in 0..n {
                        let deviation = x[i] - mean[i];
                        let g = dy[i] * act.slope(deviation * scale[i] + shift[i]);
                        sums[i] += g;
                        products[i] += g * deviation;
                    }
                }
            }
            Self::BackwardApply { tile: [mean, scale, shift], back: [pull, push], x, dy } => {
                for (x, dy) in x.chunks(mean.len()).zip(dy.chunks_mut(mean.len())) {
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
            Self::ApplySum { a: [a0, a1], y } => {
                let n = y.len();
                let (a0, a1) = (&a0[..n], &a1[..n]);
                for i in 0..n {
                    y[i] = act.value(a0[i] + a1[i]);
                }
            }
            Self::BackwardSum { a: [a0, a1], dy } => {
                let n = dy.len();
                let (a0, a1) = (&a0[..n], &a1[..n]);
                for i in 0..n {
                    dy[i] *= act.slope(a0[i] + a1[i]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
