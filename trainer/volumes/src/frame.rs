//! How a file's axes are turned into d, h, w, and back.
//!
//! The frame that cases are turned to has x, y and z growing to the patient's right, front and head, as far as whole
//! turns and mirrorings can bring them there: nothing is interpolated. A file lies in one of 48 ways to it, six orders of
//! the axes times eight mirrorings.

use crate::{AxisOrder, Grid, Header, leads};

/// How a file's memory (z, y, x) lies to a volume (d, h, w).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Axis i of the volume is axis `axes[i]` of the file's memory.
    axes: [usize; 3],
    /// Whether it runs the other way.
    flips: [bool; 3],
}

impl Frame {
    /// The frame of a file whose axes are kept as they are: d, h, w are the file's z, y, x in this order.
    pub fn kept(order: AxisOrder) -> Self {
        Self { axes: order.into(), flips: [false; 3] }
    }

    /// The frame of a file that is turned to right, front and head before its axes are put in order. Where the affine
    /// leaves an axis without a direction, the file's axes are taken to lie so already.
    pub fn turned(header: &Header, order: AxisOrder) -> Self {
        let [Some(x), Some(y), Some(z)] = leads(&header.affine) else { return Self::kept(order) };
        // In memory z comes first: axis i of the file is x, y, z number 2 − i, and so it is for space.
        let leads = [z, y, x];
        let along = |space: usize| {
            let axis = (0..3).find(|&axis| leads[axis].0 == 2 - space).expect("each axis is taken once");
            (axis, !leads[axis].1)
        };
        let found = <[usize; 3]>::from(order).map(along);
        Self { axes: found.map(|(axis, _)| axis), flips: found.map(|(_, flip)| flip) }
    }

    /// The grid of a file along (d, h, w).
    pub fn grid(self, header: &Header) -> Grid {
        let ([nx, ny, nz], [sx, sy, sz]) = (header.size(), header.spacing);
        let (size, spacing) = ([nz, ny, nx], [sz, sy, sx]);
        Grid { size: self.axes.map(|axis| size[axis]), spacing: self.axes.map(|axis| spacing[axis]) }
    }

    /// A file's voxels (x fastest) as `[d, h, w]`. `size` is that of the volume, (d, h, w).
    pub fn to_volume<T: Copy>(self, file: Vec<T>, size: [usize; 3]) -> Vec<T> {
        let mut strides = [0; 3];
        let mut stride = 1;
        // The file's last axis in memory runs fastest.
        for memory in (0..3).rev() {
            let axis = self.place(memory);
            strides[axis] = stride;
            stride *= size[axis];
        }
        gather(file, size, strides, self.flips)
    }

    /// A volume's voxels `[d, h, w]` in the file's order (x fastest). `size` is that of the volume, (d, h, w).
    pub fn to_file<T: Copy>(self, volume: Vec<T>, size: [usize; 3]) -> Vec<T> {
        let strides = [size[1] * size[2], size[2], 1];
        let of_file = [0, 1, 2].map(|memory| self.place(memory));
        gather(volume, of_file.map(|a| size[a]), of_file.map(|a| strides[a]), of_file.map(|a| self.flips[a]))
    }

    /// The volume's axis that is the file's axis `memory`.
    fn place(self, memory: usize) -> usize {
        (0..3).find(|&axis| self.axes[axis] == memory).expect("an order holds every axis")
    }
}

