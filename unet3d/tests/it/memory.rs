//! What training steps ask of the allocator. In a process of its own, because the counts are the process'.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use autograd::{Tape, Tensor, buffer};
use losses::{BceWithLogits, Loss};
use nn::functional::{
    Activation, Conv3dSpec, Input, NormKind, NormSettings, add_act, conv3d_with_stats, norm_act,
};
use nn::optim::{AdamConfig, Optimizer, OptimizerConfig};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rusty_fork::rusty_fork_test;
use unet3d::{Checkpointing, UNet3d, UNet3dConfig};

/// Allocations of 64 KiB or more.
static LARGE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's.
        unsafe { System.realloc(block, layout, size) }
    }
}

fn count(size: usize) {
    if size >= 64 << 10 {
        LARGE.fetch_add(1, Ordering::Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Run {
    model: UNet3d,
    adam: Box<dyn Optimizer<f32>>,
    image: Tensor,
    target: Tensor,
}

impl Run {
    fn new(config: UNet3dConfig) -> Self {
        let model = UNet3d::new(config, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let adam = OptimizerConfig::Adam(AdamConfig::default()).build().unwrap();
        let shape = [1, 16, 40, 48, 1];
        let image = Tensor::from_fn(shape, |i| (i % 97) as f32 / 48.0 - 1.0);
        let target = Tensor::from_fn(shape, |i| if i % 97 > 95 { 1.0 } else { 0.0 });
        Self { model, adam, image, target }
    }

    /// A step; the bytes that are held between its passes.
    fn step(&mut self, key: u64) -> usize {
        let tape = Tape::train(key);
        let logits = self.model.forward(tape.constant(self.image.clone())).unwrap();
        let loss = BceWithLogits::new().pos_weight(10).forward(&logits, &self.target).unwrap();
        let held = buffer::usage().live;
        let mut gradients = loss.backward();
        gradients.clip_global_norm(12.0);
        self.adam.step(&mut self.model, &gradients);
        held
    }
}

fn small(config: UNet3dConfig) -> UNet3dConfig {
    UNet3dConfig { base_channels: 16, levels: 4, ..config }
}

/// The bytes that a chain of residual blocks holds with its result.
fn chain(tape: &Tape, blocks: usize) -> usize {
    let numbers = |shape| Tensor::from_fn(shape, |i| (i % 97) as f32 / 48.0 - 1.0);
    let weight = tape.variable(numbers([1, 1, 1, 8, 8]));
    let mut x = Input::from(tape.constant(numbers([1, 16, 16, 16, 8])));
    for _ in 0..blocks {
        let y = conv3d_with_stats(x.clone(), weight.clone(), None, Conv3dSpec::new([1; 3]));
        let y = norm_act(y, None, None, NormSettings::new(NormKind::Instance));
        x = add_act(y, x, Activation::Relu);
    }
    let _result = x.into_var();
    buffer::usage().live
}

rusty_fork_test! {
    #[test]
    fn a_chain_of_residual_blocks_keeps_two_tensors_a_block_and_in_use_none() {
        let tensor = 16 * 16 * 16 * 8 * size_of::<f32>();
        let held = |tape: fn() -> Tape| [2, 3, 9].map(|blocks| chain(&tape(), blocks));
        // What the kernels keep is there after the first.
        let [_, few, many] = held(|| Tape::train(0));
        assert!(many - few < 12 * tensor + tensor / 2, "{few} bytes, {many} with six blocks more");
        let [_, few, many] = held(Tape::no_grad);
        assert!(many - few < tensor / 2, "{few} bytes, {many} with six blocks more");
    }

    #[test]
    fn what_no_kernel_computes_as_it_reads_is_not_kept() {
        let held = |activation, residual| {
            let mut run = Run::new(small(UNet3dConfig { activation, residual, ..Default::default() }));
            run.step(0);
            run.step(1)
        };
        for residual in [false, true] {
            let [leaky, gelu] = [Activation::leaky_relu(0.01), Activation::Gelu].map(|act| held(act, residual));
            assert!(gelu as f64 <= 1.02 * leaky as f64, "{gelu} bytes with GELU, {leaky} with leaky ReLU");
        }
    }

    #[test]
    fn steps_after_the_second_allocate_nothing_large_and_recomputation_holds_less() {
        let mut held = vec![];
        for checkpointing in [Checkpointing::Level, Checkpointing::None] {
            let mut run = Run::new(small(UNet3dConfig { checkpointing, ..Default::default() }));
            run.step(0);
            held.push(run.step(1));
            let before = LARGE.load(Ordering::Relaxed);
            for key in 2..6 {
                run.step(key);
            }
            let large = LARGE.load(Ordering::Relaxed) - before;
            assert_eq!(large, 0, "allocations of 64 KiB or more in four steps with {checkpointing:?}");
        }
        let [recomputing, keeping] = held[..] else { unreachable!("two runs") };
        assert!(
            (recomputing as f64) < 0.8 * keeping as f64,
            "recomputing: {recomputing} bytes, keeping: {keeping}"
        );
    }
}
