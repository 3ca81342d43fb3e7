//! A smooth random displacement of a patch's voxels.
//!
//! `u(p) = Σ B(p/knots − i)·cᵢ` over a coarse grid of control points, with the uniform cubic B-spline `B` along each axis and
//! displacements `cᵢ` drawn uniformly. The weights are positive and sum to 1, so no voxel moves further than a control
//! point does, and `u` has two continuous derivatives. The sum is taken axis by axis: 4 planes, then 4 rows, then 4 points.
//!
//! # Source
//! Rueckert et al., "Nonrigid registration using free-form deformations", IEEE Trans. Medical Imaging 18 (1999), eq. 1.

use rand::{Rng, RngExt};

/// Displacements along d, h, w, in voxels.
type Vector = [f32; 3];

/// The four control points that a voxel follows along an axis: the first, and their weights.
type Taps = (usize, [f32; 4]);

/// A displacement of every voxel of a patch.
#[derive(Clone, Debug)]
pub(super) struct Elastic {
    /// For each axis and each voxel along it.
    taps: [Vec<Taps>; 3],
    /// Control points along d, h, w.
    grid: [usize; 3],
    /// `[grid]`.
    control: Vec<Vector>,
    /// The furthest that a control point may have moved along each axis.
    reach: [f64; 3],
}

/// Sums of planes and of rows of control points, which the voxels of a plane and of a row share.
#[derive(Debug, Default)]
pub(super) struct Sums {
    plane: Vec<Vector>,
    row: Vec<Vector>,
}

impl Elastic {
    /// A field over a patch whose control points are `knots` voxels apart (one at least) and move by up to `most` voxels
    /// along each axis.
    pub(super) fn draw(patch: [usize; 3], knots: [f64; 3], most: [f64; 3], rng: &mut impl Rng) -> Self {
        let taps: [Vec<Taps>; 3] = std::array::from_fn(|a| {
            let knots = knots[a].max(1.0);
            (0..patch[a]).map(|i| taps(i as f64 / knots)).collect()
        });
        let grid = std::array::from_fn(|a| taps[a].last().map_or(0, |(first, _)| first + 4));
        let mut point = || most.map(|most| rng.random_range(-most..=most) as f32);
        let control = (0..grid.iter().product()).map(|_| point()).collect();
        Self { taps, grid, control, reach: most.map(|most| most * (1.0 + 1e-5)) }
    }

    /// The furthest that any voxel moves along each axis, rounding included.
    pub(super) fn reach(&self) -> [f64; 3] {
        self.reach
    }

    /// What the rows of a plane share.
    pub(super) fn plane(&self, d: usize, sums: &mut Sums) {
        let size = self.grid[1] * self.grid[2];
        combine(&self.control, size, self.taps[0][d], &mut sums.plane);
    }

    /// The displacements along the row `h` of the plane that the sums were made for.
    pub(super) fn row(&self, h: usize, sums: &mut Sums, out: &mut [Vector]) {
        combine(&sums.plane, self.grid[2], self.taps[1][h], &mut sums.row);
        for (out, &(first, weights)) in out.iter_mut().zip(&self.taps[2]) {
            let points = &sums.row[first..first + 4];
            *out = std::array::from_fn(|a| (0..4).map(|k| weights[k] * points[k][a]).sum());
        }
    }
}

/// The weighted sum of four neighbouring stretches of `size` points.
fn combine(points: &[Vector], size: usize, (first, weights): Taps, out: &mut Vec<Vector>) {
    out.clear();
    out.resize(size, [0.0; 3]);
    for (k, weight) in weights.into_iter().enumerate() {
        for (out, point) in out.iter_mut().zip(&points[(first + k) * size..][..size]) {
            (0..3).for_each(|a| out[a] += weight * point[a]);
        }
    }
}

/// The uniform cubic B-spline at a place, in control points from the second on.
fn taps(place: f64) -> Taps {
    let first = place.floor();
    let f = place - first;
    let g = 1.0 - f;
    let weights =
        [g * g * g, 3.0 * f * f * f - 6.0 * f * f + 4.0, 3.0 * g * g * g - 6.0 * g * g + 4.0, f * f * f];
    (first as usize, weights.map(|w| (w / 6.0) as f32))
}
