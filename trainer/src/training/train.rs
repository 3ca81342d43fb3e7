//! One run, from its first or next step to its last.
//!
//! Threads of their own prepare the next batches while the kernels compute. Every random choice follows from
//! (seed, purpose, step), so a run that was stopped goes on from its last checkpoint as if nothing had happened.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use memory::peak_memory;
use nn::Module;
use nn::optim::Optimizer;
use nn::schedule::Scheduler;
use serde::Serialize;
use unet3d::UNet3d;
use volumes::files::sync_folder;

use super::setup::digest;
use super::{Batch, End, Objective, Outcome, Sampler, Setup, Validation, choose, settings};
use crate::config::{Auto, Mirror};
use crate::predict::{Decision, SlidingWindow};
use crate::random::Purpose;
use crate::report::{JsonLines, Progress};
use crate::run::checkpoint::{BEST, CHECKPOINTS, Checkpoint, Idle, LAST, PREVIOUS, State, Tensors};
use crate::{Error, Result};

mod step;

pub(crate) use step::Passes;

/// Batches that lie ready at most.
pub const READY: usize = 2;
/// What "best" means.
const METRIC: &str = "mean Dice of the foreground classes on the validation cases; of one class, where the threshold is chosen, \
                      at its best threshold";

/// Trains. `stop` becoming true ends the run after the current step; what was learnt is kept.
///
/// # Errors
/// If settings do not fit together, the disk refuses, or the loss stays NaN or infinite.
pub fn train(setup: Setup, stop: &AtomicBool) -> Result<Outcome> {
    let threads = setup.config.training.threads;
    let pool = || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map_err(|e| Error::config("training.threads", format!("is {threads}: {e}")))
    };
    let (computing, preparing) = (pool()?, pool()?);
    let run = Run::new(setup)?;
    let first = run.step;
    let last = run.last_step();
    let training = Arc::clone(&run.setup.training);
    let sampler = Sampler::new(training.iter(), run.setup.plan.patch_size, &run.setup.config);
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel(READY);
        scope.spawn(move || {
            preparing.install(|| {
                for step in first..last {
                    let batch = memory::within(|| sampler.batch(step));
                    let failed = batch.is_err();
                    // The receiver is gone when the run was stopped.
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            });
        });
        computing.install(move || run.steps(batches, stop))
    })
}

/// A run under way.
struct Run {
    setup: Setup,
    model: UNet3d<f32>,
    optimizer: Box<dyn Optimizer<f32>>,
    objective: Objective,
    scheduler: Scheduler,
    log: JsonLines,
    progress: Progress,
    step: u64,
    idle: Idle,
    /// Of these, how many batches were told of.
    told_of: u64,
    best: Option<f64>,
    validation: Option<Validation>,
    /// The step after which `validation` was made.
    validated: Option<u64>,
    /// Whether the last step ended an epoch, but the validation after it was cut off.
    owes_validation: bool,
    /// How logits are read, as of the last validation.
    decision: Decision,
    saved: Instant,
}

