//! What a volume's values are: their range, their mean, and how many of each where they are labels.

use std::collections::BTreeMap;

/// More distinct values than this are no labels.
const MOST_LABELS: usize = 64;
/// Values are added up in pieces of this many, so that rounding grows with the pieces and not with the volume.
const PIECE: u64 = 1 << 12;

/// Of the values after scaling; those that are NaN or infinite are counted and otherwise left out.
#[derive(Clone, PartialEq, Debug)]
pub struct Statistics {
    /// The least; `None` where no value is finite.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The mean.
    pub mean: Option<f64>,
    /// Values that are NaN or infinite.
    pub nonfinite: u64,
    /// Of integer types with at most 64 distinct values: each value and how often it occurs.
    pub labels: Option<Vec<(f64, u64)>>,
}

/// Gathers [`Statistics`] one value at a time.
pub(super) struct Gather {
    min: f64,
    max: f64,
    sum: f64,
    piece: f64,
    finite: u64,
    nonfinite: u64,
    /// A run of equal values that is not in `labels` yet.
    run: (f64, u64),
    labels: Option<BTreeMap<Key, u64>>,
}

/// A finite number with an order.
#[derive(Clone, Copy, PartialEq)]
struct Key(f64);

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Gather {
    pub(super) fn new(labels: bool) -> Self {
        Self {
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
            piece: 0.0,
            finite: 0,
            nonfinite: 0,
            run: (0.0, 0),
            labels: labels.then(BTreeMap::new),
        }
    }

    pub(super) fn add(&mut self, value: f64) {
        if !value.is_finite() {
            self.nonfinite += 1;
            return;
        }
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.piece += value;
        self.finite += 1;
        if self.finite.is_multiple_of(PIECE) {
            self.sum += std::mem::take(&mut self.piece);
        }
        if self.labels.is_some() {
            if value != self.run.0 {
                self.end_run();
                self.run.0 = value;
            }
            self.run.1 += 1;
        }
    }

    fn end_run(&mut self) {
        let (value, count) = std::mem::take(&mut self.run);
        let Some(labels) = &mut self.labels else { return };
        if count > 0 {
            // −0 and 0 are one label.
            *labels.entry(Key(value + 0.0)).or_insert(0) += count;
        }
        if labels.len() > MOST_LABELS {
            self.labels = None;
        }
    }

    pub(super) fn finish(mut self) -> Statistics {
        self.end_run();
        let some = |value: f64| (self.finite > 0).then_some(value);
        Statistics {
            min: some(self.min),
            max: some(self.max),
            mean: some((self.sum + self.piece) / self.finite as f64),
            nonfinite: self.nonfinite,
            labels: self.labels.map(|labels| labels.into_iter().map(|(key, n)| (key.0, n)).collect()),
        }
    }
}
