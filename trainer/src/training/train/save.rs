//! Checkpoints of a run under way.

use std::fs;
use std::time::Instant;

use nn::Module;
use volumes::files::sync_folder;

use super::Run;
use crate::predict::{ModelCard, NetworkCard, PreparationKind, Tensors};
use crate::report::LogWriter;
use crate::run::checkpoint::{BEST, CHECKPOINTS, Checkpoint, LAST, PREVIOUS, State, publish};
use crate::training::setup::digest;
use crate::{Error, Result};

impl Run {
    /// Whether it is time for a checkpoint in the midst of an epoch.
    pub(super) fn is_save_due(&self) -> bool {
        let training = &self.setup.config.training;
        let steps = training.checkpoint_steps as u64;
        let minutes = training.checkpoint_minutes;
        steps > 0 && self.step.is_multiple_of(steps)
            || minutes > 0.0 && self.saved.elapsed().as_secs_f64() > 60.0 * minutes
    }

    pub(super) fn save_last(&mut self, metric: Option<f64>) -> Result<()> {
        let began = Instant::now();
        self.write_last(metric)?;
        self.seconds.saving += began.elapsed().as_secs_f64();
        Ok(())
    }

    fn write_last(&mut self, metric: Option<f64>) -> Result<()> {
        if !self.setup.ranks.is_first() {
            return Ok(());
        }
        // Where a model is best, the report is of that one.
        let report = self.report.clone().filter(|_| self.best.is_none());
        let (checkpoint, folder) = self.checkpoint(metric, report)?;
        if std::mem::take(&mut self.setup.abandons_last) {
            // What a run did not go on from is not kept as the one before: it may be damaged.
            return checkpoint.save(&folder.join(LAST));
        }
        checkpoint.save_keeping(&folder.join(LAST), &folder.join(PREVIOUS))
    }

    pub(super) fn save_best(&mut self, metric: Option<f64>) -> Result<()> {
        if !self.setup.ranks.is_first() {
            return Ok(());
        }
        let began = Instant::now();
        let (checkpoint, folder) = self.checkpoint(metric, self.report.clone())?;
        checkpoint.save(&folder.join(BEST))?;
        publish(&self.setup.folder, false)?;
        self.seconds.saving += began.elapsed().as_secs_f64();
        Ok(())
    }

    /// What "best" is judged by, in words.
    pub(super) fn metric(&self) -> String {
        match self.aim() {
            Some(aim) if self.setup.plan.model.out_channels == 1 => {
                format!("how well {aim} is served on the validation cases, at the threshold chosen for it")
            }
            _ => "mean Dice of the foreground classes over the validation cases".to_owned(),
        }
    }

    /// What the run is now, and the folder of its checkpoints, which exists.
    fn checkpoint(
        &mut self,
        metric: Option<f64>,
        report: Option<Vec<u8>>,
    ) -> Result<(Checkpoint, std::path::PathBuf)> {
        let state = State {
            step: self.step,
            seconds: self.progress.elapsed().as_secs_f64(),
            config: self.setup.config.to_toml(),
            metric: self.metric(),
            metric_now: metric,
            metric_best: self.best,
            validated: self.validated == Some(self.step),
            idle: self.idle,
            plateau: *self.scheduler.state(),
            log_bytes: self.log.as_ref().map_or(0, LogWriter::bytes),
        };
        let weights: Tensors = self.model.state_dict().into_iter().collect();
        if let Some((name, _)) = weights.iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(self.diverged(&format!("{name} is no longer finite")));
        }
        let network = NetworkCard {
            name: String::new(),
            steps: self.step,
            digest: format!("{:08x}", digest(&weights)),
            loss: Some(self.objective.config().clone()),
            plan: self.setup.plan.clone(),
            preparation: PreparationKind::Trainer(self.setup.preparation.clone()),
            decision: self.pipeline.decision.clone(),
            postprocessing: self.postprocess.clone(),
        };
        let card = ModelCard::of(network, self.setup.config.inference.clone());
        let optimizer = self.optimizer.state(&self.model).into_iter().collect();
        self.saved = Instant::now();
        let folder = self.setup.folder.join(CHECKPOINTS);
        self.log.as_ref().map_or(Ok(()), LogWriter::sync)?;
        if !folder.is_dir() {
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
            sync_folder(&self.setup.folder)?;
        }
        Ok((Checkpoint { state, card, weights, optimizer, report }, folder))
    }
}
