//! Patches are cut out, turned, scaled, mirrored, and changed in intensity.
//!
//! Turning and scaling happen in millimetres around the patch's centre: images are interpolated trilinearly, labels
//! taken from the nearest voxel. What lies outside the volume is 0 in the (normalised) image and ignored in the labels.

use rand::{Rng, RngExt};

use crate::config::Augmentation;
use crate::data::{Block, IGNORE, Region};
use crate::random::normal_pair;

/// What may be done to a patch: the configuration, fitted to the data set's spacing.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    settings: Augmentation,
    spacing: [f64; 3],
    /// Slices more than twice as thick as pixels are turned in their plane only, and not scaled along d.
    in_plane: bool,
}

/// The map from a patch's voxel, relative to its centre, to the volume's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Transform {
    /// `matrix[to][from]`, in voxels.
    matrix: [[f64; 3]; 3],
    /// Whether it does anything but mirror.
    resamples: bool,
    flips: [bool; 3],
}

/// Where a patch lies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placement {
    /// The volume's voxel under the patch's first, before any transform.
    pub(super) offset: [isize; 3],
    /// What happens around the patch's centre.
    pub(super) transform: Transform,
}

impl Recipe {
    /// The recipe for volumes of this spacing `[d, h, w]`.
    pub(super) fn new(settings: &Augmentation, spacing: [f32; 3]) -> Self {
        let spacing = spacing.map(f64::from);
        let in_plane = spacing[0] > 2.0 * spacing[1].min(spacing[2]);
        Self { settings: settings.clone(), spacing, in_plane }
    }

    /// A random transform.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Transform {
        let flips = self.settings.flip.map(|p| rng.random_bool(p));
        let resamples = rng.random_bool(self.settings.affine);
        let mut matrix = identity();
        if resamples {
            let largest = self.settings.rotation.to_radians();
            for axis in 0..3 {
                let angle = if largest > 0.0 { rng.random_range(-largest..=largest) } else { 0.0 };
                if axis == 0 || !self.in_plane {
                    matrix = product(&matrix, &rotation(axis, angle));
                }
            }
            let [low, high] = self.settings.scale;
            // A patch that shows more of the volume shows it smaller.
            let zoom = 1.0 / rng.random_range(low..=high);
            let scale = [if self.in_plane { 1.0 } else { zoom }, zoom, zoom];
            for (to, row) in matrix.iter_mut().enumerate() {
                for (from, m) in row.iter_mut().enumerate() {
                    *m *= scale[from] * self.spacing[from] / self.spacing[to];
                }
            }
        }
        for row in &mut matrix {
            (0..3).filter(|&from| flips[from]).for_each(|from| row[from] = -row[from]);
        }
        Transform { matrix, resamples, flips }
    }
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

impl Placement {
    /// The voxels of a volume of this shape that [`extract`] can touch for a patch of size `patch`.
    pub(super) fn block(&self, patch: [usize; 3], shape: [usize; 3]) -> Block {
        let half = patch.map(|p| (p as f64 - 1.0) / 2.0);
        // Places are rounded differently here and there, by far less than a millionth of a voxel.
        let slack = if self.transform.resamples { 1e-6 } else { 0.0 };
        let mut block = Block::whole(shape);
        for a in 0..3 {
            let centre = self.offset[a] as f64 + half[a];
            let reach: f64 = (0..3).map(|b| self.transform.matrix[a][b].abs() * half[b]).sum();
            let first = (centre - reach - slack).floor();
            let last = (centre + reach + slack).ceil();
            // A cast keeps what is below 0 at 0.
            block.start[a] = (first as usize).min(shape[a]);
            block.size[a] = ((last + 1.0) as usize).min(shape[a]).saturating_sub(block.start[a]);
        }
        block
    }
}

/// Fills `image` (`[d, h, w, c]`) and `labels` (`[d, h, w]`) of a patch of size `patch` from a region that holds the
/// placement's [block](Placement::block).
pub(super) fn extract(
    region: &Region<'_>,
    patch: [usize; 3],
    placement: &Placement,
    image: &mut [f32],
    labels: &mut [u8],
) {
    if placement.transform.resamples {
        resample(region, patch, placement, image, labels);
    } else {
        copy(region, patch, placement, image, labels);
    }
}

