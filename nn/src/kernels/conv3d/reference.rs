//! The definition: naive loops over every index, in `f64`.
//!
//! Read this first. The three passes are one loop over all (output voxel, tap, ci, co), which pairs x, weight
//! and y; each pass sums over what its result does not index.

use autograd::Real;

use super::Conv3dShape;

/// Calls `visit(x, weight, y)` with the indices of every product in the convolution's sum.
pub fn for_each_product(shape: &Conv3dShape, mut visit: impl FnMut(usize, usize, usize)) {
    let spec = shape.spec();
    let ([d, h, w], [od, oh, ow]) = (shape.input(), shape.output());
    let [kernel_d, kernel_h, kernel_w] = spec.kernel;
    // The input position that output `o` reads through tap `k`, if it is inside.
    let position = |axis: usize, o: usize, k: usize, size: usize| {
        (o * spec.stride[axis] + k * spec.dilation[axis])
            .checked_sub(spec.padding[axis])
            .filter(|p| *p < size)
    };
    for n in 0..shape.n() {
        for (d_out, h_out, w_out) in indices([od, oh, ow]) {
            let y_pixel = ((n * od + d_out) * oh + h_out) * ow + w_out;
            for (kd, kh, kw) in indices(spec.kernel) {
                let Some(d_in) = position(0, d_out, kd, d) else { continue };
                let Some(h_in) = position(1, h_out, kh, h) else { continue };
                let Some(w_in) = position(2, w_out, kw, w) else { continue };
                let x_pixel = ((n * d + d_in) * h + h_in) * w + w_in;
                let tap = (kd * kernel_h + kh) * kernel_w + kw;
                debug_assert!(tap < kernel_d * kernel_h * kernel_w);
                for ci in 0..shape.ci() {
                    for co in 0..shape.co() {
                        let weight = (tap * shape.ci() + ci) * shape.co() + co;
                        visit(x_pixel * shape.ci() + ci, weight, y_pixel * shape.co() + co);
                    }
                }
            }
        }
    }
}

fn indices([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

/// y = bias + x ∗ weight
pub fn forward<T: Real>(shape: &Conv3dShape, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<f64> {
    let start = |i: usize| bias.map_or(0.0, |bias| bias[i % shape.co()].to_f64());
    let mut y: Vec<f64> = (0..shape.y_len()).map(start).collect();
    for_each_product(shape, |i, j, k| y[k] += x[i].to_f64() * weight[j].to_f64());
    y
}

/// The gradient of the input.
pub fn backward_input<T: Real>(shape: &Conv3dShape, weight: &[T], dy: &[T]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.x_len()];
    for_each_product(shape, |i, j, k| dx[i] += weight[j].to_f64() * dy[k].to_f64());
    dx
}

/// The gradient of the weight.
pub fn backward_weight<T: Real>(shape: &Conv3dShape, x: &[T], dy: &[T]) -> Vec<f64> {
    let mut dw = vec![0.0; shape.weight_len()];
    for_each_product(shape, |i, j, k| dw[j] += x[i].to_f64() * dy[k].to_f64());
    dw
}
