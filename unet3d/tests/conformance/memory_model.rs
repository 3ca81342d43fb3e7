//! The memory model against an allocator that counts: each configuration in a process of its own, since blocks are kept for
//! later.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use autograd::{Tape, Tensor, buffer};
use libtest_mimic::{Failed, Trial};
use losses::{DeepSupervision, DiceBce, DiceCe, Labels, Loss, Target};
use nn::Module;
use nn::layers::Activation;
use nn::optim::{AdamConfig, OptimizerConfig};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use unet3d::{Checkpointing, Load, Norm, StepMemory, UNet3d, UNet3dConfig, Upsampling};

/// How far the model may be off, of all that is allocated.
const TOLERANCE: f64 = 0.15;
/// And of the blocks in use: small ones are not counted on one side, biases' gradients not on the other.
const IN_USE_TOLERANCE: f64 = 0.02;
const MEASURE: &str = "--measure=";
const THREADS: usize = 2;

/// Bytes that are allocated, and the most that were.
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        grow(size);
        // SAFETY: the caller's.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn grow(size: usize) {
    let live = LIVE.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Case {
    name: &'static str,
    config: UNet3dConfig,
    patch: [usize; 3],
    batch: usize,
}

fn cases() -> Vec<Case> {
    let base = UNet3dConfig { base_channels: 16, levels: 4, ..Default::default() };
    let case = |name, patch, batch, config| Case { name, config, patch, batch };
    let flat = UNet3dConfig {
        levels: 4,
        kernels: vec![[1, 3, 3], [1, 3, 3], [3; 3], [3; 3]],
        strides: vec![[1, 2, 2], [1, 2, 2], [2; 3]],
        ..base.clone()
    };
    let classes = UNet3dConfig { in_channels: 3, out_channels: 6, ..base.clone() };
    vec![
        case("default", [24, 48, 48], 2, base.clone()),
        case("one_sample", [32, 64, 64], 1, base.clone()),
        case("wide", [24, 32, 32], 1, UNet3dConfig { base_channels: 32, ..base.clone() }),
        case("deep_and_small", [16; 3], 1, UNet3dConfig { base_channels: 32, levels: 4, ..base.clone() }),
        case("anisotropic", [12, 80, 96], 2, flat.clone()),
        case("odd", [10, 40, 72], 1, UNet3dConfig { levels: 2, base_channels: 12, ..base.clone() }),
        case(
            "checkpointing",
            [24, 48, 48],
            2,
            UNet3dConfig { checkpointing: Checkpointing::Level, ..base.clone() },
        ),
        case(
            "anisotropic_checkpointing",
            [12, 80, 96],
            2,
            UNet3dConfig { checkpointing: Checkpointing::Level, ..flat },
        ),
        case("classes", [24, 48, 48], 1, classes.clone()),
        case("deep_supervision", [24, 48, 48], 1, UNet3dConfig { deep_supervision: true, ..classes }),
        case("residual", [24, 48, 48], 1, UNet3dConfig { residual: true, ..base.clone() }),
        case(
            "trilinear",
            [24, 48, 48],
            1,
            UNet3dConfig { upsampling: Upsampling::Trilinear, ..base.clone() },
        ),
        case("dropout", [24, 48, 48], 1, UNet3dConfig { dropout: 0.2, ..base.clone() }),
        case("gelu", [24, 48, 48], 1, UNet3dConfig { activation: Activation::Gelu, ..base.clone() }),
        case(
            "residual_with_a_negative_leak",
            [24, 48, 48],
            1,
            UNet3dConfig { residual: true, activation: Activation::leaky_relu(-0.1), ..base.clone() },
        ),
        case("group_norm", [24, 48, 48], 1, UNet3dConfig { norm: Norm::Group(4), ..base.clone() }),
        case("batch_norm", [24, 48, 48], 2, UNet3dConfig { norm: Norm::Batch, ..base.clone() }),
        case("one_level", [24, 48, 48], 1, UNet3dConfig { levels: 1, ..base }),
    ]
}

impl Case {
    fn load(&self) -> Load {
        Load { patch: self.patch, batch: self.batch, loss_terms: 2, slots: 2, threads: THREADS }
    }

    /// Bytes that three steps took at most, beside what was there before; and the buffers among them.
    fn measure(&self, training: bool) -> [usize; 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().unwrap();
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        pool.install(|| if training { self.train() } else { self.infer() });
        [PEAK.load(Ordering::Relaxed) - before, buffer::usage().peak_live]
    }

