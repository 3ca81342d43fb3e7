//! Losses of regions: how far a predicted region overlaps the true one, for each class of each sample.
//!
//! For a region, with p the probability and y the target of each of its voxels that is not ignored:
//! overlap Σ p·y, predicted Σ p, truth Σ y (or Σ p² and Σ y²). A score turns these sums into a loss and its two
//! slopes, A = ∂L/∂overlap and B = ∂L/∂predicted; then ∂L/∂p = A·y + B (or A·y + 2B·p), and the derivative of the
//! sigmoid or softmax follows. Saved for backward: p, which the gradient then overwrites.

use std::ops::Range;

use autograd::{Backward, Real, Tensor, Var};

use crate::extents::Extents;
use crate::loss::Loss;
use crate::reduction::Tally;
use crate::truth::{Channels, Truth};
use crate::{EmptyPolicy, Error, Reduction, Report, Target};

mod passes;

/// What a score is made of: sums over the voxels of one region.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// The number of voxels that are not ignored.
    pub voxels: f64,
    /// Σ p·y
    pub overlap: f64,
    /// Σ p, or Σ p²
    pub predicted: f64,
    /// Σ y, or Σ y²
    pub truth: f64,
}

impl Sums {
    fn of(&[voxels, overlap, predicted, truth]: &[f64; 4]) -> Self {
        Self { voxels, overlap, predicted, truth }
    }
}

/// The derivatives of a loss with respect to a region's sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slope {
    /// ∂L/∂overlap
    pub overlap: f64,
    /// ∂L/∂predicted
    pub predicted: f64,
}

