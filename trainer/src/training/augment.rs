//! Patches are cut out, mirrored, turned, scaled, bent, and changed in intensity.
//!
//! A patch's voxel at `p`, relative to the patch's centre, shows the volume at `centre + A·(p + u(p))`: the matrix `A`
//! mirrors, turns and scales in millimetres, the field `u` bends. Images are interpolated linearly, labels taken from the
//! nearest voxel. What lies outside the volume is 0 in the (normalised) image and ignored in the labels. Intensities
//! come after that, channel by channel.
//!
//! # Source
//! The changes, their order and their probabilities follow Isensee et al., nnU-Net, Nature Methods 18 (2021),
//! supplementary note 4, with smaller ranges.

use rand::{Rng, RngExt};

use crate::config::Augmentation;
use crate::preprocess::Block;

mod elastic;
mod extract;
mod filter;
mod intensity;

use elastic::Elastic;
pub(super) use extract::extract;
pub(super) use intensity::augment_intensity;

/// What may be done to a patch: the configuration, fitted to a case's spacing.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    settings: Augmentation,
    patch: [usize; 3],
    spacing: [f64; 3],
    /// Slices more than twice as thick as pixels are turned, bent and blurred in their plane only.
    in_plane: bool,
}

/// The map from a patch's voxel, relative to its centre, to the volume's.
#[derive(Clone, Debug)]
pub(super) struct Transform {
    /// `matrix[to][from]`, in voxels.
    matrix: [[f64; 3]; 3],
    /// Whether the matrix does anything but mirror.
    resamples: bool,
    flips: [bool; 3],
    elastic: Option<Elastic>,
}

/// Where a patch lies.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    /// The volume's voxel under the patch's first, before any transform.
    pub(super) offset: [isize; 3],
    /// What happens around the patch's centre.
    pub(super) transform: Transform,
}

impl Recipe {
    /// The recipe for patches of this size from a case of this spacing `[d, h, w]`.
    pub(super) fn new(settings: &Augmentation, patch: [usize; 3], spacing: [f32; 3]) -> Self {
        let spacing = spacing.map(f64::from);
        let in_plane = spacing[0] > 2.0 * spacing[1].min(spacing[2]);
        Self { settings: settings.clone(), patch, spacing, in_plane }
    }

    /// A random transform.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Transform {
        let settings = &self.settings;
        let mut transform = Transform::mirroring([false; 3]);
        if !settings.enabled {
            return transform;
        }
        transform.flips = settings.flip.map(|p| rng.random_bool(p));
        let turns = rng.random_bool(settings.rotation_probability);
        if turns {
            let largest = settings.rotation_degrees.to_radians();
            for axis in if self.in_plane { 0..1 } else { 0..3 } {
                let angle = rng.random_range(-largest..=largest);
                transform.matrix = product(&transform.matrix, &rotation(axis, angle));
            }
        }
        let scales = rng.random_bool(settings.scale_probability);
        // A patch that shows more of the volume shows it smaller.
        let zoom = if scales { 1.0 / factor(settings.scale_range, rng) } else { 1.0 };
        transform.resamples = turns || scales;
        self.complete(&mut transform, zoom);
        if rng.random_bool(settings.elastic_probability) {
            transform.elastic = Some(self.bend(rng));
        }
        transform
    }

    /// Puts scale, millimetres and mirroring into a matrix that turns.
    fn complete(&self, transform: &mut Transform, zoom: f64) {
        let scale = [if self.in_plane { 1.0 } else { zoom }, zoom, zoom];
        for (to, row) in transform.matrix.iter_mut().enumerate() {
            for (from, m) in row.iter_mut().enumerate() {
                *m *= scale[from] * self.spacing[from] / self.spacing[to];
                if transform.flips[from] {
                    *m = -*m;
                }
            }
        }
    }

    fn bend(&self, rng: &mut impl Rng) -> Elastic {
        let settings = &self.settings;
        let magnitude = rng.random_range(0.0..=settings.elastic_magnitude);
        let knots = self.spacing.map(|voxel| settings.elastic_spacing / voxel);
        let mut most = self.spacing.map(|voxel| magnitude / voxel);
        if self.in_plane {
            most[0] = 0.0;
        }
        Elastic::draw(self.patch, knots, most, rng)
    }
}

impl Transform {
    /// One that mirrors along some axes, and no more.
    fn mirroring(flips: [bool; 3]) -> Self {
        Self { matrix: identity(), resamples: false, flips, elastic: None }
    }

    /// What of it keeps every voxel of a patch within the patch.
    pub(super) fn mirroring_alone(&self) -> Self {
        Self::mirroring(self.flips)
    }

    /// Whether voxels are shown as they are, though maybe mirrored.
    fn copies(&self) -> bool {
        !self.resamples && self.elastic.is_none()
    }
}

impl Placement {
    /// The voxels of a volume of this shape that [`extract`] can touch for a patch of size `patch`.
    pub(super) fn block(&self, patch: [usize; 3], shape: [usize; 3]) -> Block {
        let Transform { matrix, elastic, .. } = &self.transform;
        let half = patch.map(|p| (p as f64 - 1.0) / 2.0);
        let bent = elastic.as_ref().map_or([0.0; 3], Elastic::reach);
        // Places are rounded differently here and there, by far less than a millionth of a voxel.
        let slack = if self.transform.copies() { 0.0 } else { 1e-6 };
        let mut block = Block::whole(shape);
        for a in 0..3 {
            let centre = self.offset[a] as f64 + half[a];
            let reach: f64 = (0..3).map(|b| matrix[a][b].abs() * (half[b] + bent[b])).sum();
            let first = (centre - reach - slack).floor();
            let last = (centre + reach + slack).ceil();
            // A cast keeps what is below 0 at 0.
            block.start[a] = (first as usize).min(shape[a]);
            block.size[a] = ((last + 1.0) as usize).min(shape[a]).saturating_sub(block.start[a]);
        }
        block
    }
}

/// A factor from a range; from below and above 1 equally often where both are in it.
fn factor([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    if low < 1.0 && high > 1.0 {
        return if rng.random_bool(0.5) { rng.random_range(low..1.0) } else { rng.random_range(1.0..=high) };
    }
    rng.random_range(low..=high)
}

fn identity() -> [[f64; 3]; 3] {
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
}

/// A turn by `angle` around an axis.
fn rotation(axis: usize, angle: f64) -> [[f64; 3]; 3] {
    let (sin, cos) = angle.sin_cos();
    let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
    let mut matrix = identity();
    (matrix[a][a], matrix[a][b], matrix[b][a], matrix[b][b]) = (cos, -sin, sin, cos);
    matrix
}

fn product(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

#[cfg(test)]
mod tests;
