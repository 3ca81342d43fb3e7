//! What the passes of a network hold: found by doing them.
//!
//! A network is built and trained for two steps, with the run's loss, optimiser and threads, on patches of two sizes: the
//! smallest that it takes, and a larger one that costs a fraction of a second. What they ask for is noted and played in the sizes of
//! the run ([`autograd::buffer::traced`]). The random numbers are the measurement's own, and its memory is given back.

use std::cell::RefCell;
use std::rc::Rc;

use autograd::Tensor;
use autograd::buffer::{self, Trace};
use losses::Labels;
use memory::Machine;
use nn::Module;
use serde::Serialize;
use unet3d::{UNet3d, UNet3dConfig};

mod growth;

use super::trial::{Trial, network};
use crate::config::{Config, Mirror};
use crate::predict::SlidingWindow;
use crate::run::Plan;
use crate::{Error, Result};

/// The patches of a step that is measured have at most so many voxels times squared channels at full resolution: a tenth of a second. Few channels count as [`FEW`], or thin networks would be measured on patches that take much memory.
const MOST_WORK: usize = 10 << 20;
const FEW: usize = 8;

/// Copies of the weights that training holds: themselves, gradients, what Adam remembers, and a checkpoint's.
const TRAINING: usize = 5;
/// And predicting: themselves, and those that are read.
const PREDICTING: usize = 2;
/// What is taken to be there where the machine does not tell.
const UNTOLD: usize = 8 << 30;

/// Bytes that passes hold at most, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepMemory {
    /// The weights, and running statistics.
    pub weights: usize,
    /// What the optimiser remembers.
    pub optimizer: usize,
    /// The batch, activations, and gradients of both weights and activations, when they are most together.
    pub tensors: usize,
    /// The kernels' scratch memory: packed and transformed weights and inputs, partial sums.
    pub scratch: usize,
    /// Blocks that wait to be used again.
    pub idle: usize,
}

impl StepMemory {
    /// All kinds together.
    pub fn total(&self) -> usize {
        let Self { weights, optimizer, tensors, scratch, idle } = *self;
        weights + optimizer + tensors + scratch + idle
    }

    /// Of a trace whose first part makes the weights, and whose second one the optimiser's memory if it is `training`.
    fn of(trace: &Trace, training: bool) -> Self {
        let peak = trace.peak();
        let weights = peak.parts[0];
        let optimizer = if training { peak.parts[1] - weights } else { 0 };
        let tensors = peak.live.saturating_sub(weights + optimizer + peak.scratch);
        Self { weights, optimizer, tensors, scratch: peak.scratch, idle: peak.held - peak.live }
    }
}

/// Measures the networks of a configuration, each once.
#[derive(Debug)]
pub struct MemoryProbe<'a> {
    config: &'a Config,
    threads: usize,
    /// Bytes that measuring may take.
    room: usize,
    training: Known,
    prediction: Known,
}

/// What was measured, by network and patches in a batch.
type Known = RefCell<Vec<((UNet3dConfig, usize), Rc<Pair>)>>;

/// Two traces and the voxels of their patches, the smaller first.
#[derive(Debug)]
struct Pair {
    traces: [Trace; 2],
    voxels: [usize; 2],
}

impl<'a> MemoryProbe<'a> {
    /// For kernels in so many threads of this machine.
    pub fn new(config: &'a Config, threads: usize, machine: Machine) -> Self {
        let room = machine.available.unwrap_or(UNTOLD);
        Self { config, threads, room, training: RefCell::default(), prediction: RefCell::default() }
    }

    /// The threads that kernels run in.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// What training on batches of so many patches holds, with validations and checkpoints between the steps. Where there is
    /// no room to measure it, that is more than there is.
    ///
    /// # Errors
    /// If network, loss or optimiser cannot be built, or the patch does not fit the network.
    pub fn training(&self, plan: &Plan, batch: usize) -> Result<StepMemory> {
        // What is held grows with the batch, once it has a second patch; in parts it grows with how many are kept.
        let measured = if self.config.training.accumulate == 1 { batch.min(2) } else { batch };
        let work = |patch| train(plan, self.config, measured, patch);
        let pair = self.pair(&self.training, plan, measured, TRAINING, work)?;
        let voxels = plan.patch_size.iter().product::<usize>() as f64;
        // Parts: the weights; a step; a validation; a step.
        let of_part = |part| if part == 2 { voxels } else { voxels * batch as f64 / measured as f64 };
        Ok(pair.map_or_else(|| self.beyond(plan, TRAINING), |pair| StepMemory::of(&pair.at(of_part), true)))
    }

    /// What predicting patch by patch holds, as [`training`](Self::training).
    ///
    /// # Errors
    /// If the network cannot be built, or the patch does not fit it.
    pub fn prediction(&self, plan: &Plan) -> Result<StepMemory> {
        let mirror = self.config.inference.mirror.axes();
        let pair = self.pair(&self.prediction, plan, 1, PREDICTING, |patch| predict(plan, mirror, patch))?;
        let voxels = plan.patch_size.iter().product::<usize>() as f64;
        Ok(pair.map_or_else(
            || self.beyond(plan, PREDICTING),
            |pair| StepMemory::of(&pair.at(|_| voxels), false),
        ))
    }

