//! Convolutions whose kernel is one voxel and whose outputs are few: the head of a network.
//!
//! ```text
//! y[p, co] = bias[co] + Σ_ci a[p, ci]·w[ci, co]      a = act(x), if there is an affine
//! da[p, ci] = Σ_co dy[p, co]·w[ci, co]               dw[ci, co] = Σ_p a[p, ci]·dy[p, co]
//! ```
//!
//! They do two operations for each number of x, so memory is what they cost: lanes run over the input channels, x is
//! read once, and the sums that the gradient of a normalisation needs are taken as da is written.

use std::ops::Range;

use autograd::Real;
use autograd::parallel::{SLAB, map_slabs};
use autograd::simd::{self, Job, Simd};
use rayon::prelude::*;

use super::operands::{Correlation, Epilogue, Target, Weight, WeightGradient};
use super::plan::Plan;
use super::shape::Conv3dShape;
use super::sums::{NoSums, RowSums, TaskSums};
use crate::kernels::tasks::Tasks;
use crate::kernels::{Affine, Output, Pairs};

/// The most outputs; with more, a register tile of outputs is faster.
const MOST: usize = 8;

/// Slabs whose sums one task of the gradient of the input adds up.
const SLABS: usize = 4;

/// Whether the kernel is one voxel that moves voxel by voxel, and the outputs are few.
pub(super) fn fits(shape: &Conv3dShape) -> bool {
    let spec = shape.spec();
    spec.kernel == [1; 3] && spec.stride == [1; 3] && spec.padding == [0; 3] && shape.co() <= MOST
}

/// Pixels of a slab.
fn slab(ci: usize) -> usize {
    (SLAB / ci).max(1)
}

/// Slabs of a sample, for each pass.
pub(super) fn tasks(shape: &Conv3dShape) -> Tasks {
    Tasks::of_pieces("slabs", &[(shape.input().iter().product(), slab(shape.ci()))])
}

/// Pixels of a sample.
fn pixels(plan: &Plan) -> usize {
    plan.axes.iter().map(|axis| axis.count).product()
}

/// `[co, padded ci]`
fn transposed<T: Real>(weight: &Weight<'_, T>, [ci, co]: [usize; 2], lanes: usize) -> Vec<T> {
    let padded = ci.next_multiple_of(lanes);
    let mut transposed = vec![T::ZERO; co * padded];
    for c in 0..ci {
        for o in 0..co {
            transposed[o * padded + c] = weight.data[c * co + o];
        }
    }
    transposed
}

pub(super) fn forward<T: Real>(correlation: &Correlation<'_, T>, targets: &mut [Target<'_, T>]) -> Pairs {
    correlation.check(targets);
    let &Correlation { plan, sources: &[source], weight, bias, .. } = correlation else {
        panic!("one source")
    };
    let (ci, co, pixels, slab) = (plan.k_channels, plan.columns, pixels(plan), slab(plan.k_channels));
    let weight = &transposed(&weight, [ci, co], plan.lanes::<T>());
    for (n, (x, y)) in source.x.chunks(pixels * ci).zip(targets[0].y.chunks_mut(pixels * co)).enumerate() {
        let affine = source.affine.map(|affine| (affine, n));
        x.par_chunks(slab * ci).zip(y.par_chunks_mut(slab * co)).for_each(|(x, y)| {
            simd::dispatch_on(plan.isa, Forward { x, affine, ci, co, weight, bias, y });
        });
    }
    Pairs::new()
}

/// dx = da or, with a gradient to lead on, g = da·act′(z); and its sums.
pub(super) fn backward_input<T: Real>(
    correlation: &Correlation<'_, T>,
    targets: &mut [Target<'_, T>],
) -> Pairs {
    correlation.check(targets);
    let &Correlation { plan, sources: &[source], weight, epilogue, .. } = correlation else {
        panic!("one source")
    };
    let (ci, co, pixels, slab) = (plan.columns, plan.k_channels, pixels(plan), slab(plan.columns));
    let weight = &transposed(&weight, [ci, co], plan.lanes::<T>());
    let mut all = vec![];
    for (n, (dx, dy)) in targets[0].y.chunks_mut(pixels * ci).zip(source.x.chunks(pixels * co)).enumerate() {
        let dx = Output(dx.as_mut_ptr());
        let tasks = (0..pixels.div_ceil(SLABS * slab)).into_par_iter().map(|task| {
            let pixels = task * SLABS * slab..pixels.min((task + 1) * SLABS * slab);
            let mut sums = TaskSums::new(epilogue, ci);
            let job = Backward { n, ci, co, weight, dy, pixels, slab, dx, epilogue, sums: &mut sums };
            simd::dispatch_on(plan.isa, job);
            sums
        });
        all.extend(tasks.collect::<Vec<_>>());
    }
    TaskSums::merge(epilogue, plan.n, &all)
}

pub(super) fn backward_weight<T: Real>(gradient: &WeightGradient<'_, T>, dw: &mut [T]) {
    gradient.check(dw);
    let &WeightGradient { plan, sources: &[source], dy, .. } = gradient else { panic!("one source") };
    let (ci, co, pixels) = (plan.k_channels, plan.columns, pixels(plan));
    let padded = ci.next_multiple_of(plan.lanes::<T>());
    let mut total = vec![0.0; co * padded];
    for n in 0..plan.n {
        let affine = source.affine.map(|affine| (affine, n));
        let partials = map_slabs(pixels, slab(ci), |p| {
            let x = &source.x[(n * pixels + p.start) * ci..(n * pixels + p.end) * ci];
            let dy = &dy.x[(n * pixels + p.start) * co..(n * pixels + p.end) * co];
            let mut sums = vec![T::ZERO; co * padded];
            simd::dispatch_on(plan.isa, GradWeight { x, affine, ci, co, dy, sums: &mut sums });
            sums
        });
        for partial in partials {
            total.iter_mut().zip(partial).for_each(|(total, sum)| *total += sum.to_f64());
        }
    }
    for c in 0..ci {
        for o in 0..co {
            dw[c * co + o] = T::from_f64(total[o * padded + c]);
        }
    }
}

struct Forward<'a, T> {
    x: &'a [T],
    /// With the number of the sample.
    affine: Option<(&'a Affine<T>, usize)>,
    ci: usize,
    co: usize,
    weight: &'a [T],
    bias: Option<&'a [T]>,
    y: &'a mut [T],
}

impl<T: Real> Job<T> for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { x, affine, ci, co, weight, bias, y } = self;
        let padded = ci.next_multiple_of(S::LANES);
        let mut a = vec![T::ZERO; padded];
        for (x, y) in x.chunks_exact(ci).zip(y.chunks_exact_mut(co)) {
            let a = match affine {
                Some((affine, n)) => {
                    for c in (0..ci).step_by(S::LANES) {
                        // SAFETY: `c` is a multiple of the lanes below the channels, which the affine has (`Source::check`).
                        let affine = unsafe { affine.vectors(s, n, c) };
                        s.store(affine.apply(s, s.load_partial(&x[c..])), &mut a[c..]);
                    }
                    &a[..ci]
                }
                None => x,
            };
            for o in 0..co {
                let mut sum = s.zero();
                for c in (0..ci).step_by(S::LANES) {
                    sum = s.mul_add(s.load_partial(&a[c..]), s.load(&weight[o * padded + c..]), sum);
                }
                y[o] = s.sum(sum) + bias.map_or(T::ZERO, |bias| bias[o]);
            }
        }
    }
}

