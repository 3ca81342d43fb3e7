//! The interface of every loss here, and how one is put on the tape.

use autograd::parallel::{for_each_slab, slab_of_rows};
use autograd::{Backward, Function, Real, Tensor, Var};

use crate::{Error, IntoTarget, Report, Target};

/// A loss: how far logits `[n, ..., c]` are from a target.
///
/// The trait is object-safe: `Box<dyn Loss<f32>>` is a loss, too.
pub trait Loss<T: Real>: Send + Sync {
    /// The loss, with what it was taken over.
    ///
    /// # Errors
    /// If shapes do not fit, or a target, weight or setting is outside its range: see [`Error`].
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error>;

    /// The loss.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    fn forward<'t, 'a>(
        &self,
        logits: &Var<'t, T>,
        target: impl IntoTarget<'a, T>,
    ) -> Result<Var<'t, T>, Error>
    where
        Self: Sized,
        T: 'a,
    {
        Ok(self.report(logits, target.into_target())?.loss)
    }
}

impl<T: Real> Loss<T> for Box<dyn Loss<T>> {
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        (**self).report(logits, target)
    }
}

/// A loss whose arguments were checked, so that nothing can fail any more.
pub(crate) trait Kernel<T: Real>: Send + 'static {
    /// What `backward` needs; it is computed only if `wanted`.
    type Saved: Send + 'static;

    /// The loss's name, for messages.
    fn name(&self) -> &'static str;

    /// The value, and what to keep, in one pass over the logits.
    fn evaluate(&self, logits: &Tensor<T>, wanted: bool) -> (Tensor<T>, Option<Self::Saved>);

    /// The gradient with respect to the logits.
    fn differentiate(&self, saved: Self::Saved, dy: Tensor<T>) -> Tensor<T>;
}

/// A kernel as a function of the logits.
struct OfLogits<K>(K);

impl<T: Real, K: Kernel<T>> Function<T, 1> for OfLogits<K> {
    fn forward(&self, [logits]: [&Tensor<T>; 1], [wanted]: [bool; 1]) -> (Tensor<T>, Self::Saved) {
        self.0.evaluate(logits, wanted)
    }
}

impl<T: Real, K: Kernel<T>> Backward<T, 1> for OfLogits<K> {
    type Saved = Option<K::Saved>;

    fn backward(&self, saved: Self::Saved, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [saved.map(|saved| self.0.differentiate(saved, dy))]
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

/// Computes a loss and records it.
pub(crate) fn apply<'t, T: Real>(logits: &Var<'t, T>, kernel: impl Kernel<T>) -> Var<'t, T> {
    logits.tape().apply(OfLogits(kernel), [logits.clone()])
}

/// `gradient · dy`, in place, where `dy` is one number, or one per element, or one per row of `gradient`.
pub(crate) fn scale_gradient<T: Real>(mut gradient: Tensor<T>, dy: Tensor<T>) -> Tensor<T> {
    if dy.numel() == 1 {
        return gradient.scaled(dy.data()[0]);
    }
    let shape = gradient.shape();
    if dy.numel() == shape.numel() {
        return gradient.zip_map(&dy.reshape(shape), |dx, dy| dx * dy);
    }
    let width = shape.numel() / dy.numel().max(1);
    for_each_slab(gradient.data_mut(), slab_of_rows(width), |start, dx| {
        for (dx, &dy) in dx.chunks_exact_mut(width).zip(&dy.data()[start / width..]) {
            dx.iter_mut().for_each(|dx| *dx *= dy);
        }
    });
    gradient
}
