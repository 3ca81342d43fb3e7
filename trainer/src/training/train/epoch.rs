//! The end of an epoch: a look at patches, whole cases when they are due, a checkpoint.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use autograd::Tape;
use metrics::{Aim, BinaryCounts, ConfusionMatrix, Mean};
use serde::Serialize;
use volumes::files::rename_into_place;

use super::{Run, among, is_due};
use crate::config::Auto;
use crate::dataset::IGNORE;
use crate::predict::{Asked, ByClass, Decision, Evidence};
use crate::preprocess::PreparedCase;
use crate::report::Picture;
use crate::run::folder::SLICES;
use crate::training::schedule::sample_batches;
use crate::training::{Batch, Choices, Judgement, Sampler, ValidationFigures, WholeCases};
use crate::{Error, Result};

/// Batches of the fixed sample are those of steps that training never comes to.
const FIRST_SAMPLE: u64 = 1 << 40;

/// What a model says of a fixed sample of patches.
#[derive(Clone, Debug, Serialize)]
struct PatchFigures {
    /// How many.
    patches: usize,
    /// Whether they are of cases that are trained on.
    of_training_cases: bool,
    /// The mean loss.
    loss: f64,
    classes: Vec<PatchClass>,
}

/// A class over all voxels of the sample.
#[derive(Clone, Debug, Serialize)]
struct PatchClass {
    name: String,
    counts: BinaryCounts,
    /// 2·tp / (2·tp + fp + fn) of the sample's voxels: no case's Dice.
    patch_dice: Option<f64>,
}

impl fmt::Display for PatchFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.of_training_cases { "TRAINING" } else { "validation" };
        write!(f, "{} patches of the {of} cases: loss {:.4}", self.patches, self.loss)?;
        for class in &self.classes {
            let dice = class.patch_dice.map_or_else(|| "undefined".to_owned(), |dice| format!("{dice:.4}"));
            write!(f, ", patch Dice of {} {dice}", class.name)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Event<'a, F> {
    epoch: u64,
    step: u64,
    #[serde(flatten)]
    figures: &'a F,
}

/// A validation, and whether it made the model the best.
#[derive(Serialize)]
struct Judged<'a> {
    #[serde(flatten)]
    validation: &'a ValidationFigures,
    /// What "best" is judged by; none where the network was trained on the cases.
    metric: Option<f64>,
    /// How many validations, this one included, came after the best.
    since_best: u64,
}

/// A validation, which the first rank has the figures of.
enum Validated {
    Here(Box<ValidationFigures>),
    Elsewhere,
}

impl Run {
    pub(super) fn end_of_epoch(&mut self, epoch: u64, stop: &AtomicBool) -> Result<()> {
        let ranks = self.setup.ranks.clone();
        let go_on = || !stop.load(Ordering::Relaxed) && ranks.lost().is_none();
        let is_stopped = self.is_stopped(stop)?;
        // Before anything is kept of them.
        among::check_weights(&ranks, || self.digest())?;
        let (began, saving) = (Instant::now(), self.seconds.saving);
        let mut of_patches = None;
        if is_due(&self.setup.config, &self.schedule, epoch) && !is_stopped {
            let figures = self.patch_figures()?;
            self.progress.println(format!("epoch {epoch}, {figures}"));
            self.write_log("patches", &Event { epoch, step: self.step, figures: &figures })?;
            of_patches = Mean::of(figures.classes.iter().map(|class| class.patch_dice)).value;
        }
        let mut metric = None;
        if self.schedule.is_due(epoch) && !is_stopped {
            match self.validate(&go_on) {
                Ok(Some(Validated::Here(validation))) => metric = self.take_validation(epoch, *validation)?,
                Ok(Some(Validated::Elsewhere)) => {
                    let (metric, is_best) = self.judge(None)?;
                    self.best = metric.filter(|_| is_best).or(self.best);
                }
                // Stopped half-way: there are no figures, but the weights are kept.
                Ok(None) => {}
                // The images are finite, so the scores that cannot be ranked are the network's doing.
                Err(Error::Metric(_)) => return Err(self.diverged("the network's output is NaN")),
                Err(error) => return Err(error),
            }
        } else if !is_stopped {
            self.validated = Some(self.step);
        }
        // Once for each epoch, also where a validation was cut off and is made again.
        if let Some(metric) = of_patches.filter(|_| self.validated == Some(self.step)) {
            self.scheduler.observe(metric);
        }
        // What was saved meanwhile is counted as that.
        self.seconds.validation += began.elapsed().as_secs_f64() - (self.seconds.saving - saving);
        let empty =
            self.idle.empty_batches - std::mem::replace(&mut self.reported_empty, self.idle.empty_batches);
        if empty > 0 {
            self.progress.warn(format!("batches in which no voxel counts, with a loss of 0: {empty}"));
        }
        self.save_last(metric)?;
        if self.schedule.is_due(epoch) && self.validated == Some(self.step) {
            self.write_page();
        }
        Ok(())
    }

