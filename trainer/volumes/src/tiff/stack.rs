//! How the planes of a file are slices, times and channels.

use std::path::Path;

use super::page::Page;
use super::{imagej, ome, shaped};
use crate::Result;

/// What planes are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Axis {
    Slice,
    Time,
    Channel,
}

/// How many planes a file has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    pub(super) pages: usize,
    /// In all pages.
    pub(super) inside: usize,
    /// From the only page on, one behind the other as far as the file goes; 0 where there are other pages.
    pub(super) in_a_run: usize,
}

impl Planes {
    /// Whether the file has so many: in its pages, or behind its only one.
    pub(super) fn hold(self, planes: usize) -> bool {
        planes == self.inside || (1..=self.in_a_run).contains(&planes) && planes > self.inside
    }

    pub(super) fn told(self) -> String {
        match self.pages == self.inside {
            true => format!("{} page(s)", self.pages),
            false => format!("{} page(s) of {} slices", self.pages, self.inside),
        }
    }
}

/// The axes of all planes and their lengths, the fastest first; multiplied they are the number of planes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Stack(pub(super) [(Axis, usize); 3]);

impl Stack {
    /// As OME-XML, ImageJ's description or tifffile's has it; else every plane is a slice.
    pub(super) fn of(path: &Path, description: &str, page: &Page, planes: Planes) -> Result<Self> {
        if let Some(stack) = ome::stack(path, description, planes)? {
            return Ok(stack);
        }
        if let Some(stack) = imagej::stack(path, description, planes)? {
            return Ok(stack);
        }
        let stack = shaped::stack(path, description, page, planes)?;
        Ok(stack.unwrap_or(Self::slices(planes.inside)))
    }

    pub(super) fn slices(slices: usize) -> Self {
        Self([(Axis::Slice, slices), (Axis::Time, 1), (Axis::Channel, 1)])
    }

    pub(super) fn length(&self, axis: Axis) -> usize {
        self.0[self.position(axis)].1
    }

    pub(super) fn lengths(&self) -> [usize; 3] {
        self.0.map(|(_, length)| length)
    }

    pub(super) fn planes(&self) -> usize {
        self.lengths().iter().product()
    }

    /// Where slices, times and channels stand among the axes.
    pub(super) fn order(&self) -> [usize; 3] {
        [Axis::Slice, Axis::Time, Axis::Channel].map(|axis| self.position(axis))
    }

    /// What the planes are called where they are all of one slice.
    pub(super) fn of_one_slice(&self) -> Option<String> {
        match [Axis::Slice, Axis::Time, Axis::Channel].map(|axis| self.length(axis)) {
            [1, times, 1] if times > 1 => Some(format!("{times} times (frames) of one slice")),
            [1, 1, channels] if channels > 1 => Some(format!("{channels} channels of one slice")),
            _ => None,
        }
    }

    /// That times became channels.
    pub(super) fn times_as_channels(&self) -> Option<String> {
        let times = self.length(Axis::Time);
        (times > 1).then(|| format!("{times} times (frames), read as channels"))
    }

    fn position(&self, axis: Axis) -> usize {
        self.0.iter().position(|(own, _)| *own == axis).expect("each axis is there once")
    }
}
