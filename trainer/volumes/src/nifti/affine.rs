//! Where a voxel lies: the affine matrix from indices to millimetres.
//!
//! The sform is taken where its code is positive, else the qform, else the voxel sizes alone with x flipped and the
//! volume centred, as nibabel does. But a matrix that is not finite or has no inverse says nothing: of sform and qform the
//! other is taken then, as ITK, ANTs and FSL do, and a file that leaves none is refused.

use super::NiftiHeader;
use crate::{Affine, check_invertible, column_lengths, converted};

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

/// Places that are no farther apart than this are the same: a tenth of a voxel along its shortest side, in millimetres.
pub(crate) fn tolerance(spacing: [f64; 3]) -> f64 {
    0.1 * spacing.into_iter().fold(f64::INFINITY, f64::min)
}

/// [`farthest_corner`] where it is more than the [`tolerance`] for voxels of this spacing, or NaN.
pub(crate) fn apart(shape: [usize; 3], spacing: [f64; 3], a: &Affine, b: &Affine) -> Option<f64> {
    let apart = farthest_corner(shape, a, b);
    (apart.is_nan() || apart > tolerance(spacing)).then_some(apart)
}

/// What of a header says where voxels lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Sform,
    Qform,
    /// `pixdim` alone.
    Sizes,
}

/// Where the voxels lie.
struct Placed {
    /// In mm.
    affine: Affine,
    by: Form,
    /// Why it is not the form that goes before.
    instead_of: Option<String>,
}

impl NiftiHeader {
    /// Voxel sizes as nibabel's `get_zooms` gives them: |pixdim|, with 1 for a zero, one number per axis, in the file's own
    /// units.
    pub fn zooms(&self) -> Vec<f64> {
        (0..self.shape.len()).map(|axis| self.zoom(axis)).collect()
    }

    /// Voxel sizes along x, y, z in mm: |pixdim| where it is usable, else the length of the affine's column.
    pub fn spacing(&self) -> [f64; 3] {
        let columns = self.placed().ok().map(|placed| column_lengths(&placed.affine));
        std::array::from_fn(|axis| {
            let stored = self.pixdim[axis + 1].abs();
            if axis < self.shape.len() && stored.is_finite() && stored > 0.0 {
                return stored * self.unit_in_mm();
            }
            columns.map_or(1.0, |columns| columns[axis])
        })
    }

    /// The matrix from voxel indices to millimetres.
    ///
    /// # Errors
    /// Where what is set of sform and qform, or without both the voxel sizes, gives no place to every voxel.
    pub fn affine(&self) -> Result<Affine, String> {
        self.placed().map(|placed| placed.affine)
    }

    /// Whether a form places the voxels, and not their sizes alone.
    pub(crate) fn place_known(&self) -> bool {
        self.placed().is_ok_and(|placed| placed.by != Form::Sizes)
    }

    /// What of the header is not taken as it is written, or says two things of where voxels lie, in words: the sform
    /// decides, but sizes are pixdim's.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut all = Vec::new();
        all.extend(self.unit().and_then(|(unit, mm)| converted(unit, mm)));
        let Ok(placed) = self.placed() else { return all };
        let affine = placed.affine;
        all.extend(placed.instead_of);
        let (stored, columns) = (self.spacing(), column_lengths(&affine));
        let millimetres = |sizes: [f64; 3]| sizes.map(|mm| format!("{mm:.3}")).join(" x ");
        if (0..3).any(|axis| (stored[axis] - columns[axis]).abs() > ALIKE * stored[axis].max(columns[axis])) {
            let [stored, columns] = [stored, columns].map(millimetres);
            all.push(format!("its pixdim gives voxels of {stored} mm, its sform of {columns} mm"));
        }
        let shape = std::array::from_fn(|axis| self.shape.get(axis).copied().unwrap_or(1));
        if let (Form::Sform, Some(Ok(qform))) = (placed.by, self.form(Form::Qform))
            && let Some(apart) = apart(shape, stored, &affine, &qform)
        {
            all.push(format!("its qform lies up to {apart:.3} mm from its sform, which is taken"));
        }
        all
    }

    /// The form that places the voxels.
    fn placed(&self) -> Result<Placed, String> {
        let placed = |by, affine| Placed { affine, by, instead_of: None };
        match [Form::Sform, Form::Qform].map(|form| self.form(form)) {
            [Some(Ok(sform)), _] => Ok(placed(Form::Sform, sform)),
            [None, Some(Ok(qform))] => Ok(placed(Form::Qform, qform)),
            [Some(Err(why)), Some(Ok(qform))] => {
                let note = format!("its sform places no voxel ({why}): its qform is taken");
                Ok(Placed { instead_of: Some(note), ..placed(Form::Qform, qform) })
            }
            [Some(Err(why)), None] => {
                Err(format!("its sform places no voxel ({why}) and it has no qform; set one of the two"))
            }
            [Some(Err(s)), Some(Err(q))] => Err(format!(
                "neither its sform ({s}) nor its qform ({q}) places its voxels; set one of the two"
            )),
            [None, Some(Err(why))] => {
                Err(format!("its qform places no voxel ({why}); set an sform, or export the file again"))
            }
            [None, None] => match self.checked(self.base_affine()) {
                Ok(affine) => Ok(placed(Form::Sizes, affine)),
                Err(why) => {
                    let sizes = &self.pixdim[1..4];
                    Err(format!(
                        "its voxels are {sizes:?} large (pixdim) and nothing else places them ({why}); correct pixdim, or set an sform"
                    ))
                }
            },
        }
    }

    /// A form in mm; `None` where its code says that it is not set.
    fn form(&self, form: Form) -> Option<Result<Affine, String>> {
        let affine = match form {
            Form::Sform => (self.sform_code > 0)
                .then(|| Ok([self.srow[0], self.srow[1], self.srow[2], [0.0, 0.0, 0.0, 1.0]])),
            Form::Qform => (self.qform_code > 0).then(|| self.qform()),
            Form::Sizes => Some(Ok(self.base_affine())),
        }?;
        Some(affine.and_then(|affine| self.checked(affine)))
    }

    /// A matrix in the header's unit as one in mm, if it gives a place to every voxel.
    fn checked(&self, mut affine: Affine) -> Result<Affine, String> {
        affine[..3].iter_mut().flatten().for_each(|v| *v *= self.unit_in_mm());
        check_invertible(&affine).map(|()| affine)
    }

    /// The unit of lengths and its millimetres, where it is named and another one.
    fn unit(&self) -> Option<(&'static str, f64)> {
        match self.xyzt_units & 7 {
            1 => Some(("metres", 1e3)),
            3 => Some(("micrometres", 1e-3)),
            _ => None,
        }
    }

    fn unit_in_mm(&self) -> f64 {
        self.unit().map_or(1.0, |(_, mm)| mm)
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
            return Err(format!("its quaternion ({b}, {c}, {d}) is longer than 1, so it is no rotation"));
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
