//! How long a run takes, reckoned from what its pieces take; and the longest run that a given time holds.

use serde::Serialize;

use crate::config::Validation;
use crate::training::schedule::sample_batches;
use crate::training::{ValidationSchedule, Work};

/// Seconds of the pieces of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pieces {
    /// A step, its batch being made beside it.
    pub step: f64,
    /// A batch of the fixed sample of patches.
    pub sample_batch: f64,
    /// A validation of all whole cases, with what is chosen on it.
    pub validation: f64,
    /// What comes once: before the first step and after the last.
    pub once: f64,
}

/// How long a run trains.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Length {
    /// `training.epochs`
    pub epochs: u64,
    /// `training.steps_per_epoch`
    pub steps_per_epoch: u64,
}

impl Length {
    /// In all.
    pub fn steps(self) -> u64 {
        self.epochs.saturating_mul(self.steps_per_epoch)
    }
}

impl Pieces {
    /// Seconds that the fixed sample of patches takes after an epoch of so many steps.
    pub fn sample(&self, steps_per_epoch: u64) -> f64 {
        sample_batches(steps_per_epoch) as f64 * self.sample_batch
    }

    /// Seconds of a whole run.
    pub fn run(&self, config: &Validation, work: Work, length: Length) -> f64 {
        let Length { epochs, steps_per_epoch } = length;
        let validations = ValidationSchedule::count(config, epochs, steps_per_epoch, work);
        let samples = (epochs / config.every as u64 + validations).min(epochs);
        self.once
            + length.steps() as f64 * self.step
            + samples as f64 * self.sample(steps_per_epoch)
            + validations as f64 * self.validation
    }

    /// The length of a run that takes at most so many `seconds`, with all its validations: as many epochs of
    /// `longest_epoch` steps as they hold, or one more of fewer steps where that comes to more. `None` where one step and one
    /// validation take longer.
    pub fn within(
        &self,
        config: &Validation,
        work: Work,
        longest_epoch: u64,
        seconds: f64,
    ) -> Option<Length> {
        let fits =
            |epochs, steps_per_epoch| self.run(config, work, Length { epochs, steps_per_epoch }) <= seconds;
        let epochs = last(MOST_EPOCHS, |epochs| fits(epochs, longest_epoch));
        let more = (epochs + 1).min(MOST_EPOCHS);
        let full = Length { epochs, steps_per_epoch: longest_epoch };
        let shorter =
            Length { epochs: more, steps_per_epoch: last(longest_epoch, |steps| fits(more, steps)) };
        let best = if shorter.steps() > full.steps() { shorter } else { full };
        (best.steps() > 0).then_some(best)
    }
}

/// As many as a configuration takes.
const MOST_EPOCHS: u64 = 1 << 30;

/// The last of 1 to `most` that fits, where none fits after one that does not; 0 where none does.
fn last(most: u64, fits: impl Fn(u64) -> bool) -> u64 {
    let (mut fitting, mut beyond) = (0, most + 1);
    while beyond - fitting > 1 {
        let middle = fitting + (beyond - fitting) / 2;
        if fits(middle) {
            fitting = middle;
        } else {
            beyond = middle;
        }
    }
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auto, Config, Word};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    struct Question {
        pieces: Pieces,
        config: Validation,
        work: Work,
        longest: u64,
    }

    fn questions() -> impl Strategy<Value = Question> {
        let seconds = (0.001f64..20.0, 0.0f64..5.0, 0.0f64..600.0, 0.0f64..100.0);
        let whole = prop_oneof![
            Just(Auto::Word(Word::Auto)),
            Just(Auto::Word(Word::None)),
            (1usize..20).prop_map(Auto::Value)
        ];
        (seconds, whole, 1usize..6, 1usize..9, 1usize..3000, 1u64..300).prop_map(
            |((step, sample_batch, validation, once), full_every, every, batch, windows, longest)| Question {
                pieces: Pieces { step, sample_batch, validation, once },
                config: Validation { every, full_every, ..Config::default().validation },
                work: Work { validation: windows as u64, ..Work::new(batch, 0) },
                longest,
            },
        )
    }

    proptest! {
        #[test]
        fn a_run_ends_within_its_time_and_one_epoch_more_does_not(question in questions(), time in 0.0f64..90_000.0) {
            let Question { pieces, config, work, longest } = question;
            let run = |epochs, steps_per_epoch| pieces.run(&config, work, Length { epochs, steps_per_epoch });
            match pieces.within(&config, work, longest, time) {
                Some(length) => {
                    prop_assert!(run(length.epochs, length.steps_per_epoch) <= time);
                    prop_assert!((1..=longest).contains(&length.steps_per_epoch));
                    prop_assert!(run(length.epochs + 1, longest) > time);
                    prop_assert!(length.steps_per_epoch == longest || run(length.epochs, length.steps_per_epoch + 1) > time);
                }
                None => prop_assert!(run(1, 1) > time),
            }
        }

        #[test]
        fn more_time_is_never_fewer_steps(question in questions(), times in [0.0f64..90_000.0, 0.0f64..90_000.0]) {
            let Question { pieces, config, work, longest } = question;
            let steps = |time| pieces.within(&config, work, longest, time).map_or(0, Length::steps);
            let [a, b] = times;
            prop_assert!(steps(a.min(b)) <= steps(a.max(b)));
        }

        /// Of long runs, whose validations are paid for, a few per cent are left over at most.
        #[test]
        fn time_is_used(step in 0.01f64..2.0, longest in 1u64..200, epochs in 3.0f64..200.0) {
            let pieces = Pieces { step, sample_batch: 0.0, validation: 0.0, once: 7.0 };
            let config = Config::default().validation;
            let time = 7.0 + epochs * longest as f64 * step;
            let length = pieces.within(&config, Work::new(2, 1), longest, time).unwrap();
            let left = time - pieces.run(&config, Work::new(2, 1), length);
            let epoch = longest as f64 * step;
            // Less than an epoch, and less than a step for each epoch.
            prop_assert!(left <= (epoch + step).min((length.epochs + 2) as f64 * step) + 1e-6, "{left} of {time}");
        }
    }
}
