//! A run before its first or next step: the network, the optimiser and all else as they begin, or as a checkpoint has them.

use std::time::{Duration, Instant};

use nn::Module;
use nn::schedule::Scheduler;
use unet3d::UNet3d;

use super::exchange::Exchange;
use super::{Run, is_due, patience};
use crate::config::{Auto, Config, Mirroring};
use crate::predict::{Asked, ByClass, Decision, Pipeline, SlidingWindow};
use crate::preprocess::PreparedCase;
use crate::random::Purpose;
use crate::report::{LogWriter, Progress, Seconds};
use crate::run::checkpoint::SkipCounts;
use crate::run::folder::LOG;
use crate::training::{Objective, Setup, ValidationSchedule, Work, settings, settled_mirror};
use crate::{Error, Result};

/// How cases are predicted before anything is known of them but the loss.
fn untouched(setup: &Setup, objective: &Objective) -> Pipeline {
    let inference = &setup.config.inference;
    let decision = Decision::untouched(objective.config(), setup.plan.model.out_channels);
    let decision = match inference.threshold {
        Auto::Value(probability) if setup.plan.model.out_channels == 1 => decision.at(probability),
        Auto::Value(_) | Auto::Word(_) => decision,
    };
    let classes = &setup.preparation.reader.description.classes;
    Pipeline {
        preparation: setup.preparation.clone(),
        window: SlidingWindow {
            patch: setup.plan.patch_size,
            overlap: inference.overlap,
            mirror: inference.mirror.axes(),
        },
        decision,
        postprocessing: ByClass::new(&classes[1..], &Asked::of(inference), &[]),
    }
}

impl Run {
    pub(super) fn new(mut setup: Setup) -> Result<Self> {
        let cases = if setup.validation.is_empty() { &setup.training } else { &setup.validation };
        let summaries = cases.iter().map(PreparedCase::summary);
        let mirror = settled_mirror(&setup.config, setup.plan.patch_size, summaries);
        setup.config.inference.mirror = Mirroring::Along(mirror);
        let config = &setup.config;
        settings::check_patience(config, setup.validation.len())?;
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
        if let Some(weights) = setup.init.take() {
            if let Some((name, _)) = weights.iter().find(|(_, weight)| !weight.is_finite()) {
                let message = format!("--init: {name} is not finite everywhere: take weights that are");
                return Err(Error::Usage(message));
            }
            model.load_state_dict(weights).map_err(|e| Error::Usage(format!("--init: {e}")))?;
        }
        let mut pipeline = untouched(&setup, &objective);
        let schedule = schedule(&setup, &pipeline.window);
        let (mut step, mut before, mut best) = (0, Duration::ZERO, None);
        let (mut idle, mut postprocess, mut unmeasured) = (SkipCounts::default(), None, false);
        let (mut known, mut report) = (u64::MAX, None);
        if let Some(checkpoint) = &mut setup.resume {
            let fits =
                |e: nn::Error| Error::Usage(format!("the checkpoint does not fit its configuration: {e}"));
            // One after the other, so that less is held.
            model.load_state_dict(checkpoint.weights()?).map_err(fits)?;
            optimizer.load_state(&model, checkpoint.optimizer()?).map_err(fits)?;
            autograd::buffer::release_unused();
            let state = &checkpoint.state;
            scheduler.restore(state.plateau);
            (step, best, idle, known) = (state.step, state.metric_best, state.idle, state.log_bytes);
            report = checkpoint.report()?;
            let state = &checkpoint.state;
            before = Duration::try_from_secs_f64(state.seconds).unwrap_or_default();
            unmeasured = !state.validated;
            let network = &checkpoint.card.networks[0];
            postprocess.clone_from(&network.postprocessing);
            pipeline.decision = network.decision.clone();
            let asked = Asked::of(&config.inference);
            let classes = &setup.preparation.reader.description.classes;
            pipeline.postprocessing = ByClass::new(&classes[1..], &asked, &[postprocess.as_ref()]);
        }
        let per_epoch = config.training.steps_per_epoch as u64;
        let ranks = setup.ranks.clone();
        let progress = Progress::new(per_epoch * config.training.epochs as u64, per_epoch)
            .every(config.training.log_every as u64)
            .elapsed_before(before);
        let ends_epoch = step > 0 && step.is_multiple_of(per_epoch);
        let owes_validation = unmeasured && ends_epoch && is_due(config, &schedule, step / per_epoch);
        let progress = if ranks.is_first() { progress } else { progress.plain_to(std::io::sink()) };
        let log_path = setup.folder.join(LOG);
        let (mut log, mut since_best) = (None, 0);
        if ranks.is_first() {
            log = Some(LogWriter::open(&setup.folder, known, step, config.training.tensorboard)?);
            since_best = if setup.resume.is_some() { patience::since_best(&log_path)? } else { 0 };
        }
        if !ranks.is_alone() {
            // Nobody goes on before all have read what the first one is about to write.
            let said = ranks.of_first(&since_best.to_le_bytes())?;
            since_best = said.try_into().map_or(0, u64::from_le_bytes);
        }
        let exchange = Exchange::begin(&model, &ranks, config.data.batch())?;
        let mut run = Self {
            model,
            optimizer,
            objective,
            scheduler,
            schedule,
            log,
            progress,
            step,
            reported_empty: idle.empty_batches,
            idle,
            best,
            since_best,
            validation: None,
            report,
            validated: None,
            owes_validation,
            pipeline,
            postprocess,
            saved: Instant::now(),
            exchange,
            seconds: Seconds { preparing: setup.preparing.as_secs_f64(), ..Seconds::default() },
            setup,
        };
        if run.setup.resume.is_none() {
            run.progress.println(run.schedule.to_string());
            let schedule = run.schedule.clone();
            run.write_log("schedule", &schedule)?;
        }
        if let (Some(log), true) = (&run.log, run.setup.resume.is_some())
            && log.bytes() < known
        {
            let lost = known - log.bytes();
            run.progress.warn(format!("{} lacks {lost} bytes that the run had written", log_path.display()));
        }
        Ok(run)
    }
}

/// When whole cases are validated in a run of this configuration, plan and cases.
fn schedule(setup: &Setup, window: &SlidingWindow) -> ValidationSchedule {
    let Config { training, validation, data, .. } = &setup.config;
    let cases = if setup.validation.is_empty() { &setup.training } else { &setup.validation };
    let work = Work::of(data.batch(), window, cases.iter().map(PreparedCase::summary));
    ValidationSchedule::new(validation, training.epochs as u64, training.steps_per_epoch as u64, work)
}