/// Voxels as they are, mirrored along some axes.
fn copy(region: &Region<'_>, patch: [usize; 3], placement: &Placement, image: &mut [f32], labels: &mut [u8]) {
    let channels = region.channels;
    let truth = region.labels();
    // The volume's index under the patch's index `i` along an axis.
    let source = |axis: usize, i: usize| {
        let i = if placement.transform.flips[axis] { patch[axis] - 1 - i } else { i };
        let at = placement.offset[axis] + i as isize;
        usize::try_from(at).ok().filter(|&at| at < region.shape[axis])
    };
    let columns: Vec<_> = (0..patch[2]).map(|w| source(2, w)).collect();
    image.fill(0.0);
    labels.fill(IGNORE);
    for d in 0..patch[0] {
        let Some(sd) = source(0, d) else { continue };
        for h in 0..patch[1] {
            let Some(sh) = source(1, h) else { continue };
            let row = (d * patch[1] + h) * patch[2];
            for (w, sw) in columns.iter().enumerate() {
                let &Some(sw) = sw else { continue };
                let from = region.index([sd, sh, sw]);
                let voxel = &region.image[from * channels..][..channels];
                image[(row + w) * channels..][..channels].copy_from_slice(voxel);
                labels[row + w] = truth.map_or(IGNORE, |t| t[from]);
            }
        }
    }
}

fn resample(
    region: &Region<'_>,
    patch: [usize; 3],
    placement: &Placement,
    image: &mut [f32],
    labels: &mut [u8],
) {
    let channels = region.channels;
    let matrix = &placement.transform.matrix;
    let half = patch.map(|p| (p as f64 - 1.0) / 2.0);
    let centre: [f64; 3] = std::array::from_fn(|a| placement.offset[a] as f64 + half[a]);
    let mut voxel = 0;
    for d in 0..patch[0] {
        for h in 0..patch[1] {
            for w in 0..patch[2] {
                let from = [d as f64 - half[0], h as f64 - half[1], w as f64 - half[2]];
                let at: [f64; 3] = std::array::from_fn(|a| {
                    centre[a] + matrix[a][0] * from[0] + matrix[a][1] * from[1] + matrix[a][2] * from[2]
                });
                interpolate(region, at, &mut image[voxel * channels..][..channels]);
                labels[voxel] = nearest(region, at);
                voxel += 1;
            }
        }
    }
}

/// The label of the nearest voxel.
fn nearest(region: &Region<'_>, at: [f64; 3]) -> u8 {
    let Some(truth) = region.labels() else { return IGNORE };
    let at = at.map(f64::round);
    if (0..3).any(|a| at[a] < 0.0 || at[a] >= region.shape[a] as f64) {
        return IGNORE;
    }
    truth[region.index(at.map(|i| i as usize))]
}

/// Trilinear interpolation; 0 outside the volume.
fn interpolate(region: &Region<'_>, at: [f64; 3], out: &mut [f32]) {
    let channels = out.len();
    out.fill(0.0);
    let floor = at.map(f64::floor);
    let weight: [[f32; 2]; 3] = std::array::from_fn(|a| {
        let f = (at[a] - floor[a]) as f32;
        [1.0 - f, f]
    });
    for corner in 0..8 {
        let step = [corner >> 2, (corner >> 1) & 1, corner & 1];
        let corner: [isize; 3] = std::array::from_fn(|a| floor[a] as isize + step[a] as isize);
        let inside = (0..3).all(|a| corner[a] >= 0 && corner[a] < region.shape[a] as isize);
        let share = weight[0][step[0]] * weight[1][step[1]] * weight[2][step[2]];
        if inside && share > 0.0 {
            let index = region.index(corner.map(|i| i as usize));
            let voxel = &region.image[index * channels..][..channels];
            out.iter_mut().zip(voxel).for_each(|(o, &v)| *o += share * v);
        }
    }
}

/// Changes contrast, brightness and gamma of each channel, and adds noise, each with its probability.
pub(super) fn augment_intensity(recipe: &Recipe, channels: usize, image: &mut [f32], rng: &mut impl Rng) {
    let settings = &recipe.settings;
    let range = settings.intensity_range as f32;
    for channel in 0..channels {
        if rng.random_bool(settings.intensity) && range > 0.0 {
            let [contrast, brightness, gamma] = [(); 3].map(|()| rng.random_range(-range..=range));
            let values = || image.iter().skip(channel).step_by(channels);
            let (low, high) = values().fold((f32::MAX, f32::MIN), |(l, h), &v| (l.min(v), h.max(v)));
            let span = (high - low).max(f32::MIN_POSITIVE);
            let exponent = gamma.exp();
            for v in image.iter_mut().skip(channel).step_by(channels) {
                let bent = low + span * ((*v - low) / span).powf(exponent);
                *v = bent * (1.0 + contrast) + brightness;
            }
        }
        if rng.random_bool(settings.noise) && settings.noise_range > 0.0 {
            let deviation = rng.random_range(0.0..=settings.noise_range as f32);
            let mut spare = None;
            for v in image.iter_mut().skip(channel).step_by(channels) {
                let normal = spare.take().unwrap_or_else(|| {
                    let [now, later] = normal_pair(rng);
                    spare = Some(later);
                    now
                });
                *v += deviation * normal;
            }
        }
    }
}

#[cfg(test)]
mod tests;
