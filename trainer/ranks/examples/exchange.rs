//! What it takes to add the gradients of a batch's samples in their order, beside MPI's own all-reduce of what each rank added
//! before: seconds, and bytes that a rank sends.
//!
//! ```text
//! mpirun -n 2 exchange 5600000 4            # by processes (feature mpi), 5.6 million numbers, four samples
//! mpirun -n 2 exchange 5600000 4 allreduce
//! exchange 5600000 4 threads 2              # by two threads of one process
//! ```

use std::sync::Arc;
use std::time::Instant;

use ranks::{Layout, Ranks};

/// How often it is measured, after a first time that is not.
const TIMES: u32 = 10;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, default: usize| {
        words.get(place).map_or(default, |word| word.parse().expect("a number, as in `exchange 5600000 4`"))
    };
    let (numbers, samples) = (number(0, 5_600_000), number(1, 4));
    match words.get(2).map(String::as_str) {
        Some("threads") => std::thread::scope(|scope| {
            for ranks in Ranks::in_threads(number(3, 2)) {
                scope.spawn(move || ordered(&ranks, numbers, samples));
            }
        }),
        Some("allreduce") => all_reduce(numbers, samples),
        _ => by_processes(numbers, samples),
    }
}

/// The sum in the order of the samples.
fn ordered(ranks: &Ranks, numbers: usize, samples: usize) {
    // As many arrays as a small U-Net has parameters.
    let layout = Arc::new(Layout::new([numbers / 64; 64], ranks.size()));
    let array = vec![1.0; numbers / 64];
    let (mut seconds, mut sent) = (0.0, 0);
    for time in 0..=TIMES {
        let mut sum = ranks.sum(&layout, samples);
        ranks.any(false).expect("all ranks are there");
        let (began, before) = (Instant::now(), ranks.traffic().sent);
        for sample in ranks.share(samples) {
            (0..layout.arrays()).for_each(|place| sum.give(sample, place, &array));
            sum.end_of_sample(sample);
        }
        sum.finish(|_, sums| assert!(sums.iter().all(|&sum| sum == samples as f32)))
            .expect("all ranks are there");
        if time > 0 {
            seconds += began.elapsed().as_secs_f64();
            sent = ranks.traffic().sent - before;
        }
    }
    ranks.finish().expect("all ranks are there");
    if ranks.is_first() {
        let (size, each) = (ranks.size(), seconds / f64::from(TIMES));
        println!(
            "{size} ranks, {samples} samples of {numbers} numbers, in order: {each:.4} s, {sent} bytes sent"
        );
    }
}

#[cfg(feature = "mpi")]
fn by_processes(numbers: usize, samples: usize) {
    ordered(&ranks::connect().expect("MPI is there"), numbers, samples);
}

/// A rank adds its samples, and MPI the sums of the ranks, in an order of its own.
#[cfg(feature = "mpi")]
fn all_reduce(numbers: usize, samples: usize) {
    use mpi::collective::SystemOperation;
    use mpi::traits::{Communicator, CommunicatorCollectives};
    let universe = mpi::initialize().expect("MPI was not started before");
    let world = universe.world();
    let (rank, size) = (world.rank() as usize, world.size() as usize);
    let own = ranks::share(rank, size, samples).len();
    let array = vec![1.0f32; numbers];
    let (mut all, mut seconds) = (vec![0.0f32; numbers], 0.0);
    for time in 0..=TIMES {
        world.barrier();
        let began = Instant::now();
        let mut sum = array.clone();
        for _ in 1..own {
            sum.iter_mut().zip(&array).for_each(|(sum, x)| *sum += x);
        }
        world.all_reduce_into(&sum[..], &mut all[..], SystemOperation::sum());
        assert!(all.iter().all(|&sum| sum == samples as f32));
        seconds += if time > 0 { began.elapsed().as_secs_f64() } else { 0.0 };
    }
    if rank == 0 {
        let each = seconds / f64::from(TIMES);
        println!("{size} ranks, {samples} samples of {numbers} numbers, all-reduce: {each:.4} s");
    }
}

#[cfg(not(feature = "mpi"))]
fn by_processes(numbers: usize, samples: usize) {
    println!("without the feature mpi, by two threads");
    std::thread::scope(|scope| {
        for ranks in Ranks::in_threads(2) {
            scope.spawn(move || ordered(&ranks, numbers, samples));
        }
    });
}

#[cfg(not(feature = "mpi"))]
fn all_reduce(_: usize, _: usize) {
    println!("an all-reduce is MPI's: build with --features mpi");
}
