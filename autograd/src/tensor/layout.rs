//! Conversions at the edges: other programs store channels first.
//!
//! | here | elsewhere | what |
//! |---|---|---|
//! | `[n, d, h, w, c]` | `[n, c, d, h, w]` (NCDHW) | activations |
//! | `[kd, kh, kw, ci, co]` | `[co, ci, kd, kh, kw]` (OIDHW) | a convolution's weight |
//! | `[kd, kh, kw, ci, co]` | `[ci, co, kd, kh, kw]` (IODHW) | a transposed convolution's weight |
//!
//! A one-channel volume has the same memory in both.

use crate::parallel::{SLAB, for_each_slab};
use crate::{MAX_RANK, Real, Tensor};

impl<T: Real> Tensor<T> {
    /// The tensor whose axis `i` is this tensor's axis `axes[i]`.
    ///
    /// # Panics
    /// Unless `axes` names every axis once.
    #[track_caller]
    pub fn permute(&self, axes: &[usize]) -> Self {
        let shape = self.shape().permuted(axes);
        let mut y = Self::scratch(shape);
        let step = |axis: usize| self.dims()[axis + 1..].iter().product::<usize>();
        let steps: Vec<usize> = axes.iter().map(|&axis| step(axis)).collect();
        for_each_slab(y.data_mut(), SLAB, |start, y| {
            // The place of the first number, then an odometer.
            let (mut index, mut from, mut rest) = ([0; MAX_RANK], 0, start);
            for (axis, &extent) in shape.iter().enumerate().rev() {
                index[axis] = rest % extent;
                from += index[axis] * steps[axis];
                rest /= extent;
            }
            for y in y {
                *y = self.data()[from];
                for (axis, &extent) in shape.iter().enumerate().rev() {
                    index[axis] += 1;
                    from += steps[axis];
                    if index[axis] < extent {
                        break;
                    }
                    from -= steps[axis] * extent;
                    index[axis] = 0;
                }
            }
        });
        y
    }

    /// `[n, c, ...]` with the channels in second place becomes `[n, ..., c]`. Panics with fewer than two axes.
    #[track_caller]
    pub fn from_channels_first(&self) -> Self {
        let rank = self.shape().rank();
        assert!(rank >= 2, "{} has no channel axis in second place", self.shape());
        let axes: Vec<usize> = std::iter::once(0).chain(2..rank).chain([1]).collect();
        self.permute(&axes)
    }

    /// `[n, ..., c]` becomes `[n, c, ...]`. Panics with fewer than two axes.
    #[track_caller]
    pub fn to_channels_first(&self) -> Self {
        let rank = self.shape().rank();
        assert!(rank >= 2, "{} has no channel axis behind the first", self.shape());
        let axes: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        self.permute(&axes)
    }

    /// Activations from NCDHW.
    #[track_caller]
    pub fn from_ncdhw(&self) -> Self {
        self.shape().dims5();
        self.from_channels_first()
    }

    /// Activations to NCDHW.
    #[track_caller]
    pub fn to_ncdhw(&self) -> Self {
        self.shape().dims5();
        self.to_channels_first()
    }

    /// A convolution's weight from OIDHW.
    #[track_caller]
    pub fn from_oidhw(&self) -> Self {
        self.permute(&[2, 3, 4, 1, 0])
    }

    /// A convolution's weight to OIDHW.
    #[track_caller]
    pub fn to_oidhw(&self) -> Self {
        self.permute(&[4, 3, 0, 1, 2])
    }

    /// A transposed convolution's weight from IODHW.
    #[track_caller]
    pub fn from_iodhw(&self) -> Self {
        self.permute(&[2, 3, 4, 0, 1])
    }

    /// A transposed convolution's weight to IODHW.
    #[track_caller]
    pub fn to_iodhw(&self) -> Self {
        self.permute(&[3, 4, 0, 1, 2])
    }
}