    /// What is said of a network that there is no room for.
    fn beyond(&self, plan: &Plan, copies: usize) -> StepMemory {
        let weights = weights(&plan.model);
        let least = weights.saturating_mul(copies).max(self.room.saturating_add(1));
        StepMemory { weights, tensors: least.saturating_sub(weights), ..StepMemory::default() }
    }

    /// Measures a network on so many patches at once, of whose weights `work` holds so many copies at least; `None` where there
    /// is no room for that.
    fn pair(
        &self,
        known: &Known,
        plan: &Plan,
        batch: usize,
        copies: usize,
        work: impl Fn([usize; 3]) -> Result<()> + Sync,
    ) -> Result<Option<Rc<Pair>>> {
        let model = &plan.model;
        model.check_size(plan.patch_size).map_err(|e| Error::config("data.patch_size", e.to_string()))?;
        if let Some((_, pair)) = known.borrow().iter().find(|((known, of), _)| known == model && *of == batch)
        {
            return Ok(Some(Rc::clone(pair)));
        }
        if weights(model).saturating_mul(copies) > self.room {
            return Ok(None);
        }
        let pool = crate::threads::pool("training.threads", self.threads)?;
        let trace = |patch| {
            pool.install(|| {
                let (done, trace) = buffer::traced(|| memory::within(|| work(patch)));
                done.map(|()| trace)
            })
        };
        let both = patches(model, plan.patch_size, MOST_WORK / batch);
        let traces = both.map(trace);
        buffer::release_unused();
        let [small, large] = traces;
        let traces = match (small, large) {
            (Ok(small), Ok(large)) => [small, large],
            (Err(error), _) | (_, Err(error)) if error.is_memory() => return Ok(None),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let pair = Rc::new(Pair { traces, voxels: both.map(|patch| patch.iter().product()) });
        known.borrow_mut().push(((model.clone(), batch), Rc::clone(&pair)));
        Ok(Some(pair))
    }
}

/// Bytes.
fn weights(model: &UNet3dConfig) -> usize {
    model.parameters().saturating_mul(size_of::<f32>())
}

impl Pair {
    /// The trace of patches of so many voxels in each part.
    fn at(&self, voxels: impl Fn(usize) -> f64) -> Trace {
        growth::resized(&self.traces[0], &self.traces[1], self.voxels, voxels)
    }
}

/// The smallest patch that a network takes, in about the proportions of the one that is `wanted`, and the largest up to that
/// one that is measured: larger in any case, or they would not tell what grows.
fn patches(model: &UNet3dConfig, wanted: [usize; 3], most_work: usize) -> [[usize; 3]; 2] {
    let multiples = model.multiples();
    let work = |patch: [usize; 3]| {
        patch.iter().product::<usize>().saturating_mul(model.channels(0).max(FEW).saturating_pow(2))
    };
    // The axis that is shortest beside the wanted one's.
    let grown = |mut patch: [usize; 3]| {
        let share = |&a: &usize| patch[a] as f64 / wanted[a] as f64;
        let axis = (0..3).min_by(|a, b| share(a).total_cmp(&share(b))).expect("there are three axes");
        patch[axis] += multiples[axis];
        patch
    };
    let mut small = multiples;
    while model.check_size(small).is_err() {
        small = grown(small);
    }
    let mut large = grown(small);
    while large != wanted && work(grown(large)) <= most_work {
        large = grown(large);
    }
    [small, large]
}

/// Two steps on so many patches, and between them what a run does between its steps.
fn train(plan: &Plan, config: &Config, batch: usize, patch: [usize; 3]) -> Result<()> {
    let model = network(plan)?;
    buffer::part();
    let mut trial = Trial::new(model, plan, config)?;
    let classes = plan.model.out_channels.max(2);
    for step in 0..2 {
        // Checkpoints are written between steps.
        drop((trial.model.state_dict(), trial.optimizer.state(&trial.model)));
        let [d, h, w] = patch;
        let image =
            Tensor::from_fn([batch, d, h, w, plan.model.in_channels], |i| (i % 97) as f32 / 48.0 - 1.0);
        let labels = (0..batch * d * h * w).map(|i| (i % classes) as u8).collect();
        let labels = Labels::from_vec([batch, d, h, w], labels);
        trial.step(&image, &labels)?;
        drop(image);
        buffer::part();
        if step == 0 {
            validate(plan, &trial.model, config.inference.mirror.axes(), patch)?;
            buffer::part();
        }
    }
    Ok(())
}

/// A network that is asked twice.
fn predict(plan: &Plan, mirror: Mirror, patch: [usize; 3]) -> Result<()> {
    let model = network(plan)?;
    buffer::part();
    (0..2).try_for_each(|_| validate(plan, &model, mirror, patch))
}

fn validate(plan: &Plan, model: &UNet3d<f32>, mirror: Mirror, patch: [usize; 3]) -> Result<()> {
    let volume = vec![0.5; patch.iter().product::<usize>() * plan.model.in_channels];
    SlidingWindow { patch, overlap: 0.5, mirror }.stream(model, &volume, patch, |_, _| true, |_| {})
}

#[cfg(test)]
mod tests;
