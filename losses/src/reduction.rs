//! How the losses of voxels become one number, and what happens where there is nothing to reduce.

use autograd::{Real, Var};

use crate::Error;

/// From one loss per element (or voxel, or region) to the result.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Reduction {
    /// No reduction: one value each, 0 where ignored.
    None,
    /// Σ
    Sum,
    /// Σ divided by what the loss defines: elements (BCE), Σ w\[t\] (cross-entropy on class indices), voxels
    /// (cross-entropy on probabilities), regions (Dice and the like).
    #[default]
    Mean,
    /// Σ divided by this number. The mean of a batch does not split over its parts: take the normaliser over the
    /// whole batch first ([`Report::normaliser`], `normaliser()` of a loss), then give it to each shard.
    SumOver(f64),
}

/// What a mean over nothing is: every voxel ignored, or only classes of weight 0 present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyPolicy {
    /// Loss 0 and gradient 0; [`Report::is_empty`] tells.
    #[default]
    Zero,
    /// [`Error::Empty`].
    Error,
    /// NaN, as PyTorch has it.
    Nan,
}

/// A loss and what it was taken over.
#[derive(Clone, Debug)]
pub struct Report<'t, T: Real = f32> {
    /// The loss.
    pub loss: Var<'t, T>,
    /// Voxels (elements, for element-wise losses) that took part.
    pub counted: u64,
    /// Those that were ignored.
    pub ignored: u64,
    /// What a mean divides by. 0 says that nothing was left to average over.
    pub normaliser: f64,
}

impl<T: Real> Report<'_, T> {
    /// Whether nothing was left to average over, so that [`EmptyPolicy`] decided.
    pub fn is_empty(&self) -> bool {
        self.normaliser == 0.0
    }
}

/// What was counted before the loss itself is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) counted: u64,
    pub(crate) ignored: u64,
    pub(crate) normaliser: f64,
}

impl Tally {
    pub(crate) fn report<T: Real>(self, loss: Var<'_, T>) -> Report<'_, T> {
        Report { loss, counted: self.counted, ignored: self.ignored, normaliser: self.normaliser }
    }
}

/// A reduction with its divisor settled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Output {
    /// One value each.
    Each,
    /// Σ · factor.
    Total { factor: f64 },
    /// Nothing counts: the loss is 0, and so is every gradient.
    Zero,
}

impl Output {
    /// The factor for gradients.
    pub(crate) fn factor(self) -> f64 {
        match self {
            Self::Each => 1.0,
            Self::Total { factor } => factor,
            Self::Zero => 0.0,
        }
    }
}

impl Reduction {
    pub(crate) fn check(self) -> Result<(), Error> {
        match self {
            Self::SumOver(n) if !(n.is_finite() && n > 0.0) => Err(Error::Setting {
                name: "the normaliser of Reduction::SumOver",
                value: n,
                range: "finite and above 0 (a batch without any voxel that counts has none: skip it)",
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn settle(
        self,
        tally: &Tally,
        empty: EmptyPolicy,
        loss: &'static str,
    ) -> Result<Output, Error> {
        self.check()?;
        if tally.normaliser == 0.0 && empty == EmptyPolicy::Error {
            return Err(Error::Empty { loss, ignored: tally.ignored });
        }
        Ok(match self {
            Self::None => Output::Each,
            Self::Sum => Output::Total { factor: 1.0 },
            Self::SumOver(n) => Output::Total { factor: 1.0 / n },
            Self::Mean if tally.normaliser > 0.0 => Output::Total { factor: 1.0 / tally.normaliser },
            Self::Mean if empty == EmptyPolicy::Nan => Output::Total { factor: f64::NAN },
            Self::Mean => Output::Zero,
        })
    }
}
