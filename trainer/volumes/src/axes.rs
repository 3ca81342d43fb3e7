//! Which axis of space is which axis of a volume in memory.

use serde::{Deserialize, Serialize};

/// Spacings closer than this, relatively, are taken as equal: f32 geometry is not exact.
const SAME_SPACING: f64 = 1e-3;

/// Axis i of the volume (d, h, w) is axis `order[i]` of (z, y, x): of the frame that cases are turned to, or of the file
/// where they are not turned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "[usize; 3]", into = "[usize; 3]")]
pub struct AxisOrder([usize; 3]);

impl TryFrom<[usize; 3]> for AxisOrder {
    type Error = String;

    fn try_from(order: [usize; 3]) -> Result<Self, Self::Error> {
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
    /// d, h, w are z, y, x.
    pub const ZYX: Self = Self([0, 1, 2]);

    /// The order for volumes of these grids (z, y, x): d is the axis with the largest median spacing, the other two keep
    /// their order. Of equal spacings z is preferred, then y. An axis of one voxel in all of them, which slices have, is
    /// d whatever its spacing.
    pub fn for_grids(grids: &[Grid]) -> Self {
        let flat = |axis: usize| !grids.is_empty() && grids.iter().all(|grid| grid.size[axis] == 1);
        let median: [f64; 3] = std::array::from_fn(|axis| {
            let mut all: Vec<f64> = grids.iter().map(|grid| grid.spacing[axis]).collect();
            all.sort_by(f64::total_cmp);
            all.get(all.len() / 2).copied().unwrap_or(1.0)
        });
        let mut first = 0;
        for axis in 1..3 {
            if median[axis] > median[first] * (1.0 + SAME_SPACING) {
                first = axis;
            }
        }
        let first = (0..3).find(|&axis| flat(axis)).unwrap_or(first);
        let mut order = [first, 0, 0];
        for (slot, axis) in order[1..].iter_mut().zip((0..3).filter(|&a| a != first)) {
            *slot = axis;
        }
        Self(order)
    }
}

/// Voxels along three axes and their sizes in mm.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Grid {
    /// Voxels.
    pub size: [usize; 3],
    /// Millimetres.
    pub spacing: [f64; 3],
}
