//! One run, from its first or next step to its last.
//!
//! Threads of their own prepare the next batches while the kernels compute. Every random choice follows from
//! (seed, purpose, step), so a run that was stopped goes on from its last checkpoint as if nothing had happened.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use memory::peak_memory;
use nn::Module;
use nn::optim::Optimizer;
use nn::schedule::Scheduler;
use serde::Serialize;
use unet3d::UNet3d;

use super::setup::digest;
use super::{Batch, End, Objective, Outcome, Sampler, Setup, ValidationFigures, ValidationSchedule};
use crate::config::Config;
use crate::predict::{Choice, Pipeline};
use crate::report::{LogWriter, Progress, Seconds, write_run_page};
use crate::run::checkpoint::{SkipCounts, publish};
use crate::run::record::RECORD;
use crate::{Error, Result, threads};

mod among;
mod epoch;
mod exchange;
mod passes;
mod patience;
mod save;
mod start;
mod step;

use self::exchange::Exchange;
pub(crate) use self::passes::{PassSettings, Passes};

/// Batches that lie ready at most.
pub const READY: usize = 2;

/// Trains, as one of the setup's ranks; an error of one is told to the others by [`ranks::Ranks::fail`]. `stop` becoming true,
/// of any rank, ends the run after the current step; what was learnt is kept.
///
/// # Errors
/// If settings do not fit together, the disk refuses, or the loss stays NaN or infinite.
pub fn train(setup: Setup, stop: &AtomicBool) -> Result<Outcome> {
    let run = Run::new(setup)?;
    let steps = run.step..run.last_step();
    let training = Arc::clone(&run.setup.training);
    let slots = run.setup.ranks.share(run.setup.config.data.batch());
    let sampler = Sampler::new(training.iter(), run.setup.plan.patch_size, &run.setup.config).of_slots(slots);
    with_batches(&sampler, steps, run.setup.config.training.threads, |batches| run.steps(batches, stop))
}

/// Calls `compute` in so many threads with the batches of these steps, which as many threads make beside it.
///
/// # Errors
/// Those of `compute`, or if the threads cannot be had.
pub(super) fn with_batches<R: Send>(
    sampler: &Sampler<'_>,
    steps: Range<u64>,
    threads: usize,
    compute: impl FnOnce(Receiver<Result<Batch>>) -> Result<R> + Send,
) -> Result<R> {
    let pool = || threads::pool("training.threads", threads);
    let (computing, preparing) = (pool()?, pool()?);
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel(READY);
        scope.spawn(move || {
            preparing.install(|| {
                for step in steps {
                    let batch = memory::within(|| sampler.batch(step));
                    let failed = batch.is_err();
                    // The receiver is gone when the run was stopped.
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            });
        });
        computing.install(move || compute(batches))
    })
}

/// A run under way.
struct Run {
    setup: Setup,
    model: UNet3d<f32>,
    optimizer: Box<dyn Optimizer<f32>>,
    objective: Objective,
    scheduler: Scheduler,
    schedule: ValidationSchedule,
    /// None where another rank writes.
    log: Option<LogWriter>,
    progress: Progress,
    step: u64,
    idle: SkipCounts,
    /// Of the batches without a voxel that counts, how many were reported.
    reported_empty: u64,
    best: Option<f64>,
    /// Validations of whole cases since the one that was best.
    since_best: u64,
    validation: Option<ValidationFigures>,
    /// What a report shows of the best model, or of the last one that was validated as long as none is best.
    report: Option<Vec<u8>>,
    /// The step after which `validation` was made.
    validated: Option<u64>,
    /// Whether the last step ended an epoch, but the validation after it was cut off.
    owes_validation: bool,
    /// How cases are predicted, as of the last validation.
    pipeline: Pipeline,
    /// What was chosen of post-processing then.
    postprocess: Option<Choice>,
    saved: Instant,
    /// Where the session's time goes.
    seconds: Seconds,
    /// What ranks exchange, where there are several.
    exchange: Option<Exchange>,
}

impl Run {
    fn last_step(&self) -> u64 {
        let training = &self.setup.config.training;
        (training.epochs * training.steps_per_epoch) as u64
    }

