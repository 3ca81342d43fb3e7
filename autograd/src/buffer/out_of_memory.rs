//! What happens where memory runs out: a panic, so that the program that asked can say so and clean up. The standard
//! library would end the process on the spot.

use std::fmt;
use std::panic::panic_any;

/// A large block of memory that could not be had: the payload of the panic with which [`Buffer`](super::Buffer) and
/// [`vec_with_capacity`] answer. It crosses `rayon`'s threads and is told apart by its type:
///
/// ```
/// use autograd::{OutOfMemory, Tensor};
///
/// let caught = std::panic::catch_unwind(|| Tensor::<f32>::zeros([1 << 46])).unwrap_err();
/// let failure = caught.downcast_ref::<OutOfMemory>().unwrap();
/// assert_eq!(failure.bytes, 1 << 48);
/// assert_eq!(failure.to_string(), "a block of 281474977 MB of memory could not be had");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory {
    /// The size of the block; `usize::MAX` where that has no name in `usize`.
    pub bytes: usize,
}

impl OutOfMemory {
    /// Panics with this as the payload.
    pub(super) fn raise(self) -> ! {
        panic_any(self)
    }

    /// The failure to have `len` values of type `T`.
    pub(super) fn of<T>(len: usize) -> Self {
        Self { bytes: len.saturating_mul(size_of::<T>()) }
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a block of {} MB of memory could not be had", self.bytes.div_ceil(1_000_000))
    }
}

impl std::error::Error for OutOfMemory {}

/// `Vec::with_capacity` for what is as large as a volume: where it fails, it panics with [`OutOfMemory`] instead of
/// ending the process.
pub fn vec_with_capacity<T>(len: usize) -> Vec<T> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).unwrap_or_else(|_| OutOfMemory::of::<T>(len).raise());
    values
}
