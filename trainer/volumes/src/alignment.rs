//! Files of one case whose axes run in different ways, or of which one is a part of the other.
//!
//! A mask may have been saved by a program that turned it, or cut down to its segments, as 3D Slicer does. Where the
//! headers say that its voxels are voxels of the image, they are put in their places; where they say neither that nor that
//! the order is the same, nobody can tell which voxel belongs to which.

use crate::nifti::tolerance;
use crate::{AxisOrder, Frame, Header};

/// How the voxels of a file lie to those of a case's first, by their headers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Alignment {
    /// In the same order. They need not be at the very same place: affines are often rounded, or missing.
    Same,
    /// They are the first file's in another order.
    Turned(Lattice),
    /// They are some of the first file's, in any order.
    Part(Lattice),
    /// In another order, and elsewhere.
    Apart,
}

/// Places of a file's voxels among those of the case's first.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Lattice {
    /// Along x, y, z.
    own: [usize; 3],
    first: [usize; 3],
    /// Where the file's voxel (0, 0, 0) is.
    start: [usize; 3],
    /// Axis a of the file runs along axis `axes[a]` of the first.
    axes: [usize; 3],
    /// Whether it runs the other way.
    flips: [bool; 3],
}

impl Alignment {
    /// How `own`, the header of a further file, lies to that of the case's first.
    pub fn of(first: &Header, own: &Header) -> Self {
        if first.size() == own.size() && first.apart(own).is_none() {
            return Self::Same;
        }
        match Lattice::of(first, own) {
            Some(lattice)
                if first.size().iter().product::<usize>() == own.size().iter().product::<usize>() =>
            {
                return Self::Turned(lattice);
            }
            Some(lattice) if lattice.is_meant(first, own) => return Self::Part(lattice),
            _ => {}
        }
        let [a, b] = [first, own].map(|header| Frame::turned(header, AxisOrder::ZYX));
        if a == b { Self::Same } else { Self::Apart }
    }

    /// A file's voxels in the order of the first file's. What a part does not reach is the type's default: the background.
    pub fn in_order<T: Copy + Default>(self, voxels: Vec<T>) -> Vec<T> {
        match self {
            Self::Turned(lattice) | Self::Part(lattice) => lattice.spread(&voxels),
            Self::Same | Self::Apart => voxels,
        }
    }
}