    fn model(&self) -> UNet3d {
        UNet3d::new(self.config.clone(), &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
    }

    fn image(&self) -> Tensor {
        let [d, h, w] = self.patch;
        Tensor::from_fn([self.batch, d, h, w, self.config.in_channels], |i| (i % 97) as f32 / 48.0 - 1.0)
    }

    fn train(&self) {
        let [d, h, w] = self.patch;
        let mut model = self.model();
        let mut adam = OptimizerConfig::Adam(AdamConfig::default()).build().unwrap();
        let classes = self.config.out_channels;
        for key in 0..3 {
            let labels = (0..self.batch * d * h * w).map(|i| (i % 97 / 90) as u8).collect();
            let labels = Labels::from_vec([self.batch, d, h, w], labels);
            let tape = Tape::train(key);
            let scales = model.forward_scales(tape.constant(self.image())).unwrap();
            let loss = match scales.as_slice() {
                [logits] if classes == 1 => DiceBce::default().forward(logits, &labels).unwrap(),
                [logits] => DiceCe::default().forward(logits, &labels).unwrap(),
                scales => {
                    let at =
                        |logits: &autograd::Var<'_>| labels.resample_nearest(&logits.shape().dims()[..4]);
                    let targets: Vec<Labels> = scales.iter().map(at).collect();
                    let targets: Vec<Target<'_, f32>> = targets.iter().map(Target::from).collect();
                    DeepSupervision::new(DiceCe::default()).report(scales, &targets).unwrap().loss
                }
            };
            drop(scales);
            let mut gradients = loss.backward();
            gradients.clip_global_norm(12.0);
            adam.step(&mut model, &gradients);
        }
    }

    fn infer(&self) {
        let model = self.model();
        for _ in 0..2 {
            let tape = Tape::no_grad();
            model.forward(tape.constant(self.image())).unwrap();
        }
    }

    fn predicted(&self, training: bool) -> StepMemory {
        let (config, load) = (&self.config, self.load());
        if training { config.training_memory(load) } else { config.inference_memory(load) }.unwrap()
    }

    fn check(&self, training: bool) -> Result<(), Failed> {
        let what = format!("{MEASURE}{}{}", if training { "training:" } else { "inference:" }, self.name);
        let output = Command::new(std::env::current_exe()?).arg(what).output()?;
        let measured: Vec<f64> =
            String::from_utf8(output.stdout)?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [all, buffers] = measured[..] else { return Err("two figures are measured".into()) };
        let predicted = self.predicted(training);
        let off = |bytes: usize, measured: f64| bytes as f64 / measured - 1.0;
        let (of_all, of_buffers) =
            (off(predicted.total(), all), off(predicted.total() - predicted.idle, buffers));
        if of_all.abs() > TOLERANCE || of_buffers.abs() > IN_USE_TOLERANCE {
            let message = format!(
                "{predicted:?} for {all} bytes allocated and {buffers} in buffers at most: off by {of_all:+.3} and {of_buffers:+.3}"
            );
            return Err(message.into());
        }
        Ok(())
    }
}

/// Whether this is a process of one case; then its figures are printed.
pub(crate) fn is_measured() -> bool {
    let measured = std::env::args().find_map(|a| a.strip_prefix(MEASURE).map(str::to_owned));
    let Some(what) = measured else { return false };
    let (pass, name) = what.split_once(':').unwrap();
    let case = cases().into_iter().find(|case| case.name == name).unwrap();
    let [all, buffers] = case.measure(pass == "training");
    println!("{all} {buffers}");
    true
}

pub(crate) fn trials() -> Vec<Trial> {
    let parameters = Trial::test("memory_model::parameters_are_those_of_the_network", || {
        for case in cases() {
            let model = case.model();
            let learnt = model.named_parameters().into_iter().filter(|(_, p)| p.is_trainable());
            let numbers: usize = learnt.map(|(_, p)| p.shape().numel()).sum();
            assert_eq!(case.config.parameters(), numbers, "{}", case.name);
        }
        Ok(())
    });
    let trial = |training: bool| {
        let pass = if training { "training" } else { "inference" };
        cases().into_iter().map(move |case| {
            Trial::test(format!("memory_model::{pass}_is_predicted_for_{}", case.name), move || {
                case.check(training)
            })
        })
    };
    trial(true).chain(trial(false)).chain([parameters]).collect()
}
