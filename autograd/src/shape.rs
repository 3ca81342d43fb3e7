//! The extents of a tensor, slowest axis first.

use std::fmt;
use std::ops::Deref;

/// The largest number of axes: a convolution's weight has five, one is spare.
pub const MAX_RANK: usize = 6;

/// Up to [`MAX_RANK`] extents. Tensors are always contiguous, so the shape says all there is about the layout.
///
/// Activations are `[n, d, h, w, c]`; the last axis is the channel axis for every operation "per channel".
///
/// A shape is possible: the product of its extents, those of 0 left out, fits the addresses of a machine in bytes of `f64`.
/// So no product of some of them wraps around.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The shape with these extents.
    ///
    /// # Panics
    /// With more than [`MAX_RANK`] axes, or more elements than any memory holds.
    #[track_caller]
    pub fn new(dims: &[usize]) -> Self {
        assert!(dims.len() <= MAX_RANK, "a tensor has at most {MAX_RANK} axes, not {}: {dims:?}", dims.len());
        let elements = dims.iter().filter(|d| **d != 0).try_fold(1usize, |all, d| all.checked_mul(*d));
        assert!(
            elements.is_some_and(|elements| elements <= isize::MAX as usize / size_of::<f64>()),
            "a tensor of shape {dims:?} has more elements than any memory holds"
        );
        let mut all = [1; MAX_RANK];
        all[..dims.len()].copy_from_slice(dims);
        Self { dims: all, rank: dims.len() }
    }

    /// The extents.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of elements; 1 for a scalar, which has no axes.
    pub fn numel(&self) -> usize {
        self.dims().iter().product()
    }

    /// The extent of the last axis; 1 for a scalar.
    pub fn channels(&self) -> usize {
        self.dims().last().copied().unwrap_or(1)
    }

    /// The number of positions that share a channel axis: `numel / channels`, and 0 for an empty tensor.
    pub fn rows(&self) -> usize {
        self.dims().split_last().map_or(1, |(_, rest)| rest.iter().product())
    }

    /// `[n, d, h, w, c]`.
    ///
    /// # Panics
    /// Unless there are five axes.
    #[track_caller]
    pub fn dims5(&self) -> [usize; 5] {
        let Ok(dims) = self.dims().try_into() else { panic!("expected [n, d, h, w, c], got {self}") };
        dims
    }

    /// The same shape with another channel count.
    ///
    /// # Panics
    /// For a scalar, which has no channel axis; as [`new`](Self::new).
    #[track_caller]
    pub fn with_channels(&self, channels: usize) -> Self {
        assert!(self.rank > 0, "a scalar has no channel axis");
        let mut dims = self.dims;
        dims[self.rank - 1] = channels;
        Self::new(&dims[..self.rank])
    }

    /// The shape whose axis `i` is this one's axis `axes[i]`.
    #[track_caller]
    pub(crate) fn permuted(&self, axes: &[usize]) -> Self {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..self.rank), "{axes:?} is no permutation of the axes of {self}");
        Self::new(&axes.iter().map(|&axis| self[axis]).collect::<Vec<_>>())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.dims())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        self.dims()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    #[track_caller]
    fn from(dims: [usize; N]) -> Self {
        Self::new(&dims)
    }
}

impl From<&[usize]> for Shape {
    #[track_caller]
    fn from(dims: &[usize]) -> Self {
        Self::new(dims)
    }
}
