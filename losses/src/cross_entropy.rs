//! Softmax cross-entropy, for one class of several per voxel, and its second half on log-probabilities.

use autograd::{Real, Shape, Var};

use crate::extents::Extents;
use crate::loss::{self, Loss};
use crate::reduction::Tally;
use crate::truth::{Channels, Truth};
use crate::weight::{Number, check_class_weights};
use crate::{EmptyPolicy, Error, IntoTarget, Reduction, Report, Target};

mod rows;

use rows::Rows;

/// Softmax cross-entropy on logits.
///
/// With lp = log softmax(x), class weights w, and label t: l = −w\[t\]·lp\[t\]. The mean is Σ l / Σ w\[t\] over the
/// voxels that are not ignored. Label smoothing ε: (1−ε)·l − (ε/C)·Σ w\[c\]·lp\[c\], over the same Σ w\[t\].
/// With probabilities y as targets: l = −Σ w\[c\]·((1−ε)·y\[c\] + ε/C)·lp\[c\], and the mean divides by the number of
/// voxels.
///
/// | | shape |
/// |---|---|
/// | logits | `[n, ..., c]`, c ≥ 2 |
/// | target, [`Labels`](crate::Labels) | logits' without the last axis, or with one class; values in \[0, c) or `ignore_index` |
/// | target, tensor | logits', in \[0, 1\] |
/// | `class_weights` | c |
/// | loss | `[]`, or logits' without the last axis with [`Reduction::None`] |
///
/// `ignore_index` is −100 unless set, and is looked at before the bounds. The loss is at least 0. For backward the
/// gradient, w\[t\]·(softmax(x) − onehot(t)) where unsmoothed, is saved.
///
/// ```
/// use autograd::{Tape, Tensor};
/// use losses::{CrossEntropy, Labels, Loss};
///
/// let tape = Tape::train(0);
/// let logits = tape.variable(Tensor::from_vec([2, 3], vec![0.2f32, 0.3, 0.5, 0.5, 0.2, 0.3]));
/// let target = Labels::from_vec([2], vec![2u8, 1]);
/// let loss = CrossEntropy::new().class_weights([2, 4, 6]).forward(&logits, &target)?;
/// assert!((loss.item() - 1.0598).abs() < 1e-4);
/// # Ok::<(), losses::Error>(())
/// ```
///
/// # Source
/// `torch.nn.CrossEntropyLoss`. It differs where nothing is left to average over, see [`EmptyPolicy`]; in that one
/// class is an error; and in that weights must be finite and ≥ 0.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    common: Common,
    label_smoothing: f64,
}

/// The negative log likelihood of log-probabilities: −w\[t\]·x\[t\].
///
/// [`CrossEntropy`] without the softmax; shapes, mean and `ignore_index` are the same. Targets are labels.
///
/// # Source
/// `torch.nn.NLLLoss`.
#[derive(Clone, Debug, PartialEq)]
pub struct NllLoss {
    common: Common,
}

/// What both have.
#[derive(Clone, Debug, PartialEq)]
struct Common {
    class_weights: Option<Vec<f64>>,
    ignore_index: Option<i32>,
    reduction: Reduction,
    empty: EmptyPolicy,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            class_weights: None,
            ignore_index: Some(-100),
            reduction: Reduction::default(),
            empty: EmptyPolicy::default(),
        }
    }
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for NllLoss {
    fn default() -> Self {
        Self::new()
    }
}

impl CrossEntropy {
    /// Unweighted, mean, `ignore_index` −100.
    pub fn new() -> Self {
        Self { common: Common::default(), label_smoothing: 0.0 }
    }

    /// One weight per class, in the order of the classes.
    pub fn class_weights<N: Number>(mut self, weights: impl IntoIterator<Item = N>) -> Self {
        self.common.class_weights = Some(weights.into_iter().map(Number::to_f64).collect());
        self
    }

    /// The label of voxels that take no part; −100 by default, `None` for none.
    pub fn ignore_index(mut self, label: impl Into<Option<i32>>) -> Self {
        self.common.ignore_index = label.into();
        self
    }

    /// The share ε of each target that is spread over all classes, in \[0, 1\].
    pub fn label_smoothing(mut self, epsilon: f64) -> Self {
        self.label_smoothing = epsilon;
        self
    }

