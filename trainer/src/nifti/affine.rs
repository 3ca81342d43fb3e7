//! Where a voxel lies: the affine matrix from indices to millimetres.
//!
//! The sform is taken where its code is positive, else the qform, else the voxel sizes alone with x flipped and the
//! volume centred, as nibabel does.

use super::Header;

/// Rows of the 4x4 matrix that takes (i, j, k, 1) to millimetres.
pub type Affine = [[f64; 4]; 4];

/// Rounding slack of 1 − b² − c² − d² for f32 parts, nibabel's `quaternion_threshold`.
const QUATERNION_SLACK: f64 = 3.0 * f32::EPSILON as f64;

/// Voxel sizes that differ relatively by less than this are the same.
const ALIKE: f64 = 1e-2;

/// How far, at most, two affines put a corner of a volume of this shape (x, y, z) apart, in millimetres; NaN where an
/// entry is.
pub fn farthest_corner(shape: [usize; 3], a: &Affine, b: &Affine) -> f64 {
    let mut farthest = 0.0;
    for corner in 0..8 {
        let end = |axis: usize| (corner >> axis & 1) as f64 * shape[axis].saturating_sub(1) as f64;
        let index = [end(0), end(1), end(2), 1.0];
        let moved =
            |row: usize| (0..4).map(|column| (b[row][column] - a[row][column]) * index[column]).sum::<f64>();
        let distance = (0..3).map(|row| moved(row).powi(2)).sum::<f64>().sqrt();
        // `f64::max` would drop a NaN.
        if distance.is_nan() {
            return f64::NAN;
        }
        farthest = distance.max(farthest);
    }
    farthest
}

/// [`farthest_corner`] where it is more than a tenth of a voxel of this spacing, or NaN.
pub(crate) fn apart(shape: [usize; 3], spacing: [f64; 3], a: &Affine, b: &Affine) -> Option<f64> {
    let apart = farthest_corner(shape, a, b);
    let slack = 0.1 * spacing.into_iter().fold(f64::INFINITY, f64::min);
    (apart.is_nan() || apart > slack).then_some(apart)
}

impl Header {
    /// Voxel sizes as nibabel's `get_zooms` gives them: |pixdim|, with 1 for a zero, one number per axis.
    pub fn zooms(&self) -> Vec<f64> {
        (0..self.shape.len()).map(|axis| self.zoom(axis)).collect()
    }

    /// Voxel sizes along x, y, z: |pixdim| where it is usable, else the length of the sform's column, else 1.
    /// In mm, unless `xyzt_units` names another unit: numbers are not converted.
    pub fn spacing(&self) -> [f64; 3] {
        let affine = self.affine().ok().filter(|_| self.sform_code > 0);
        std::array::from_fn(|axis| {
            let stored = self.pixdim[axis + 1].abs();
            if axis < self.shape.len() && stored.is_finite() && stored > 0.0 {
                return stored;
            }
            let column = affine.map_or(0.0, |a| (0..3).map(|row| a[row][axis].powi(2)).sum::<f64>().sqrt());
            if column.is_finite() && column > 0.0 { column } else { 1.0 }
        })
    }

    /// The matrix from voxel indices to millimetres.
    ///
    /// # Errors
    /// Where only the qform is set and its quaternion is longer than 1.
    pub fn affine(&self) -> Result<Affine, String> {
        if self.sform_code > 0 {
            Ok([self.srow[0], self.srow[1], self.srow[2], [0.0, 0.0, 0.0, 1.0]])
        } else if self.qform_code > 0 {
            self.qform()
        } else {
            Ok(self.base_affine())
        }
    }

    /// What of the header says two things of where voxels lie, in words: the sform decides, but sizes are pixdim's.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let mut all = Vec::new();
        let millimetres = |sizes: [f64; 3]| sizes.map(|mm| format!("{mm:.3}")).join(" x ");
        let unit = match self.xyzt_units & 7 {
            1 => Some("metres"),
            3 => Some("micrometres"),
            _ => None,
        };
        all.extend(unit.map(|unit| format!("its lengths are in {unit}, but are taken as millimetres")));
        let Some(sform) = self.affine().ok().filter(|_| self.sform_code > 0) else { return all };
        let (stored, columns) = (self.spacing(), crate::volume::column_lengths(&sform));
        if (0..3).any(|axis| (stored[axis] - columns[axis]).abs() > ALIKE * stored[axis].max(columns[axis])) {
            let [stored, columns] = [stored, columns].map(millimetres);
            all.push(format!("its pixdim gives voxels of {stored} mm, its sform of {columns} mm"));
        }
        let shape = std::array::from_fn(|axis| self.shape.get(axis).copied().unwrap_or(1));
        let qform = self.qform().ok().filter(|_| self.qform_code > 0);
        if let Some(apart) = qform.and_then(|qform| apart(shape, stored, &sform, &qform)) {
            all.push(format!("its qform lies up to {apart:.3} mm from its sform, which is taken"));
        }
        all
    }

    fn zoom(&self, axis: usize) -> f64 {
        let stored = self.pixdim[axis + 1];
        // Only the three axes of space are repaired.
        match axis {
            0..3 if stored == 0.0 => 1.0,
            0..3 => stored.abs(),
            _ => stored,
        }
    }

    /// Method 2 of `nifti1.h`: a rotation given by a unit quaternion (a, b, c, d) with a ≥ 0 left out.
    fn qform(&self) -> Result<Affine, String> {
        let [b, c, d] = self.quatern;
        let rest = 1.0 - (b * b + c * c + d * d);
        let a = if rest.abs() < QUATERNION_SLACK {
            0.0
        } else if rest > 0.0 {
            rest.sqrt()
        } else {
            return Err(format!(
                "the qform's quaternion ({b}, {c}, {d}) is longer than 1, so it is no rotation; set an sform, or export the file again"
            ));
        };
        // Normalised as nibabel's `quat2mat`, which matters where `a` was set to 0.
        let s = 2.0 / (a * a + b * b + c * c + d * d);
        let rotation = [
            [1.0 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
            [s * (b * c + a * d), 1.0 - s * (b * b + d * d), s * (c * d - a * b)],
            [s * (b * d - a * c), s * (c * d + a * b), 1.0 - s * (b * b + c * c)],
        ];
        let handedness = if self.pixdim[0] == -1.0 { -1.0 } else { 1.0 };
        let size = [self.zoom(0), self.zoom(1), self.zoom(2) * handedness];
        let row = |r: usize| {
            [rotation[r][0] * size[0], rotation[r][1] * size[1], rotation[r][2] * size[2], self.qoffset[r]]
        };
        Ok([row(0), row(1), row(2), [0.0, 0.0, 0.0, 1.0]])
    }

    fn base_affine(&self) -> Affine {
        let mut affine = [[0.0; 4]; 4];
        affine[3][3] = 1.0;
        for axis in 0..3 {
            let (length, size) = match self.shape.get(axis) {
                Some(&length) => (length as f64, self.zoom(axis)),
                None => (1.0, 1.0),
            };
            let size = if axis == 0 { -size } else { size };
            affine[axis][axis] = size;
            affine[axis][3] = -size * (length - 1.0) / 2.0;
        }
        affine
    }
}
