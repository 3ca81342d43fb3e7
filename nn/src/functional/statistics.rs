//! Means and variances: measured per sample and channel, then shared as the kind of normalisation says.

use std::cell::OnceCell;
use std::ops::Range;

use autograd::parallel::{self, map_slabs, slab_of_rows};
use autograd::{Real, Shape, Tape, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::Input;
use crate::kernels::{self, Pairs};

/// Over which numbers mean and variance are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// The voxels of one channel of one sample. Source: Ulyanov et al. 2016.
    Instance,
    /// The voxels of a group of channels of one sample; the number of groups. Source: Wu and He 2018.
    Group(usize),
    /// The voxels of one channel of all samples. Source: Ioffe and Szegedy 2015.
    Batch,
}

/// The most runs of slabs that a sum is taken in; enough for many cores.
const RUNS: usize = 256;

/// An activation as `samples` × `voxels` × `channels`, and how it is cut into slabs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extents {
    pub(super) samples: usize,
    pub(super) voxels: usize,
    pub(super) channels: usize,
}

impl Extents {
    #[track_caller]
    pub(super) fn of(shape: Shape) -> Self {
        assert!(shape.rank() >= 2, "a normalisation wants [n, ..., c], got {shape}");
        assert!(shape.numel() > 0, "a normalisation of no numbers: {shape}");
        let samples = shape[0];
        Self { samples, voxels: shape.rows() / samples, channels: shape.channels() }
    }

    /// Numbers in a slab: whole voxels, by the shape alone.
    fn slab(&self) -> usize {
        slab_of_rows(self.channels)
    }

    /// Numbers in a sample.
    fn sample(&self) -> usize {
        self.voxels * self.channels
    }

    /// Calls `f` with each slab of `y`: its sample, its numbers' places in the tensor, and the numbers themselves.
    pub(super) fn for_each_slab<T: Send>(
        &self,
        y: &mut [T],
        f: impl Fn(usize, Range<usize>, &mut [T]) + Sync,
    ) {
        for (n, y) in y.chunks_exact_mut(self.sample()).enumerate() {
            parallel::for_each_slab(y, self.slab(), |start, y| {
                let first = n * self.sample() + start;
                f(n, first..first + y.len(), y);
            });
        }
    }

    /// For each channel of sample `n`, the merged results of `f(range of numbers)` of its slabs. Runs of slabs are merged
    /// in slab order, then the runs, of which there are at most [`RUNS`]: so few results are kept at a time.
    pub(super) fn reduce<R: Copy + Send>(
        &self,
        n: usize,
        f: impl Fn(Range<usize>) -> Vec<R> + Sync,
        merge: impl Fn(R, usize, R, usize) -> R + Sync,
    ) -> Vec<R> {
        let offset = n * self.sample();
        let join = |(before, mut all): (usize, Vec<R>), (voxels, part): (usize, Vec<R>)| {
            for (all, part) in all.iter_mut().zip(part) {
                *all = merge(*all, before, part, voxels);
            }
            (before + voxels, all)
        };
        let slab = self.slab();
        let run = self.sample().div_ceil(slab).div_ceil(RUNS);
        let runs = map_slabs(self.sample(), run * slab, |r| {
            let slabs = r.clone().step_by(slab).map(|start| {
                let end = r.end.min(start + slab);
                ((end - start) / self.channels, f(offset + start..offset + end))
            });
            slabs.reduce(join).expect("a run has at least one slab")
        });
        runs.into_iter().reduce(join).expect("a sample has at least one run").1
    }
}

/// Mean and M2 = Σ(x − mean)² of two sets of `na` and `nb` numbers together.
///
/// # Source
/// Chan, Golub and LeVeque 1983, equation 2.1.
fn merge((mean_a, m2_a): (f64, f64), na: usize, (mean_b, m2_b): (f64, f64), nb: usize) -> (f64, f64) {
    let (a, b) = (na as f64, nb as f64);
    let delta = mean_b - mean_a;
    (mean_a + delta * (b / (a + b)), m2_a + m2_b + delta * delta * (a * b / (a + b)))
}

