//! Convolution against the machine's limit, measured in the same run.
//!
//! `cargo bench -p benches --bench conv3d` prints Criterion's throughput (elements are floating-point
//! operations) and, for each pass, the share of the limit: a loop of multiply-adds in registers, on all
//! threads, timed in turns with the pass, so that other load on the machine hits both.

use std::hint::black_box;
use std::time::{Duration, Instant};

use autograd::simd::{self, Job, Simd};
use criterion::{Criterion, Throughput};
use nn::kernels::conv3d::{self, Conv3dShape, Conv3dSpec};
use rayon::prelude::*;

/// Multiply-adds on 12 independent vectors: enough to hide a latency of 4 cycles at two a cycle.
struct MultiplyAdds(usize);

impl Job<f32> for MultiplyAdds {
    type Output = (f32, u64);

    #[inline(always)]
    fn run<S: Simd<Elem = f32>>(self, s: S) -> (f32, u64) {
        const CHAINS: usize = 12;
        let mut sums = [s.splat(1.0); CHAINS];
        let (a, b) = (s.splat(black_box(0.999)), s.splat(black_box(0.001)));
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, a, b);
            }
        }
        let total = sums.into_iter().fold(s.zero(), |total, sum| total + sum);
        (s.sum(total), (2 * CHAINS * S::LANES * self.0) as u64)
    }
}

/// Floating-point operations a second, on all threads.
fn limit() -> f64 {
    let start = Instant::now();
    let threads = rayon::current_num_threads();
    let run = |_| simd::dispatch(MultiplyAdds(black_box(8_000_000))).1;
    let operations: u64 = (0..threads).into_par_iter().with_max_len(1).map(run).sum();
    operations as f64 / start.elapsed().as_secs_f64()
}

/// Prints the best of a few runs of `pass` and its share of the best limit between them.
fn share(name: &str, flops: u64, mut pass: impl FnMut()) {
    pass();
    let (mut fastest, mut best_limit) = (Duration::MAX, limit());
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1200) {
        let turn = Instant::now();
        pass();
        fastest = fastest.min(turn.elapsed());
        best_limit = best_limit.max(limit());
    }
    let rate = flops as f64 / fastest.as_secs_f64();
    println!(
        "{name}: {:.0} of {:.0} GFLOP/s, {:.0} %",
        rate / 1e9,
        best_limit / 1e9,
        100.0 * rate / best_limit
    );
}

fn benches(c: &mut Criterion) {
    println!("instruction set {}, {} threads", simd::active(), rayon::current_num_threads());
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    let sizes = [
        (32, 32, [32, 128, 128]),
        (16, 16, [64, 128, 128]),
        (64, 64, [32, 64, 64]),
        (128, 128, [16, 32, 32]),
        (256, 256, [8, 16, 16]),
        (1, 32, [32, 128, 128]),
    ];
    for (ci, co, input) in sizes {
        let shape = Conv3dShape::new(1, input, ci, co, spec).expect("a 3x3x3 window fits");
        let numbers =
            |len: usize| autograd::Tensor::from_vec([len], (0..len).map(|i| (i % 17) as f32 - 8.0).collect());
        let (x, weight, dy) = (numbers(shape.x_len()), numbers(shape.weight_len()), numbers(shape.y_len()));
        let (x, weight, dy) = (x.data(), weight.data(), dy.data());
        let (mut y, mut dx, mut dw) = (dy.to_vec(), x.to_vec(), weight.to_vec());
        let name = format!("{ci}->{co} {input:?}");
        let mut group = c.benchmark_group(&name);
        group.sample_size(10).throughput(Throughput::Elements(shape.flops()));
        let mut forward = || conv3d::forward(&shape, x, weight, None, &mut y);
        share(&format!("{name} forward"), shape.flops(), &mut forward);
        group.bench_function("forward", |b| b.iter(&mut forward));
        let mut backward_input = || conv3d::backward_input(&shape, weight, dy, &mut dx);
        share(&format!("{name} backward_input"), shape.flops(), &mut backward_input);
        group.bench_function("backward_input", |b| b.iter(&mut backward_input));
        let mut backward_weight = || conv3d::backward_weight(&shape, x, dy, &mut dw);
        share(&format!("{name} backward_weight"), shape.flops(), &mut backward_weight);
        group.bench_function("backward_weight", |b| b.iter(&mut backward_weight));
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    benches(&mut criterion);
    criterion.final_summary();
}