    /// Takes steps to the end of the run; whether it was stopped before.
    fn take_steps(&mut self, batches: &Receiver<Result<Batch>>, stop: &AtomicBool) -> Result<bool> {
        let per_epoch = self.setup.config.training.steps_per_epoch as u64;
        let last = self.last_step();
        if self.owes_validation && !self.is_stopped(stop)? {
            self.end_of_epoch(self.step / per_epoch, stop)?;
        }
        // A run can be gone on with from its beginning.
        if self.setup.resume.is_none() {
            self.save_last(None)?;
        }
        while self.step < last && !self.is_out_of_patience() {
            if self.is_stopped(stop)? {
                return Ok(true);
            }
            let asked = Instant::now();
            let batch = batches
                .recv()
                .map_err(|_| Error::Usage("the thread that prepares batches has died".into()))??;
            self.seconds.waiting += asked.elapsed().as_secs_f64();
            let lr = self.scheduler.lr(self.step, last, self.setup.config.optimizer.lr);
            let taken = Instant::now();
            let loss = self.one_step(&batch, lr)?;
            self.seconds.steps += taken.elapsed().as_secs_f64();
            self.step += 1;
            let (epoch, batch) = ((self.step - 1) / per_epoch + 1, (self.step - 1) % per_epoch + 1);
            if let Some(line) = self.progress.batch(epoch, batch, lr, loss) {
                self.write_log("batch", &line)?;
                self.write_exchange()?;
            }
            if batch == per_epoch {
                self.end_of_epoch(epoch, stop)?;
            } else if self.is_save_due() {
                self.save_last(None)?;
            }
        }
        Ok(false)
    }

    fn steps(mut self, batches: Receiver<Result<Batch>>, stop: &AtomicBool) -> Result<Outcome> {
        let began = Instant::now();
        let mut stopped = match self.take_steps(&batches, stop) {
            // The weights are those of the last step that all took.
            Err(Error::Ranks(lost)) if self.setup.ranks.is_first() => {
                self.save_last(None)?;
                let message = format!(
                    "{lost}. The {} steps before are kept: --resume goes on from there, with any number of ranks, to the same bits",
                    self.step
                );
                return Err(Error::Usage(message));
            }
            taken => taken?,
        };
        // Stopped in the last validation: the weights are those of the last step, the figures are missing.
        stopped |= self.is_stopped(stop)? && self.validated != Some(self.step);
        if stopped {
            self.save_last(None)?;
            self.progress.println(format!("stopped after step {} of {}", self.step, self.last_step()));
        } else if self.step < self.last_step() {
            self.progress.println(self.early_end());
        }
        if self.setup.ranks.is_first() {
            publish(&self.setup.folder, true)?;
        }
        let elapsed = self.progress.elapsed();
        let end = End {
            step: self.step,
            weights_crc32c: format!("{:08x}", self.digest()),
            stopped,
            idle: self.idle,
            waited_for_data: self.seconds.waiting / began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE),
            seconds: self.seconds,
            peak_memory: peak_memory(),
        };
        self.write_log("end", &end)?;
        self.write_page();
        self.progress.finish();
        let epochs = self.setup.config.training.epochs;
        let Self { model, validation, pipeline, postprocess, best, step, schedule, .. } = self;
        Ok(Outcome {
            model,
            validation,
            pipeline,
            postprocess,
            best,
            stopped,
            steps: step,
            epochs,
            elapsed,
            schedule,
            end,
        })
    }

    /// Writes the page on the run, where its folder says what it is of. That it cannot be written is no reason to stop.
    fn write_page(&mut self) {
        let (folder, began) = (&self.setup.folder, Instant::now());
        if self.setup.ranks.is_first()
            && folder.join(RECORD).is_file()
            && let Err(error) = write_run_page(folder)
        {
            self.progress.println(format!("the page on the run is not written: {error}"));
        }
        self.seconds.saving += began.elapsed().as_secs_f64();
    }

    /// See [`End::weights_crc32c`].
    fn digest(&self) -> u32 {
        digest(&self.model.state_dict().into_iter().collect())
    }

    /// Whether any rank is to stop.
    fn is_stopped(&self, stop: &AtomicBool) -> Result<bool> {
        Ok(self.setup.ranks.any(stop.load(Ordering::Relaxed))?)
    }

    fn write_log(&mut self, event: &str, data: &impl Serialize) -> Result<()> {
        self.log.as_mut().map_or(Ok(()), |log| log.write(event, data))
    }

    /// What is kept is finite: the checkpoints before stay as they are.
    fn diverged(&self, what: &str) -> Error {
        let lr = self.setup.config.optimizer.lr;
        Error::config("optimizer.lr", format!("is {lr:e}: after step {} {what}; lower it", self.step))
    }
}

/// Whether something is measured after this epoch.
fn is_due(config: &Config, schedule: &ValidationSchedule, epoch: u64) -> bool {
    epoch.is_multiple_of(config.validation.every as u64) || schedule.is_due(epoch)
}
