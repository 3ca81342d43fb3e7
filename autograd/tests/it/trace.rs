//! What a trace says of a process is what the process holds. In a process of its own, because the counts are the process'.

use autograd::{Tape, Tensor, buffer};
use proptest::prelude::*;
use rusty_fork::rusty_fork_test;

/// A pass over tensors on both sides of what the recycler cuts and joins, with scratch memory of several sizes.
fn work() {
    let sizes = [3 << 20, 5 << 18, 70_000, 9 << 18, 300, 1 << 20];
    let weights: Vec<Tensor> = sizes.iter().map(|&len| Tensor::zeros([len])).collect();
    for _ in 0..3 {
        for (i, weight) in weights.iter().enumerate() {
            let tape = Tape::<f32>::train(0);
            let x = tape.variable(weight.clone());
            let y = (0..3).fold(x.clone(), |y, _| y.sigmoid());
            let scratch = [2 * i, i, 7 - i].map(|size| buffer::Scratch::<f32>::new((size + 1) * 150_000));
            let gradients = (y.clone() * y).sum().backward();
            drop(scratch);
            assert!(gradients.wrt(&x).is_some());
        }
    }
}

rusty_fork_test! {
    #[test]
    fn a_trace_says_to_the_byte_what_a_process_holds_and_nothing_stays() {
        let ((), trace) = buffer::traced(work);
        let (usage, most) = (buffer::usage(), trace.peak());
        // Small blocks are in the trace and not on the list.
        let small = 16 << 10;
        assert!((usage.peak_live..usage.peak_live + small).contains(&most.live), "{usage:?} {most:?}");
        assert!((usage.peak_held..usage.peak_held + small).contains(&most.held), "{usage:?} {most:?}");
        assert_eq!(usage.live, most.scratch);
        buffer::release_unused();
        let usage = buffer::usage();
        assert_eq!((usage.live, usage.cached), (0, 0));
    }
}

/// Tensors of so many numbers: constant ones, and ones in proportion.
fn sized(size: usize) {
    let weight = Tensor::<f32>::zeros([50_000]);
    let kept: Vec<Tensor> = (1..=4).map(|i| Tensor::scratch([i * size])).collect();
    buffer::part();
    for tensor in kept.into_iter().rev() {
        let mut scratch = buffer::Scratch::<f32>::new(9000);
        scratch.fill(0.0);
        drop(tensor.clone().scaled(2.0));
    }
    drop(weight);
}

fn trace(size: usize) -> buffer::Trace {
    buffer::traced(|| sized(size)).1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_trace_is_the_same_whatever_the_process_holds(size in 1usize..100_000, held in 1usize..1_000_000) {
        let before = trace(size).peak();
        let _held = Tensor::<f32>::zeros([held]);
        drop(Tensor::<f32>::zeros([2 * held]));
        prop_assert_eq!(trace(size).peak(), before);
    }

    #[test]
    fn more_is_never_found_for_less(size in 1usize..2_000_000) {
        let [less, more] = [trace(size), trace(size + 4096)].map(|trace| trace.peak());
        prop_assert!(less.live <= more.live && more.live <= more.held && more.held <= more.live / 4 * 5 + 4, "{less:?} {more:?}");
    }
}

#[test]
fn a_trace_inside_another_is_its_own() {
    let (inner, outer) = buffer::traced(|| buffer::traced(|| sized(50_000)).1);
    assert_eq!(inner.peak(), trace(50_000).peak());
    assert_eq!(outer.peak().held, 0);
}