impl Run {
    fn new(mut setup: Setup) -> Result<Self> {
        let config = &setup.config;
        let mut rng = crate::random::generator(config.training.seed, Purpose::Weights, 0);
        let mut model = UNet3d::new(setup.plan.model.clone(), &mut rng)
            .map_err(|e| Error::config("model", e.to_string()))?;
        let mut optimizer = settings::optimizer(&config.optimizer)
            .build()
            .map_err(|e| Error::config("optimizer", e.to_string()))?;
        let objective = Objective::new(config, &setup.plan, &setup.training)?;
        if config.model.prior_bias {
            objective.set_prior_bias(&mut model)?;
        }
        let mut scheduler = Scheduler::new(settings::schedule(&config.schedule))
            .map_err(|e| Error::config("schedule", e.to_string()))?;
        let (mut step, mut before, mut best) = (0, Duration::ZERO, None);
        if let Some(weights) = setup.init.take() {
            if let Some((name, _)) = weights.iter().find(|(_, weight)| !weight.is_finite()) {
                let message = format!("--init: {name} is not finite everywhere: take weights that are");
                return Err(Error::Usage(message));
            }
            model.load_state_dict(weights).map_err(|e| Error::Usage(format!("--init: {e}")))?;
        }
        if let Some(checkpoint) = &mut setup.resume {
            let fits =
                |e: nn::Error| Error::Usage(format!("the checkpoint does not fit its configuration: {e}"));
            // One after the other, so that less is held.
            model.load_state_dict(checkpoint.weights()?).map_err(fits)?;
            optimizer.load_state(&model, checkpoint.optimizer()?).map_err(fits)?;
            autograd::buffer::release_unused();
            scheduler.restore(checkpoint.state.plateau);
            step = checkpoint.state.step;
            best = checkpoint.state.metric_best;
            before = Duration::try_from_secs_f64(checkpoint.state.seconds).unwrap_or_default();
        }
        let per_epoch = config.training.steps_per_epoch as u64;
        let mut progress = Progress::new(per_epoch * config.training.epochs as u64, per_epoch)
            .every(config.training.log_every as u64)
            .elapsed_before(before);
        let channels = setup.plan.model.out_channels;
        let untouched = Decision::untouched(objective.config(), channels);
        let untouched = match config.inference.threshold {
            Auto::Value(probability) => untouched.at(probability),
            Auto::Word(_) => untouched,
        };
        let decision =
            setup.resume.as_ref().map_or(untouched, |checkpoint| checkpoint.state.decision.clone());
        let total = (config.training.epochs * config.training.steps_per_epoch) as u64;
        let unmeasured = setup.resume.as_ref().is_some_and(|checkpoint| !checkpoint.state.validated);
        let idle = setup.resume.as_ref().map_or_else(Idle::default, |checkpoint| checkpoint.state.idle);
        let due = step > 0
            && step.is_multiple_of(per_epoch)
            && ((step / per_epoch).is_multiple_of(config.validation.every as u64) || step == total);
        let owes_validation = due && unmeasured;
        let known = setup.resume.as_ref().map_or(u64::MAX, |checkpoint| checkpoint.state.log_bytes);
        let log = JsonLines::append(setup.folder.join("log.jsonl"), known)?;
        if setup.resume.is_some() && log.bytes() < known {
            let path = setup.folder.join("log.jsonl");
            let lost = known - log.bytes();
            progress.println(format!("{} lacks {lost} bytes that the run had written", path.display()));
        }
        let saved = Instant::now();
        Ok(Self {
            setup,
            model,
            optimizer,
            objective,
            scheduler,
            log,
            progress,
            step,
            told_of: idle.empty_batches,
            idle,
            best,
            validation: None,
            validated: None,
            owes_validation,
            decision,
            saved,
        })
    }

    fn last_step(&self) -> u64 {
        let training = &self.setup.config.training;
        (training.epochs * training.steps_per_epoch) as u64
    }

