//! Which axis of the file is which axis of the volume, and the way back.

use crate::Result;
use crate::nifti::{self, Header, Voxel};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Spacings closer than this, relatively, are taken as equal: f32 geometry is not exact.
const SAME_SPACING: f64 = 1e-3;

/// Axis i of the volume (d, h, w) is axis `order[i]` of the file's memory (z, y, x).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "[usize; 3]", into = "[usize; 3]")]
pub struct AxisOrder([usize; 3]);

impl TryFrom<[usize; 3]> for AxisOrder {
    type Error = String;

    fn try_from(order: [usize; 3]) -> Result<Self, String> {
        if (0..3).all(|axis| order.contains(&axis)) {
            Ok(Self(order))
        } else {
            Err(format!("{order:?} is no order of three axes; it must hold 0, 1 and 2"))
        }
    }
}

impl From<AxisOrder> for [usize; 3] {
    fn from(order: AxisOrder) -> Self {
        order.0
    }
}

impl AxisOrder {
    /// The file's own order: d, h, w are z, y, x.
    pub const FILE: Self = Self([0, 1, 2]);

    /// The order for volumes of these headers: d is the axis with the largest median spacing, the other two keep
    /// their order. Of equal spacings z is preferred, then y; slices (one voxel along z everywhere) keep z as d.
    pub fn for_headers<'a>(headers: impl IntoIterator<Item = &'a Header>) -> Self {
        let mut spacings: [Vec<f64>; 3] = Default::default();
        let mut flat = true;
        for header in headers {
            flat &= header.shape.get(2).is_none_or(|&z| z == 1);
            let [x, y, z] = header.spacing();
            for (all, one) in spacings.iter_mut().zip([z, y, x]) {
                all.push(one);
            }
        }
        let median = spacings.map(|mut all| {
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(1.0)
        });
        let mut largest = 0;
        for axis in 1..3 {
            if !flat && median[axis] > median[largest] * (1.0 + SAME_SPACING) {
                largest = axis;
            }
        }
        let mut order = [largest, 0, 0];
        for (slot, axis) in order[1..].iter_mut().zip((0..3).filter(|&a| a != largest)) {
            *slot = axis;
        }
        Self(order)
    }

    /// (z, y, x) to (d, h, w).
    pub fn to_dhw<T: Copy>(self, zyx: [T; 3]) -> [T; 3] {
        self.0.map(|axis| zyx[axis])
    }

    /// (d, h, w) to (z, y, x).
    pub fn to_zyx<T: Copy>(self, dhw: [T; 3]) -> [T; 3] {
        let mut zyx = dhw;
        for (&axis, value) in self.0.iter().zip(dhw) {
            zyx[axis] = value;
        }
        zyx
    }

    /// A file's voxels (x fastest) in the volume's order. `shape` is the file's, (z, y, x).
    pub fn voxels_to_dhw<T: Copy>(self, data: Vec<T>, shape: [usize; 3]) -> Vec<T> {
        let [_, sy, sx] = shape;
        let strides = self.to_dhw([sy * sx, sx, 1]);
        self.gather(data, self.to_dhw(shape), strides)
    }

    /// A volume's voxels in the file's order (x fastest). `shape` is the volume's, (d, h, w).
    pub fn voxels_to_zyx<T: Copy>(self, data: Vec<T>, shape: [usize; 3]) -> Vec<T> {
        let [_, sh, sw] = shape;
        let strides = self.to_zyx([sh * sw, sw, 1]);
        self.gather(data, self.to_zyx(shape), strides)
    }

    fn gather<T: Copy>(self, data: Vec<T>, shape: [usize; 3], strides: [usize; 3]) -> Vec<T> {
        if self == Self::FILE {
            return data;
        }
        let mut out = Vec::with_capacity(data.len());
        for a in 0..shape[0] {
            for b in 0..shape[1] {
                let row = a * strides[0] + b * strides[1];
                out.extend((0..shape[2]).map(|c| data[row + c * strides[2]]));
            }
        }
        out
    }
}

/// Where a case lies in space: enough to write a volume that lies there too.
#[derive(Clone, PartialEq, Debug)]
pub struct Geometry {
    /// The header of the case's first image.
    pub header: Header,
    /// How its axes were turned into d, h, w.
    pub order: AxisOrder,
}

impl Geometry {
    /// Voxels along d, h, w.
    pub fn shape(&self) -> [usize; 3] {
        let axis = |i: usize| self.header.shape.get(i).copied().unwrap_or(1);
        self.order.to_dhw([axis(2), axis(1), axis(0)])
    }

    /// Millimetres along d, h, w.
    pub fn spacing(&self) -> [f32; 3] {
        let [x, y, z] = self.header.spacing();
        self.order.to_dhw([z as f32, y as f32, x as f32])
    }

    /// Writes a `[d, h, w]` volume (a mask in u8, a probability in f32, …) as NIfTI where the case lies: same shape,
    /// transformation and voxel size. The file appears whole or not at all.
    ///
    /// # Errors
    /// A name that is no NIfTI name, a length that is not the case's, or a system error.
    pub fn write<V: Voxel>(&self, path: impl AsRef<Path>, volume: &[V]) -> Result<()> {
        let path = path.as_ref();
        let shape = self.shape();
        if volume.len() != shape.iter().product::<usize>() {
            let message =
                format!("cannot be written: {} voxels for the case's shape {shape:?}", volume.len());
            return Err(crate::Error::file(path, message));
        }
        nifti::write(path, &self.header.like(), &self.order.voxels_to_zyx(volume.to_vec(), shape))
    }
}
