//! When a run looks at whole cases: settled from counted work before its first step, so that no clock changes a bit.
//!
//! The unit is one forward pass of a patch. A step takes three for each patch of its batch, one forward and about two
//! backward; a validation of whole cases takes one for each window and mirror image. Whole cases take at most a fifth of all,
//! but the last epoch always ends with them.

use std::fmt;

use serde::Serialize;

use crate::config::{Auto, Config, Mirror, Mirroring, Validation, Word};
use crate::predict::SlidingWindow;
use crate::preprocess::CaseSummary;

/// Forward passes that a forward and a backward pass take together.
const PASSES_OF_A_STEP: u64 = 3;
/// The fixed sample of patches takes one part in so many of an epoch's work: as many as that pays.
const SAMPLE_PARTS: u64 = 20;
/// Whole-case validations take at most one part in so many of all work.
const PARTS: u64 = 5;
/// So many epochs are listed in a sentence.
const MOST_LISTED: usize = 20;

/// The work of a run, in forward passes of one patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Of a step.
    pub step: u64,
    /// Of a validation of all whole cases.
    pub validation: u64,
}

impl Work {
    /// With so many patches in a batch, and so many windows, mirror images counted, over the cases that are validated on.
    pub fn new(batch: usize, windows: usize) -> Self {
        Self { step: PASSES_OF_A_STEP * batch as u64, validation: windows as u64 }
    }

    /// With so many patches in a batch, and these cases to validate on.
    pub(super) fn of<'a>(
        batch: usize,
        window: &SlidingWindow,
        cases: impl IntoIterator<Item = &'a CaseSummary>,
    ) -> Self {
        Self::new(batch, cases.into_iter().map(|case| window.forward_passes(case.shape)).sum())
    }
}

/// Whether one validation of whole cases takes at most a fifth of the work of so many steps and it.
pub(super) fn is_paid(work: Work, steps: u64) -> bool {
    (PARTS - 1).saturating_mul(work.validation) <= steps.saturating_mul(work.step)
}

/// The mirror images of a run: those that its configuration says, or the most with which one validation takes at most a fifth
/// of the work. `cases` are those that it validates on; the batch is settled.
pub fn settled_mirror<'a>(
    config: &Config,
    patch: [usize; 3],
    cases: impl Iterator<Item = &'a CaseSummary> + Clone,
) -> Mirror {
    let Config { training, inference, data, .. } = config;
    let steps = (training.epochs * training.steps_per_epoch) as u64;
    let can_pay = |mirror: &Mirror| {
        let window = SlidingWindow { patch, overlap: inference.overlap, mirror: *mirror };
        is_paid(Work::of(data.batch(), &window, cases.clone()), steps)
    };
    match inference.mirror {
        Mirroring::Along(mirror) => mirror,
        Mirroring::Auto => Mirroring::CHOICES.into_iter().find(can_pay).unwrap_or(Mirror::NONE),
    }
}

/// Batches in the fixed sample of patches that is looked at after epochs of so many steps.
pub(super) fn sample_batches(steps_per_epoch: u64) -> u64 {
    steps_per_epoch.saturating_mul(PASSES_OF_A_STEP).div_ceil(SAMPLE_PARTS).max(1)
}

/// The epochs, counted from 1, that end with a validation of whole cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidationSchedule {
    /// Ascending; the last epoch is always one.
    pub whole_cases_after: Vec<u64>,
    /// The share of all work that they take.
    pub share: f64,
}

impl ValidationSchedule {
    /// Of a run of so many epochs: every so many where the configuration says so, else as many as a fifth of the work pays,
    /// evenly spread.
    pub fn new(config: &Validation, epochs: u64, steps_per_epoch: u64, work: Work) -> Self {
        let validations = Self::count(config, epochs, steps_per_epoch, work);
        let after = |i: u64| match config.full_every {
            Auto::Value(every) => (i * every as u64).min(epochs),
            Auto::Word(_) => (i * epochs).div_ceil(validations),
        };
        let whole_cases_after = (1..=validations).map(after).collect();
        let (training, validating) = (training(epochs, steps_per_epoch, work), validations * work.validation);
        let share = validating as f64 / (training as f64 + validating as f64).max(1.0);
        Self { whole_cases_after, share }
    }