/// Mean and M2 = Σ(x − mean)² of each channel of each sample.
///
/// They are taken per slab of voxels and merged in slab order: no difference of large squares, and the same bits
/// for any number of threads. They carry no gradient: the normalisation that uses them counts its input's influence on
/// them in the gradient of that input.
#[derive(Clone, PartialEq, Debug)]
pub struct ChannelStats<T: Real> {
    extents: Extents,
    mean: Vec<T>,
    m2: Vec<T>,
}

impl<T: Real> ChannelStats<T> {
    /// Measures `[n, ..., c]`.
    ///
    /// # Panics
    /// If there are fewer than two axes, or no numbers.
    #[track_caller]
    pub fn of(x: &Tensor<T>) -> Self {
        let extents = Extents::of(x.shape());
        let (mut mean, mut m2) = (Vec::new(), Vec::new());
        for n in 0..extents.samples {
            let moments =
                extents.reduce(n, |r| kernels::norm::moments(&x.data()[r], extents.channels), merge);
            mean.extend(moments.iter().map(|m| T::from_f64(m.0)));
            m2.extend(moments.iter().map(|m| T::from_f64(m.1)));
        }
        Self { extents, mean, m2 }
    }

    /// From the means and M2s that a convolution has taken while it wrote a tensor of this shape.
    #[track_caller]
    fn from_moments(shape: Shape, sums: &[(f64, f64)]) -> Self {
        let extents = Extents::of(shape);
        assert_eq!(sums.len(), extents.samples * extents.channels, "one pair per sample and channel");
        let (mean, m2) = sums.iter().map(|(mean, m2)| (T::from_f64(*mean), T::from_f64(*m2))).unzip();
        Self { extents, mean, m2 }
    }

    /// The number of samples.
    pub fn samples(&self) -> usize {
        self.extents.samples
    }

    /// The number of voxels in a sample.
    pub fn voxels(&self) -> usize {
        self.extents.voxels
    }

    /// The number of channels.
    pub fn channels(&self) -> usize {
        self.extents.channels
    }

    /// The means, `[n, c]`.
    pub fn mean(&self) -> &[T] {
        &self.mean
    }

    /// Σ(x − mean)², `[n, c]`.
    pub fn m2(&self) -> &[T] {
        &self.m2
    }

    /// For each channel of each sample, mean and 1/√(var + ε) as a normalisation of this kind uses them; the variance is
    /// M2 / count.
    #[track_caller]
    pub(super) fn mean_and_rstd(&self, kind: NormKind, eps: f64) -> (Vec<T>, Vec<T>) {
        let (mut means, mut rstds) = (self.mean.clone(), self.m2.clone());
        for set in sets(self.extents, kind) {
            let (mean, m2) = self.merged(&set);
            let variance = m2 / (set.len() * self.extents.voxels) as f64;
            for &i in &set {
                means[i] = T::from_f64(mean);
                rstds[i] = T::from_f64(1.0 / (variance + eps).sqrt());
            }
        }
        (means, rstds)
    }

    /// Per channel, mean and unbiased variance M2 / (count − 1) over all samples: what running statistics follow.
    /// Of a single number the variance is 0.
    pub fn batch_mean_and_variance(&self) -> (Vec<T>, Vec<T>) {
        let one = |set: Vec<usize>| {
            let (mean, m2) = self.merged(&set);
            let freedom = (set.len() * self.extents.voxels - 1).max(1) as f64;
            (T::from_f64(mean), T::from_f64(m2 / freedom))
        };
        sets(self.extents, NormKind::Batch).into_iter().map(one).unzip()
    }

    fn merged(&self, set: &[usize]) -> (f64, f64) {
        let of = |i: usize| (self.mean[i].to_f64(), self.m2[i].to_f64());
        let voxels = self.extents.voxels;
        let (first, rest) = set.split_first().expect("a set has at least one channel");
        let start = (of(*first), voxels);
        rest.iter().fold(start, |(all, count), &i| (merge(all, count, of(i), voxels), count + voxels)).0
    }
}

