//! A target that was checked against the logits, and read chunk by chunk as probabilities.

use std::ops::Range;

use autograd::parallel::{SLAB, map_slabs};
use autograd::{Real, Shape, Tape, Tensor};

use crate::extents::Extents;
use crate::{Error, Labels, Target};

/// A checked target.
#[derive(Clone, Debug)]
pub(crate) struct Truth<T: Real> {
    kind: Kind<T>,
    channels: usize,
    /// Elements that count, each channel of a voxel being one.
    pub(crate) counted: u64,
    /// Elements that are ignored.
    pub(crate) ignored: u64,
    /// Voxels of each class, for class indices.
    pub(crate) per_class: Vec<u64>,
}

#[derive(Clone, Debug)]
enum Kind<T: Real> {
    /// A class per voxel.
    Index { labels: Labels, ignore: Option<i32> },
    /// 0 or 1 per element.
    Binary { labels: Labels, ignore: Option<i32> },
    /// A probability per element; the mask is per voxel or, of independent channels, per element.
    Soft { values: Tensor<T>, mask: Option<Labels> },
}

/// How the channels of the logits belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channels {
    /// A yes or no each: labels may be 0 or 1 per element.
    Independent,
    /// One class of several: labels are class indices.
    Exclusive,
}

/// Buffers for reading a chunk.
#[derive(Default)]
pub(crate) struct Scratch {
    labels: Vec<i32>,
}

impl<T: Real> Truth<T> {
    pub(crate) fn new(
        target: Target<'_, T>,
        extents: &Extents,
        channels: Channels,
        ignore: Option<i32>,
    ) -> Result<Self, Error> {
        let kind = match target {
            Target::Soft { values, mask } => {
                if values.shape() != extents.shape
                    && !(extents.channels == 1 && extents.is_voxel_shape(&values.shape()))
                {
                    return Err(wrong_shape(extents, values.shape(), channels));
                }
                if let Some(mask) = mask {
                    check_mask(extents, mask.shape(), channels)?;
                }
                Kind::Soft { values: values.clone(), mask: mask.cloned() }
            }
            Target::Labels(labels) => {
                let labels = labels.clone();
                if extents.is_voxel_shape(&labels.shape()) {
                    let binary = extents.channels == 1 && channels == Channels::Independent;
                    if binary { Kind::Binary { labels, ignore } } else { Kind::Index { labels, ignore } }
                } else if labels.shape() == extents.shape && channels == Channels::Independent {
                    Kind::Binary { labels, ignore }
                } else {
                    return Err(wrong_shape(extents, labels.shape(), channels));
                }
            }
        };
        let truth = Self { kind, channels: extents.channels, counted: 0, ignored: 0, per_class: Vec::new() };
        truth.count()
    }

    /// With the counts of the whole batch, where this is a part of it.
    pub(crate) fn of_batch(mut self, tape: &Tape<T>) -> Result<Self, Error> {
        let own = [self.counted, self.ignored].into_iter().chain(self.per_class.iter().copied());
        let own: Vec<f64> = own.map(|count| count as f64).collect();
        let parts = own.len();
        let all = tape.gather(own).map_err(Error::Batch)?;
        let sum = |i: usize| all.iter().skip(i).step_by(parts).sum::<f64>() as u64;
        (self.counted, self.ignored) = (sum(0), sum(1));
        self.per_class = (2..parts).map(sum).collect();
        Ok(self)
    }

    /// Whether it is one class index per voxel.
    pub(crate) fn is_index(&self) -> bool {
        matches!(self.kind, Kind::Index { .. })
    }

    /// Counts, and finds the first value that is none.
    fn count(mut self) -> Result<Self, Error> {
        let (classes, per_label) = match &self.kind {
            Kind::Index { .. } => (self.channels, self.channels as u64),
            Kind::Binary { .. } => (2, 1),
            Kind::Soft { values, mask } => {
                check_probabilities(values)?;
                let elements = values.numel() as u64;
                let wide = mask.as_ref().is_some_and(|m| m.len() < values.numel());
                let per_label = if wide { self.channels as u64 } else { 1 };
                let off = mask.as_ref().map_or(0, |m| m.iter().filter(|&v| v == 0).count() as u64);
                self.ignored = off * per_label;
                self.counted = elements - self.ignored;
                return Ok(self);
            }
        };
        let (Kind::Index { labels, ignore } | Kind::Binary { labels, ignore }) = &self.kind else {
            return Ok(self);
        };
        let slabs = map_slabs(labels.len(), SLAB, |range| {
            let mut buffer = Vec::new();
            labels.read(range.clone(), &mut buffer);
            let (mut counts, mut ignored, mut wrong) = (vec![0u64; classes], 0, None);
            for (i, &label) in buffer.iter().enumerate() {
                if Some(label) == *ignore {
                    ignored += 1;
                } else if let Some(count) = usize::try_from(label).ok().and_then(|c| counts.get_mut(c)) {
                    *count += 1;
                } else if wrong.is_none() {
                    wrong = Some((range.start + i, label));
                }
            }
            (counts, ignored, wrong)
        });
        self.per_class = vec![0; classes];
        for (counts, ignored, wrong) in slabs {
            if let Some((index, value)) = wrong {
                return Err(wrong_label(value, index, classes, self.is_index()));
            }
            self.per_class.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            self.ignored += ignored * per_label;
        }
        self.counted = self.per_class.iter().sum::<u64>() * per_label;
        Ok(self)
    }

