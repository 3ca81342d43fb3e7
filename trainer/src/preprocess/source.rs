//! What patches are cut from: cases in memory, and cases in the files of a [`Cache`](super::Cache).
//!
//! A patch needs a box of a case's voxels, a [`Block`]. A case in memory lends all of its voxels, which costs nothing; a
//! case in a file has the block read.

use std::borrow::Cow;

use super::class_locations::{ClassLocations, Listed};
use super::{CachedCase, Case};
use crate::Result;

/// A box of a case's voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first voxel, `[d, h, w]`.
    pub start: [usize; 3],
    /// Voxels along d, h, w; 0 along any axis: no voxel.
    pub size: [usize; 3],
}

impl Block {
    /// All voxels of a case of this shape.
    pub fn whole(shape: [usize; 3]) -> Self {
        Self { start: [0; 3], size: shape }
    }

    /// The number of voxels.
    pub fn voxels(&self) -> usize {
        self.size.iter().product()
    }
}

/// The voxels of a block, borrowed from a case or owned.
#[derive(Clone, Debug)]
pub struct Region<'a> {
    /// Which voxels there are: those that were asked for, or more.
    pub(crate) block: Block,
    /// Voxels of the whole case along d, h, w.
    pub(crate) shape: [usize; 3],
    pub(crate) channels: usize,
    /// `[d, h, w, c]` of the block.
    pub(crate) image: Cow<'a, [f32]>,
    /// `[d, h, w]` of the block; none: unknown.
    pub(crate) labels: Option<Cow<'a, [u8]>>,
}

impl<'a> Region<'a> {
    /// All of a case.
    pub fn of(case: &'a Case) -> Self {
        Self {
            block: Block::whole(case.shape),
            shape: case.shape,
            channels: case.channels,
            image: Cow::Borrowed(&case.image),
            labels: case.labels.as_deref().map(Cow::Borrowed),
        }
    }

    /// Which voxels there are.
    pub fn block(&self) -> Block {
        self.block
    }

    /// Voxels of the whole case along d, h, w.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Images per case.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Intensities, `[d, h, w, c]` of the block.
    pub fn image(&self) -> &[f32] {
        &self.image
    }

    /// Classes, `[d, h, w]` of the block, where they are known.
    pub fn labels(&self) -> Option<&[u8]> {
        self.labels.as_deref()
    }

    /// Where the case's voxel lies among the region's.
    #[inline]
    pub(crate) fn index(&self, at: [usize; 3]) -> usize {
        let Block { start, size } = self.block;
        ((at[0] - start[0]) * size[1] + (at[1] - start[1])) * size[2] + (at[2] - start[2])
    }
}

/// A normalised case that patches are cut from.
#[derive(Debug)]
pub struct PatchSource<'a> {
    place: Place<'a>,
}

#[derive(Debug)]
enum Place<'a> {
    Memory { case: &'a Case, locations: ClassLocations },
    File(&'a CachedCase),
}

impl<'a> From<&'a Case> for PatchSource<'a> {
    /// Lists voxels by class, which reads all labels once.
    fn from(case: &'a Case) -> Self {
        Self { place: Place::Memory { case, locations: ClassLocations::of(case) } }
    }
}

impl<'a> From<&'a CachedCase> for PatchSource<'a> {
    fn from(case: &'a CachedCase) -> Self {
        Self { place: Place::File(case) }
    }
}

impl PatchSource<'_> {
    /// Voxels along d, h, w.
    pub fn shape(&self) -> [usize; 3] {
        match &self.place {
            Place::Memory { case, .. } => case.shape,
            Place::File(case) => case.summary().shape,
        }
    }

    /// Images per case.
    pub fn channels(&self) -> usize {
        match &self.place {
            Place::Memory { case, .. } => case.channels,
            Place::File(case) => case.summary().channels,
        }
    }

    /// Millimetres along d, h, w.
    pub fn spacing(&self) -> [f32; 3] {
        match &self.place {
            Place::Memory { case, .. } => case.spacing,
            Place::File(case) => case.summary().spacing,
        }
    }

    /// The foreground classes that the case holds, in ascending order.
    pub fn foreground(&self) -> &[Listed] {
        match &self.place {
            Place::Memory { locations, .. } => locations.listed(),
            Place::File(case) => case.foreground(),
        }
    }

    /// The flat index of a listed voxel of the `class`-th of [`PatchSource::foreground`].
    ///
    /// # Errors
    /// If its file cannot be read.
    ///
    /// # Panics
    /// Where there is no such class or voxel.
    pub fn foreground_voxel(&self, class: usize, index: usize) -> Result<usize> {
        match &self.place {
            Place::Memory { locations, .. } => Ok(locations.voxels(class)[index] as usize),
            Place::File(case) => case.foreground_voxel(class, index),
        }
    }

    /// How many voxels that are not ignored are listed: 0 where all are ignored, none where no voxel is.
    pub fn annotated(&self) -> Option<u32> {
        match &self.place {
            Place::Memory { locations, .. } => locations.annotated().map(|voxels| voxels.len() as u32),
            Place::File(case) => case.annotated(),
        }
    }

    /// The flat index of a listed voxel that is not ignored.
    ///
    /// # Errors
    /// If its file cannot be read.
    ///
    /// # Panics
    /// Where there is no such voxel.
    pub fn annotated_voxel(&self, index: usize) -> Result<usize> {
        match &self.place {
            Place::Memory { locations, .. } => Ok(locations.annotated().unwrap_or_default()[index] as usize),
            Place::File(case) => case.annotated_voxel(index),
        }
    }

    /// The voxels of a block, or more: a case in memory lends all it has.
    ///
    /// # Errors
    /// If its file cannot be read.
    ///
    /// # Panics
    /// Where the block reaches over the case's border.
    pub fn region(&self, block: Block) -> Result<Region<'_>> {
        let inside = |a: usize| block.start[a] + block.size[a] <= self.shape()[a];
        assert!((0..3).all(inside), "{block:?} reaches over the border of {:?}", self.shape());
        match &self.place {
            Place::Memory { case, .. } => Ok(Region::of(case)),
            Place::File(case) => case.region(block),
        }
    }
}
