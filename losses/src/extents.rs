//! How a loss reads the shape of its logits, and how the work is cut.

use std::ops::Range;

use autograd::parallel::SLAB;
use autograd::{Real, Shape};
use rayon::prelude::*;

use crate::Error;

/// Elements that are worked on together; they and their targets and weights stay in the L1 cache.
const CHUNK: usize = 512;

/// The extents of logits `[n, ..., c]`; of rank 1, `[n]`, they have one channel and no channel axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    pub(crate) shape: Shape,
    pub(crate) samples: usize,
    /// Voxels in all samples.
    pub(crate) rows: usize,
    pub(crate) channels: usize,
}

impl Extents {
    pub(crate) fn of(shape: Shape) -> Result<Self, Error> {
        let (samples, channels) = match shape.dims() {
            [] => {
                let reason = "a loss needs at least one axis: give a single logit the shape [1]".into();
                return Err(Error::Logits { logits: Vec::new(), reason });
            }
            [n] => (*n, 1),
            [n, .., c] => (*n, *c),
        };
        if channels == 0 {
            let reason = "no class: the last axis is the class axis".into();
            return Err(Error::Logits { logits: shape.dims().to_vec(), reason });
        }
        Ok(Self { shape, samples, rows: shape.numel() / channels, channels })
    }

    /// The logits' shape without the class axis.
    pub(crate) fn voxels(&self) -> Shape {
        match self.shape.dims() {
            [_] => self.shape,
            dims => Shape::new(&dims[..dims.len() - 1]),
        }
    }

    /// Whether a shape has one entry per voxel: the logits' without the class axis, or with one class.
    pub(crate) fn is_voxel_shape(&self, other: &Shape) -> bool {
        *other == self.voxels() || (self.shape.rank() > 1 && *other == self.shape.with_channels(1))
    }

    /// The slabs of all rows. Their size depends on the shape alone; none crosses from one sample to the next.
    pub(crate) fn slabs(&self) -> Vec<Range<usize>> {
        let voxels = self.rows / self.samples.max(1);
        let step = (SLAB / self.channels).max(1);
        (0..self.samples)
            .flat_map(|n| {
                let (first, last) = (n * voxels, (n + 1) * voxels);
                (first..last).step_by(step).map(move |start| start..(start + step).min(last))
            })
            .collect()
    }

    /// The slabs of all rows for sums over all samples. Samples of voxels have slabs of their own, so that the sums of a batch
    /// are those of its parts; samples without share them, being many.
    pub(crate) fn slabs_of_sums(&self) -> Vec<Range<usize>> {
        if self.shape.rank() > 2 { self.slabs() } else { Self { samples: 1, ..*self }.slabs() }
    }

    /// Rows in a chunk.
    pub(crate) fn chunk_rows(&self) -> usize {
        (CHUNK / self.channels).max(1)
    }

    /// The chunks of a slab.
    pub(crate) fn chunks(&self, slab: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let step = self.chunk_rows();
        slab.clone().step_by(step).map(move |start| start..(start + step).min(slab.end))
    }
}

/// A tensor that is written slab by slab: its data (empty where it is not wanted) and its numbers per row.
pub(crate) type Sink<'a, T> = (&'a mut [T], usize);

/// `f(rows, parts)` for each slab in parallel, with the slab's part of each sink; results in slab order.
pub(crate) fn map_slabs_into<T: Real, R: Send, const N: usize>(
    slabs: Vec<Range<usize>>,
    sinks: [Sink<'_, T>; N],
    f: impl Fn(Range<usize>, [&mut [T]; N]) -> R + Sync,
) -> Vec<R> {
    let mut rest = sinks;
    let mut work = Vec::with_capacity(slabs.len());
    for slab in slabs {
        let parts = rest.each_mut().map(|(data, width)| {
            let len = if data.is_empty() { 0 } else { slab.len() * *width };
            let (part, tail) = std::mem::take(data).split_at_mut(len);
            *data = tail;
            part
        });
        work.push((slab, parts));
    }
    work.into_par_iter().map(|(slab, parts)| f(slab, parts)).collect()
}