/// `out[a][b][c] = data[a·s₀ + b·s₁ + c·s₂]`, where a flipped axis is counted from its end.
fn gather<T: Copy>(data: Vec<T>, size: [usize; 3], strides: [usize; 3], flips: [bool; 3]) -> Vec<T> {
    if strides == [size[1] * size[2], size[2], 1] && flips == [false; 3] {
        return data;
    }
    let at = |axis: usize, i: usize| {
        let i = if flips[axis] { size[axis] - 1 - i } else { i };
        i * strides[axis]
    };
    let mut out = memory::with_capacity(data.len());
    for a in 0..size[0] {
        for b in 0..size[1] {
            let row = at(0, a) + at(1, b);
            out.extend((0..size[2]).map(|c| data[row + at(2, c)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_frame() -> impl Strategy<Value = Frame> {
        let axes = Just([0, 1, 2]).prop_shuffle();
        (axes, any::<[bool; 3]>()).prop_map(|(axes, flips)| Frame { axes, flips })
    }

    /// Rows of the rotation by a unit quaternion.
    fn rotation([a, b, c, d]: [f64; 4]) -> [[f64; 3]; 3] {
        let length = (a * a + b * b + c * c + d * d).sqrt();
        let [a, b, c, d] = [a, b, c, d].map(|v| v / length);
        [
            [1.0 - 2.0 * (c * c + d * d), 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), 1.0 - 2.0 * (b * b + d * d), 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), 1.0 - 2.0 * (b * b + c * c)],
        ]
    }

    /// Rotations, those by 45° about one axis and by 120° about a diagonal among them, where several orders of the axes are
    /// equally good.
    fn any_rotation() -> impl Strategy<Value = [[f64; 3]; 3]> {
        let half = std::f64::consts::FRAC_PI_8;
        let even = [
            [half.cos(), half.sin(), 0.0, 0.0],
            [half.cos(), 0.0, half.sin(), 0.0],
            [half.cos(), 0.0, 0.0, half.sin()],
            [half.cos(), 0.0, 0.0, -half.sin()],
            [0.0, 1.0, 1.0, 1.0],
            [1.0, 1.0, 1.0, 1.0],
        ];
        let any = prop::array::uniform4(-1.0f64..1.0)
            .prop_filter("a direction", |q| q.iter().map(|v| v * v).sum::<f64>() > 0.01);
        let nearly = (prop::sample::select(even.to_vec()), prop::array::uniform4(-1e-7f64..1e-7))
            .prop_map(|(q, by)| std::array::from_fn(|i| q[i] + by[i]));
        prop_oneof![any, nearly, prop::sample::select(even.to_vec())].prop_map(rotation)
    }

    proptest! {
        #[test]
        fn the_same_voxels_in_any_order_come_to_lie_alike_however_oblique(
            rotation in any_rotation(),
            spacing in prop::array::uniform3(0.5f64..3.0),
            axes in Just([0usize, 1, 2]).prop_shuffle(),
            backwards in any::<[bool; 3]>(),
        ) {
            let size = [2usize, 3, 4];
            // What f32 leaves of an affine.
            let stored = |v: f64| f64::from(v as f32);
            let step = |axis: usize| rotation.map(|row| row[axis] * spacing[axis]);
            let upright = std::array::from_fn(|row| match row {
                3 => [0.0, 0.0, 0.0, 1.0],
                _ => std::array::from_fn(|axis| if axis < 3 { stored(step(axis)[row]) } else { 7.0 }),
            });
            let mut turned = upright;
            for row in 0..3 {
                for axis in 0..3 {
                    let sign = if backwards[axis] { -1.0 } else { 1.0 };
                    turned[row][axis] = stored(sign * step(axes[axis])[row]);
                    let far = if backwards[axis] { (size[axes[axis]] - 1) as f64 } else { 0.0 };
                    turned[row][3] += far * step(axes[axis])[row];
                }
            }
            let first = Header::new(&size, upright);
            let second = Header::new(&axes.map(|axis| size[axis]), turned);
            // A voxel's value is its index in the upright file.
            let number = |[x, y, z]: [usize; 3]| x + size[0] * (y + size[1] * z);
            let mut values = Vec::new();
            let [nx, ny, nz] = second.size();
            for (z, y, x) in (0..nz).flat_map(|z| (0..ny).flat_map(move |y| (0..nx).map(move |x| (z, y, x)))) {
                let mut at = [0; 3];
                for (axis, i) in [x, y, z].into_iter().enumerate() {
                    at[axes[axis]] = if backwards[axis] { size[axes[axis]] - 1 - i } else { i };
                }
                values.push(number(at));
            }
            let volume = |header: &Header, values: Vec<usize>| {
                let frame = Frame::turned(header, AxisOrder::ZYX);
                let grid = frame.grid(header);
                (grid.size, frame.to_volume(values, grid.size))
            };
            prop_assert_eq!(volume(&first, (0..24).collect()), volume(&second, values));
        }

        #[test]
        fn the_way_back_undoes_the_way_there(frame in any_frame(), size in prop::array::uniform3(1usize..6)) {
            let file: Vec<usize> = (0..size.iter().product()).collect();
            let volume = frame.to_volume(file.clone(), size);
            prop_assert_eq!(frame.to_file(volume, size), file);
        }

        #[test]
        fn a_voxel_keeps_its_place_in_space(
            axes in Just([0usize, 1, 2]).prop_shuffle(),
            signs in any::<[bool; 3]>(),
            size in prop::array::uniform3(2usize..6),
            order in Just([0usize, 1, 2]).prop_shuffle(),
        ) {
            // The file's x, y, z run along `axes` of space.
            let mut affine = [[0.0, 0.0, 0.0, 5.0], [0.0, 0.0, 0.0, -3.0], [0.0, 0.0, 0.0, 7.0], [0.0, 0.0, 0.0, 1.0]];
            for axis in 0..3 {
                affine[axes[axis]][axis] = (axis + 1) as f64 * if signs[axis] { 1.0 } else { -1.0 };
            }
            let header = Header::new(&size, affine);
            let order = AxisOrder::try_from(order).unwrap();
            let frame = Frame::turned(&header, order);
            // A voxel's value is its place along right, front and head, counted in voxels from the lowest.
            let coordinate = |x: usize, y: usize, z: usize| {
                let mut place = [0; 3];
                for (axis, i) in [x, y, z].into_iter().enumerate() {
                    place[axes[axis]] = if signs[axis] { i } else { size[axis] - 1 - i };
                }
                place
            };
            let mut file = Vec::new();
            for z in 0..size[2] {
                for y in 0..size[1] {
                    file.extend((0..size[0]).map(|x| coordinate(x, y, z)));
                }
            }
            let grid = frame.grid(&header);
            let volume = frame.to_volume(file, grid.size);
            let mut voxels = volume.iter();
            for d in 0..grid.size[0] {
                for h in 0..grid.size[1] {
                    for w in 0..grid.size[2] {
                        let mut zyx = [0; 3];
                        for (axis, i) in <[usize; 3]>::from(order).into_iter().zip([d, h, w]) {
                            zyx[axis] = i;
                        }
                        prop_assert_eq!(voxels.next(), Some(&[zyx[2], zyx[1], zyx[0]]));
                    }
                }
            }
            // Spacings go with their axes: the file's x has 1 mm, y 2, z 3.
            for (i, &axis) in <[usize; 3]>::from(order).iter().enumerate() {
                let file_axis = axes.iter().position(|&space| space == 2 - axis).unwrap();
                prop_assert_eq!(grid.spacing[i], (file_axis + 1) as f64);
            }
        }
    }
}
