//! One training step of the reference U-Net, timed: prints one JSON line.
//!
//! The net, the loss (BCE with pos_weight 10) and the optimiser (Adam, 1e-3) are those that PyTorch is measured with; two
//! steps warm up before the clock counts.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use autograd::{Tape, Tensor};
use benches::Profile;
use clap::Parser;
use losses::{BceWithLogits, Loss};
use nn::functional::Activation;
use nn::optim::{AdamConfig, OptimizerConfig};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use unet3d::{Checkpointing, UNet3d, UNet3dConfig};

/// Times training steps, or forward passes, of the reference U-Net.
#[derive(Parser)]
struct Args {
    /// n,c,d,h,w
    #[arg(long, default_value = "1,1,64,64,64")]
    shape: String,
    #[arg(long, default_value_t = 16)]
    base: usize,
    #[arg(long, default_value_t = 4)]
    levels: usize,
    #[arg(long, default_value_t = 5)]
    steps: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Forward passes only.
    #[arg(long)]
    infer: bool,
    /// Computes each level again in the backward pass instead of keeping it.
    #[arg(long)]
    checkpointing: bool,
    /// Instead of a leaky ReLU: relu, gelu, silu.
    #[arg(long, value_parser = activation)]
    activation: Option<Activation>,
    /// Residual blocks.
    #[arg(long)]
    residual: bool,
    /// Prints the share of a step's time by operation, to standard error.
    #[arg(long)]
    profile: bool,
}

fn activation(name: &str) -> Result<Activation, serde_json::Error> {
    serde_json::from_value(name.into())
}

/// The keys of the program that measures PyTorch.
#[derive(Serialize)]
struct Line {
    engine: String,
    mode: String,
    shape: String,
    base: usize,
    levels: usize,
    infer: bool,
    threads: usize,
    median_s: f64,
    min_s: f64,
    gflops: Option<f64>,
    peak_rss_mb: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let dims: Vec<usize> = args.shape.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let [n, c, d, h, w]: [usize; 5] = dims.try_into().map_err(|_| "--shape wants n,c,d,h,w")?;

    let halves = d.is_multiple_of(1 << (args.levels - 1));
    let strides = if halves { Vec::new() } else { vec![[1, 2, 2]; args.levels - 1] };
    let default = UNet3dConfig::default();
    let config = UNet3dConfig {
        activation: args.activation.unwrap_or(default.activation),
        residual: args.residual,
        in_channels: c,
        base_channels: args.base,
        max_channels: usize::MAX,
        levels: args.levels,
        strides,
        checkpointing: if args.checkpointing { Checkpointing::Level } else { Checkpointing::None },
        ..default
    };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut model = UNet3d::<f32>::new(config, &mut rng)?;
    let image = Tensor::from_fn([n, d, h, w, c], |_| rng.random_range(-1.7..1.7));
    let target = Tensor::from_fn([n, d, h, w, 1], |_| f32::from(u8::from(rng.random_bool(0.01))));
    let loss = BceWithLogits::new().pos_weight(10);
    let mut adam = OptimizerConfig::Adam(AdamConfig { lr: 1e-3, ..Default::default() }).build()?;

    let mut seconds = Vec::new();
    let profile = Arc::new(Mutex::new(Profile::default()));
    let mut faults = 0;
    for step in 0..args.steps + 2 {
        if step == 2 {
            faults = benches::page_faults();
        }
        let start = Instant::now();
        if args.infer {
            let tape = Tape::no_grad();
            model.forward(tape.constant(image.clone()))?;
        } else {
            let tape = Tape::train(step as u64);
            let profile = (args.profile && step >= 2).then_some(&profile);
            if let Some(profile) = profile {
                profile.lock().expect("no panic while it is held").start();
                let profile = Arc::clone(profile);
                tape.observe(move |event| {
                    profile.lock().expect("no panic while it is held").operation(event);
                });
            }
            let logits = model.forward(tape.constant(image.clone()))?;
            let gradients = loss.forward(&logits, &target)?.backward();
            drop(logits);
            adam.step(&mut model, &gradients);
            if let Some(profile) = profile {
                profile.lock().expect("no panic while it is held").add("optimiser".into());
            }
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    let mut timed = seconds.split_off(2);
    timed.sort_by(f64::total_cmp);
    let middle = (timed.len() - 1) / 2;
    let median = (timed[middle] + timed[timed.len() / 2]) / 2.0;
    let passes = if args.infer { 1 } else { 3 };
    let flops = halves.then(|| passes * benches::conv_flops(args.base, args.levels, n * d * h * w, c, 1));
    let line = Line {
        engine: format!("this {}", env!("CARGO_PKG_VERSION")),
        mode: autograd::simd::active().to_string(),
        shape: args.shape,
        base: args.base,
        levels: args.levels,
        infer: args.infer,
        threads: args.threads,
        median_s: median,
        min_s: timed[0],
        gflops: flops.map(|f| f as f64 / median / 1e9),
        peak_rss_mb: benches::peak_rss_mb(),
    };
    if args.profile {
        profile.lock().expect("no panic while it is held").print();
        let faults = (benches::page_faults() - faults) as f64 / args.steps as f64;
        eprintln!("page faults a step after the second: {faults}");
        eprintln!("{:?}", autograd::buffer::usage());
    }
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}
