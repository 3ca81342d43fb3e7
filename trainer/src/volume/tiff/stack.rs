//! How the pages of a file are slices, times and channels.

use super::{imagej, ome};
use crate::Result;
use std::path::Path;

/// What pages are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Axis {
    Slice,
    Time,
    Channel,
}

/// The axes of all pages and their lengths, the fastest first; multiplied they are the number of pages.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Stack(pub(super) [(Axis, usize); 3]);

impl Stack {
    /// As OME-XML or ImageJ's description has it; else every page is a slice.
    pub(super) fn of(path: &Path, description: &str, pages: usize) -> Result<Self> {
        if let Some(stack) = ome::stack(path, description, pages)? {
            return Ok(stack);
        }
        let stack = imagej::stack(path, description, pages)?;
        Ok(stack.unwrap_or(Self([(Axis::Slice, pages), (Axis::Time, 1), (Axis::Channel, 1)])))
    }

    pub(super) fn length(&self, axis: Axis) -> usize {
        self.0[self.position(axis)].1
    }

    pub(super) fn lengths(&self) -> [usize; 3] {
        self.0.map(|(_, length)| length)
    }

    /// Where slices, times and channels stand among the axes.
    pub(super) fn order(&self) -> [usize; 3] {
        [Axis::Slice, Axis::Time, Axis::Channel].map(|axis| self.position(axis))
    }

    fn position(&self, axis: Axis) -> usize {
        self.0.iter().position(|(own, _)| *own == axis).expect("each axis is there once")
    }
}
