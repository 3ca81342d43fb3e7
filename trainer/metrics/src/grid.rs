//! Voxels of a volume `[d, h, w]`, w running fastest: which are neighbours, and what box some of them lie in.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Which voxels are neighbours of a voxel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// The 6 that share a face: connectivity 1 of SciPy's `generate_binary_structure`, MedPy's default.
    #[default]
    Six,
    /// The 26 that share a face, an edge or a corner: connectivity 3.
    TwentySix,
}

impl Connectivity {
    /// The steps (d, h, w) from a voxel to its neighbours, in the order of memory.
    pub fn steps(self) -> Vec<[isize; 3]> {
        let axis = || -1..=1isize;
        let all = axis().flat_map(|d| axis().flat_map(move |h| axis().map(move |w| [d, h, w])));
        let length = |step: &[isize; 3]| step.iter().map(|x| x.abs()).sum::<isize>();
        let farthest = if self == Self::Six { 1 } else { 3 };
        all.filter(|step| (1..=farthest).contains(&length(step))).collect()
    }
}

/// The place (d, h, w) of the voxel with an index.
pub fn place(index: usize, [_, h, w]: [usize; 3]) -> [usize; 3] {
    [index / (h * w), index / w % h, index % w]
}

/// The index of the voxel one step away; `None` where that lies outside.
pub fn step(from: [usize; 3], by: [isize; 3], shape: [usize; 3]) -> Option<usize> {
    let along = |axis: usize| from[axis].checked_add_signed(by[axis]).filter(|&x| x < shape[axis]);
    Some((along(0)? * shape[1] + along(1)?) * shape[2] + along(2)?)
}

/// Refuses a mask that does not fill the shape.
#[track_caller]
pub(super) fn check(mask: &[bool], shape: [usize; 3]) {
    let (voxels, wanted) = (mask.len(), shape.iter().product::<usize>());
    assert_eq!(voxels, wanted, "a mask of {voxels} voxels is not of shape {shape:?}");
}

/// The smallest box, along d, h and w, that holds what was put into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundingBox([Range<usize>; 3]);

impl BoundingBox {
    /// The box of the voxels that are set in either mask.
    pub(super) fn of(truth: &[bool], prediction: &[bool], shape: [usize; 3]) -> Self {
        let mut found = Self::default();
        for index in (0..truth.len()).filter(|&i| truth[i] || prediction[i]) {
            let [d, h, w] = place(index, shape);
            found.add(d, h, w..w + 1);
        }
        found
    }

    /// Grows the box by a run of voxels along w.
    pub fn add(&mut self, d: usize, h: usize, w: Range<usize>) {
        for (side, new) in self.0.iter_mut().zip([d..d + 1, h..h + 1, w]) {
            *side =
                if side.start == side.end { new } else { side.start.min(new.start)..side.end.max(new.end) };
        }
    }

    /// Grows the box of each label that counts by its voxels in a volume `[d, h, w]`.
    pub fn add_labels<L: Copy + Ord>(
        boxes: &mut BTreeMap<L, Self>,
        labels: &[L],
        [_, height, width]: [usize; 3],
        counts: impl Fn(L) -> bool,
    ) {
        for (row, labels) in labels.chunks(width.max(1)).enumerate() {
            let mut start = 0;
            for run in labels.chunk_by(|a, b| a == b) {
                let end = start + run.len();
                if counts(run[0]) {
                    boxes.entry(run[0]).or_default().add(row / height, row % height, start..end);
                }
                start = end;
            }
        }
    }

    /// Its voxels along d, h and w; zeros where nothing was put in.
    pub fn shape(&self) -> [usize; 3] {
        [0, 1, 2].map(|axis| self.0[axis].len())
    }

    /// From where to where it reaches along d, h and w.
    pub fn ranges(&self) -> &[Range<usize>; 3] {
        &self.0
    }

    /// The indices, in a volume of this shape, of the box's voxels in order.
    pub fn indices(&self, [_, height, width]: [usize; 3]) -> impl Iterator<Item = usize> + '_ {
        let [depths, rows, columns] = &self.0;
        depths.clone().flat_map(move |d| {
            rows.clone().flat_map(move |h| columns.clone().map(move |w| (d * height + h) * width + w))
        })
    }

    /// Of the box's voxels, counted in order from 0, those whose place in the volume lies within `part`.
    pub fn places_within(&self, part: [Range<usize>; 3]) -> impl Iterator<Item = usize> + '_ {
        let [_, height, width] = self.shape();
        let [ds, hs, ws]: [Range<usize>; 3] = std::array::from_fn(|a| {
            let of = &self.0[a];
            part[a].start.max(of.start) - of.start..part[a].end.min(of.end).max(of.start) - of.start
        });
        ds.flat_map(move |d| {
            let ws = ws.clone();
            hs.clone().flat_map(move |h| ws.clone().map(move |w| (d * height + h) * width + w))
        })
    }
}
