//! Differences between arms, paired by seed, and whether they are more than noise.

use serde::{Deserialize, Serialize};

use super::{Arm, RunResult, Study};

/// A number that arms are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Figure {
    PrecisionAtHalf,
    RecallAtHalf,
    F1AtHalf,
    AveragePrecision,
    BestF1,
    PrecisionAtRecall,
}

impl Figure {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::PrecisionAtHalf,
        Self::RecallAtHalf,
        Self::F1AtHalf,
        Self::AveragePrecision,
        Self::BestF1,
        Self::PrecisionAtRecall,
    ];

    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrecisionAtHalf => "precision at 0.5",
            Self::RecallAtHalf => "recall at 0.5",
            Self::F1AtHalf => "f1 at 0.5",
            Self::AveragePrecision => "average precision",
            Self::BestF1 => "f1 at its best threshold",
            Self::PrecisionAtRecall => "precision at the wanted recall",
        }
    }

    /// A run's; precision is 0 where nothing is called positive, as in scikit-learn's reports, and undefined where there is
    /// nothing to find.
    pub fn of(self, run: &RunResult) -> Option<f64> {
        match self {
            Self::PrecisionAtHalf => Some(run.at_half.precision().unwrap_or(0.0)),
            Self::RecallAtHalf => run.at_half.recall(),
            Self::F1AtHalf => run.at_half.f1(),
            Self::AveragePrecision => run.average_precision,
            Self::BestF1 => run.best_f1.and_then(|point| point.counts.f1()),
            // Where nothing is called positive, the threshold has failed: 0, not left out.
            Self::PrecisionAtRecall => {
                let held = run.precise.filter(|point| point.counts.support() > 0);
                held.map(|point| point.counts.precision().unwrap_or(0.0))
            }
        }
    }
}

/// One arm minus another, seed by seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The figure.
    pub figure: Figure,
    /// The arm.
    pub arm: Arm,
    /// What it is compared with.
    pub base: Arm,
    /// The seeds that both have, with their differences.
    pub seeds: Vec<(u64, f64)>,
    /// Their mean.
    pub mean: f64,
    /// From three seeds on, the 95 % interval of the mean by Student's t; below, the range of the differences.
    pub interval: [f64; 2],
    /// Whether it is more than noise: from three seeds on, the interval leaves 0 out. With two, all differences have one
    /// sign and their mean exceeds what two seeds of one arm differ by. Never with one.
    pub beyond_noise: bool,
}

impl Difference {
    /// `arm` − `base`; `None` where no seed has both.
    pub fn new(study: &Study, figure: Figure, arm: Arm, base: Arm) -> Option<Self> {
        let value = |run: &RunResult| figure.of(run).map(|value| (run.seed, value));
        let values = |arm| study.of(arm).into_iter().filter_map(value).collect::<Vec<_>>();
        let (ours, theirs) = (values(arm), values(base));
        let paired = |&(seed, value): &(u64, f64)| {
            theirs.iter().find(|(other, _)| *other == seed).map(|(_, base)| (seed, value - base))
        };
        let seeds: Vec<(u64, f64)> = ours.iter().filter_map(paired).collect();
        let n = seeds.len() as f64;
        if seeds.is_empty() {
            return None;
        }
        let differences = || seeds.iter().map(|(_, difference)| *difference);
        let mean = differences().sum::<f64>() / n;
        let least = differences().fold(f64::INFINITY, f64::min);
        let most = differences().fold(f64::NEG_INFINITY, f64::max);
        let one_sign = least > 0.0 || most < 0.0;
        let (interval, beyond_noise) = if seeds.len() >= 3 {
            let variance = differences().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let half = student(seeds.len() - 1) * (variance / n).sqrt();
            let interval = [mean - half, mean + half];
            // Equal differences leave no noise to speak of.
            (interval, interval[0] > 0.0 || interval[1] < 0.0)
        } else {
            let noise = spread(&ours).max(spread(&theirs));
            ([least, most], seeds.len() == 2 && one_sign && mean.abs() > noise)
        };
        Some(Self { figure, arm, base, seeds, mean, interval, beyond_noise })
    }
}

fn spread(values: &[(u64, f64)]) -> f64 {
    let of = |pick: fn(f64, f64) -> f64, start| values.iter().map(|(_, v)| *v).fold(start, pick);
    of(f64::max, f64::NEG_INFINITY) - of(f64::min, f64::INFINITY)
}

/// The 97.5 % quantile of Student's t.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    // From there on a bound: the quantile falls towards 1.96.
    TABLE.get(freedom - 1).copied().unwrap_or(2.228)
}
