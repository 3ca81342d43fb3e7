//! How much memory a pass holds. In a process of its own, because the count is the process'.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use autograd::{Backward, Function, Tape, Tensor, buffer};
use rusty_fork::rusty_fork_test;

/// The identity; notes the live bytes when its backward pass begins.
struct Gauge(Arc<AtomicUsize>);

impl Function<f32, 1> for Gauge {
    fn forward(&self, [x]: [&Tensor; 1], _: [bool; 1]) -> (Tensor, ()) {
        (x.clone(), ())
    }
}

impl Backward<f32, 1> for Gauge {
    type Saved = ();
    fn backward(&self, (): (), dy: Tensor, _: [bool; 1]) -> [Option<Tensor>; 1] {
        self.0.store(buffer::usage().live, Ordering::Relaxed);
        [Some(dy)]
    }
}

rusty_fork_test! {
    #[test]
    fn the_backward_pass_frees_activations_and_writes_gradients_in_place() {
        const NUMBERS: usize = 1 << 18;
        const BYTES: usize = NUMBERS * size_of::<f32>();
        const LAYERS: usize = 10;
        let start = buffer::usage().live;
        let live = || buffer::usage().live - start;

        let tape = Tape::train(0);
        let x = tape.variable(Tensor::zeros([NUMBERS]));
        let at_the_end = Arc::new(AtomicUsize::new(0));
        let y = tape.apply(Gauge(at_the_end.clone()), [x]);
        assert_eq!(live(), BYTES);
        // Each layer saves its result, which is also the next one's input.
        let y = (0..LAYERS).fold(y, |y, _| y.sigmoid());
        let loss = y.sum();
        assert_eq!(live(), LAYERS * BYTES, "the input was needed by nobody, and is gone");

        let peak_before = buffer::usage().peak_live;
        let gradients = loss.backward();
        assert_eq!(at_the_end.load(Ordering::Relaxed) - start, BYTES, "only the gradient is left");
        let growth = buffer::usage().peak_live - peak_before;
        assert!(growth <= BYTES, "one gradient beside the activations, not {growth} bytes");
        drop(gradients);
        assert_eq!(live(), 0);

        // Without gradients two buffers take turns.
        let peak = Arc::new(AtomicUsize::new(0));
        let tape = Tape::<f32>::no_grad();
        let watch = |y| {
            peak.fetch_max(live(), Ordering::Relaxed);
            y
        };
        (0..LAYERS).fold(tape.constant(Tensor::zeros([NUMBERS])), |y, _| watch(y.sigmoid()));
        assert_eq!(peak.load(Ordering::Relaxed), BYTES);
    }
}
