//! What a run will do and take, for people and for programs, before it does.

use std::fmt;

use memory::{Machine, in_words};
use serde::Serialize;

use crate::config::{Auto, Config, Word};
use crate::preprocess::{CaseReader, CaseSummary, Fit, Preprocessing};
use crate::report::table;
use crate::run::{Facts, Plan};
use crate::training::{CaseMemory, MemoryProbe, PredictionMemory, TrainingMemory};
use crate::{Error, Result};

/// Of the memory that can be had, an automatic plan leaves a tenth to others, and to the estimate's error.
const SHARE: f64 = 0.9;
const MEGABYTE: f64 = (1u64 << 20) as f64;

/// A plan with what it will take.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The patch and the network.
    pub plan: Plan,
    /// What there is to say of it.
    pub outlook: Outlook,
}

/// See the header. Bytes are measured on small patches of the network; see [`MemoryProbe`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// What is done to cases, in words.
    pub cases_are: String,
    /// The spacing `[d, h, w]` in mm that cases are resampled to, if they are.
    pub spacing: Option<[f64; 3]>,
    /// The median shape `[d, h, w]` of the training volumes.
    pub median_shape: [usize; 3],
    /// Their median spacing in mm.
    pub median_spacing: [f64; 3],
    /// The size `[d, h, w]` of a patch.
    pub patch_size: [usize; 3],
    /// Whether the configuration says so.
    pub patch_is_given: bool,
    /// Patches in a batch.
    pub batch_size: usize,
    /// Into how many parts it is divided, of which one is kept at a time.
    pub accumulate: usize,
    /// Into how many it can be.
    pub most_parts: usize,
    /// Each resolution, finest first.
    pub levels: Vec<Level>,
    /// Numbers that are learnt.
    pub parameters: usize,
    /// Whether each level is computed again in the backward pass.
    pub recomputes: bool,
    /// What training takes at its peak.
    pub training: TrainingMemory,
    /// What predicting the largest case takes at its peak.
    pub prediction: PredictionMemory,
    /// What there is.
    pub machine: Machine,
    /// Bytes that the configuration allows, if it does not leave that open.
    pub budget: Option<usize>,
    /// Whether training fits both; `None` where neither is known.
    pub fits: Option<bool>,
}

/// A resolution of the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Channels.
    pub channels: usize,
    /// Voxels `[d, h, w]` of a patch.
    pub size: [usize; 3],
    /// The convolutions' kernel.
    pub kernel: [usize; 3],
    /// The step to the next level; `None` for the last.
    pub stride: Option<[usize; 3]>,
}

