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
use autograd::simd::{self, Isa, Job, Simd};
use rayon::prelude::*;

use super::Conv3dShape;
use super::fuse::{Epilogue, NoSums, RowSums, Source, TaskSums};
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
fn slab(shape: &Conv3dShape) -> usize {
    (SLAB / shape.ci()).max(1)
}

/// Slabs of a sample, for each pass.
pub(super) fn tasks(shape: &Conv3dShape) -> Tasks {
    Tasks::of_pieces("slabs", &[(pixels(shape), slab(shape))])
}

fn pixels(shape: &Conv3dShape) -> usize {
    shape.input().iter().product()
}

/// `[co, padded ci]`
fn transposed<T: Real>(shape: &Conv3dShape, weight: &[T], lanes: usize) -> Vec<T> {
    let (ci, co, padded) = (shape.ci(), shape.co(), shape.ci().next_multiple_of(lanes));
    assert_eq!(weight.len(), ci * co, "length of the weight");
    let mut transposed = vec![T::ZERO; co * padded];
    for c in 0..ci {
        for o in 0..co {
            transposed[o * padded + c] = weight[c * co + o];
        }
    }
    transposed
}

/// Makes sure that the source is the input.
fn check<T: Real>(shape: &Conv3dShape, source: &Source<'_, T>) {
    assert_eq!(source.channels, shape.ci(), "channels of the input");
    source.check(shape.n(), pixels(shape));
}

pub(super) fn forward<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    source: Source<'_, T>,
    weight: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
) {
    let (ci, co, pixels) = (shape.ci(), shape.co(), pixels(shape));
    check(shape, &source);
    assert_eq!(y.len(), shape.y_len(), "length of the output");
    assert!(bias.is_none_or(|bias| bias.len() == co), "length of the bias");
    let weight = &transposed(shape, weight, isa.lanes::<T>());
    for (n, (x, y)) in source.x.chunks(pixels * ci).zip(y.chunks_mut(pixels * co)).enumerate() {
        let affine = source.affine.map(|affine| (affine, n));
        let work = x.par_chunks(slab(shape) * ci).zip(y.par_chunks_mut(slab(shape) * co));
        work.for_each(|(x, y)| {
            simd::dispatch_on(isa, Forward { x, affine, ci, co, weight, bias, y });
        });
    }
}

/// dx = da or, with a gradient to lead on, g = da·act′(z); and its sums.
pub(super) fn backward_input<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    weight: &[T],
    dy: &[T],
    dx: &mut [T],
    epilogue: Epilogue<'_, T>,
) -> Pairs {
    let (ci, co) = (shape.ci(), shape.co());
    assert_eq!(dx.len(), shape.x_len(), "length of the input's gradient");
    assert_eq!(dy.len(), shape.y_len(), "length of the output's gradient");
    epilogue.check(shape.n(), dx.len(), ci);
    let weight = &transposed(shape, weight, isa.lanes::<T>());
    let pixels = pixels(shape);
    let mut all = vec![];
    for (n, (dx, dy)) in dx.chunks_mut(pixels * ci).zip(dy.chunks(pixels * co)).enumerate() {
        let out = Output(dx.as_mut_ptr());
        let per_task = SLABS * slab(shape);
        let tasks = (0..pixels.div_ceil(per_task)).into_par_iter().map(|task| {
            let pixels = task * per_task..pixels.min((task + 1) * per_task);
            let mut sums = TaskSums::new(if matches!(epilogue, Epilogue::Nothing) { 0 } else { ci });
            simd::dispatch_on(
                isa,
                Backward {
                    n,
                    ci,
                    co,
                    weight,
                    dy,
                    pixels,
                    slab: slab(shape),
                    dx: out,
                    epilogue,
                    sums: &mut sums,
                },
            );
            sums
        });
        all.push(tasks.collect::<Vec<_>>());
    }
    TaskSums::merge(epilogue, ci, all.iter().map(Vec::as_slice))
}

pub(super) fn backward_weight<T: Real>(
    isa: Isa,
    shape: &Conv3dShape,
    source: Source<'_, T>,
    dy: &[T],
    dw: &mut [T],
) {
    let (ci, co, pixels) = (shape.ci(), shape.co(), pixels(shape));
    check(shape, &source);
    assert_eq!(dy.len(), shape.y_len(), "length of the output's gradient");
    assert_eq!(dw.len(), ci * co, "length of the weight's gradient");
    let padded = ci.next_multiple_of(isa.lanes::<T>());
    let mut total = vec![0.0; co * padded];
    for n in 0..shape.n() {
        let affine = source.affine.map(|affine| (affine, n));
        let partials = map_slabs(pixels, slab(shape), |p| {
            let x = &source.x[(n * pixels + p.start) * ci..(n * pixels + p.end) * ci];
            let dy = &dy[(n * pixels + p.start) * co..(n * pixels + p.end) * co];
            let mut sums = vec![T::ZERO; co * padded];
            simd::dispatch_on(isa, Weight { x, affine, ci, co, dy, sums: &mut sums });
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
                        // SAFETY: `c` is a multiple of the lanes below the channels, which the affine has (`check`).
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

struct Weight<'a, T> {
    x: &'a [T],
    /// With the number of the sample.
    affine: Option<(&'a Affine<T>, usize)>,
    ci: usize,
    co: usize,
    dy: &'a [T],
    /// `[co, padded ci]`
    sums: &'a mut [T],
}

impl<T: Real> Job<T> for Weight<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let Self { x, affine, ci, co, dy, sums } = self;
        let padded = ci.next_multiple_of(S::LANES);
        for c in (0..ci).step_by(S::LANES) {
            // SAFETY: `c` is a multiple of the lanes below the channels, which the affine has (`check`).
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
