//! What the machine can do at most, measured beside what is timed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use autograd::parallel::for_each_slab;
use autograd::simd::{self, Job, Simd};
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

/// Multiply-adds in registers: floating-point operations a second, on all threads of the pool.
pub fn arithmetic() -> f64 {
    let start = Instant::now();
    let threads = rayon::current_num_threads();
    let run = |_| simd::dispatch(MultiplyAdds(black_box(8_000_000))).1;
    let operations: u64 = (0..threads).into_par_iter().with_max_len(1).map(run).sum();
    operations as f64 / start.elapsed().as_secs_f64()
}

/// Copies of a block that no cache holds: bytes read and written a second, on all threads of the pool.
pub struct Copy {
    from: Vec<f32>,
    to: Vec<f32>,
}

impl Default for Copy {
    fn default() -> Self {
        const NUMBERS: usize = 32 << 20;
        Self { from: vec![1.0; NUMBERS], to: vec![0.0; NUMBERS] }
    }
}

impl Copy {
    /// One copy.
    pub fn measure(&mut self) -> f64 {
        let start = Instant::now();
        let from = &self.from;
        for_each_slab(&mut self.to, 64 << 10, |at, to| to.copy_from_slice(&from[at..][..to.len()]));
        (2 * size_of_val(from.as_slice())) as f64 / start.elapsed().as_secs_f64()
    }
}

/// The fastest of a few runs of `pass`, and the best `limit` between them: other load on the machine hits both.
pub fn beside(mut limit: impl FnMut() -> f64, mut pass: impl FnMut()) -> (Duration, f64) {
    pass();
    let (mut fastest, mut best) = (Duration::MAX, limit());
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(700) {
        let turn = Instant::now();
        pass();
        fastest = fastest.min(turn.elapsed());
        best = best.max(limit());
    }
    (fastest, best)
}
