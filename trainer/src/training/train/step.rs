//! One step, and what is said of one whose numbers are not finite.

use autograd::{NonFinite, Pass};
use nn::Module;

use super::passes::PassSettings;
use super::{Passes, Run};
use crate::config::NonFiniteStep;
use crate::random::{Purpose, key};
use crate::training::Batch;
use crate::{Error, Result};

/// After so many steps in a row without a finite loss and gradient a run is given up, also one that leaves them out.
const MOST_BAD_STEPS: u64 = 20;

impl Run {
    /// One forward and backward pass and a step of the optimiser; returns the loss.
    pub(super) fn one_step(&mut self, batch: &Batch, lr: f64) -> Result<f64> {
        let config = &self.setup.config;
        let (clip, watched) = (config.optimizer.clip_norm, config.training.check_numerics);
        let Passes { loss, is_empty, gradients, fault, waited } = self.passes(batch, watched)?;
        let own = [batch.empty_patches() as f64, f64::from(u8::from(fault.is_some())), waited[0], waited[1]];
        let said = self.setup.ranks.gather_numbers(&own)?;
        let said = said.as_chunks::<4>().0;
        self.idle.empty_patches += said.iter().map(|[empty, ..]| empty).sum::<f64>() as u64;
        let is_faulty = said.iter().any(|&[_, fault, ..]| fault > 0.0);
        if let Some(exchange) = &mut self.exchange {
            // Others wait for the rank that computes longest, too; that one waits for what travels alone.
            let least = |i: usize| said.iter().map(|of_rank| of_rank[i]).fold(f64::INFINITY, f64::min);
            exchange.count(least(2) + least(3));
        }
        self.idle.empty_batches += u64::from(is_empty);
        let Some(mut gradients) = gradients else { return Ok(loss) };
        let norm = if clip > 0.0 { gradients.clip_global_norm(clip) } else { gradients.global_norm() };
        if !loss.is_finite() || !norm.is_finite() || is_faulty {
            self.leave_out(batch, loss, norm, (fault, is_faulty))?;
            return Ok(loss);
        }
        self.idle.left_out_in_a_row = 0;
        self.optimizer.set_lr(lr);
        self.optimizer.step(&mut self.model, &gradients);
        Ok(loss)
    }

    fn passes(&self, batch: &Batch, watched: bool) -> Result<Passes> {
        let training = &self.setup.config.training;
        let key = key(training.seed, Purpose::Dropout, self.step);
        let (ranks, samples) = (&self.setup.ranks, self.setup.config.data.batch());
        let settings = PassSettings { accumulate: training.accumulate, key, watched, ranks, samples };
        Passes::of(&self.model, &self.objective, settings, &batch.image, &batch.labels)
    }

    /// Says what is wrong with a step; an error unless such steps are to be left out.
    /// `is_faulty` says whether a rank has found where.
    fn leave_out(
        &mut self,
        batch: &Batch,
        loss: f64,
        norm: f64,
        (fault, is_faulty): (Option<NonFinite>, bool),
    ) -> Result<()> {
        // The same step again, watched: it is a function of the weights, the batch and the step's number.
        let fault = if is_faulty { fault } else { self.passes(batch, true)?.fault };
        let step = self.step + 1;
        let (ranks, is_found) = (&self.setup.ranks, fault.is_some());
        let own = [&[u8::from(is_found)], self.first(batch, fault).as_bytes()].concat();
        let found = ranks.gather(&own)?;
        // That of the first sample, as far as ranks have samples in order.
        let first = found.iter().find(|said| said[0] == 1).unwrap_or(&found[0]);
        let patches = ranks.gather(self.patches(batch).as_bytes())?;
        let (first, patches) = (&first[1..], patches.join(&b", "[..]));
        let [first, patches] = [first, &patches].map(String::from_utf8_lossy);
        let what = format!("step {step}: loss {loss}, gradient norm {norm}; {first}; the batch is {patches}");
        self.idle.left_out += 1;
        self.idle.left_out_in_a_row += 1;
        let training = &self.setup.config.training;
        let lr = self.setup.config.optimizer.lr;
        match training.non_finite {
            NonFiniteStep::Stop => Err(Error::Diverged(format!(
                "{what}. The checkpoints before are whole. Lower optimizer.lr ({lr:e}), or leave such steps out with training.non_finite = \"skip\""
            ))),
            NonFiniteStep::Skip if self.idle.left_out_in_a_row >= MOST_BAD_STEPS => {
                Err(Error::Diverged(format!(
                    "{what}. It is number {MOST_BAD_STEPS} in a row that is left out: lower optimizer.lr ({lr:e})"
                )))
            }
            NonFiniteStep::Skip => {
                self.progress.warn(format!("{what}: the step is left out"));
                Ok(())
            }
        }
    }

    /// Where numbers first were not finite, in words.
    fn first(&self, batch: &Batch, fault: Option<NonFinite>) -> String {
        if !batch.image.is_finite() {
            return "the batch's intensities are not finite before the network sees them".into();
        }
        let Some(NonFinite { operation, pass, shape, parameter }) = fault else {
            return "no single operation's numbers are not finite, only their sum".into();
        };
        let named = self.model.named_parameters();
        let name = named.iter().find(|(_, of_model)| Some(of_model.id()) == parameter).map(|(name, _)| name);
        let name = name.map_or("no parameter", String::as_str);
        match (pass, operation) {
            (Pass::Backward, "parameter") => format!("first not finite is the gradient of {name} {shape:?}"),
            (Pass::Forward, _) => format!("first not finite is the value of {operation} {shape:?} at {name}"),
            (Pass::Backward, _) => {
                format!("first not finite is the gradient of the value of {operation} {shape:?} at {name}")
            }
        }
    }

    /// The cases and places of a batch, in words.
    fn patches(&self, batch: &Batch) -> String {
        let place = |patch: &crate::training::PatchPlace| {
            format!("case {} at {:?} (d, h, w)", self.setup.training[patch.case].name(), patch.offset)
        };
        batch.patches.iter().map(place).collect::<Vec<_>>().join(", ")
    }
}
