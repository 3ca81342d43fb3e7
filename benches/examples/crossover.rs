use nn::kernels::conv3d::{self, *};
use std::time::Instant;
fn time(mut f: impl FnMut()) -> f64 {
    f();
    let mut best = f64::MAX;
    for _ in 0..7 {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
    }
    best * 1e6
}
fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    for (ci, co, s) in [
        (2, 16, [32; 3]),
        (2, 32, [64; 3]),
        (4, 32, [64; 3]),
        (4, 16, [32; 3]),
        (8, 8, [32; 3]),
        (8, 16, [32; 3]),
        (16, 16, [16; 3]),
        (16, 16, [8; 3]),
        (32, 32, [4, 4, 4]),
        (32, 32, [6, 6, 6]),
        (32, 32, [8; 3]),
        (128, 128, [2, 4, 4]),
        (128, 128, [4, 4, 4]),
        (128, 128, [6, 6, 6]),
        (128, 128, [8, 8, 8]),
        (256, 256, [4, 4, 4]),
        (256, 256, [6, 6, 6]),
        (256, 256, [8; 3]),
        (256, 256, [12; 3]),
        (256, 256, [4, 12, 12]),
        (32, 32, [96, 5, 5]),
        (32, 32, [30, 10, 10]),
    ] {
        let shape = Conv3dShape::new(1, s, ci, co, spec).unwrap();
        let n = |l: usize| (0..l).map(|i| (i % 17) as f32 - 8.0).collect::<Vec<_>>();
        let (x, w, dy) = (n(shape.x_len()), n(shape.weight_len()), n(shape.y_len()));
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
        let mut out = vec![];
        for a in [ConvAlgorithm::Direct, ConvAlgorithm::Winograd] {
            let shape = shape.with_algorithm(a);
            out.push(time(|| conv3d::forward(&shape, &x, &w, None, &mut y)));
            out.push(time(|| conv3d::backward_input(&shape, &w, &dy, &mut dx)));
            out.push(time(|| conv3d::backward_weight(&shape, &x, &dy, &mut dw)));
        }
        println!(
            "{ci}->{co} {s:?}: fwd {:.0}/{:.0} = {:.2}  dx {:.0}/{:.0} = {:.2}  dw {:.0}/{:.0} = {:.2}",
            out[0],
            out[3],
            out[0] / out[3],
            out[1],
            out[4],
            out[1] / out[4],
            out[2],
            out[5],
            out[2] / out[5]
        );
    }
}