    /// Writes the probabilities of whole rows, and 1 or 0 for what counts or is ignored; an ignored probability is 0.
    pub(crate) fn read(&self, rows: Range<usize>, scratch: &mut Scratch, y: &mut [T], keep: &mut [T]) {
        let c = self.channels;
        keep.fill(T::ONE);
        match &self.kind {
            Kind::Index { labels, ignore } => {
                labels.read(rows, &mut scratch.labels);
                y.fill(T::ZERO);
                let rows = y.chunks_exact_mut(c).zip(keep.chunks_exact_mut(c));
                for ((y, keep), &label) in rows.zip(&scratch.labels) {
                    if Some(label) == *ignore {
                        keep.fill(T::ZERO);
                    } else {
                        y[label as usize] = T::ONE;
                    }
                }
            }
            Kind::Binary { labels, ignore } => {
                labels.read(rows.start * c..rows.end * c, &mut scratch.labels);
                for ((y, keep), &label) in y.iter_mut().zip(keep).zip(&scratch.labels) {
                    *y = if label == 1 { T::ONE } else { T::ZERO };
                    if Some(label) == *ignore {
                        (*y, *keep) = (T::ZERO, T::ZERO);
                    }
                }
            }
            Kind::Soft { values, mask } => {
                y.copy_from_slice(&values.data()[rows.start * c..rows.end * c]);
                let Some(mask) = mask else { return };
                let per = if mask.len() < values.numel() { c } else { 1 };
                let range = if per == c { rows } else { rows.start * c..rows.end * c };
                mask.read(range, &mut scratch.labels);
                let groups = y.chunks_exact_mut(per).zip(keep.chunks_exact_mut(per));
                for ((y, keep), _) in groups.zip(&scratch.labels).filter(|(_, mask)| **mask == 0) {
                    y.fill(T::ZERO);
                    keep.fill(T::ZERO);
                }
            }
        }
    }
}

/// A mask is per voxel. Where channels are a yes or no each it may be per element; where one class excludes the others a
/// voxel counts or does not, for what would its other classes be without one of them?
fn check_mask(extents: &Extents, mask: Shape, channels: Channels) -> Result<(), Error> {
    let per_element = mask == extents.shape && channels == Channels::Independent;
    if per_element || extents.is_voxel_shape(&mask) {
        return Ok(());
    }
    let mut remedy = format!("a mask beside probabilities has one number per voxel, {}", extents.voxels());
    if channels == Channels::Independent {
        remedy += &format!(", or per element, {}", extents.shape);
    } else if mask == extents.shape {
        remedy += ": the classes exclude each other, so a voxel counts with all of them or not at all";
    }
    Err(Error::TargetShape { logits: extents.shape.dims().to_vec(), target: mask.dims().to_vec(), remedy })
}

fn check_probabilities<T: Real>(values: &Tensor<T>) -> Result<(), Error> {
    let wrong = map_slabs(values.numel(), SLAB, |range| {
        let found = values.data()[range.clone()].iter().position(|&v| !(v >= T::ZERO && v <= T::ONE));
        found.map(|i| range.start + i)
    });
    let Some(index) = wrong.into_iter().flatten().next() else { return Ok(()) };
    Err(range_error(values.data()[index].to_f64(), index))
}

fn range_error(value: f64, index: usize) -> Error {
    let remedy = if value > 1.0 {
        "is this a 0/255 mask? divide it by 255, or compare it with 0"
    } else {
        "a target is the probability of the positive class"
    };
    Error::TargetRange { value, index, remedy: remedy.into() }
}

fn wrong_label(value: i32, index: usize, classes: usize, is_index: bool) -> Error {
    let ignore = format!("if {value} marks voxels without a label, set ignore_index({value})");
    if is_index {
        return Error::ClassRange { value, index, classes, remedy: ignore };
    }
    let remedy = if value > 1 {
        format!("is this a 0/255 mask? divide it by 255, or compare it with 0; {ignore}")
    } else {
        ignore
    };
    Error::TargetRange { value: f64::from(value), index, remedy }
}

fn wrong_shape(extents: &Extents, target: Shape, channels: Channels) -> Error {
    let voxels = extents.voxels();
    let mut remedy = format!("expected labels {voxels}, or probabilities {}", extents.shape);
    if channels == Channels::Independent && extents.channels > 1 {
        remedy += ", or labels of that shape, 0 or 1 per channel";
    }
    let first = extents.shape.rank() > 2 && target.rank() == extents.shape.rank();
    if first && target[1] == extents.channels && target[target.rank() - 1] != extents.channels {
        remedy += "; this looks like channels first, see Tensor::from_channels_first";
    }
    Error::TargetShape { logits: extents.shape.dims().to_vec(), target: target.dims().to_vec(), remedy }
}
