//! Prints, as a Markdown table, how many independent tasks each operation of the reference U-Net offers and how even they
//! are: what a machine with many cores can use. The numbers are functions of shape and instruction set.

use autograd::parallel::SLAB;
use autograd::simd;
use clap::Parser;
use nn::kernels::conv_transpose3d::{self, ConvTranspose3dShape, ConvTranspose3dSpec};
use nn::kernels::conv3d::{self, Conv3dShape, Conv3dSpec};
use nn::kernels::linear::{self, LinearShape};
use nn::kernels::tasks::Tasks;

/// Lists the tasks of each operation of a training step.
#[derive(Parser)]
struct Args {
    /// n,c,d,h,w
    #[arg(long, default_value = "1,1,96,96,96")]
    shape: String,
    #[arg(long, default_value_t = 32)]
    base: usize,
    #[arg(long, default_value_t = 4)]
    levels: usize,
}

fn row(operation: &str, share: f64, phases: &[Tasks]) {
    let phase = |t: &Tasks| format!("{} {} ({:.0} %)", t.count, t.phase, 100.0 * t.evenness);
    let phases: Vec<String> = phases.iter().map(phase).collect();
    println!("| {operation} | {share:.1} % | {} |", phases.join(", "));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let dims: Vec<usize> = args.shape.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let [n, c, d, h, w]: [usize; 5] = dims.try_into().map_err(|_| "--shape wants n,c,d,h,w")?;
    let step: [usize; 3] = if d.is_multiple_of(1 << (args.levels - 1)) { [2; 3] } else { [1, 2, 2] };
    let size = |level: usize| -> [usize; 3] {
        std::array::from_fn(|a| [d, h, w][a] / step[a].pow(u32::try_from(level).expect("a few levels")))
    };
    let channels = |level: usize| args.base << level;

    let spec = Conv3dSpec::new([3; 3]).same_padding();
    let mut convolutions = vec![];
    for level in 0..args.levels {
        let above = if level == 0 { c } else { channels(level - 1) };
        let below = (level + 1 < args.levels).then(|| 2 * channels(level));
        for ci in
            [Some(above), Some(channels(level)), below, below.map(|_| channels(level))].into_iter().flatten()
        {
            convolutions.push((format!("convolution {ci} to {}", channels(level)), level, ci, spec));
        }
    }
    let total: f64 = convolutions
        .iter()
        .map(|&(_, level, ci, spec)| {
            Conv3dShape::new(n, size(level), ci, channels(level), spec).map(|s| s.flops() as f64)
        })
        .sum::<Result<f64, _>>()?;

    println!("instruction set {}\n", simd::active());
    println!("| operation | share of the multiply-adds | tasks (mean work over largest) |\n|---|---|---|");
    for (name, level, ci, spec) in convolutions {
        let shape = Conv3dShape::new(n, size(level), ci, channels(level), spec)?;
        let share = 100.0 * shape.flops() as f64 / total / 3.0;
        let at = format!("{:?}", size(level));
        row(&format!("{name} at {at}, forward"), share, &conv3d::forward_tasks::<f32>(&shape));
        if ci > 1 {
            row("– gradient of the input", share, &conv3d::backward_input_tasks::<f32>(&shape));
        }
        row("– gradient of the weight", share, &conv3d::backward_weight_tasks::<f32>(&shape));
    }
    for level in (1..args.levels).rev() {
        let spec = ConvTranspose3dSpec { stride: step, ..ConvTranspose3dSpec::new(step) };
        let shape = ConvTranspose3dShape::new(n, size(level), channels(level), channels(level - 1), spec)?;
        let share = 100.0 * shape.flops() as f64 / total / 3.0;
        let [forward, input, weight] = conv_transpose3d::tasks::<f32>(&shape);
        let name = format!("transposed {} to {} at {:?}", channels(level), channels(level - 1), size(level));
        row(&format!("{name}, each part forward"), share, &[forward]);
        row("– gradient of the input", share, &[input]);
        row("– gradient of the weight", share, &[weight]);
    }
    let head = Conv3dShape::new(n, size(0), args.base, 1, Conv3dSpec::new([1; 3]))?;
    row("head, each pass", 100.0 * head.flops() as f64 / total / 3.0, &conv3d::forward_tasks::<f32>(&head));
    let numbers = n * d * h * w * args.base;
    let slabs = |phase| Tasks {
        phase,
        count: numbers.div_ceil(SLAB),
        evenness: numbers as f64 / (numbers.div_ceil(SLAB) * SLAB) as f64,
    };
    row("gradient of a norm at full resolution", 0.0, &[slabs("slabs")]);
    // No part of the network: the same maps of the voxels' channels as an operation on rows.
    let rows = LinearShape::new(n * d * h * w, args.base, args.base)?;
    let [forward, input, weight] = linear::tasks::<f32>(&rows);
    row(&format!("linear {0} to {0} of {1} rows, forward", args.base, n * d * h * w), 0.0, &forward);
    row("– gradient of the input", 0.0, &input);
    row("– gradient of the weight", 0.0, &weight);
    Ok(())
}