    /// How many there are of them.
    pub fn count(config: &Validation, epochs: u64, steps_per_epoch: u64, work: Work) -> u64 {
        match config.full_every {
            Auto::Value(every) => epochs.div_ceil(every as u64),
            Auto::Word(Word::None) => 1,
            Auto::Word(Word::Auto) => {
                let paid = training(epochs, steps_per_epoch, work)
                    / (PARTS - 1).saturating_mul(work.validation.max(1));
                paid.clamp(1, epochs.max(1))
            }
        }
    }

    /// Whether this epoch ends with whole cases.
    pub fn is_due(&self, epoch: u64) -> bool {
        self.whole_cases_after.binary_search(&epoch).is_ok()
    }
}

fn training(epochs: u64, steps_per_epoch: u64, work: Work) -> u64 {
    epochs.saturating_mul(steps_per_epoch).saturating_mul(work.step)
}

/// A sentence.
impl fmt::Display for ValidationSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = &self.whole_cases_after;
        let listed = |epochs: &[u64]| epochs.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let epochs = match after.as_slice() {
            [one] => format!("epoch {one}"),
            [a, b, c, .., last] if after.len() > MOST_LISTED => {
                format!("{} epochs, {a}, {b}, {c}, … {last}", after.len())
            }
            some => format!("epochs {}", listed(some)),
        };
        let share = 100.0 * self.share;
        write!(
            f,
            "whole cases are predicted after {epochs}: {share:.0} % of the work (validation.full_every)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Case;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whole_cases_take_a_fifth_at_most_or_come_once_at_the_end(
            epochs in 1u64..200, steps in 1u64..300, batch in 1usize..9, windows in 0usize..5000,
        ) {
            let config = Config::default().validation;
            let schedule = ValidationSchedule::new(&config, epochs, steps, Work::new(batch, windows));
            let after = &schedule.whole_cases_after;
            prop_assert_eq!(after.last(), Some(&epochs));
            prop_assert!(after[0] >= 1 && after.is_sorted_by(|a, b| a < b));
            prop_assert!(schedule.share <= 0.2 || after.len() == 1, "{}", schedule.share);
            prop_assert!((1..=epochs).all(|epoch| schedule.is_due(epoch) == after.contains(&epoch)));
            // One more would be too much.
            if (after.len() as u64) < epochs {
                let (training, more) = (epochs * steps * 3 * batch as u64, (after.len() as u64 + 1) * windows as u64);
                prop_assert!(5 * more > training + more);
            }
        }

        #[test]
        fn mirror_images_are_the_most_that_a_run_can_pay(
            epochs in 1usize..40, steps in 1usize..20, shape in prop::array::uniform3(4usize..20),
        ) {
            let voxels = shape.iter().product::<usize>();
            let case = Case::from_voxels("made", shape, [1.0; 3], vec![0.0; voxels], Some(vec![0; voxels]));
            let case = CaseSummary::of(&case);
            let mut config = Config::default();
            (config.training.epochs, config.training.steps_per_epoch) = (epochs, steps);
            let patch = [4; 3];
            let share = |mirror: Mirror| {
                let window = SlidingWindow { patch, overlap: config.inference.overlap, mirror };
                let work = Work::of(config.data.batch(), &window, [&case]);
                ValidationSchedule::new(&config.validation, epochs as u64, steps as u64, work).share
            };
            let mirror = settled_mirror(&config, patch, [&case].into_iter());
            let place = Mirroring::CHOICES.iter().position(|choice| *choice == mirror).unwrap();
            prop_assert!(share(mirror) <= 0.2 || mirror == Mirror::NONE);
            prop_assert!(Mirroring::CHOICES[..place].iter().all(|more| share(*more) > 0.2));
            // What is said is done.
            config.inference.mirror = Mirroring::Along(Mirror([true, false, false]));
            prop_assert_eq!(settled_mirror(&config, patch, [&case].into_iter()), Mirror([true, false, false]));
        }

        #[test]
        fn what_the_configuration_says_is_done(epochs in 1u64..50, every in 1usize..60) {
            let config = crate::config::Validation { full_every: Auto::Value(every), ..Config::default().validation };
            let schedule = ValidationSchedule::new(&config, epochs, 10, Work::new(2, 100_000));
            let wanted = (1..=epochs).filter(|e| e % every as u64 == 0 || *e == epochs);
            prop_assert!(schedule.whole_cases_after.iter().copied().eq(wanted));
        }
    }
}
