//! Memory that the tasks of one kernel write together.

use autograd::Real;

/// Where the tasks of one kernel write; each writes elements that no other task touches.
#[derive(Clone, Copy)]
pub(crate) struct Output<T>(pub(crate) *mut T);

impl<T> Output<T> {
    /// The place `offset` elements on.
    #[inline(always)]
    pub(crate) fn at(self, offset: usize) -> Self {
        Self(self.0.wrapping_add(offset))
    }
}

// SAFETY: a task writes only its own elements (see each use), and `T` is `f32` or `f64`.
unsafe impl<T: Real> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T: Real> Sync for Output<T> {}
