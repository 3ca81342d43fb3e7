//! How long the pieces of a run take on this machine: each is done a few times as a run does it, on numbers that are made up.

use std::cell::Cell;
use std::time::{Duration, Instant};

use losses::LossConfig;
use serde::Serialize;
use unet3d::UNet3d;

use super::trial::{Trial, network};
use crate::Result;
use crate::config::{Config, Inference, Mirror};
use crate::dataset::Description;
use crate::predict::{Asked, ByClass, Decision, Evidence, Pipeline, SlidingWindow};
use crate::preprocess::{Case, CaseSummary, Preparation, PreparedCase};
use crate::run::Plan;
use crate::training::train::with_batches;
use crate::training::{Batch, Choices, Objective, Sampler, WholeCases};

/// A piece is done so often at least and at most, for so long where it is short, and no more once it has taken so long.
const TIMES: [usize; 2] = [4, 12];
const ENOUGH: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(8);
/// Made cases are boxes of one class of so many voxels along each axis.
const BOX: usize = 8;

/// What steps were measured with, and the seconds of one, by the clock and of processor time.
type Measured = (Case, UNet3d<f32>, Objective, f64, f64);

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pace {
    /// Of a step, its batch being made beside it.
    pub step: f64,
    /// Of the forward pass of a window, which is weighted and added to the others.
    pub pass: f64,
    /// Of a voxel of a whole case beside that: its logits restored, gathered and spilled, its mask made, chosen for and counted.
    pub voxel: f64,
    /// Of fitting how logits are read.
    pub fit: f64,
}

impl Pace {
    /// Of a plan under a configuration that says how many patches are in a batch, for cases of this spacing `[d, h, w]` in mm.
    ///
    /// # Errors
    /// If network, loss or optimiser cannot be built, or the system refuses threads or temporary files.
    pub fn measure(plan: &Plan, config: &Config, spacing: [f64; 3]) -> Result<Self> {
        let threads = config.training.threads;
        let (case, model, objective, step, _) = Self::steps(plan, config, spacing)?;
        let pool = crate::threads::pool("training.threads", threads)?;
        let case = PreparedCase::from(case);
        let measured = pool.install(|| {
            let pass = pass(&model, config, plan.patch_size)?;
            let (voxel, fit) = whole_case(&model, objective.config(), config, &case, pass)?;
            Ok(Self { step, pass, voxel, fit })
        });
        drop(model);
        autograd::buffer::release_unused();
        measured
    }

    /// Seconds of a step alone, and those of processor time that it and the making of its batch take on all cores together.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn step(plan: &Plan, config: &Config, spacing: [f64; 3]) -> Result<[f64; 2]> {
        let (_, _, _, wall, processor) = Self::steps(plan, config, spacing)?;
        autograd::buffer::release_unused();
        Ok([wall, processor])
    }

    /// Seconds of a step, and what it was measured with.
    fn steps(plan: &Plan, config: &Config, spacing: [f64; 3]) -> Result<Measured> {
        let threads = config.training.threads;
        let case = made(plan, spacing);
        let mut trial = Trial::new(network(plan)?, plan, config)?;
        let sampler = Sampler::new([&case], plan.patch_size, config);
        // From the end of the first step on, when as many batches are made as are used.
        let mut processor = Vec::new();
        let step = with_batches(&sampler, 0..u64::MAX, threads, |batches| {
            seconds(|| {
                let Batch { image, labels, .. } = batches.recv().expect("batches come without end")?;
                trial.step(&image, &labels)?;
                processor.extend(crate::threads::processor_time());
                Ok(())
            })
        })?;
        drop(sampler);
        let threads = config.training.pool_threads() as f64;
        let processor = match processor.as_slice() {
            [first, .., last] => (last - first) / (processor.len() - 1) as f64,
            _ => step * threads,
        };
        let Trial { model, objective, .. } = trial;
        Ok((case, model, objective, step, processor))
    }

    /// Seconds of predicting a case.
    pub fn case(&self, window: &SlidingWindow, case: &CaseSummary) -> f64 {
        let voxels: usize = case.grids.part_shape().iter().product();
        window.forward_passes(case.shape) as f64 * self.pass + voxels as f64 * self.voxel
    }
}