impl Settled {
    /// On this machine, for training and validation cases that are known; `before` is a plan that was made already, with the
    /// configuration's batch. `in_files` is where their voxels are.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_cases(
        cases: &[Vec<CaseSummary>; 2],
        in_files: bool,
        reader: &CaseReader,
        config: &Config,
        before: Option<Plan>,
    ) -> Result<Self> {
        let [training, validation] = cases;
        let classes = reader.description.num_classes();
        let fit = Fit::new(config.data.normalization, &reader.description);
        let memory = CaseMemory::of(training, validation, classes);
        let memory = memory.sampling_foreground(fit.foreground_channels());
        let memory = if in_files { memory.in_files() } else { memory };
        let facts = Facts::of(training, classes);
        let (preprocessing, machine) = (reader.preprocessing, Machine::here());
        match before {
            Some(plan) => Self::of(plan, config.data.batch(), facts, config, &memory, preprocessing, machine),
            None => Self::new(facts, config, &memory, preprocessing, machine),
        }
    }

    /// Chooses what the configuration leaves open, within its voxels and its memory.
    ///
    /// # Errors
    /// If a patch or network that the user chose does not fit together.
    pub fn new(
        facts: Facts,
        config: &Config,
        cases: &CaseMemory,
        preprocessing: Preprocessing,
        machine: Machine,
    ) -> Result<Self> {
        let limit = match config.data.memory {
            Auto::Value(_) => config.data.budget(),
            Auto::Word(Word::Auto) => machine.available.map(|bytes| (bytes as f64 * SHARE) as usize),
            Auto::Word(Word::None) => None,
        };
        let probe = MemoryProbe::new(config, config.training.pool_threads(), machine);
        let fits = |plan: &Plan, batch: usize| {
            let Some(limit) = limit else { return Ok(true) };
            Ok(TrainingMemory::new(plan, batch, cases, &probe)?.total <= limit)
        };
        let (plan, batch) = Plan::within(facts, config, fits)?;
        Self::measured(plan, batch, facts, config, cases, preprocessing, machine, &probe)
    }

    /// Of a plan that was made before.
    ///
    /// # Errors
    /// If its patch does not fit its network.
    pub fn of(
        plan: Plan,
        batch_size: usize,
        facts: Facts,
        config: &Config,
        cases: &CaseMemory,
        preprocessing: Preprocessing,
        machine: Machine,
    ) -> Result<Self> {
        let probe = MemoryProbe::new(config, config.training.pool_threads(), machine);
        Self::measured(plan, batch_size, facts, config, cases, preprocessing, machine, &probe)
    }

    fn measured(
        plan: Plan,
        batch_size: usize,
        facts: Facts,
        config: &Config,
        cases: &CaseMemory,
        preprocessing: Preprocessing,
        machine: Machine,
        probe: &MemoryProbe<'_>,
    ) -> Result<Self> {
        let training = TrainingMemory::new(&plan, batch_size, cases, probe)?;
        let prediction = PredictionMemory::new(&plan, cases, probe)?;
        let budget = config.data.budget();
        let limit = [budget, machine.available].into_iter().flatten().min();
        let outlook = Outlook {
            cases_are: preprocessing.to_string(),
            spacing: preprocessing.spacing,
            median_shape: facts.shape,
            median_spacing: facts.spacing,
            patch_size: plan.patch_size,
            patch_is_given: config.data.patch_size.value().is_some(),
            batch_size,
            accumulate: config.training.accumulate,
            most_parts: if config.model.norm == unet3d::Norm::Batch { 1 } else { batch_size },
            levels: levels(&plan),
            parameters: plan.model.parameters(),
            recomputes: plan.model.checkpointing == unet3d::Checkpointing::Level,
            training,
            prediction,
            machine,
            budget,
            fits: limit.map(|limit| training.total <= limit),
        };
        Ok(Self { plan, outlook })
    }

    /// As one of several ranks that share batches of this size has it; the memory is that of its own samples.
    #[must_use]
    pub fn of_rank(mut self, batch_size: usize) -> Self {
        let outlook = &mut self.outlook;
        outlook.batch_size = batch_size;
        outlook.training = outlook.training.of_rank(outlook.parameters);
        let limit = [outlook.budget, outlook.machine.available].into_iter().flatten().min();
        outlook.fits = limit.map(|limit| outlook.training.total <= limit);
        self
    }

    /// The configuration with every choice of the plan in it, for a file that can be edited.
    pub fn written(&self, config: &Config) -> Config {
        let (mut config, model) = (config.clone(), &self.plan.model);
        config.data.spacing = self.outlook.spacing.map_or(Auto::Word(Word::None), Auto::Value);
        config.data.patch_size = Auto::Value(self.plan.patch_size);
        config.data.batch_size = Auto::Value(self.outlook.batch_size);
        config.model.levels = Auto::Value(model.levels);
        config.model.strides = Auto::Value(model.strides.clone());
        config.model.kernels = Auto::Value(model.kernels.clone());
        config
    }
}

fn levels(plan: &Plan) -> Vec<Level> {
    let model = &plan.model;
    let mut size = plan.patch_size;
    let level = |i: usize| {
        let stride = (i + 1 < model.levels).then(|| model.stride(i));
        let level = Level { channels: model.channels(i), size, kernel: model.kernel(i), stride };
        size = std::array::from_fn(|a| size[a] / stride.map_or(1, |stride| stride[a]));
        level
    };
    (0..model.levels).map(level).collect()
}

