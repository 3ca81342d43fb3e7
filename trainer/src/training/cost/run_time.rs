//! How long a run of a plan takes on this machine, before it is begun: for people, for programs, and for `--time`.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::duration::{Length, Pieces};
use super::outlook::Settled;
use super::pace::Pace;
use crate::Result;
use crate::config::{self, Config, Inference, Mirror, Mirroring};
use crate::predict::SlidingWindow;
use crate::preprocess::CaseSummary;
use crate::report::{hms, table};
use crate::training::schedule::is_paid;
use crate::training::{ValidationSchedule, Work};

/// More seconds than are printed: ten thousand years.
const MOST: f64 = 3e11;

/// What a run's time is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTime {
    /// Seconds of what comes once: before the first step and after the last.
    pub once: f64,
    /// How often whole cases are predicted beside the validations.
    pub further_validations: u64,
    pace: Pace,
    batch: usize,
    /// The mirror images that the run may have, the most first.
    choices: Vec<Choice>,
    config: config::Validation,
    longest_epoch: u64,
}

/// What follows from mirror images.
#[derive(Clone, Debug, PartialEq)]
struct Choice {
    mirror: Mirror,
    /// Seconds of predicting a case, in the mean.
    case: f64,
    /// And of a validation.
    validation: f64,
    work: Work,
}

impl RunTime {
    /// Measured for a plan under a configuration that says how many patches are in a batch. `cases` are those that are
    /// validated on. Of several ranks each has its share of a batch and of the cases, and measures while the others do; what they
    /// exchange is not counted.
    ///
    /// # Errors
    /// As [`Pace::measure`].
    pub fn measure(settled: &Settled, config: &Config, cases: &[CaseSummary], ranks: usize) -> Result<Self> {
        let Inference { overlap, mirror, .. } = config.inference;
        let of_rank = config.of_rank(ranks);
        let pace = Pace::measure(&settled.plan, &of_rank, settled.outlook.median_spacing)?;
        let batch = config.data.batch();
        let choice = |mirror: Mirror| {
            let window = SlidingWindow { patch: settled.plan.patch_size, overlap, mirror };
            let each: Vec<f64> = cases.iter().map(|case| pace.case(&window, case)).collect();
            // The first rank has as many cases as any.
            let of_first: f64 = each.iter().step_by(ranks).sum();
            Choice {
                mirror,
                case: each.iter().sum::<f64>() / each.len().max(1) as f64,
                validation: of_first + pace.fit,
                work: Work::of(batch, &window, cases),
            }
        };
        let choices = match mirror {
            Mirroring::Auto => Mirroring::CHOICES.map(choice).to_vec(),
            Mirroring::Along(mirror) => vec![choice(mirror)],
        };
        Ok(Self {
            once: 0.0,
            further_validations: 0,
            pace,
            batch,
            choices,
            config: config.validation.clone(),
            longest_epoch: config.training.steps_per_epoch as u64,
        })
    }

    /// The longest run that takes so many seconds at most, with the most mirror images that it can pay; see
    /// [`Pieces::within`].
    pub fn within(&self, seconds: f64) -> Option<(Length, Mirror)> {
        self.choices.iter().enumerate().find_map(|(index, choice)| {
            let pieces = self.pieces(choice);
            let length = pieces.within(&self.config, choice.work, self.longest_epoch, seconds)?;
            let is_last = index + 1 == self.choices.len();
            (is_last || is_paid(choice.work, length.steps())).then_some((length, choice.mirror))
        })
    }

    /// What is said of a run of this length.
    pub fn of(&self, length: Length) -> TimeTable {
        let Length { epochs, steps_per_epoch } = length;
        let paid = self.choices.iter().find(|choice| is_paid(choice.work, length.steps()));
        let choice = paid.unwrap_or(&self.choices[self.choices.len() - 1]);
        let pieces = self.pieces(choice);
        let validations = ValidationSchedule::count(&self.config, epochs, steps_per_epoch, choice.work);
        let Pieces { step, validation, once, .. } = pieces;
        TimeTable {
            step,
            epoch: steps_per_epoch as f64 * step + pieces.sample(steps_per_epoch),
            validation,
            case: choice.case,
            once,
            run: pieces.run(&self.config, choice.work, length),
            epochs,
            steps_per_epoch,
            validations,
        }
    }

    fn pieces(&self, choice: &Choice) -> Pieces {
        Pieces {
            step: self.pace.step,
            sample_batch: self.batch as f64 * self.pace.pass,
            validation: choice.validation,
            once: self.once + self.further_validations as f64 * choice.validation,
        }
    }
}

/// Seconds of a run's parts, and how often they come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TimeTable {
    /// Of a step.
    pub step: f64,
    /// Of an epoch, with its sample of patches and without whole cases.
    pub epoch: f64,
    /// Of a validation of whole cases.
    pub validation: f64,
    /// Of predicting a case, in the mean.
    pub case: f64,
    /// Of what comes before the first step and after the last.
    pub once: f64,
    /// Of the whole run.
    pub run: f64,
    /// `training.epochs`
    pub epochs: u64,
    /// `training.steps_per_epoch`
    pub steps_per_epoch: u64,
    /// Validations of whole cases.
    pub validations: u64,
}

/// As a table.
impl fmt::Display for TimeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |what: &str, each: f64, times: Option<u64>| {
            let together = times.map(|times| digits(each * times as f64));
            let times = times.map(|times| times.to_string());
            vec![what.to_owned(), digits(each), times.unwrap_or_default(), together.unwrap_or_default()]
        };
        let epoch = format!("epoch of {} steps and a sample of patches", self.steps_per_epoch);
        let rows = vec![
            row("step", self.step, None),
            row("predicting a case", self.case, None),
            row(&epoch, self.epoch, Some(self.epochs)),
            row("validation of whole cases", self.validation, Some(self.validations)),
            row("before the first step and after the last", self.once, Some(1)),
            row("run", self.run, Some(1)),
        ];
        table(f, &["time in s", "each", "times", "together"], rows, 1)?;
        write!(f, "the run takes about {}", hms(Duration::from_secs_f64(self.run.min(MOST))))
    }
}

/// Three digits of seconds.
fn digits(seconds: f64) -> String {
    let places = if seconds < 10.0 {
        3
    } else if seconds < 100.0 {
        1
    } else {
        0
    };
    format!("{seconds:.places$}")
}
