//! Patches: cut out, mirrored, and how much each of their voxels counts.

use autograd::Tensor;

/// A Gaussian over `size` voxels, σ = size/8, 1 at the centre, never below 1e-3.
pub(super) fn gaussian(size: usize) -> Vec<f32> {
    let centre = (size as f32 - 1.0) / 2.0;
    let sigma = (size as f32 / 8.0).max(0.5);
    (0..size).map(|i| (-0.5 * ((i as f32 - centre) / sigma).powi(2)).exp().max(1e-3)).collect()
}

/// The part of `offset..offset + size` along an axis that lies in the volume, as indices of the patch.
pub(super) fn inside(offset: isize, size: usize, volume: usize) -> std::ops::Range<usize> {
    let first = (-offset).max(0) as usize;
    let last = (volume as isize - offset).clamp(0, size as isize) as usize;
    first..last.max(first)
}

pub(super) fn cut(
    image: &[f32],
    shape: [usize; 3],
    channels: usize,
    at: [isize; 3],
    patch: [usize; 3],
) -> Tensor<f32> {
    let [pd, ph, pw] = patch;
    let mut out = Tensor::zeros([1, pd, ph, pw, channels]);
    let data = out.data_mut();
    let [ds, hs, ws]: [_; 3] = std::array::from_fn(|a| inside(at[a], patch[a], shape[a]));
    for d in ds {
        for h in hs.clone() {
            let row =
                |d: usize, h: usize| (at[0] + d as isize) as usize * shape[1] + (at[1] + h as isize) as usize;
            let from = (row(d, h) * shape[2] + (at[2] + ws.start as isize) as usize) * channels;
            let to = ((d * ph + h) * pw + ws.start) * channels;
            data[to..][..ws.len() * channels].copy_from_slice(&image[from..][..ws.len() * channels]);
        }
    }
    out
}

/// A patch mirrored along the chosen axes.
pub(super) fn flipped(patch: &Tensor<f32>, flips: [bool; 3]) -> Tensor<f32> {
    let [_, pd, ph, pw, c] = patch.dims5();
    let mut out = Tensor::scratch(patch.shape());
    let at = |flip: bool, i: usize, size: usize| if flip { size - 1 - i } else { i };
    for (row, out) in out.data_mut().chunks_exact_mut(pw * c).enumerate() {
        let from = at(flips[0], row / ph, pd) * ph + at(flips[1], row % ph, ph);
        for (w, voxel) in out.chunks_exact_mut(c).enumerate() {
            voxel.copy_from_slice(&patch.data()[(from * pw + at(flips[2], w, pw)) * c..][..c]);
        }
    }
    out
}