impl Outlook {
    /// Refuses a run that does not fit.
    ///
    /// # Errors
    /// With what it takes, what there is, and what would make it smaller.
    pub fn check(&self) -> Result<()> {
        if self.fits != Some(false) {
            return Ok(());
        }
        let limits = match (self.budget, self.machine.available) {
            (Some(budget), available) if available.is_none_or(|available| available >= budget) => {
                format!("the limit is {}", in_words(budget))
            }
            _ => self.machine.to_string(),
        };
        let mut remedies = Vec::new();
        if self.batch_size > 1 {
            remedies.push(format!("data.batch_size = {}", self.batch_size / 2));
        }
        if self.accumulate < self.most_parts {
            remedies.push(format!("training.accumulate = {}", self.most_parts));
        }
        let voxels: usize = self.patch_size.iter().product();
        remedies.push(match self.patch_is_given {
            true => "a smaller data.patch_size".to_owned(),
            false => format!("data.patch_voxels = {} (a patch holds {voxels})", voxels / 2),
        });
        remedies.push(format!("model.base_channels = {}", (self.levels[0].channels / 2).max(1)));
        if !self.recomputes {
            remedies.push("model.checkpointing = \"level\"".to_owned());
        }
        if self.training.cases > self.training.total / 4 {
            remedies.push("--cache DIR, which keeps the cases in files,".to_owned());
        }
        let message = format!(
            "training takes about {} at its peak ({} of them for the cases), but {limits}: take {}, or --force to try",
            in_words(self.training.total),
            in_words(self.training.cases),
            remedies.join(" or ")
        );
        Err(Error::config("data.memory", message))
    }

    /// The sentence on whether it fits.
    pub fn verdict(&self) -> String {
        let needed = format!("training takes about {}", in_words(self.training.total));
        let has = self.machine;
        let limit =
            self.budget.map_or(String::new(), |budget| format!(", the limit is {}", in_words(budget)));
        let fits = match self.fits {
            Some(true) => ": it fits",
            Some(false) => ": it does not fit",
            None => "",
        };
        format!("{needed}, {has}{limit}{fits}")
    }
}

/// As a page.
impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |size: [usize; 3]| size.map(|n| n.to_string()).join(" x ");
        let spacing = self.median_spacing.map(|s| ((s * 1e3).round() / 1e3).to_string()).join(" x ");
        writeln!(f, "cases are {}", self.cases_are)?;
        writeln!(f, "their median is {} voxels of {spacing} mm (d, h, w)", by(self.median_shape))?;
        let parts = match self.accumulate {
            1 => String::new(),
            parts => format!(", passed in {parts} parts"),
        };
        writeln!(f, "patches of {} voxels, {} in a batch{parts}\n", by(self.patch_size), self.batch_size)?;
        let row = |(i, level): (usize, &Level)| {
            let stride = level.stride.map_or_else(String::new, by);
            vec![i.to_string(), level.channels.to_string(), by(level.size), by(level.kernel), stride]
        };
        let rows = self.levels.iter().enumerate().map(row).collect();
        table(f, &["level", "channels", "voxels", "kernel", "step"], rows, 0)?;
        writeln!(f, "{} parameters\n", self.parameters)?;
        let TrainingMemory { step, .. } = &self.training;
        let alone = &self.prediction;
        let kinds = [
            ("cases", self.training.cases, alone.image),
            ("batches that lie ready", self.training.batches, 0),
            ("weights", step.weights, alone.step.weights),
            ("optimiser", step.optimizer, 0),
            ("activations and gradients", step.tensors, alone.step.tensors),
            ("kernels' scratch memory", step.scratch, alone.step.scratch),
            ("blocks that wait", step.idle, alone.step.idle),
            ("validation", self.training.between, 0),
            ("gradients between ranks", self.training.exchange, 0),
            ("sums of logits, mask", 0, alone.sums + alone.mask),
            ("program", self.training.program, alone.program),
            ("peak", self.training.total, alone.total),
        ];
        let number = |bytes: usize| match bytes {
            0 => String::new(),
            bytes => format!("{:.0}", bytes as f64 / MEGABYTE),
        };
        let kinds = kinds.iter().filter(|&&(_, a, b)| a + b > 0);
        let rows = kinds.map(|&(kind, a, b)| vec![kind.to_owned(), number(a), number(b)]).collect();
        table(f, &["memory in MB", "training", &format!("predicting {}", by(alone.shape))], rows, 1)?;
        write!(f, "{}", self.verdict())
    }
}
