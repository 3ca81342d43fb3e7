//! Weights with a type, so that a vector cannot meet the wrong axis.
//!
//! PyTorch aligns weights to the right: a `[C]` vector meets the *W axis* of a volume, and is silently wrong where
//! C = W. Here a weight says what it is: one number, one per channel, or one per element.

use std::ops::Range;

use autograd::parallel::{SLAB, map_slabs};
use autograd::{Real, Shape, Tensor};

use crate::Error;
use crate::extents::Extents;

/// A weight of a loss. Weights are finite and at least 0.
///
/// ```
/// use losses::Weight;
///
/// let _: Weight = 10.into(); // any number type
/// let _: Weight = [0.5, 2.0].into(); // one per channel
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Weight<T: Real = f32> {
    /// The same everywhere.
    Scalar(f64),
    /// One per channel, the last axis of the logits. Logits of rank 1 have none.
    PerChannel(Vec<f64>),
    /// One per element, in the logits' shape; or one per voxel, in their shape with one channel.
    PerElement(Tensor<T>),
}

/// The primitive number types.
pub trait Number: Copy + sealed::Sealed {
    /// The nearest `f64`.
    fn to_f64(self) -> f64;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! impl_number {
    ($($t:ty)*) => {$(
        impl sealed::Sealed for $t {}
        impl Number for $t {
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}
impl_number!(f32 f64 i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

impl<T: Real, N: Number> From<N> for Weight<T> {
    fn from(value: N) -> Self {
        Self::Scalar(value.to_f64())
    }
}

impl<T: Real, N: Number> From<Vec<N>> for Weight<T> {
    fn from(values: Vec<N>) -> Self {
        values.as_slice().into()
    }
}

impl<T: Real, N: Number> From<&[N]> for Weight<T> {
    fn from(values: &[N]) -> Self {
        Self::PerChannel(values.iter().map(|v| v.to_f64()).collect())
    }
}

impl<T: Real, N: Number, const C: usize> From<[N; C]> for Weight<T> {
    fn from(values: [N; C]) -> Self {
        values.as_slice().into()
    }
}

impl<T: Real> From<Tensor<T>> for Weight<T> {
    fn from(values: Tensor<T>) -> Self {
        Self::PerElement(values)
    }
}

impl<T: Real> Weight<T> {
    /// Checks the weight against the logits' extents.
    pub(crate) fn check(&self, name: &'static str, extents: &Extents) -> Result<(), Error> {
        match self {
            Self::Scalar(value) => check_value(name, *value),
            Self::PerChannel(values) => {
                check_length(name, values.len(), extents)?;
                values.iter().try_for_each(|&v| check_value(name, v))
            }
            Self::PerElement(values) => {
                check_shape(name, values.shape(), extents)?;
                let wrong = map_slabs(values.numel(), SLAB, |r| {
                    values.data()[r].iter().map(|v| v.to_f64()).find(|&v| !is_weight(v))
                });
                wrong.into_iter().flatten().next().map_or(Ok(()), |v| check_value(name, v))
            }
        }
    }

    /// Multiplies `out`, whole rows of logits, by the weight.
    pub(crate) fn multiply(&self, extents: &Extents, rows: Range<usize>, out: &mut [T]) {
        let channels = extents.channels;
        match self {
            Self::Scalar(value) => {
                let value = T::from_f64(*value);
                out.iter_mut().for_each(|o| *o *= value);
            }
            Self::PerChannel(values) => {
                for row in out.chunks_exact_mut(channels) {
                    row.iter_mut().zip(values).for_each(|(o, &v)| *o *= T::from_f64(v));
                }
            }
            Self::PerElement(values) if values.numel() == extents.shape.numel() => {
                let values = &values.data()[rows.start * channels..rows.end * channels];
                out.iter_mut().zip(values).for_each(|(o, &v)| *o *= v);
            }
            Self::PerElement(values) => {
                for (row, &v) in out.chunks_exact_mut(channels).zip(&values.data()[rows]) {
                    row.iter_mut().for_each(|o| *o *= v);
                }
            }
        }
    }
}

fn is_weight(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn check_value(name: &'static str, value: f64) -> Result<(), Error> {
    if is_weight(value) {
        return Ok(());
    }
    let remedy = if value == f64::INFINITY {
        "negatives divided by positives is infinite where there are no positives; count over the whole data set"
    } else {
        "a class that shall not count has weight 0"
    };
    Err(Error::WeightValue { name, value, remedy })
}

/// One weight per channel.
pub(crate) fn check_class_weights(
    name: &'static str,
    values: &[f64],
    extents: &Extents,
) -> Result<(), Error> {
    check_length(name, values.len(), extents)?;
    values.iter().try_for_each(|&v| check_value(name, v))
}

fn check_length(name: &'static str, got: usize, extents: &Extents) -> Result<(), Error> {
    let shape = extents.shape;
    let axis = shape.rank() - 1;
    if shape.rank() == 1 {
        let reason = format!(
            "{got} weights per channel, but logits {shape} have no channel axis: \
             give one number, or one weight per element as a tensor {shape}"
        );
        return Err(Error::WeightShape { name, reason });
    }
    if got == extents.channels {
        return Ok(());
    }
    let mut reason = format!(
        "{got} weights, but the channel axis (axis {axis}) of logits {shape} has {}: expected {0}",
        extents.channels
    );
    let names: &[&str] = match shape.rank() {
        5 => &["n, the batch", "d", "h", "w"],
        _ => &["n, the batch"],
    };
    if let Some(other) = shape.dims()[..axis].iter().position(|&extent| extent == got) {
        let what = names.get(other).map_or(String::new(), |what| format!(" ({what})"));
        reason +=
            &format!("; {got} is the extent of axis {other}{what}, which a weight per channel never meets");
    }
    if extents.channels == 1 && got == 2 {
        reason += "; weights [w0, w1] of background and foreground are one pos_weight, w1 / w0";
    }
    Err(Error::WeightShape { name, reason })
}

fn check_shape(name: &'static str, got: Shape, extents: &Extents) -> Result<(), Error> {
    let shape = extents.shape;
    if got == shape || extents.is_voxel_shape(&got) {
        return Ok(());
    }
    let reason = format!(
        "a weight per element of shape {got}, but logits are {shape}: expected {shape}, or one channel less \
         for a weight per voxel; weights per channel are a Vec"
    );
    Err(Error::WeightShape { name, reason })
}
