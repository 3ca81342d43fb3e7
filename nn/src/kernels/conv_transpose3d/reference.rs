//! The definition: naive loops over every index, in `f64`. Each input voxel is scattered through the kernel.

use autograd::Real;

use super::ConvTranspose3dShape;

/// Calls `visit(x, weight, y)` with the indices of every product.
pub fn for_each_product(shape: &ConvTranspose3dShape, mut visit: impl FnMut(usize, usize, usize)) {
    let spec = shape.spec();
    let ([d, h, w], [od, oh, ow]) = (shape.input(), shape.output());
    let [kernel_d, kernel_h, kernel_w] = spec.kernel;
    // The output position that input `i` reaches through tap `k`, if it is inside.
    let position = |axis: usize, i: usize, k: usize, size: usize| {
        (i * spec.stride[axis] + k * spec.dilation[axis])
            .checked_sub(spec.padding[axis])
            .filter(|p| *p < size)
    };
    for pixel in 0..shape.n() * d * h * w {
        let (n, id, ih, iw) = (pixel / w / h / d, pixel / w / h % d, pixel / w % h, pixel % w);
        for tap in 0..kernel_d * kernel_h * kernel_w {
            let (kd, kh, kw) = (tap / kernel_w / kernel_h, tap / kernel_w % kernel_h, tap % kernel_w);
            let Some(d_out) = position(0, id, kd, od) else { continue };
            let Some(h_out) = position(1, ih, kh, oh) else { continue };
            let Some(w_out) = position(2, iw, kw, ow) else { continue };
            let y_pixel = ((n * od + d_out) * oh + h_out) * ow + w_out;
            for ci in 0..shape.ci() {
                for co in 0..shape.co() {
                    let weight = (tap * shape.ci() + ci) * shape.co() + co;
                    visit(pixel * shape.ci() + ci, weight, y_pixel * shape.co() + co);
                }
            }
        }
    }
}

/// y = bias + the scattered x
pub fn forward<T: Real>(shape: &ConvTranspose3dShape, x: &[T], weight: &[T], bias: Option<&[T]>) -> Vec<f64> {
    let start = |i: usize| bias.map_or(0.0, |bias| bias[i % shape.co()].to_f64());
    let mut y: Vec<f64> = (0..shape.y_len()).map(start).collect();
    for_each_product(shape, |i, j, k| y[k] += x[i].to_f64() * weight[j].to_f64());
    y
}

/// The gradient of the input.
pub fn backward_input<T: Real>(shape: &ConvTranspose3dShape, weight: &[T], dy: &[T]) -> Vec<f64> {
    let mut dx = vec![0.0; shape.x_len()];
    for_each_product(shape, |i, j, k| dx[i] += weight[j].to_f64() * dy[k].to_f64());
    dx
}

/// The gradient of the weight.
pub fn backward_weight<T: Real>(shape: &ConvTranspose3dShape, x: &[T], dy: &[T]) -> Vec<f64> {
    let mut dw = vec![0.0; shape.weight_len()];
    for_each_product(shape, |i, j, k| dw[j] += x[i].to_f64() * dy[k].to_f64());
    dw
}
