//! The operations that memory bounds, against the rate of copies measured in the same run.
//!
//! `cargo bench -p benches --bench memory` prints for each the bytes it must read and write at least, a second, and their
//! share of what a copy moves; and Criterion's own figures.

use autograd::{Tape, Tensor, Var, simd};
use benches::limits::{Copy, beside};
use criterion::{Criterion, Throughput};
use nn::functional::{
    Activation, Conv3dSpec, ConvTranspose3dSpec, NormKind, NormSettings, Pool3dSpec, UpsampleMode,
    conv_transpose3d, conv3d, max_pool3d, norm_act, upsample,
};
use nn::layers::Conv3d;
use nn::optim::{AdamConfig, OptimizerConfig};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

fn numbers(shape: [usize; 5]) -> Tensor {
    Tensor::from_fn(shape, |i| (i % 17) as f32 - 8.0)
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    copy: Copy,
}

impl Bench<'_> {
    /// Times `pass`, which must move `floats` numbers at least.
    fn run(&mut self, name: &str, floats: usize, mut pass: impl FnMut()) {
        let bytes = (floats * size_of::<f32>()) as u64;
        let copy = &mut self.copy;
        let (fastest, limit) = beside(|| copy.measure(), &mut pass);
        let rate = bytes as f64 / fastest.as_secs_f64();
        let share = 100.0 * rate / limit;
        println!("{name}: {:.1} of {:.1} GB/s, {share:.0} %", rate / 1e9, limit / 1e9);
        let mut group = self.criterion.benchmark_group("memory");
        group.sample_size(10).throughput(Throughput::Bytes(bytes));
        group.bench_function(name, |b| b.iter(&mut pass));
        group.finish();
    }

    /// Times the forward pass of `f`, and forward and backward together, of one input.
    fn operation<F>(&mut self, name: &str, x: &Tensor, f: F)
    where
        F: for<'t> Fn(&'t Tape, Var<'t>) -> Var<'t>,
    {
        let output = {
            let tape = Tape::no_grad();
            f(&tape, tape.constant(x.clone())).value().numel()
        };
        self.run(&format!("{name} forward"), x.numel() + output, || {
            let tape = Tape::no_grad();
            f(&tape, tape.constant(x.clone()));
        });
        let dy = {
            let tape = Tape::no_grad();
            f(&tape, tape.constant(x.clone())).into_value()
        };
        // Forward, and dy read and dx written.
        self.run(&format!("{name} forward and backward"), 2 * (x.numel() + output), || {
            let tape = Tape::train(0);
            f(&tape, tape.variable(x.clone())).backward_with(dy.clone());
        });
    }
}

fn main() {
    println!("instruction set {}, {} threads", simd::active(), rayon::current_num_threads());
    let mut criterion = Criterion::default().configure_from_args();
    let mut bench = Bench { criterion: &mut criterion, copy: Copy::default() };
    let x = numbers([1, 48, 96, 96, 32]);
    let settings = NormSettings::new(NormKind::Instance).with_activation(Activation::leaky_relu(0.01));
    bench.operation("instance norm and leaky relu", &x, |_, x| norm_act(x, None, None, settings).into_var());
    bench.operation("max pooling 2x2x2", &x, |_, x| max_pool3d(x, Pool3dSpec::new([2; 3])));
    bench.operation("trilinear 2x2x2 of an eighth", &numbers([1, 24, 48, 48, 32]), |_, x| {
        upsample(x, [2; 3], UpsampleMode::Trilinear)
    });
    let weight = Tensor::full([1, 1, 1, 32, 1], 0.1);
    bench.operation("head 32 -> 1", &x, |tape, x| {
        conv3d(x, tape.constant(weight.clone()), None, Conv3dSpec::new([1; 3]))
    });
    let weight = Tensor::full([2, 2, 2, 64, 32], 0.1);
    let up = ConvTranspose3dSpec { stride: [2; 3], ..ConvTranspose3dSpec::new([2; 3]) };
    bench.operation("transposed convolution 64 -> 32, 2x2x2", &numbers([1, 24, 48, 48, 64]), |tape, x| {
        conv_transpose3d(x, tape.constant(weight.clone()), None, up)
    });

    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut model =
        Conv3d::<f32>::new(256, 512, Conv3dSpec::new([3; 3]), &mut rng).expect("channels").without_bias();
    let mut adam = OptimizerConfig::Adam(AdamConfig::default()).build().expect("the default is valid");
    let tape = Tape::train(0);
    let gradients = model.forward(tape.constant(numbers([1, 3, 3, 3, 256]))).sum().backward();
    let parameters = 27 * 256 * 512;
    bench.run("adam", 7 * parameters, || adam.step(&mut model, &gradients));
    criterion.final_summary();
}