/// Which (sample, channel) pairs share mean and variance, as indices into `[n, c]`.
#[track_caller]
pub(super) fn sets(extents: Extents, kind: NormKind) -> Vec<Vec<usize>> {
    let Extents { samples, channels, .. } = extents;
    match kind {
        NormKind::Instance => (0..samples * channels).map(|i| vec![i]).collect(),
        NormKind::Group(groups) => {
            assert!(
                groups > 0 && channels.is_multiple_of(groups),
                "{channels} channels do not divide into {groups} groups"
            );
            let size = channels / groups;
            (0..samples * groups).map(|i| (i * size..(i + 1) * size).collect()).collect()
        }
        NormKind::Batch => (0..channels).map(|c| (0..samples).map(|n| n * channels + c).collect()).collect(),
    }
}

/// A tensor together with the statistics of its channels, which cannot be taken apart: what a convolution gives, and what
/// a normalisation reads.
///
/// Any [`Var`] turns into one; its channels are measured when they are asked for.
#[derive(Clone)]
pub struct WithStats<'t, T: Real = f32> {
    x: Var<'t, T>,
    stats: OnceCell<ChannelStats<T>>,
}

impl<'t, T: Real> WithStats<'t, T> {
    /// Whether a tensor of this shape is worth measuring while it is written. One of a single slab is in the cache when it
    /// is whole, and is measured then.
    pub(super) fn worth_taking_while_writing(shape: Shape) -> bool {
        let samples = shape[0].max(1);
        shape.numel() / samples > slab_of_rows(shape.channels())
    }

    /// A tensor with the means and M2s that were taken while it was written, if they were.
    pub(super) fn new(x: Var<'t, T>, moments: Option<Pairs>) -> Self {
        let stats = moments.map(|moments| ChannelStats::from_moments(x.shape(), &moments));
        Self { x, stats: stats.map_or_else(OnceCell::new, OnceCell::from) }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.x.shape()
    }

    /// The tape.
    pub fn tape(&self) -> &'t Tape<T> {
        self.x.tape()
    }

    /// The statistics.
    ///
    /// # Panics
    /// If there are fewer than two axes, or no numbers.
    #[track_caller]
    pub fn stats(&self) -> &ChannelStats<T> {
        Extents::of(self.shape());
        self.stats.get_or_init(|| ChannelStats::of(self.x.value()))
    }

    /// The tensor alone.
    pub fn into_var(self) -> Var<'t, T> {
        self.x
    }
}

/// What a normalisation takes: what a convolution gives with its statistics, or any [`Var`] or [`Input`], which is measured.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that a normalisation reads",
    label = "what `conv.forward_with_stats(x)` gives, a `Var` or an `Input` is wanted here",
    note = "a `Tensor` enters a tape by `tape.constant(tensor)`, or by `tape.variable(tensor)` if its gradient is wanted"
)]
pub trait IntoStats<'t, T: Real> {
    /// With its statistics.
    fn into_stats(self) -> WithStats<'t, T>;
}

#[diagnostic::do_not_recommend]
impl<'t, T: Real> IntoStats<'t, T> for WithStats<'t, T> {
    fn into_stats(self) -> Self {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<'t, T: Real> IntoStats<'t, T> for Var<'t, T> {
    fn into_stats(self) -> WithStats<'t, T> {
        self.into()
    }
}

#[diagnostic::do_not_recommend]
impl<'t, T: Real> IntoStats<'t, T> for &Var<'t, T> {
    fn into_stats(self) -> WithStats<'t, T> {
        self.clone().into()
    }
}

#[diagnostic::do_not_recommend]
impl<'t, T: Real> IntoStats<'t, T> for Input<'t, T> {
    fn into_stats(self) -> WithStats<'t, T> {
        self.into_var().into()
    }
}

impl<'t, T: Real> From<Var<'t, T>> for WithStats<'t, T> {
    fn from(x: Var<'t, T>) -> Self {
        Self { x, stats: OnceCell::new() }
    }
}