    /// Loss and Dice on the fixed sample.
    fn patch_figures(&self) -> Result<PatchFigures> {
        let of_training_cases = self.setup.validation.is_empty();
        let cases = self.setup.validated_cases();
        let mut config = self.setup.config.clone();
        config.augmentation.enabled = false;
        let sampler = Sampler::new(cases.iter(), self.setup.plan.patch_size, &config);
        let batch = config.data.batch();
        let batches = sample_batches(config.training.steps_per_epoch as u64);
        let classes = &self.setup.preparation.reader.description.classes;
        let mut matrix = ConfusionMatrix::new(classes.len()).ignore_label(IGNORE);
        let untouched = Decision::untouched(self.objective.config(), self.setup.plan.model.out_channels);
        let (mut sum, mut counted) = (0.0, 0u64);
        for number in 0..batches {
            let Batch { image, labels, .. } = sampler.batch(FIRST_SAMPLE + number)?;
            let tape = Tape::no_grad();
            let scales = self.model.forward_scales(tape.constant(image))?;
            let (loss, is_empty) = self.objective.forward(&scales, &labels)?;
            if !is_empty {
                sum += f64::from(loss.item());
                counted += 1;
            }
            let labels: Vec<i32> = labels.iter().collect();
            matrix.update(&labels, &untouched.classes(scales[0].value().data()))?;
        }
        let learnt = self.objective.learnt();
        let class = |class: usize| {
            let counts = matrix.binary(class);
            PatchClass { name: classes[class].clone(), counts, patch_dice: counts.dice() }
        };
        Ok(PatchFigures {
            patches: batches as usize * batch,
            of_training_cases,
            loss: sum / counted.max(1) as f64,
            // What could not be learnt has no figures.
            classes: (1..classes.len()).filter(|&c| learnt[c]).map(class).collect(),
        })
    }