    fn steps(mut self, batches: Receiver<Result<Batch>>, stop: &AtomicBool) -> Result<Outcome> {
        let per_epoch = self.setup.config.training.steps_per_epoch as u64;
        let last = self.last_step();
        if self.owes_validation && !stop.load(Ordering::Relaxed) {
            self.end_of_epoch(self.step / per_epoch, stop)?;
        }
        // A run can be gone on with from its beginning.
        if self.setup.resume.is_none() {
            self.save(Name::Last, None)?;
        }
        let (began, mut waited) = (Instant::now(), Duration::ZERO);
        let mut stopped = false;
        while self.step < last {
            if stop.load(Ordering::Relaxed) {
                stopped = true;
                break;
            }
            let asked = Instant::now();
            let batch = batches
                .recv()
                .map_err(|_| Error::Usage("the thread that prepares batches has died".into()))??;
            waited += asked.elapsed();
            let lr = self.scheduler.lr(self.step, last, self.setup.config.optimizer.lr);
            let loss = self.one_step(&batch, lr)?;
            self.step += 1;
            let (epoch, batch) = ((self.step - 1) / per_epoch + 1, (self.step - 1) % per_epoch + 1);
            if let Some(line) = self.progress.batch(epoch, batch, lr, loss) {
                self.log.write("batch", &line)?;
            }
            if batch == per_epoch {
                self.end_of_epoch(epoch, stop)?;
            } else if self.is_save_due() {
                self.save(Name::Last, None)?;
            }
        }
        // Stopped in the last validation: the weights are those of the last step, the figures are missing.
        stopped |= self.validated != Some(self.step) && stop.load(Ordering::Relaxed);
        if stopped {
            self.save(Name::Last, None)?;
            self.progress.println(format!("stopped after step {} of {last}", self.step));
        }
        let mut postprocess = None;
        if !stopped && choose::is_due(&self.setup) {
            postprocess = choose::choose(&self.setup, || !stop.load(Ordering::Relaxed))?;
            stopped = postprocess.is_none();
            postprocess.iter().try_for_each(|choice| self.log.write("postprocess", choice))?;
        }
        let elapsed = self.progress.elapsed();
        self.progress.finish();
        let end = End {
            step: self.step,
            weights_crc32c: format!("{:08x}", digest(&self.model)),
            idle: self.idle,
            waited_for_data: waited.as_secs_f64() / began.elapsed().as_secs_f64().max(f64::MIN_POSITIVE),
            peak_memory: peak_memory(),
        };
        self.log.write("end", &end)?;
        let Self { model, validation, decision, best, step, .. } = self;
        Ok(Outcome { model, validation, decision, postprocess, best, stopped, steps: step, elapsed, end })
    }

    fn end_of_epoch(&mut self, epoch: u64, stop: &AtomicBool) -> Result<()> {
        let config = &self.setup.config;
        let due = epoch.is_multiple_of(config.validation.every as u64) || self.step == self.last_step();
        if due && !stop.load(Ordering::Relaxed) {
            let on_training = self.setup.validation.is_empty();
            let cases = if on_training { &*self.setup.training } else { &self.setup.validation };
            let window = SlidingWindow {
                patch: self.setup.plan.patch_size,
                overlap: config.inference.overlap,
                mirror: Mirror::NONE,
            };
            let go_on = || !stop.load(Ordering::Relaxed);
            let names = &self.setup.preparation.reader.description.classes;
            // Reports are at probability 1/2, or at the one that was given; a threshold that is chosen has lines of its own.
            let given = config.inference.threshold.value();
            let logit = given.map_or(0.0, |&p| self.untouched().at(p).logit);
            let validation = Validation::run(&self.model, cases, on_training, names, &window, logit, go_on);
            match validation {
                Ok(validation) => self.take_validation(epoch, validation)?,
                // Stopped half-way: there are no figures, but the weights are kept.
                Err(_) if stop.load(Ordering::Relaxed) => {}
                // The images are finite, so the scores that cannot be ranked are the network's doing.
                Err(Error::Metric(_)) => return Err(self.diverged("the network's output is NaN")),
                Err(error) => return Err(error),
            }
        }
        let empty = self.idle.empty_batches - std::mem::replace(&mut self.told_of, self.idle.empty_batches);
        if empty > 0 {
            self.progress.println(format!("{empty} batch(es) held no voxel that counts; their loss was 0"));
        }
        let now =
            self.validation.as_ref().filter(|v| self.validated == Some(self.step) && !v.on_training_cases);
        let metric = now.and_then(|validation| self.metric(validation));
        self.save(Name::Last, metric)
    }

