//! Binary cross-entropy, on logits (use this) and on probabilities.
//!
//! With σ the sigmoid, target y, weight w and pos_weight p, each element's loss is
//!
//! l = −w·\[p·y·log σ(x) + (1−y)·log(1−σ(x))\]
//!
//! and its derivative w·\[(1−y)·σ(x) − p·y·(1−σ(x))\].
//!
//! p weighs the positive term: p > 1 asks for recall, at the price of precision. With positives a share π of the
//! voxels, the best constant logit is log(p·π/(1−π)). After training with p the probability of the positive class is
//! σ(x − log p); [`calibrated_logit`] subtracts.

use autograd::{Real, Tensor, Var};

use crate::elementwise::{Elementwise, Formula, Settings};
use crate::extents::Extents;
use crate::loss::{self, Loss};
use crate::truth::{Channels, Truth};
use crate::{EmptyPolicy, Error, IntoTarget, Reduction, Report, Target, Weight};

/// Binary cross-entropy with logits.
///
/// | | shape |
/// |---|---|
/// | logits | `[n, ..., c]`, or `[n]` for one channel |
/// | target, [`Labels`](crate::Labels) | logits' without the last axis (0 or 1 for one channel; for more, the index of the one channel that is 1), or logits' (0 or 1 per element) |
/// | target, tensor | logits', in \[0, 1\] |
/// | `weight`, `pos_weight` | a number; one per channel; one per element |
/// | loss | `[]`, or logits' with [`Reduction::None`] |
///
/// The mean divides by the number of elements that are not ignored, never by weights: a voxel of weight 0 is
/// counted, an ignored one is not. Each element's loss is at least 0. For backward the gradient is saved, computed
/// in the same pass as the value.
///
/// ```
/// use autograd::{Tape, Tensor};
/// use losses::{BceWithLogits, Labels, Loss};
///
/// let tape = Tape::train(0);
/// let logits = tape.variable(Tensor::from_vec([3, 1], vec![0.4f32, -0.2, -0.2]));
/// let target = Labels::from_vec([3], vec![1u8, 0, 0]);
/// let loss = BceWithLogits::new().pos_weight(3).forward(&logits, &target)?;
/// assert!((loss.item() - 0.9118).abs() < 1e-4);
/// # Ok::<(), losses::Error>(())
/// ```
///
/// # Source
/// `torch.nn.BCEWithLogitsLoss`. It differs in that weights are typed; targets outside \[0, 1\] are an error, where
/// PyTorch yields a negative loss; weights must be finite and ≥ 0; and infinite logits give the limit.
#[derive(Clone, Debug, PartialEq)]
pub struct BceWithLogits<T: Real = f32> {
    weight: Option<Weight<T>>,
    pos_weight: Option<Weight<T>>,
    ignore_index: Option<i32>,
    reduction: Reduction,
    empty: EmptyPolicy,
}

impl<T: Real> Default for BceWithLogits<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> BceWithLogits<T> {
    /// Unweighted, mean.
    pub fn new() -> Self {
        Self {
            weight: None,
            pos_weight: None,
            ignore_index: None,
            reduction: Reduction::default(),
            empty: EmptyPolicy::default(),
        }
    }

    /// Weighs the loss of every element, positive or not.
    pub fn weight(mut self, weight: impl Into<Weight<T>>) -> Self {
        self.weight = Some(weight.into());
        self
    }

    /// Weighs the positive term. Negatives divided by positives balances the classes; [w0, w1] of two classes is w1/w0.
    pub fn pos_weight(mut self, pos_weight: impl Into<Weight<T>>) -> Self {
        self.pos_weight = Some(pos_weight.into());
        self
    }

    /// The label of voxels that take no part; none by default.
    pub fn ignore_index(mut self, label: impl Into<Option<i32>>) -> Self {
        self.ignore_index = label.into();
        self
    }

    /// How the result is reduced; the mean by default.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// What the mean is if every voxel is ignored.
    pub fn empty(mut self, policy: EmptyPolicy) -> Self {
        self.empty = policy;
        self
    }