struct Backward<'a, T> {
    n: usize,
    ci: usize,
    co: usize,
    weight: &'a [T],
    /// Of the sample.
    dy: &'a [T],
    pixels: Range<usize>,
    /// Pixels whose sums are taken in the number type.
    slab: usize,
    dx: Output<T>,
    epilogue: Epilogue<'a, T>,
    sums: &'a mut TaskSums<T>,
}

impl<T: Real> Job<T> for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        match self.epilogue {
            Epilogue::Gradient { x, affine } => {
                let sample = self.dy.len() / self.co * self.ci;
                let x = x[self.n * sample..].as_ptr();
                for start in self.pixels.clone().step_by(self.slab) {
                    let pixels = start..self.pixels.end.min(start + self.slab);
                    let mut sums = self.sums.gradient(x, affine, self.n);
                    self.write(s, pixels.clone(), &mut sums);
                    self.sums.close_row(pixels.len());
                }
            }
            _ => self.write(s, self.pixels.clone(), &mut NoSums),
        }
    }
}

impl<T: Real> Backward<'_, T> {
    #[inline(always)]
    fn write<S: Simd<Elem = T>, R: RowSums<S>>(&self, s: S, pixels: Range<usize>, sums: &mut R) {
        let (ci, co) = (self.ci, self.co);
        let padded = ci.next_multiple_of(S::LANES);
        for c in (0..ci).step_by(S::LANES) {
            let lanes = (ci - c).min(S::LANES);
            // SAFETY: `c` is a multiple of the lanes below the channels; the places are this task's pixels of the
            // sample, which dx and the epilogue's x hold.
            unsafe {
                let mut state = sums.begin(s, c);
                for p in pixels.clone() {
                    let mut da = s.zero();
                    for o in 0..co {
                        let weight = s.load(&self.weight[o * padded + c..]);
                        da = s.mul_add(s.splat(self.dy[p * co + o]), weight, da);
                    }
                    let place = p * ci + c;
                    let da = sums.pass(s, &mut state, da, place, lanes);
                    s.store_partial_ptr(da, self.dx.at(place).0, lanes);
                }
                sums.end(s, c, state);
            }
        }
    }
}

struct GradWeight<'a, T> {
    x: &'a [T],
    /// With the number of the sample.
    affine: Option<(&'a Affine<T>, usize)>,
    ci: usize,
    co: usize,
    dy: &'a [T],
    /// `[co, padded ci]`
    sums: &'a mut [T],
}

impl<T: Real> Job<T> for GradWeight<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { x, affine, ci, co, dy, sums } = self;
        let padded = ci.next_multiple_of(S::LANES);
        for c in (0..ci).step_by(S::LANES) {
            // SAFETY: `c` is a multiple of the lanes below the channels, which the affine has (`Source::check`).
            let affine = affine.map(|(affine, n)| unsafe { affine.vectors(s, n, c) });
            let lanes = (ci - c).min(S::LANES);
            let mut sum = [s.zero(); MOST];
            for (x, dy) in x.chunks_exact(ci).zip(dy.chunks_exact(co)) {
                let mut a = s.load_partial(&x[c..c + lanes]);
                if let Some(affine) = &affine {
                    a = affine.apply(s, a);
                }
                for o in 0..co {
                    sum[o] = s.mul_add(a, s.splat(dy[o]), sum[o]);
                }
            }
            for o in 0..co {
                s.store(sum[o], &mut sums[o * padded + c..]);
            }
        }
    }
}
