//! Files of one case whose axes run in different ways.
//!
//! A mask may have been saved by a program that turned it. Where the headers say that its voxels are the image's in
//! another order, they are put into the image's order; where they say neither that nor that the order is the same,
//! nobody can tell which voxel belongs to which.

use super::{AxisOrder, Frame};
use crate::volume::Header;

/// How the voxels of a file lie to those of a case's first, by their headers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Alignment {
    /// In the same order. They need not be at the very same place: affines are often rounded, or missing.
    Same,
    /// They are the first file's in another order.
    Turned(Turn),
    /// In another order, and elsewhere.
    Apart,
}

/// One of the 48 ways in which voxels are put into another order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Turn {
    own: Frame,
    first: Frame,
    /// Voxels along z, y, x of space.
    size: [usize; 3],
}

impl Alignment {
    pub(crate) fn of(first: &Header, own: &Header) -> Self {
        if first.size() == own.size() && first.apart(own).is_none() {
            return Self::Same;
        }
        let frames = [first, own].map(|header| Frame::turned(header, AxisOrder::ZYX));
        if frames[0] == frames[1] {
            return Self::Same;
        }
        let [grid, own_grid] = [frames[0].grid(first), frames[1].grid(own)];
        let slack = 0.1 * first.spacing.into_iter().fold(f64::INFINITY, f64::min);
        let near = |corner: [usize; 3]| {
            let at = |frame: Frame, header: &Header| {
                header.place(frame.voxel(corner, grid.size).map(|i| i as f64))
            };
            let (a, b) = (at(frames[0], first), at(frames[1], own));
            (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt() <= slack
        };
        let corners = (0..8).map(|corner| [0, 1, 2].map(|a| (corner >> a & 1) * (grid.size[a] - 1)));
        match grid.size == own_grid.size && corners.into_iter().all(near) {
            true => Self::Turned(Turn { own: frames[1], first: frames[0], size: grid.size }),
            false => Self::Apart,
        }
    }

    /// Whether there is something to put into order.
    pub(crate) fn is_turned(self) -> bool {
        matches!(self, Self::Turned(_))
    }

    /// A file's voxels in the order of the first file's.
    pub(crate) fn in_order<T: Copy>(self, voxels: Vec<T>) -> Vec<T> {
        match self {
            Self::Turned(Turn { own, first, size }) => first.to_file(own.to_volume(voxels, size), size),
            Self::Same | Self::Apart => voxels,
        }
    }
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
