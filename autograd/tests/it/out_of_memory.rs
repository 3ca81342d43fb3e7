//! Memory that cannot be had is a panic that says how much was asked for. In a process of its own, for it
//! reads the process' count of memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use autograd::{OutOfMemory, Tape, Tensor, buffer};
use rayon::prelude::*;
use rusty_fork::rusty_fork_test;

/// Representable, but more than any machine's addresses.
const ABSURD: usize = 1 << 46;

fn failure<R>(f: impl FnOnce() -> R) -> OutOfMemory {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("{ABSURD} numbers were had") };
    *payload.downcast::<OutOfMemory>().expect("the payload says what could not be had")
}

rusty_fork_test! {
    #[test]
    fn a_block_that_cannot_be_had_is_a_panic_with_its_size_and_the_process_goes_on() {
        let before = buffer::usage();
        assert_eq!(failure(|| Tensor::<f32>::zeros([ABSURD])).bytes, 4 * ABSURD);
        assert_eq!(failure(|| Tensor::<f64>::scratch([ABSURD])).bytes, 8 * ABSURD);
        assert_eq!(failure(|| buffer::Bytes::scratch(ABSURD)).bytes, ABSURD);
        assert_eq!(failure(|| buffer::vec_with_capacity::<u8>(1 << 50)).bytes, 1 << 50);
        // More bytes than a size can be: still no other kind of failure.
        assert_eq!(failure(|| buffer::Buffer::<f32>::scratch(usize::MAX / 2)).bytes, usize::MAX);
        // What was not had counts neither as live nor as a peak, which would allow as much memory to be cached.
        assert_eq!(buffer::usage(), before);

        // An operation's result: here the tape is in the middle of a pass.
        let tape = Tape::<f32>::train(0);
        let x = tape.variable(Tensor::zeros([2]));
        failure(|| x.clone().pad(0, ABSURD, 0));
        assert_eq!(x.sum().backward().global_norm(), 0.0);

        // It crosses threads, as often as it is asked for, and the threads stay in use.
        for _ in 0..3 {
            failure(|| (0..64).into_par_iter().map(|_| Tensor::<f32>::zeros([ABSURD])).collect::<Vec<_>>());
        }
        assert_eq!((0..64usize).into_par_iter().map(|i| Tensor::<f32>::zeros([i]).numel()).sum::<usize>(), 2016);
    }
}
