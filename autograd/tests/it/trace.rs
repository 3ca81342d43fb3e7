//! What a trace says of a process is what the process holds. In a process of its own, because the counts are the process'.

use autograd::{Tape, Tensor, buffer};
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