    /// How the result is reduced; the mean by default.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.common.reduction = reduction;
        self
    }

    /// What the mean is if every voxel is ignored or of weight 0.
    pub fn empty(mut self, policy: EmptyPolicy) -> Self {
        self.common.empty = policy;
        self
    }

    /// What the mean of this batch divides by: Σ w\[t\], or the number of voxels for probabilities.
    ///
    /// # Errors
    /// As [`Loss::report`].
    pub fn normaliser<'a, T: Real>(
        &self,
        logits: impl Into<Shape>,
        target: impl IntoTarget<'a, T>,
    ) -> Result<f64, Error> {
        let (extents, truth) = self.common.prepare("CrossEntropy", logits.into(), target.into_target())?;
        Ok(self.common.tally(&extents, &truth).normaliser)
    }
}

impl NllLoss {
    /// Unweighted, mean, `ignore_index` −100.
    pub fn new() -> Self {
        Self { common: Common::default() }
    }

    /// One weight per class, in the order of the classes.
    pub fn class_weights<N: Number>(mut self, weights: impl IntoIterator<Item = N>) -> Self {
        self.common.class_weights = Some(weights.into_iter().map(Number::to_f64).collect());
        self
    }

    /// The label of voxels that take no part; −100 by default, `None` for none.
    pub fn ignore_index(mut self, label: impl Into<Option<i32>>) -> Self {
        self.common.ignore_index = label.into();
        self
    }

    /// How the result is reduced; the mean by default.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.common.reduction = reduction;
        self
    }

    /// What the mean is if every voxel is ignored or of weight 0.
    pub fn empty(mut self, policy: EmptyPolicy) -> Self {
        self.common.empty = policy;
        self
    }
}

impl Common {
    fn prepare<T: Real>(
        &self,
        loss: &'static str,
        logits: Shape,
        target: Target<'_, T>,
    ) -> Result<(Extents, Truth<T>), Error> {
        let extents = Extents::of(logits)?;
        if extents.channels == 1 {
            return Err(Error::OneChannel { loss, remedy: "BceWithLogits" });
        }
        if let Some(weights) = &self.class_weights {
            check_class_weights("class_weights", weights, &extents)?;
        }
        Ok((extents, Truth::new(target, &extents, Channels::Exclusive, self.ignore_index)?))
    }

    fn tally<T: Real>(&self, extents: &Extents, truth: &Truth<T>) -> Tally {
        let channels = extents.channels as u64;
        let counted = truth.counted / channels;
        let normaliser = match &self.class_weights {
            Some(weights) if truth.is_index() => {
                weights.iter().zip(&truth.per_class).map(|(w, &count)| w * count as f64).sum()
            }
            _ => counted as f64,
        };
        Tally { counted, ignored: truth.ignored / channels, normaliser }
    }

    fn weights(&self, classes: usize) -> Vec<f64> {
        self.class_weights.clone().unwrap_or_else(|| vec![1.0; classes])
    }
}

impl<T: Real> Loss<T> for CrossEntropy {
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        let name = "CrossEntropy";
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            let value = self.label_smoothing;
            return Err(Error::Setting { name: "label_smoothing", value, range: "in [0, 1]" });
        }
        let (extents, truth) = self.common.prepare(name, logits.shape(), target)?;
        let truth = truth.of_batch(logits.tape())?;
        let tally = self.common.tally(&extents, &truth);
        let output = self.common.reduction.settle(&tally, self.common.empty, name)?;
        let weights = self.common.weights(extents.channels);
        let kernel = Rows::new(extents, truth, &weights, output).softmax(self.label_smoothing);
        Ok(tally.report(loss::apply(logits, kernel)?))
    }
}

impl<T: Real> Loss<T> for NllLoss {
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        let name = "NllLoss";
        if matches!(target, Target::Soft { .. }) {
            return Err(Error::Parts(
                "NllLoss takes labels; for probabilities use CrossEntropy on logits".into(),
            ));
        }
        let (extents, truth) = self.common.prepare(name, logits.shape(), target)?;
        let truth = truth.of_batch(logits.tape())?;
        let tally = self.common.tally(&extents, &truth);
        let output = self.common.reduction.settle(&tally, self.common.empty, name)?;
        let weights = self.common.weights(extents.channels);
        Ok(tally.report(loss::apply(logits, Rows::new(extents, truth, &weights, output))?))
    }
}
