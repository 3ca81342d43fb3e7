//! What a loss is held against: class labels, or probabilities.

use std::ops::Range;
use std::sync::Arc;

use autograd::buffer::vec_with_capacity;
use autograd::{Real, Shape, Tensor};

/// One class index per voxel, as `u8` or `i32`, so that 255 and −100 (ignored, by custom) occur.
///
/// A clone costs a reference count.
///
/// ```
/// use losses::Labels;
///
/// let labels = Labels::from_vec([2, 3], vec![0u8, 1, 2, 0, 0, 255]);
/// assert_eq!(labels.get(5), 255);
/// assert_eq!(labels.data().to_vec(), [0, 1, 2, 0, 0, 255]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    shape: Shape,
    data: Data,
}

#[derive(Clone, Debug, PartialEq)]
enum Data {
    U8(Arc<Vec<u8>>),
    I32(Arc<Vec<i32>>),
}

/// Labels in memory: see [`Labels::data`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LabelSlice<'a> {
    /// Of files, and 255 where a voxel is ignored.
    U8(&'a [u8]),
    /// With negative ones.
    I32(&'a [i32]),
}

impl LabelSlice<'_> {
    /// The labels as one type.
    pub fn to_vec(self) -> Vec<i32> {
        match self {
            Self::U8(labels) => labels.iter().map(|&label| i32::from(label)).collect(),
            Self::I32(labels) => labels.to_vec(),
        }
    }
}

/// The number types of labels.
#[diagnostic::on_unimplemented(
    message = "labels are `u8` or `i32`, not `{Self}`",
    note = "write `vec![0u8, 1]`; probabilities are a `Tensor`, which is a target by itself"
)]
pub trait Label: Copy + Sized + sealed::Sealed {
    #[doc(hidden)]
    fn wrap(values: Vec<Self>) -> LabelData;
}

/// Storage of either type.
#[doc(hidden)]
pub struct LabelData(Data);

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for i32 {}
}

impl Label for u8 {
    fn wrap(values: Vec<Self>) -> LabelData {
        LabelData(Data::U8(Arc::new(values)))
    }
}

impl Label for i32 {
    fn wrap(values: Vec<Self>) -> LabelData {
        LabelData(Data::I32(Arc::new(values)))
    }
}

impl Labels {
    /// Labels of this shape: the logits' without the class axis, or with one class.
    ///
    /// # Panics
    /// If there are more or fewer than the shape says.
    #[track_caller]
    pub fn from_vec<L: Label>(shape: impl Into<Shape>, labels: Vec<L>) -> Self {
        let shape = shape.into();
        let (wanted, given) = (shape.numel(), labels.len());
        assert!(wanted == given, "labels of shape {shape} are {wanted}, not {given}");
        Self { shape, data: L::wrap(labels).0 }
    }

    /// The label `f(i)` at flat index `i`.
    pub fn from_fn(shape: impl Into<Shape>, f: impl FnMut(usize) -> i32) -> Self {
        let shape = shape.into();
        Self::from_vec(shape, collect(shape.numel(), f))
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The number of labels.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::U8(data) => data.len(),
            Data::I32(data) => data.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The labels in order, of the type that they were made of.
    pub fn data(&self) -> LabelSlice<'_> {
        match &self.data {
            Data::U8(data) => LabelSlice::U8(data),
            Data::I32(data) => LabelSlice::I32(data),
        }
    }

    /// The label at a flat index.
    ///
    /// # Panics
    /// Beyond the last.
    #[track_caller]
    pub fn get(&self, index: usize) -> i32 {
        match &self.data {
            Data::U8(data) => i32::from(data[index]),
            Data::I32(data) => data[index],
        }
    }