impl Lattice {
    /// Where every voxel of `own` lies within a tenth of a voxel of one of `first`; `None` where one does not.
    fn of(first: &Header, own: &Header) -> Option<Self> {
        let inverse = inverse(first)?;
        let row = |r: usize, v: [f64; 3]| (0..3).map(|i| inverse[r][i] * v[i]).sum::<f64>();
        let [origin, own_origin] = [first, own].map(Header::origin);
        let shift = std::array::from_fn(|i| own_origin[i] - origin[i]);
        let start: [f64; 3] = std::array::from_fn(|r| row(r, shift).round());
        // How far a step along each axis of the file goes along the first's.
        let steps: [[f64; 3]; 3] = std::array::from_fn(|axis| {
            let step = std::array::from_fn(|i| own.affine[i][axis]);
            std::array::from_fn(|r| row(r, step))
        });
        let along = |axis: usize| {
            (0..3).fold(0, |best, r| if steps[axis][r].abs() > steps[axis][best].abs() { r } else { best })
        };
        let axes = [0, 1, 2].map(along);
        let flips = [0, 1, 2].map(|axis: usize| steps[axis][axes[axis]] < 0.0);
        let slack = tolerance(first.spacing);
        for corner in 0..8 {
            let at = [0, 1, 2].map(|a| ((corner >> a & 1) * (own.size()[a] - 1)) as f64);
            let mut place = start;
            (0..3).for_each(|a| place[axes[a]] += if flips[a] { -at[a] } else { at[a] });
            let is_inside = (0..3).all(|r| (0.0..first.size()[r] as f64).contains(&place[r]));
            let (a, b) = (first.place(place), own.place(at));
            let apart = (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt();
            // A NaN is no distance.
            let is_near = apart <= slack;
            if !is_inside || !is_near {
                return None;
            }
        }
        let is_order = (0..3).all(|r| axes.contains(&r));
        let start = start.map(|v| v as usize);
        is_order.then_some(Self { own: own.size(), first: first.size(), start, axes, flips })
    }

    /// Whether a part's place is more than what a program writes that knows none: no place at all, or the image's own
    /// affine for voxels that were cut out of it.
    fn is_meant(self, first: &Header, own: &Header) -> bool {
        let slack = tolerance(first.spacing);
        let begins_alike = (0..3).all(|i| (first.origin()[i] - own.origin()[i]).abs() <= slack);
        first.place_known && own.place_known && !begins_alike
    }

    fn spread<T: Copy + Default>(self, voxels: &[T]) -> Vec<T> {
        let [nx, ny, _] = self.first;
        let strides = [1, nx, nx * ny];
        let step = |axis: usize, i: usize| {
            let far = (i * strides[self.axes[axis]]) as isize;
            if self.flips[axis] { -far } else { far }
        };
        let start = (0..3).map(|r| self.start[r] * strides[r]).sum::<usize>() as isize;
        let mut out = memory::filled(T::default(), self.first.iter().product());
        for (row, values) in voxels.chunks_exact(self.own[0]).enumerate() {
            let of_row = start + step(1, row % self.own[1]) + step(2, row / self.own[1]);
            for (x, &value) in values.iter().enumerate() {
                out[(of_row + step(0, x)) as usize] = value;
            }
        }
        out
    }
}

/// From millimetres to the voxels of a file, without the shift; `None` where its affine has no inverse.
fn inverse(header: &Header) -> Option<[[f64; 3]; 3]> {
    let a = &header.affine;
    let cofactor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        a[r1][c1] * a[r2][c2] - a[r1][c2] * a[r2][c1]
    };
    let determinant: f64 = (0..3).map(|c| a[0][c] * cofactor(0, c)).sum();
    let inverse = |r: usize, c: usize| cofactor(c, r) / determinant;
    (determinant != 0.0 && determinant.is_finite())
        .then(|| std::array::from_fn(|r| std::array::from_fn(|c| inverse(r, c))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPACING: [f64; 3] = [1.0, 2.0, 3.0];

    /// The header of a file whose axis i runs along axis `axes[i]` of space, backwards where there is a sign; and the place
    /// in space, counted in voxels, of each of its voxels.
    fn file(axes: [usize; 3], backwards: [bool; 3], size: [usize; 3]) -> (Header, Vec<[usize; 3]>) {
        let mut affine = [[0.0; 4]; 4];
        affine[3][3] = 1.0;
        for (i, &space) in axes.iter().enumerate() {
            let extent = (size[space] - 1) as f64 * SPACING[space];
            affine[space][i] = if backwards[i] { -SPACING[space] } else { SPACING[space] };
            affine[space][3] = 10.0 + if backwards[i] { extent } else { 0.0 };
        }
        let own = axes.map(|space| size[space]);
        let mut header = Header::new(&own, affine);
        header.spacing = axes.map(|space| SPACING[space]);
        let voxels = (0..own.iter().product::<usize>()).map(|i| {
            let at = [i % own[0], i / own[0] % own[1], i / own[0] / own[1]];
            let mut place = [0; 3];
            for (axis, &space) in axes.iter().enumerate() {
                place[space] = if backwards[axis] { own[axis] - 1 - at[axis] } else { at[axis] };
            }
            place
        });
        (header, voxels.collect())
    }

    fn any_axes() -> impl Strategy<Value = [usize; 3]> {
        Just([0, 1, 2]).prop_shuffle()
    }

    proptest! {
        #[test]
        fn a_file_that_was_turned_comes_into_the_order_of_the_first(
            axes in any_axes(), backwards in any::<[bool; 3]>(),
            own_axes in any_axes(), own_backwards in any::<[bool; 3]>(),
            size in prop::array::uniform3(2usize..6),
        ) {
            let (first, places) = file(axes, backwards, size);
            let (own, own_places) = file(own_axes, own_backwards, size);
            let alignment = Alignment::of(&first, &own);
            prop_assert_eq!(alignment == Alignment::Same, (axes, backwards) == (own_axes, own_backwards));
            prop_assert_eq!(alignment.in_order(own_places), places);
        }

        #[test]
        fn a_part_of_the_first_in_any_order_is_set_into_it(
            axes in any_axes(), backwards in any::<[bool; 3]>(),
            own_axes in any_axes(), own_backwards in any::<[bool; 3]>(),
            size in prop::array::uniform3(3usize..6), from in prop::array::uniform3(0usize..2), apart in prop_oneof![0.0f64..0.025, 0.11f64..0.4],
        ) {
            let (first, places) = file(axes, backwards, size);
            let part = size.map(|n| n - 2);
            let (mut own, mut own_places) = file(own_axes, own_backwards, part);
            (0..3).for_each(|space| own.affine[space][3] += (from[space] as f64 + apart) * SPACING[space]);
            own_places.iter_mut().for_each(|place| (0..3).for_each(|a| place[a] += from[a]));
            let alignment = Alignment::of(&first, &own);
            if apart > 0.1 {
                prop_assert!(!matches!(alignment, Alignment::Part(_)));
                return Ok(());
            }
            let begins_alike = (0..3).all(|i| (first.origin()[i] - own.origin()[i]).abs() < 0.1);
            prop_assert_eq!(matches!(alignment, Alignment::Part(_)), !begins_alike);
            prop_assume!(!begins_alike);
            // Places count from 1, so that 0 is none.
            let number = |place: &[usize; 3]| 1 + place[0] + 10 * place[1] + 100 * place[2];
            let set = alignment.in_order(own_places.iter().map(number).collect::<Vec<usize>>());
            for (place, value) in places.iter().zip(set) {
                let is_in = (0..3).all(|a| (from[a]..from[a] + part[a]).contains(&place[a]));
                prop_assert_eq!(value, if is_in { number(place) } else { 0 });
            }
            own.place_known = false;
            prop_assert!(!matches!(Alignment::of(&first, &own), Alignment::Part(_)));
        }

        #[test]
        fn a_file_in_another_order_and_elsewhere_belongs_to_nothing(
            own_axes in any_axes(), own_backwards in any::<[bool; 3]>(), axis in 0usize..3, far in any::<bool>(),
        ) {
            let (first, _) = file([0, 1, 2], [false; 3], [3, 4, 5]);
            let (mut own, places) = file(own_axes, own_backwards, [3, 4, 5]);
            own.affine[axis][3] += if far { 0.5 } else { 0.05 };
            let same_order = own_axes == [0, 1, 2] && own_backwards == [false; 3];
            let alignment = Alignment::of(&first, &own);
            match (same_order, far) {
                (true, _) => prop_assert_eq!(alignment, Alignment::Same),
                (false, true) => prop_assert_eq!(alignment, Alignment::Apart),
                (false, false) => prop_assert!(matches!(alignment, Alignment::Turned(_))),
            }
            if alignment == Alignment::Apart {
                prop_assert_eq!(alignment.in_order(places.clone()), places);
            }
        }
    }
}
