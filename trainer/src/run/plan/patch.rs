//! The patch, and the steps and kernels that it allows.

use crate::run::Facts;

/// No axis of a patch is halved below this many voxels.
const SMALLEST: usize = 4;
/// An axis that has as many voxels keeps them, unless the user's own limit leaves no room for that.
pub(super) const SHORTEST: usize = 16;
/// The voxels of the largest field of view that a patch begins with, nnU-Net's.
const FIELD: f64 = 16_777_216.0;

/// A field of view that is the same along all axes in millimetres, clipped by the median shape, then shortened until at most
/// `voxels` are left. The axis that is shortened next is the longest in voxels times the root of their spacing, half-way
/// between a cube of voxels and one of millimetres (d of equal ones, as slices are the coarsest). Long axes fall to
/// multiples of 16, which can be halved four times.
pub(super) fn fit_patch(facts: Facts, voxels: usize) -> [usize; 3] {
    let side = (FIELD * facts.spacing.iter().product::<f64>()).cbrt();
    let mut patch: [usize; 3] = std::array::from_fn(|a| {
        facts.shape[a].max(1).min(((side / facts.spacing[a]).round() as usize).max(SHORTEST))
    });
    let finest = facts.spacing.iter().copied().fold(f64::INFINITY, f64::min);
    // Spacings that differ by less than a hundredth are the same.
    let root = facts.spacing.map(|s| ((s / finest * 100.0).round() / 100.0).sqrt());
    while patch.iter().product::<usize>() > voxels {
        // Short axes are shortened last.
        let order = |&a: &usize, &b: &usize| {
            let key = |a: usize| (patch[a] > SHORTEST, patch[a] as f64 * root[a]);
            key(a).partial_cmp(&key(b)).expect("lengths are numbers").then(b.cmp(&a))
        };
        let longest = (0..3).filter(|&a| patch[a] > 1).max_by(order);
        let Some(longest) = longest else { break };
        patch[longest] = match patch[longest] {
            size if size > 32 => (size - 1) / 16 * 16,
            size if size > 16 => (size - 1) / 8 * 8,
            size => size - 1,
        };
    }
    patch
}

/// The steps from level to level: see the header.
pub(super) fn choose_strides(
    patch: [usize; 3],
    mut spacing: [f64; 3],
    most_levels: usize,
    keeps_size: bool,
) -> Vec<[usize; 3]> {
    let mut size = patch;
    let mut strides = Vec::new();
    while strides.len() + 1 < most_levels {
        let fits: [bool; 3] =
            std::array::from_fn(|a| size[a] >= 2 * SMALLEST && !(keeps_size && size[a] % 2 == 1));
        let finest = (0..3).filter(|&a| fits[a]).map(|a| spacing[a]).fold(f64::INFINITY, f64::min);
        let stride: [usize; 3] =
            std::array::from_fn(|a| if fits[a] && spacing[a] < 2.0 * finest { 2 } else { 1 });
        if stride == [1; 3] {
            break;
        }
        for a in 0..3 {
            size[a] = size[a].div_ceil(stride[a]);
            spacing[a] *= stride[a] as f64;
        }
        strides.push(stride);
    }
    strides
}

/// One voxel along an axis at the levels where its spacing is more than twice the finest; else three.
pub(super) fn choose_kernels(mut spacing: [f64; 3], strides: &[[usize; 3]]) -> Vec<[usize; 3]> {
    let mut kernels = Vec::new();
    for level in 0..=strides.len() {
        let finest = spacing.iter().copied().fold(f64::INFINITY, f64::min);
        kernels.push(spacing.map(|s| if s > 2.0 * finest { 1 } else { 3 }));
        if let Some(stride) = strides.get(level) {
            (0..3).for_each(|a| spacing[a] *= stride[a] as f64);
        }
    }
    kernels
}
