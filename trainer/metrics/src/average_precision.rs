//! Average precision of a stream of voxels: exact while they are few, binned with a stated error after that.

use serde::{Deserialize, Serialize};

use super::curve::{PositiveClass, Split, check};
use super::histogram::ScoreHistogram;
use crate::Result;

/// Voxels that are kept and sorted before the histogram takes over: 64 MiB of logits.
const EXACT_LIMIT: usize = 1 << 24;

/// Gathers logits and labels, and gives their average precision.
///
/// Up to 2²⁴ voxels the value is exact. Beyond, all of them go into a [`ScoreHistogram`]. The answer depends
/// on the voxels alone: not on how they were cut, merged or ordered, nor on the number of threads.
///
/// ```
/// use metrics::{AveragePrecision, PositiveClass};
/// let mut ap = AveragePrecision::new(PositiveClass::new(1));
/// ap.update(&[0.1, 0.4], &[0u8, 0])?;
/// ap.update(&[0.35, 0.8], &[1u8, 1])?;
/// assert_eq!(ap.finish().error, 0.0);
/// # Ok::<(), metrics::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AveragePrecision {
    positive: PositiveClass,
    exact_limit: usize,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Exact(Split<f32>),
    Binned(Box<ScoreHistogram>),
}

/// Average precision, and how far off it can be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionEstimate {
    /// Average precision, in 0 to 1, higher is better; `None` where nothing is positive.
    pub value: Option<f64>,
    /// The exact value lies within ± this of `value` (up to rounding). 0 where it was found by sorting; for a
    /// histogram, what the order inside the bins could change at most.
    pub error: f64,
    /// Positive voxels.
    pub positives: u64,
    /// Negative voxels.
    pub negatives: u64,
}

impl AveragePrecision {
    /// Nothing gathered yet; `positive` says which labels are positive.
    pub fn new(positive: PositiveClass) -> Self {
        Self { positive, exact_limit: EXACT_LIMIT, state: State::Exact(Split::default()) }
    }

    /// Sorts up to `voxels` instead of 2²⁴: 0 bins from the start, `usize::MAX` never does.
    #[must_use]
    pub fn exact_limit(mut self, voxels: usize) -> Self {
        self.exact_limit = voxels;
        self.make_room(0);
        self
    }

    /// Adds voxels.
    ///
    /// # Errors
    /// When a logit is NaN. Nothing is added then.
    ///
    /// # Panics
    /// When the lengths differ.
    #[track_caller]
    pub fn update<L>(&mut self, logits: &[f32], truth: &[L]) -> Result<()>
    where
        L: Copy + Into<i64> + Sync,
    {
        check(logits, truth)?;
        let counted = truth.iter().filter(|&&label| self.positive.is_positive(label).is_some()).count();
        self.make_room(counted);
        match &mut self.state {
            State::Exact(split) => split.extend(logits, truth, self.positive),
            State::Binned(histogram) => histogram.update(logits, truth, self.positive),
        }
    }

    /// Adds what another has gathered.
    ///
    /// # Panics
    /// When the positive class, the ignore label or the limit differ.
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        let (a, b) = ((self.positive, self.exact_limit), (other.positive, other.exact_limit));
        assert_eq!(a, b, "only gatherings of the same class and limit can be merged");
        match &other.state {
            State::Exact(split) => self.make_room(split.len()),
            State::Binned(_) => self.bin(),
        }
        match (&mut self.state, &other.state) {
            (State::Exact(split), State::Exact(other)) => {
                split.append(other);
            }
            (State::Binned(histogram), State::Exact(other)) => histogram.add_split(other),
            (State::Binned(histogram), State::Binned(other)) => histogram.merge(other),
            (State::Exact(_), State::Binned(_)) => unreachable!("binned just above"),
        }
    }

    /// The average precision of all that was gathered.
    pub fn finish(&self) -> PrecisionEstimate {
        match &self.state {
            State::Binned(histogram) => histogram.average_precision(),
            State::Exact(split) => PrecisionEstimate {
                value: split.copied().average_precision(),
                error: 0.0,
                positives: split.positives.len() as u64,
                negatives: split.negatives.len() as u64,
            },
        }
    }

    /// Goes over to bins where `incoming` more voxels are too many to keep.
    fn make_room(&mut self, incoming: usize) {
        if matches!(&self.state, State::Exact(split) if split.len() + incoming > self.exact_limit) {
            self.bin();
        }
    }

    fn bin(&mut self) {
        if let State::Exact(split) = &self.state {
            let mut histogram = ScoreHistogram::new();
            histogram.add_split(split);
            self.state = State::Binned(Box::new(histogram));
        }
    }
}
