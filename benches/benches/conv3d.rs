//! Convolution against the machine's limit, measured in the same run.
//!
//! `cargo bench -p benches --bench conv3d` prints, for each pass and algorithm, the rate and its share of the limit: a loop
//! of multiply-adds in registers, on all threads, timed in turns with the pass. Rates count the operations of the direct
//! sum, so Winograd's exceed the limit. Then what normalisation and activation on load and sums on store add, and
//! Criterion's own figures (elements are floating-point operations).

use autograd::buffer::Buffer;
use autograd::simd;
use benches::limits::{arithmetic, beside};
use criterion::{Criterion, Throughput};
use nn::kernels::Affine;
use nn::kernels::activation::Activation;
use nn::kernels::conv3d::{self, Conv3dShape, Conv3dSpec, ConvAlgorithm, Epilogue, Source, Target};

/// Prints the rate of `pass` and its share of the limit.
fn share(name: &str, flops: u64, pass: impl FnMut()) {
    let (fastest, limit) = beside(arithmetic, pass);
    let rate = flops as f64 / fastest.as_secs_f64();
    println!("{name}: {:.0} of {:.0} GFLOP/s, {:.0} %", rate / 1e9, limit / 1e9, 100.0 * rate / limit);
}

/// Numbers where a tensor keeps them: on a cache line's boundary.
fn numbers(len: usize) -> Buffer<f32> {
    let mut numbers = Buffer::scratch(len);
    numbers.iter_mut().enumerate().for_each(|(i, number)| *number = (i % 17) as f32 - 8.0);
    numbers
}

fn passes(c: &mut Criterion) {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    let sizes = [
        (32, 32, [32, 128, 128]),
        (16, 16, [64, 128, 128]),
        (64, 64, [32, 64, 64]),
        (128, 128, [16, 32, 32]),
        (256, 256, [8, 16, 16]),
        (1, 16, [32, 128, 128]),
        (1, 32, [32, 128, 128]),
    ];
    for (ci, co, input) in sizes {
        let shape = Conv3dShape::new(1, input, ci, co, spec).expect("a 3x3x3 window fits");
        let (x, weight, dy) = (numbers(shape.x_len()), numbers(shape.weight_len()), numbers(shape.y_len()));
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), weight.clone());
        let sources = &[Source::plain(&x, ci)];
        let mut group = c.benchmark_group(format!("{ci}->{co} {input:?}"));
        group.sample_size(10).throughput(Throughput::Elements(shape.flops()));
        for algorithm in [ConvAlgorithm::Direct, ConvAlgorithm::Winograd] {
            let shape = shape.with_algorithm(algorithm);
            let name = format!("{ci}->{co} {input:?} {algorithm:?}").to_lowercase();
            let mut forward = || {
                conv3d::forward(&shape, sources, &weight, None, &mut y, Epilogue::Nothing);
            };
            share(&format!("{name} forward"), shape.flops(), &mut forward);
            group.bench_function(format!("{algorithm:?} forward"), |b| b.iter(&mut forward));
            let mut backward_input = || {
                let targets = &mut [Target { y: &mut dx, channels: ci }];
                conv3d::backward_input(&shape, &weight, &dy, targets, Epilogue::Nothing);
            };
            share(&format!("{name} gradient of the input"), shape.flops(), &mut backward_input);
            group.bench_function(format!("{algorithm:?} gradient of the input"), |b| {
                b.iter(&mut backward_input);
            });
            let mut backward_weight = || conv3d::backward_weight(&shape, sources, &dy, &mut dw);
            share(&format!("{name} gradient of the weight"), shape.flops(), &mut backward_weight);
            group.bench_function(format!("{algorithm:?} gradient of the weight"), |b| {
                b.iter(&mut backward_weight);
            });
        }
        group.finish();
    }
}

/// What normalised inputs and sums on the way cost beside the plain convolution, timed in turns.
fn fused() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    use ConvAlgorithm::{Direct, Winograd};
    for (algorithm, channels, input) in [
        (Winograd, 16, [64, 128, 128]),
        (Winograd, 32, [32, 128, 128]),
        (Winograd, 32, [96, 96, 96]),
        (Winograd, 64, [32, 64, 64]),
        (Winograd, 64, [48; 3]),
        (Winograd, 128, [24; 3]),
        (Direct, 32, [32, 128, 128]),
        (Direct, 64, [48; 3]),
    ] {
        let shape = Conv3dShape::new(1, input, channels, channels, spec).expect("a 3x3x3 window fits");
        let shape = shape.with_algorithm(algorithm);
        let (x, weight) = (numbers(shape.x_len()), numbers(shape.weight_len()));
        let (mut y, mut dw) = (x.clone(), weight.clone());
        let ones = vec![1.0; channels];
        let affine = Affine::new(channels, &ones, &ones, &ones, Activation::LeakyRelu { slope: 0.01 });
        let plain = Source::plain(&x, channels);
        let source = Source { affine: Some(&affine), ..plain };
        let price = |name: &str, with: &mut dyn FnMut(bool)| {
            let mut fastest = [f64::MAX; 2];
            for turn in 0..24 {
                let start = std::time::Instant::now();
                with(turn % 2 == 1);
                let spent = start.elapsed().as_secs_f64();
                fastest[turn % 2] = fastest[turn % 2].min(spent);
            }
            let [without, with] = fastest.map(|s| 1e3 * s);
            println!(
                "{algorithm:?}, {channels} channels {input:?} {name}: {with:.1} ms instead of {without:.1}, {:+.1} %",
                100.0 * (with / without - 1.0)
            );
        };
        price("norm and activation on load, statistics on store", &mut |fused| {
            let (source, epilogue) =
                if fused { (source, Epilogue::Moments) } else { (plain, Epilogue::Nothing) };
            conv3d::forward(&shape, &[source], &weight, None, &mut y, epilogue);
        });
        price("gradient of the weight, norm and activation on load", &mut |fused| {
            let source = if fused { source } else { plain };
            conv3d::backward_weight(&shape, &[source], &x, &mut dw);
        });
        price("gradient of the input, led through the activation with its sums", &mut |fused| {
            let epilogue =
                if fused { Epilogue::Gradient { x: &x, affine: &affine } } else { Epilogue::Nothing };
            let targets = &mut [Target { y: &mut y, channels }];
            conv3d::backward_input(&shape, &weight, &x, targets, epilogue);
        });
    }
}

fn main() {
    println!("instruction set {}, {} threads", simd::active(), rayon::current_num_threads());
    let mut criterion = Criterion::default().configure_from_args();
    fused();
    passes(&mut criterion);
    criterion.final_summary();
}
