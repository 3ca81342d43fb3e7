//! How much memory a training step or a prediction takes, without taking it.
//!
//! The passes are replayed on a tape of block sizes ([`tape`]): operations allocate, keep and drop what their namesakes do,
//! so deferred normalisations, the two sources of a decoder's convolution, recomputation and gradients in place are all
//! counted as they are. Scratch memory comes from the kernels' own sizes, for the active instruction set.
//!
//! Blocks in use are counted to a few tenths of a per cent. Between them lie blocks that wait to be used again
//! ([`autograd::buffer`]): up to a quarter, of which a sixth is taken as the rule. The program itself and the threads' stacks
//! are not counted.

mod ledger;
mod network;
mod operations;
mod tape;

use std::iter::Sum;

use serde::Serialize;

use self::ledger::{Kind, Ledger};
use self::tape::{Extent, Pass, Tape, Var};
use crate::{Error, UNet3dConfig, Upsampling};

/// What a pass is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The size `[d, h, w]` of a patch.
    pub patch: [usize; 3],
    /// Patches in a batch.
    pub batch: usize,
    /// Terms of the loss: each keeps numbers in the shape of the logits. 2 for the sum of Dice and cross-entropy.
    pub loss_terms: usize,
    /// Numbers that the optimiser remembers of each weight: 2 for Adam.
    pub slots: usize,
    /// Threads of the pool that the kernels run in.
    pub threads: usize,
}

/// One block in so many lies idle, measured over networks of every kind: between 4 % and 25 % of what is in use, about a
/// sixth in most.
const IDLE: usize = 6;

/// The most numbers of a tensor: sums of many such are numbers of bytes still.
const MOST_NUMBERS: usize = 1 << 46;

/// Bytes by kind, at the moment when they are most together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StepMemory {
    /// The weights, and running statistics.
    pub weights: usize,
    /// The weights' gradients.
    pub gradients: usize,
    /// What the optimiser remembers.
    pub optimizer: usize,
    /// The batch, and what the forward pass made that is kept or in use.
    pub activations: usize,
    /// Gradients of activations, and tensors of one operation.
    pub passing: usize,
    /// The kernels' scratch memory: packed and transformed weights and inputs, partial sums.
    pub scratch: usize,
    /// Blocks that wait to be used again.
    pub idle: usize,
}

impl StepMemory {
    /// All kinds together.
    pub fn total(&self) -> usize {
        self.in_use() + self.idle
    }

    fn in_use(&self) -> usize {
        let Self { weights, gradients, optimizer, activations, passing, scratch, idle: _ } = *self;
        weights + gradients + optimizer + activations + passing + scratch
    }
}

impl UNet3dConfig {
    /// The numbers that a network of this configuration learns.
    ///
    /// ```
    /// let config = unet3d::UNet3dConfig { base_channels: 2, levels: 2, ..Default::default() };
    /// assert_eq!(config.parameters(), 1235);
    /// ```
    pub fn parameters(&self) -> usize {
        let block = |level: usize, from: usize| {
            let (to, taps) = (self.channels(level), self.kernel(level).iter().product::<usize>());
            let projection = if self.residual && from != to { from * to } else { 0 };
            taps * (from + to) * to + 4 * to + projection
        };
        let up = |level: usize| {
            let taps = match self.upsampling {
                Upsampling::Transposed => self.stride(level).iter().product(),
                Upsampling::Trilinear => 1,
            };
            (taps * self.channels(level + 1) + 1) * self.channels(level)
        };
        let head = |level: usize| (self.channels(level) + 1) * self.out_channels;
        let above = |level: usize| if level == 0 { self.in_channels } else { self.channels(level - 1) };
        let down = sum(0..self.levels, |level| block(level, above(level)));
        let back = sum(0..self.levels - 1, |level| up(level) + block(level, 2 * self.channels(level)));
        let heads = if self.deep_supervision { sum(1..self.levels - 1, head) } else { 0 };
        down + back + heads + head(0)
    }

    /// The most memory that a training step takes: forward pass, loss, backward pass and optimiser.
    ///
    /// # Errors
    /// If the configuration is not [valid](Self::validated), or the patch does not [fit](Self::check_size), or the batch is
    /// larger than any memory.
    pub fn training_memory(&self, load: Load) -> Result<StepMemory, Error> {
        self.check_load(load)?;
        let ledger = Ledger::default();
        let tape = Tape::new(ledger.clone(), true, load.threads);
        let extent = Extent { n: load.batch, size: load.patch, channels: self.in_channels };
        let _labels = ledger.bytes(Kind::Forward, extent.voxels());
        let scales = network::run(self, &tape, batch(&tape, extent), self.deep_supervision);
        let pass = Pass::new(ledger.clone());
        let mut roots = Vec::new();
        let mut labels = Vec::new();
        for (scale, logits) in scales.iter().enumerate() {
            if scale > 0 {
                labels.push(ledger.bytes(Kind::Forward, logits.extent.voxels()));
            }
            let node = logits.node().expect("a tape that records");
            roots.extend((0..load.loss_terms).map(|_| (node, tape.tensor(logits.extent))));
        }
        drop(scales);
        tape.backward(&pass, roots);
        Ok(self.memory(&ledger, load.slots))
    }

    /// The most memory that a forward pass takes which keeps nothing, of one batch.
    ///
    /// # Errors
    /// As [`training_memory`](Self::training_memory).
    pub fn inference_memory(&self, load: Load) -> Result<StepMemory, Error> {
        self.check_load(load)?;
        let ledger = Ledger::default();
        let tape = Tape::new(ledger.clone(), false, load.threads);
        let extent = Extent { n: load.batch, size: load.patch, channels: self.in_channels };
        network::run(self, &tape, batch(&tape, extent), false);
        Ok(self.memory(&ledger, 0))
    }

    fn check_load(&self, Load { patch, batch, .. }: Load) -> Result<(), Error> {
        self.clone().validated()?.check_size(patch)?;
        let widest = (0..self.levels).map(|level| 2 * self.channels(level)).max().unwrap_or(0);
        let sizes =
            [batch, patch[0], patch[1], patch[2], widest.max(self.in_channels).max(self.out_channels)];
        let numbers = sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
        if numbers.is_some_and(|numbers| numbers <= MOST_NUMBERS) {
            return Ok(());
        }
        let message =
            format!("of {patch:?} in batches of {batch} is larger than any memory: use a smaller one");
        Err(Error::Config { field: "patch", message })
    }

    fn memory(&self, ledger: &Ledger, slots: usize) -> StepMemory {
        let [activations, passing, gradients] = ledger.peak();
        let weights = self.parameters() * size_of::<f32>();
        let (optimizer, scratch) = (slots * weights, ledger.scratch_bytes());
        let memory = StepMemory { weights, gradients, optimizer, activations, passing, scratch, idle: 0 };
        StepMemory { idle: memory.in_use() / IDLE, ..memory }
    }
}

fn batch(tape: &Tape, extent: Extent) -> Var {
    tape.constant(tape.tensor(extent), extent)
}

fn sum<S: Sum>(levels: std::ops::Range<usize>, of: impl Fn(usize) -> S) -> S {
    levels.map(of).sum()
}
