//! Values on another grid over the same box.
//!
//! Voxel i of m lies where voxel x = (i + ½)·n/m − ½ of n does: the borders of the two grids coincide, not the centres of
//! their outermost voxels. Beyond the border the outermost voxel goes on. Axes are resampled one after another, those that
//! shrink first; nothing is smoothed before.
//!
//! Cubic is interpolation by cubic B-splines, whose coefficients are found by a recursive filter, so that the spline runs
//! through the voxels. Where slices are more than three times as thick as pixels, they are taken from the nearest one and
//! interpolated within their plane only, because intensities between slices would be invented.
//!
//! # Source
//! M. Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing Magazine 16 (1999);
//! conventions as SciPy's `zoom(…, order, mode="nearest", grid_mode=True)`, thick slices as nnU-Net's
//! `resample_data_or_seg` (Isensee et al. 2021).

mod labels;
mod line;

pub use labels::resample_labels;
pub(crate) use line::{Tap, linear, nearest};

use rayon::prelude::*;

/// Slices this many times as thick as the finest axis are not interpolated between.
const THICK: f64 = 3.0;

/// How values between voxels are found, along one axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interpolation {
    /// The nearest voxel's.
    Nearest,
    /// On a straight line between the two neighbours.
    Linear,
    /// On a cubic spline through all voxels of the line; it may run beyond their range.
    Cubic,
}

/// Of each axis: `smooth`, but the nearest along the one axis whose spacing is more than three times that of the finest.
pub fn per_axis(spacing: [f64; 3], smooth: Interpolation) -> [Interpolation; 3] {
    let finest = spacing.into_iter().fold(f64::INFINITY, f64::min);
    let thick = spacing.map(|s| s > THICK * finest);
    match thick.iter().filter(|&&t| t).count() {
        1 => thick.map(|t| if t { Interpolation::Nearest } else { smooth }),
        _ => [smooth; 3],
    }
}

/// Voxels of a grid of spacing `to` over the box of a grid: the nearest whole number along each axis, at least one.
pub fn size_at(size: [usize; 3], spacing: [f64; 3], to: [f64; 3]) -> [usize; 3] {
    std::array::from_fn(|a| ((size[a] as f64 * spacing[a] / to[a]).round() as usize).max(1))
}

/// An image `[d, h, w, c]` of `size` on a grid of size `to`.
///
/// # Panics
/// If the image has no voxel or not `size` of them.
#[track_caller]
pub fn resample(
    mut image: Vec<f32>,
    mut size: [usize; 3],
    channels: usize,
    to: [usize; 3],
    interpolation: [Interpolation; 3],
) -> Vec<f32> {
    assert_eq!(image.len(), size.iter().product::<usize>() * channels, "one value a voxel and channel");
    assert!(!image.is_empty() && !to.contains(&0), "a grid has voxels");
    let mut axes = [2, 1, 0];
    axes.sort_by(|&a, &b| {
        let growth = |axis: usize| to[axis] as f64 / size[axis] as f64;
        growth(a).total_cmp(&growth(b))
    });
    for axis in axes {
        if to[axis] == size[axis] {
            continue;
        }
        let inner = size[axis + 1..].iter().product::<usize>() * channels;
        image = along_axis(&image, size[axis], to[axis], inner, interpolation[axis]);
        size[axis] = to[axis];
    }
    image
}

/// `[…, n, inner]` to `[…, m, inner]`.
fn along_axis(data: &[f32], n: usize, m: usize, inner: usize, interpolation: Interpolation) -> Vec<f32> {
    let taps: Vec<Tap> = (0..m).map(|i| interpolation.tap(i, n, m)).collect();
    let mut out = memory::filled(0.0, data.len() / n * m);
    out.par_chunks_mut(m * inner).zip(data.par_chunks(n * inner)).for_each_init(
        Vec::new,
        |coefficients, (out, slab)| {
            let (rows, lead) = match interpolation {
                Interpolation::Cubic => {
                    line::coefficients(slab, inner, coefficients);
                    (coefficients.as_slice(), line::PAD)
                }
                _ => (slab, 0),
            };
            let put = |(row, tap): (&mut [f32], &Tap)| tap.blend(rows, inner, lead, row);
            // A single slab has rows long enough to be shared out.
            if out.len() == data.len() / n * m {
                out.par_chunks_mut(inner).zip(&taps).for_each(put);
            } else {
                out.chunks_mut(inner).zip(&taps).for_each(put);
            }
        },
    );
    out
}

#[cfg(test)]
mod tests;