/// A formula for the loss of regions; implement it for your own and use it as [`Region::of`].
pub trait Overlap: Clone + Send + Sync + 'static {
    /// The loss's name, for messages.
    const NAME: &'static str;
    /// Whether all classes of a sample yield one loss, and not one each.
    const JOINT: bool;

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`].
    fn check(&self) -> Result<(), Error>;

    /// The losses of one sample's classes (or, if [`JOINT`](Self::JOINT), their one loss), `None` for what is left
    /// out of the mean; and the slopes of each class.
    fn losses(&self, classes: &[Sums]) -> (Vec<Option<f64>>, Vec<Slope>);
}

/// A loss of regions: [`Dice`](crate::Dice), [`GeneralisedDice`](crate::GeneralisedDice),
/// [`Tversky`](crate::Tversky).
///
/// | | shape |
/// |---|---|
/// | logits | `[n, ..., c]`; `[n]` are n samples of one voxel |
/// | target, [`Labels`](crate::Labels) | logits' without the last axis; without softmax also logits', 0 or 1 |
/// | target, tensor | logits', in \[0, 1\] |
/// | loss | `[]`; with [`Reduction::None`] `[n, c]`, without n for a batch, without c for generalised Dice |
///
/// The mean is over regions. A region whose voxels are all ignored is left out. The loss is in \[0, 1\].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region<F> {
    pub(crate) score: F,
    softmax: bool,
    batch: bool,
    pub(crate) squared: bool,
    background: bool,
    ignore_index: Option<i32>,
    reduction: Reduction,
    empty: EmptyPolicy,
}

impl<F> Region<F> {
    /// A loss with this score: sigmoid, each sample on its own, every class, mean.
    pub fn of(score: F) -> Self {
        Self {
            score,
            softmax: false,
            batch: false,
            squared: false,
            background: true,
            ignore_index: None,
            reduction: Reduction::default(),
            empty: EmptyPolicy::default(),
        }
    }

    /// Probabilities are the softmax over the classes, not a sigmoid each.
    pub fn softmax(mut self) -> Self {
        self.softmax = true;
        self
    }

    /// Whether sums run over the whole batch first: steadier where a sample may hold nothing of a class.
    pub fn batch(mut self, batch: bool) -> Self {
        self.batch = batch;
        self
    }

    /// Whether class 0 has a loss, too; it does by default.
    pub fn include_background(mut self, include: bool) -> Self {
        self.background = include;
        self
    }

    /// The label of voxels that take no part; none by default.
    pub fn ignore_index(mut self, label: impl Into<Option<i32>>) -> Self {
        self.ignore_index = label.into();
        self
    }

    /// How the result is reduced; the mean over regions by default.
    pub fn reduction(mut self, reduction: Reduction) -> Self {
        self.reduction = reduction;
        self
    }

    /// What the mean is if no region is left.
    pub fn empty(mut self, policy: EmptyPolicy) -> Self {
        self.empty = policy;
        self
    }
}

impl<T: Real, F: Overlap> Loss<T> for Region<F> {
    fn report<'t>(&self, logits: &Var<'t, T>, target: Target<'_, T>) -> Result<Report<'t, T>, Error> {
        let extents = Extents::of(logits.shape())?;
        self.score.check()?;
        self.reduction.check()?;
        if extents.channels == 1 && self.softmax {
            return Err(Error::OneChannel {
                loss: F::NAME,
                remedy: "the sigmoid, by leaving out softmax(),",
            });
        }
        if extents.channels == 1 && !self.background {
            let reason =
                "the only class cannot be left out: include_background(false) is for several classes";
            return Err(Error::Logits { logits: logits.shape().dims().to_vec(), reason: reason.into() });
        }
        let channels = if self.softmax { Channels::Exclusive } else { Channels::Independent };
        let truth = Truth::new(target, &extents, channels, self.ignore_index)?.of_batch(logits.tape())?;
        let kernel = Kernel { loss: self.clone(), extents, truth };

        let (value, saved, tally) = kernel.evaluate(logits)?;
        // Only for the policy's error: the factor is settled inside.
        self.reduction.settle(&tally, self.empty, F::NAME)?;
        let loss = match saved {
            Some(saved) => logits.tape().record(kernel, [Some(logits)], value, saved),
            None => logits.tape().constant(value),
        };
        Ok(tally.report(loss))
    }
}

/// A loss of regions with its arguments checked.
struct Kernel<T: Real, F> {
    loss: Region<F>,
    extents: Extents,
    truth: Truth<T>,
}

/// Probabilities in the logits' shape, and for each region its slopes and which value they belong to.
struct Saved<T: Real> {
    probabilities: Tensor<T>,
    slopes: Vec<(usize, Slope)>,
}

/// The value, what to keep where a gradient will be wanted, and what was counted.
type Evaluated<T> = (Tensor<T>, Option<Saved<T>>, Tally);

impl<T: Real, F: Overlap> Backward<T, 1> for Kernel<T, F> {
    type Saved = Saved<T>;

    fn backward(
        &self,
        Saved { probabilities, slopes }: Saved<T>,
        dy: Tensor<T>,
        _: [bool; 1],
    ) -> [Option<Tensor<T>>; 1] {
        let upstream = |value: usize| {
            let dy = if dy.numel() == 1 { dy.data().first() } else { dy.data().get(value) };
            dy.map_or(0.0, |dy| dy.to_f64())
        };
        let slopes: Vec<Slope> = slopes
            .into_iter()
            .map(|(value, slope)| {
                let dy = upstream(value);
                Slope { overlap: dy * slope.overlap, predicted: dy * slope.predicted }
            })
            .collect();
        [Some(self.differentiate(probabilities, &slopes))]
    }

    fn name(&self) -> &'static str {
        F::NAME
    }
}

impl<T: Real, F: Overlap> Kernel<T, F> {
    /// The group of a slab of this part of the batch, which lies within a sample.
    fn group_of(&self, rows: &Range<usize>) -> usize {
        let voxels = self.extents.rows / self.extents.samples.max(1);
        if self.loss.batch { 0 } else { rows.start / voxels.max(1) }
    }

    fn evaluate(&self, logits: &Var<'_, T>) -> Result<Evaluated<T>, Error> {
        let (sums, probabilities) = self.sums(logits)?;
        let c = self.extents.channels;
        let first = usize::from(!self.loss.background);
        let (mut values, mut slopes) = (Vec::new(), Vec::new());
        for group in sums.chunks_exact(c) {
            let (losses, of_classes) = self.loss.score.losses(&group[first..]);
            slopes.extend(std::iter::repeat_n((0, Slope::default()), first));
            let owner = |k: usize| values.len() + if F::JOINT { 0 } else { k };
            slopes.extend(of_classes.into_iter().enumerate().map(|(k, slope)| (owner(k), slope)));
            values.extend(losses);
        }

        let counted = values.iter().flatten().count();
        let channels = c as u64;
        // Where a mask is per element, a voxel may count for some of its classes.
        let voxels = self.truth.counted.div_ceil(channels);
        let ignored = (self.truth.counted + self.truth.ignored) / channels - voxels;
        let tally = Tally { counted: voxels, ignored, normaliser: counted as f64 };
        let (value, factor) = self.reduce(&values, sums.len() / c, &tally);
        slopes.iter_mut().for_each(|(_, slope)| {
            slope.overlap *= factor;
            slope.predicted *= factor;
        });
        // Of the groups of the whole batch, those of this part.
        if !self.loss.batch && slopes.len() > self.extents.samples * c {
            slopes = slopes.split_off(logits.tape().first_sample() as usize * c);
        }
        Ok((value, probabilities.map(|probabilities| Saved { probabilities, slopes }), tally))
    }

    /// The value of the groups' losses, and the factor of their slopes.
    fn reduce(&self, values: &[Option<f64>], groups: usize, tally: &Tally) -> (Tensor<T>, f64) {
        // The errors of settling are reported by the caller, which settles again.
        let output = self.loss.reduction.settle(tally, EmptyPolicy::Zero, F::NAME).ok();
        let nan = self.loss.empty == EmptyPolicy::Nan && tally.normaliser == 0.0;
        let factor = if nan { f64::NAN } else { output.map_or(0.0, |output| output.factor()) };
        if self.loss.reduction == Reduction::None {
            let mut dims = Vec::new();
            if !self.loss.batch {
                dims.push(groups);
            }
            if !F::JOINT {
                dims.push(values.len() / groups.max(1));
            }
            let value = Tensor::from_fn(dims.as_slice(), |i| T::from_f64(values[i].unwrap_or(0.0)));
            return (value, 1.0);
        }
        let sum: f64 = values.iter().flatten().sum();
        (Tensor::scalar(T::from_f64(sum * factor)), factor)
    }
}