    /// Predicts whole cases as `trainer predict` does, each by one of the ranks; none if any rank was stopped.
    fn validate(&mut self, go_on: &dyn Fn() -> bool) -> Result<Option<Validated>> {
        let on_training_cases = self.setup.validation.is_empty();
        let cases = self.setup.validated_cases();
        let names = &self.setup.preparation.reader.description.classes;
        let voxels =
            cases.iter().map(|case| case.summary().grids.part_shape().iter().product::<usize>()).sum();
        let channels = self.setup.plan.model.out_channels;
        let learnt = self.objective.learnt();
        let mut whole = WholeCases::new((names, &learnt), channels, voxels, &self.setup.folder);
        let (pipeline, model, progress, ranks) =
            (&self.pipeline, &self.model, &mut self.progress, &self.setup.ranks);
        let patches = |case: &PreparedCase| pipeline.window.patches(case.summary().shape) as u64;
        let own = cases.iter().skip(ranks.rank()).step_by(ranks.size());
        let (total, mut before) = (own.map(patches).sum(), 0);
        let are_predicted = whole.share(
            ranks,
            cases.len(),
            |number| Ok(&cases[number]),
            |whole, case| {
                let spill = whole.predict(pipeline, model, case, None, |done, _| {
                    progress.validating(case.name(), before + done as u64, total);
                    go_on()
                });
                before += patches(case);
                match spill {
                    Err(_) if !go_on() => Ok(None),
                    spill => spill.map(Some),
                }
            },
        )?;
        if !are_predicted {
            return Ok(None);
        }
        if !ranks.is_first() {
            return Ok(Some(Validated::Elsewhere));
        }
        let inference = &self.setup.config.inference;
        let decide = |evidence: Evidence<'_>| match on_training_cases {
            true => self.pipeline.decision.clone(),
            false => Decision::configured(inference, self.objective.config(), channels, evidence),
        };
        let asked = Asked::of(inference);
        let found = whole.finish(&Choices { asked, decide: &decide, on_training_cases })?;
        Ok(Some(Validated::Here(Box::new(found))))
    }

    /// Takes what a validation chose, and keeps the weights if they are the best so far; gives the metric.
    fn take_validation(&mut self, epoch: u64, validation: ValidationFigures) -> Result<Option<f64>> {
        self.progress.println(format!("\nepoch {epoch}, {validation}"));
        let metric = validation.metric(self.aim()).filter(|_| !validation.on_training_cases);
        let (_, is_best) = self.judge(metric)?;
        let judged = Judged { validation: &validation, metric, since_best: self.since_best };
        self.write_log("validation", &Event { epoch, step: self.step, figures: &judged })?;
        let learnt = validation.classes.iter().filter(|class| class.learnt);
        let scores = learnt.map(|class| (class.name.as_str(), &class.histogram));
        if let Some(log) = &mut self.log {
            log.pr_curves(self.step, validation.on_training_cases, scores)?;
        }
        if !validation.on_training_cases {
            let asked = Asked::of(&self.setup.config.inference);
            let classes = &self.setup.preparation.reader.description.classes;
            self.pipeline.decision = validation.decision.clone();
            self.pipeline.postprocessing =
                ByClass::new(&classes[1..], &asked, &[validation.postprocess.as_ref()]);
            self.postprocess.clone_from(&validation.postprocess);
        }
        if is_best || self.best.is_none() {
            self.keep_report(epoch, metric, &validation)?;
        }
        self.validation = Some(validation);
        if is_best {
            self.best = metric;
            self.save_best(metric)?;
        }
        Ok(metric)
    }

    /// Counts a validation with the metric that the first rank found; whether the model is the best so far.
    fn judge(&mut self, own: Option<f64>) -> Result<(Option<f64>, bool)> {
        let ranks = &self.setup.ranks;
        let said: Vec<u8> = own.into_iter().flat_map(f64::to_le_bytes).collect();
        let metric = ranks.of_first(&said)?.try_into().ok().map(f64::from_le_bytes);
        let is_best = metric.is_some() && metric > self.best;
        self.since_best = if is_best { 0 } else { self.since_best + 1 };
        self.validated = Some(self.step);
        Ok((metric, is_best))
    }

    /// Keeps what a report shows of the model, which is the best, or the last as long as none is; and its first picture.
    fn keep_report(&mut self, epoch: u64, value: Option<f64>, validation: &ValidationFigures) -> Result<()> {
        let judgement = Judgement { epoch, step: self.step, metric: self.metric(), value };
        let reader = &self.setup.preparation.reader;
        let report = validation.model_report(judgement, self.setup.validated_cases(), reader)?;
        if let Some(png) = report.pictures.first().and_then(Picture::file) {
            rename_into_place(&self.setup.folder.join(SLICES), |out| out.write_all(&png))?;
        }
        self.report = Some(serde_json::to_vec(&report).expect("a report is plain data"));
        Ok(())
    }

    /// What the threshold is chosen for, where it is chosen.
    pub(super) fn aim(&self) -> Option<Aim> {
        let inference = &self.setup.config.inference;
        matches!(inference.threshold, Auto::Word(_)).then_some(inference.aim)
    }
}
