//! Where Winograd's convolution overtakes the direct one: the measurements behind the cost model of
//! `nn/src/kernels/conv3d/passes.rs`.
//!
//! `cargo run --release -p benches --bin crossover` prints, for shapes from far below to far above the crossing,
//! microseconds of both and their ratio.

use std::time::Instant;

use nn::kernels::conv3d::{self, Conv3dShape, Conv3dSpec, ConvAlgorithm, Epilogue, Source, Target};

/// The fastest of a few runs, in microseconds.
fn fastest(mut pass: impl FnMut()) -> f64 {
    pass();
    let mut best = f64::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        pass();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e6
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 17) as f32 - 8.0).collect()
}

fn main() {
    println!("ci -> co  [d, h, w]: direct / Winograd in us, and how many times faster Winograd is");
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    let shapes = [
        (1, 32, [4; 3]),
        (1, 32, [64; 3]),
        (1, 32, [30, 2, 64]),
        (1, 32, [30, 5, 64]),
        (1, 32, [30, 7, 64]),
        (2, 32, [64; 3]),
        (4, 32, [64; 3]),
        (8, 16, [32; 3]),
        (16, 16, [8; 3]),
        (16, 16, [16; 3]),
        (32, 32, [4; 3]),
        (32, 32, [6; 3]),
        (32, 32, [8; 3]),
        (32, 32, [30, 10, 10]),
        (128, 128, [2, 4, 4]),
        (128, 128, [4; 3]),
        (128, 128, [6; 3]),
        (128, 128, [8; 3]),
        (256, 256, [4; 3]),
        (256, 256, [6; 3]),
        (256, 256, [8; 3]),
        (256, 256, [12; 3]),
    ];
    for (ci, co, size) in shapes {
        let shape = Conv3dShape::new(1, size, ci, co, spec).expect("a 3x3x3 window fits");
        let (x, weight, dy) = (numbers(shape.x_len()), numbers(shape.weight_len()), numbers(shape.y_len()));
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), weight.clone());
        let sources = &[Source::plain(&x, ci)];
        let [direct, winograd] = [ConvAlgorithm::Direct, ConvAlgorithm::Winograd].map(|algorithm| {
            let shape = shape.with_algorithm(algorithm);
            [
                fastest(|| {
                    conv3d::forward(&shape, sources, &weight, None, &mut y, Epilogue::Nothing);
                }),
                fastest(|| {
                    let targets = &mut [Target { y: &mut dx, channels: ci }];
                    conv3d::backward_input(&shape, &weight, &dy, targets, Epilogue::Nothing);
                }),
                fastest(|| conv3d::backward_weight(&shape, sources, &dy, &mut dw)),
            ]
        });
        print!("{ci} -> {co}  {size:?}:");
        for (i, pass) in ["forward", "gradient of the input", "of the weight"].into_iter().enumerate() {
            let (a, b) = (direct[i], winograd[i]);
            print!("  {pass} {a:.0} / {b:.0} = {:.2}", a / b);
        }
        println!();
    }
}