/// The median of a few times; the first, which finds nothing in place, counts only where it is the only one.
fn seconds(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let [least, most] = TIMES;
    let (began, mut each) = (Instant::now(), Vec::new());
    while each.len() < least || each.len() < most && began.elapsed() < ENOUGH {
        let one = Instant::now();
        work()?;
        each.push(one.elapsed().as_secs_f64());
        if began.elapsed() > LONG {
            break;
        }
    }
    let first = usize::from(each.len() > 1);
    let counted = &mut each[first..];
    counted.sort_by(f64::total_cmp);
    Ok(counted[counted.len() / 2])
}

/// A case of two patches along each axis, so that patches that are turned and scaled are cut from its voxels.
fn made(plan: &Plan, spacing: [f64; 3]) -> Case {
    let (channels, classes) = (plan.model.in_channels, plan.model.out_channels.max(2));
    let shape @ [d, h, w] = plan.patch_size.map(|size| if size > 1 { 2 * size } else { 1 });
    let image = (0..d * h * w * channels).map(|i| (i % 97) as f32 / 48.0 - 1.0);
    let class = |i: usize| ((i / (h * w) / BOX + i / w % h / BOX + i % w / BOX) % classes) as u8;
    let labels = memory::collected((0..d * h * w).map(class));
    Case::from_voxels("made", shape, spacing, memory::collected(image), Some(labels))
}

fn pass(model: &UNet3d<f32>, config: &Config, patch: [usize; 3]) -> Result<f64> {
    let Inference { overlap, mirror, .. } = config.inference;
    let window = SlidingWindow { patch, overlap, mirror: mirror.axes() };
    let image = memory::filled(0.5, patch.iter().product::<usize>() * model.config().in_channels);
    let all = seconds(|| window.stream(model, &image, patch, |_, _| true, |_| {}))?;
    Ok(all / window.forward_passes(patch) as f64)
}

/// Of a voxel, and of the fit.
fn whole_case(
    model: &UNet3d<f32>,
    loss: &LossConfig,
    config: &Config,
    case: &PreparedCase,
    pass: f64,
) -> Result<(f64, f64)> {
    let (channels, shape, scratch) =
        (model.config().out_channels, case.summary().shape, std::env::temp_dir());
    let names: Vec<String> = (0..channels.max(2)).map(|class| class.to_string()).collect();
    let learnt = vec![true; names.len()];
    // Side by side the windows of a made case are eight at most.
    let window =
        SlidingWindow { patch: shape.map(|size| size.div_ceil(2)), overlap: 0.0, mirror: Mirror::NONE };
    let pipeline = Pipeline {
        preparation: Preparation::none(Description::new(&[], &[])),
        window,
        decision: Decision::untouched(loss, channels),
        postprocessing: ByClass::default(),
    };
    let voxels = case.summary().voxels();
    let fit = Cell::new(Duration::ZERO);
    let decide = |evidence: Evidence<'_>| {
        let began = Instant::now();
        let decision = Decision::configured(&config.inference, loss, channels, evidence);
        fit.set(began.elapsed());
        decision
    };
    let asked = Asked::of(&config.inference);
    let all = seconds(|| {
        let mut whole = WholeCases::new((&names, &learnt), channels, voxels, &scratch);
        let spill = whole.predict(&pipeline, model, case, None, |_, _| true)?;
        whole.add(case, spill)?;
        whole.finish(&Choices { asked, decide: &decide, on_training_cases: false }).map(drop)
    })?;
    let fit = fit.get().as_secs_f64();
    let passes = window.forward_passes(shape) as f64 * pass;
    Ok(((all - fit - passes).max(0.0) / voxels as f64, fit))
}