    /// The labels in order.
    pub fn iter(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Replaces `out` by the labels of a range.
    pub(crate) fn read(&self, range: Range<usize>, out: &mut Vec<i32>) {
        out.clear();
        match &self.data {
            Data::U8(data) => out.extend(data[range].iter().map(|&v| i32::from(v))),
            Data::I32(data) => out.extend_from_slice(&data[range]),
        }
    }

    /// The same labels at fewer positions: label `⌊i · from / to⌋` along each axis, as PyTorch's nearest resampling
    /// does. `[n, d, h, w]` and `[n, d, h, w, 1]` are for [`DeepSupervision`](crate::DeepSupervision), say.
    ///
    /// # Panics
    /// If the shapes differ in rank, or `to` has a label where `self` has none.
    #[track_caller]
    pub fn resample_nearest(&self, to: impl Into<Shape>) -> Self {
        let (from, to) = (self.shape, to.into());
        assert!(from.rank() == to.rank(), "resampling labels {from} to {to} keeps the axes");
        assert!(to.numel() == 0 || !self.is_empty(), "labels {from} have nothing to give to {to}");
        let source = |flat: usize| {
            let (mut rest, mut at, mut stride) = (flat, 0, 1);
            for axis in (0..to.rank()).rev() {
                at += rest % to[axis] * from[axis] / to[axis] * stride;
                stride *= from[axis];
                rest /= to[axis];
            }
            at
        };
        let data = match &self.data {
            Data::U8(data) => Data::U8(Arc::new(collect(to.numel(), |i| data[source(i)]))),
            Data::I32(data) => Data::I32(Arc::new(collect(to.numel(), |i| data[source(i)]))),
        };
        Self { shape: to, data }
    }

    /// Probabilities that say the same: 1 for the voxel's class and 0 for the others, in shape `[..., classes]`.
    /// A voxel whose label is no class is 0 throughout.
    pub fn one_hot<T: Real>(&self, classes: usize) -> Tensor<T> {
        let mut dims = self.shape.dims().to_vec();
        dims.push(classes);
        Tensor::from_fn(dims.as_slice(), |i| {
            let hit = usize::try_from(self.get(i / classes)) == Ok(i % classes);
            if hit { T::ONE } else { T::ZERO }
        })
    }
}

/// `f` of each of `0..len`, as many as a volume has voxels.
fn collect<L>(len: usize, f: impl FnMut(usize) -> L) -> Vec<L> {
    let mut values = vec_with_capacity(len);
    values.extend((0..len).map(f));
    values
}

/// What [`Loss::forward`](crate::Loss::forward) takes: `&Labels`, `&Tensor<T>`, or `(&Tensor<T>, &Labels)` where the
/// labels are a mask, 0 for the voxels to ignore.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a, T: Real = f32> {
    /// One class index per voxel; for losses that treat channels independently also one 0 or 1 per element.
    Labels(&'a Labels),
    /// Probabilities in the logits' shape.
    Soft {
        /// The probabilities.
        values: &'a Tensor<T>,
        /// 0 where a voxel is ignored; for losses that treat channels independently also in the logits' shape, 0 where an
        /// element is.
        mask: Option<&'a Labels>,
    },
}

/// What a loss is held against: `&Labels`, `&Tensor` of probabilities, both (the labels are the mask), or a [`Target`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no target of a loss",
    label = "`&Labels` or a `&Tensor` of probabilities is wanted here",
    note = "class indices are `Labels::from_vec(shape, vec![0u8, 1, ..])`; a target is lent, `&labels`"
)]
pub trait IntoTarget<'a, T: Real> {
    /// As a target.
    fn into_target(self) -> Target<'a, T>;
}

/// Of each type that turns into a target; a rule for all of them would take the message above away.
macro_rules! into_target {
    ($($from:ty: |$it:pat_param| $target:expr;)*) => {
        $(impl<'a, T: Real> From<$from> for Target<'a, T> {
            fn from($it: $from) -> Self {
                $target
            }
        }

        #[diagnostic::do_not_recommend]
        impl<'a, T: Real> IntoTarget<'a, T> for $from {
            fn into_target(self) -> Target<'a, T> {
                self.into()
            }
        })*
    };
}

into_target! {
    &'a Labels: |labels| Self::Labels(labels);
    &'a Tensor<T>: |values| Self::Soft { values, mask: None };
    (&'a Tensor<T>, &'a Labels): |(values, mask)| Self::Soft { values, mask: Some(mask) };
}

#[diagnostic::do_not_recommend]
impl<'a, T: Real> IntoTarget<'a, T> for Target<'a, T> {
    fn into_target(self) -> Self {
        self
    }
}