    /// What the mean of this batch divides by: the elements that are not ignored.
    ///
    /// # Errors
    /// As [`Loss::report`].
    pub fn normaliser<'a>(
        &self,
        logits: impl Into<autograd::Shape>,
        target: impl IntoTarget<'a, T>,
    ) -> Result<f64, Error> {
        let extents = Extents::of(logits.into())?;
        let truth = Truth::new(target.into_target(), &extents, Channels::Independent, self.ignore_index)?;
        Ok(truth.counted as f64)
    }
}

impl<T: Real> Loss<T> for BceWithLogits<T> {
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        let extents = Extents::of(logits.shape())?;
        let truth = Truth::new(target, &extents, Channels::Independent, self.ignore_index)?;
        let truth = truth.of_batch(logits.tape())?;
        let settings = Settings {
            formula: Formula::Logits,
            weight: self.weight.as_ref(),
            pos_weight: self.pos_weight.as_ref(),
            reduction: self.reduction,
            empty: self.empty,
        };
        let (kernel, tally) = Elementwise::new(settings, extents, truth)?;
        Ok(tally.report(loss::apply(logits, kernel)?))
    }
}

/// The logit of the calibrated probability, after training with a scalar `pos_weight`: x − log p.
///
/// It is exact for proper scores weighted per voxel (binary cross-entropy, cross-entropy), not for Dice, focal or
/// Tversky.
pub fn calibrated_logit<T: Real>(logits: Tensor<T>, pos_weight: f64) -> Tensor<T> {
    let shift = T::from_f64(pos_weight.ln());
    logits.map(|x| x - shift)
}

/// Binary cross-entropy on probabilities: l = −w·\[y·log x + (1−y)·log(1−x)\], with logs of at least −100.
///
/// For networks that end in a sigmoid and cannot be changed; [`BceWithLogits`] is more precise. The derivative is
/// w·(x−y) / max(x(1−x), 1e−12). Shapes and mean are those of [`BceWithLogits`].
///
/// # Source
/// `torch.nn.BCELoss`.
#[derive(Clone, Debug, PartialEq)]
pub struct Bce<T: Real = f32> {
    weight: Option<Weight<T>>,
    ignore_index: Option<i32>,
    reduction: Reduction,
    empty: EmptyPolicy,
}

impl<T: Real> Default for Bce<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> Bce<T> {
    /// Unweighted, mean.
    pub fn new() -> Self {
        Self {
            weight: None,
            ignore_index: None,
            reduction: Reduction::default(),
            empty: EmptyPolicy::default(),
        }
    }

    /// Weighs the loss of every element.
    pub fn weight(mut self, weight: impl Into<Weight<T>>) -> Self {
        self.weight = Some(weight.into());
        self
    }

    /// The label of voxels that take no part; none by default.
    pub fn ignore_index(mut self, label: impl Into<Option<i32>>) -> Self {
        self.ignore_index = label.into();
        self
    }

    /// How the result is reduced; the mean by default.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// What the mean is if every voxel is ignored.
    pub fn empty(mut self, policy: EmptyPolicy) -> Self {
        self.empty = policy;
        self
    }
}

impl<T: Real> Loss<T> for Bce<T> {
    /// The loss of probabilities (the argument's name notwithstanding).
    ///
    /// # Errors
    /// Besides the common ones, [`Error::InputRange`].
    fn report<'t>(&self, probabilities: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        let extents = Extents::of(probabilities.shape())?;
        let x = probabilities.value().data();
        if let Some(index) = x.iter().position(|&x| !(x >= T::ZERO && x <= T::ONE)) {
            return Err(Error::InputRange { value: x[index].to_f64(), index });
        }
        let truth = Truth::new(target, &extents, Channels::Independent, self.ignore_index)?;
        let truth = truth.of_batch(probabilities.tape())?;
        let settings = Settings {
            formula: Formula::Probabilities,
            weight: self.weight.as_ref(),
            pos_weight: None,
            reduction: self.reduction,
            empty: self.empty,
        };
        let (kernel, tally) = Elementwise::new(settings, extents, truth)?;
        Ok(tally.report(loss::apply(probabilities, kernel)?))
    }
}
