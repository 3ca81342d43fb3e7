//! Connected components of a mask, by union-find.
//!
//! One pass in the order of memory joins each voxel with those of its neighbours that came before; a second one
//! numbers the trees. Every set of voxels is named by its first voxel in the order of memory.
//!
//! # Source
//! A. Rosenfeld, J. L. Pfaltz, "Sequential operations in digital picture processing", Journal of the ACM 13,
//! 1966; with the path halving of R. E. Tarjan, J. van Leeuwen, "Worst-case analysis of set union algorithms",
//! Journal of the ACM 31, 1984. Numbers as `scipy.ndimage.label` gives them.

use super::grid::{self, Connectivity};

/// Which component each voxel of a mask belongs to.
///
/// ```
/// use metrics::{Components, Connectivity};
/// let mask = [true, false, false, true];
/// assert_eq!(Components::new(&mask, [1, 2, 2], Connectivity::TwentySix).labels, [1, 0, 0, 1]);
/// assert_eq!(Components::new(&mask, [1, 2, 2], Connectivity::Six).labels, [1, 0, 0, 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Components {
    /// 0 outside the mask, else the component's number; numbers count from 1, by the first voxel in memory.
    pub labels: Vec<u32>,
    /// How many components there are.
    pub count: u32,
}

impl Components {
    /// The components of a mask `[d, h, w]`.
    ///
    /// # Panics
    /// When the mask does not have the shape's number of voxels, or has 2³² components or more.
    #[track_caller]
    pub fn new(mask: &[bool], shape: [usize; 3], connectivity: Connectivity) -> Self {
        grid::check(mask, shape);
        // Half the memory, for as long as numbers of voxels are short.
        match u32::try_from(mask.len()) {
            Ok(voxels) if voxels < u32::BACKGROUND => Parents::<u32>::of(mask, shape, connectivity).number(),
            _ => Parents::<usize>::of(mask, shape, connectivity).number(),
        }
    }
}

/// What numbers the voxels of a mask.
trait Number: Copy + Ord {
    /// No voxel of the mask.
    const BACKGROUND: Self;
    fn of(index: usize) -> Self;
    fn index(self) -> usize;
}

impl Number for u32 {
    const BACKGROUND: Self = Self::MAX;

    fn of(index: usize) -> Self {
        index as Self
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl Number for usize {
    const BACKGROUND: Self = Self::MAX;

    fn of(index: usize) -> Self {
        index
    }

    fn index(self) -> usize {
        self
    }
}

/// A forest over the voxels: each points to one before it in memory, or to itself as the root of its tree.
struct Parents<N>(Vec<N>);

impl<N: Number> Parents<N> {
    fn of(mask: &[bool], shape: [usize; 3], connectivity: Connectivity) -> Self {
        // Those before a voxel in memory: the first half of the steps, which are in that order.
        let mut before = connectivity.steps();
        before.truncate(before.len() / 2);
        let mut parents = Self(memory::filled(N::BACKGROUND, mask.len()));
        for index in (0..mask.len()).filter(|&index| mask[index]) {
            parents.0[index] = N::of(index);
            let from = grid::place(index, shape);
            for neighbour in before.iter().filter_map(|&by| grid::step(from, by, shape)) {
                if mask[neighbour] {
                    parents.join(index, neighbour);
                }
            }
        }
        parents
    }

    fn root(&mut self, mut voxel: usize) -> usize {
        while self.0[voxel].index() != voxel {
            let above = self.0[voxel].index();
            self.0[voxel] = self.0[above];
            voxel = self.0[voxel].index();
        }
        voxel
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = N::of(a.min(b));
    }

    /// Replaces parents by numbers. A parent comes before its child, so it already has its number.
    fn number(mut self) -> Components {
        let mut count = 0;
        for voxel in 0..self.0.len() {
            self.0[voxel] = match self.0[voxel] {
                parent if parent == N::BACKGROUND => N::of(0),
                parent if parent.index() == voxel => {
                    count += 1;
                    N::of(count)
                }
                parent => self.0[parent.index()],
            };
        }
        let count = u32::try_from(count).expect("fewer than 2^32 components, as the caller is told");
        // Where numbers are short, in the same memory.
        Components { labels: self.0.into_iter().map(|number| number.index() as u32).collect(), count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn long_numbers_of_voxels_give_the_components_that_short_ones_give(
            shape in prop::array::uniform3(1usize..7), drawn in prop::collection::vec(any::<bool>(), 216),
        ) {
            let mask = &drawn[..shape.iter().product()];
            for connectivity in [Connectivity::Six, Connectivity::TwentySix] {
                let [short, long] = [
                    Parents::<u32>::of(mask, shape, connectivity).number(),
                    Parents::<usize>::of(mask, shape, connectivity).number(),
                ];
                prop_assert_eq!(&short, &long);
                prop_assert_eq!(Components::new(mask, shape, connectivity), short);
            }
        }
    }
}