    fn take_validation(&mut self, epoch: u64, validation: Validation) -> Result<()> {
        self.progress.println(format!("\nepoch {epoch}, {validation}"));
        #[derive(Serialize)]
        struct Event<'a> {
            epoch: u64,
            step: u64,
            #[serde(flatten)]
            validation: &'a Validation,
        }
        self.log.write("validation", &Event { epoch, step: self.step, validation: &validation })?;
        let metric = self.metric(&validation);
        self.validated = Some(self.step);
        self.decision = self.decide(&validation);
        metric.into_iter().for_each(|m| self.scheduler.observe(m));
        if !validation.on_training_cases && metric.is_some() && metric > self.best {
            self.best = metric;
            self.save(Name::Best, metric)?;
        }
        self.validation = Some(validation);
        Ok(())
    }

    /// What "best" is judged by. At probability 1/2 an unweighted network may find nothing for many epochs and still learn
    /// to rank the voxels; where the threshold is chosen anyway, that is what counts.
    fn metric(&self, validation: &Validation) -> Option<f64> {
        let chosen = matches!(self.setup.config.inference.threshold, Auto::Word(_));
        match validation.classes.as_slice() {
            [class] if chosen => class.best_f1.and_then(|point| point.counts.dice()),
            _ => validation.mean_dice(),
        }
    }

    /// How logits are read before anything is known of them but the loss.
    fn untouched(&self) -> Decision {
        Decision::untouched(self.objective.config(), self.setup.plan.model.out_channels)
    }

    /// How logits are read, by what a validation saw.
    fn decide(&self, validation: &Validation) -> Decision {
        let inference = &self.setup.config.inference;
        let decision = if validation.on_training_cases {
            self.untouched()
        } else {
            let channels = self.setup.plan.model.out_channels;
            Decision::fitted(self.objective.config(), channels, validation.evidence(), inference.aim)
        };
        match inference.threshold {
            Auto::Value(probability) => decision.at(probability),
            Auto::Word(_) => decision,
        }
    }

    /// What is kept is finite: the checkpoints before stay as they are.
    fn diverged(&self, what: &str) -> Error {
        let lr = self.setup.config.optimizer.lr;
        Error::config("optimizer.lr", format!("is {lr:e}: after step {} {what}; lower it", self.step))
    }

    /// Whether it is time for a checkpoint in the midst of an epoch.
    fn is_save_due(&self) -> bool {
        let training = &self.setup.config.training;
        let steps = training.checkpoint_steps as u64;
        let minutes = training.checkpoint_minutes;
        steps > 0 && self.step.is_multiple_of(steps)
            || minutes > 0.0 && self.saved.elapsed().as_secs_f64() > 60.0 * minutes
    }

    fn save(&mut self, name: Name, metric: Option<f64>) -> Result<()> {
        let state = State {
            step: self.step,
            seconds: self.progress.elapsed().as_secs_f64(),
            config: self.setup.config.to_toml(),
            plan: self.setup.plan.clone(),
            preparation: self.setup.preparation.clone(),
            decision: self.decision.clone(),
            postprocess: None,
            metric: METRIC.to_owned(),
            metric_now: metric,
            metric_best: self.best,
            validated: self.validated == Some(self.step),
            idle: self.idle,
            plateau: *self.scheduler.state(),
            log_bytes: self.log.bytes(),
        };
        let weights: Tensors = self.model.state_dict().into_iter().collect();
        if let Some((name, _)) = weights.iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(self.diverged(&format!("{name} is no longer finite")));
        }
        let optimizer = self.optimizer.state(&self.model).into_iter().collect();
        self.saved = Instant::now();
        let folder = self.setup.folder.join(CHECKPOINTS);
        self.log.sync()?;
        if !folder.is_dir() {
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
            sync_folder(&self.setup.folder)?;
        }
        let checkpoint = Checkpoint { state, weights, optimizer };
        match name {
            Name::Best => checkpoint.save(&folder.join(BEST)),
            // What a run did not go on from is not kept as the one before: it may be damaged.
            Name::Last if std::mem::take(&mut self.setup.abandons_last) => {
                checkpoint.save(&folder.join(LAST))
            }
            Name::Last => checkpoint.save_keeping(&folder.join(LAST), &folder.join(PREVIOUS)),
        }
    }
}

/// Which checkpoint is written.
#[derive(Clone, Copy)]
enum Name {
    Best,
    Last,
}
