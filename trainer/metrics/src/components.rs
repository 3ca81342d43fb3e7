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

/// No component.
const BACKGROUND: u32 = u32::MAX;

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
    /// When the mask does not have the shape's number of voxels, or has 2³² − 1 of them or more.
    #[track_caller]
    pub fn new(mask: &[bool], shape: [usize; 3], connectivity: Connectivity) -> Self {
        grid::check(mask, shape);
        let voxels = mask.len();
        assert!(voxels < BACKGROUND as usize, "{voxels} voxels are too many to number in 32 bits");
        // Those before a voxel in memory: the first half of the steps, which are in that order.
        let mut before = connectivity.steps();
        before.truncate(before.len() / 2);

        let mut parents = Parents(memory::filled(BACKGROUND, voxels));
        for index in (0..voxels).filter(|&index| mask[index]) {
            parents.0[index] = index as u32;
            let from = grid::place(index, shape);
            for neighbour in before.iter().filter_map(|&by| grid::step(from, by, shape)) {
                if mask[neighbour] {
                    parents.join(index as u32, neighbour as u32);
                }
            }
        }
        parents.number()
    }
}

/// A forest over the voxels: each points to one before it in memory, or to itself as the root of its tree.
struct Parents(Vec<u32>);

impl Parents {
    fn root(&mut self, mut voxel: u32) -> u32 {
        while self.0[voxel as usize] != voxel {
            let above = self.0[voxel as usize];
            self.0[voxel as usize] = self.0[above as usize];
            voxel = self.0[voxel as usize];
        }
        voxel
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b) as usize] = a.min(b);
    }

    /// Replaces parents by numbers. A parent comes before its child, so it already has its number.
    fn number(mut self) -> Components {
        let mut count = 0;
        for voxel in 0..self.0.len() {
            self.0[voxel] = match self.0[voxel] {
                BACKGROUND => 0,
                parent if parent as usize == voxel => {
                    count += 1;
                    count
                }
                parent => self.0[parent as usize],
            };
        }
        Components { labels: self.0, count }
    }
}
