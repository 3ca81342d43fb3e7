//! The interface of every loss here, and how one is put on the tape.

use autograd::parallel::{for_each_slab, slab_of_rows};
use autograd::{Backward, Real, Tensor, Var};

use crate::reduction::Output;
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

    /// How losses become the value.
    fn output(&self) -> Output;

    /// The losses' sums over slabs, the losses themselves where they are the value, and what to keep, in one pass over the
    /// logits.
    fn evaluate(&self, logits: &Tensor<T>, wanted: bool) -> Evaluated<T, Self::Saved>;

    /// The gradient with respect to the logits.
    fn differentiate(&self, saved: Self::Saved, dy: Tensor<T>) -> Tensor<T>;
}

/// See [`Kernel::evaluate`].
pub(crate) type Evaluated<T, S> = (Vec<f64>, Option<Tensor<T>>, Option<S>);

/// A kernel as a function of the logits.
struct OfLogits<K>(K);

impl<T: Real, K: Kernel<T>> Backward<T, 1> for OfLogits<K> {
    type Saved = Option<K::Saved>;

    fn backward(&self, saved: Self::Saved, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [saved.map(|saved| self.0.differentiate(saved, dy))]
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }
}

/// Computes a loss, of the whole batch where the tape has a part of it, and records it.
pub(crate) fn apply<'t, T: Real>(logits: &Var<'t, T>, kernel: impl Kernel<T>) -> Result<Var<'t, T>, Error> {
    let tape = logits.tape();
    let (sums, losses, saved) = kernel.evaluate(logits.value(), !logits.is_constant());
    let value = match (losses, kernel.output()) {
        (Some(losses), _) => losses,
        (None, Output::Zero) => Tensor::scalar(T::ZERO),
        (None, output) => {
            let sums = tape.gather(sums).map_err(Error::Batch)?;
            Tensor::scalar(T::from_f64(sums.into_iter().sum::<f64>() * output.factor()))
        }
    };
    Ok(tape.record(OfLogits(kernel), [Some(logits)], value, saved))
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
