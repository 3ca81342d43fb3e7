//! Pictures of validated cases.

use crate::preprocess::{CaseReader, PreparedCase};
use crate::report::{Overlays, slices_of_case};
use crate::{Error, Result};

/// Slices of a case with its truth and a mask `[d, h, w]` of the part of its file that it is, as a PNG file; `reader` is what
/// the case was read with.
///
/// # Errors
/// If the case's voxels cannot be read.
pub fn draw_slices(case: &PreparedCase, reader: &CaseReader, mask: &[u8]) -> Result<Vec<u8>> {
    let (voxels, grids) = (case.voxels()?, &case.summary().grids);
    let truth = case.file_labels()?.map(|whole| grids.part_of(&whole));
    let overlays = Overlays { truth: truth.as_deref(), mask };
    slices_of_case((voxels.image(), voxels.channels()), grids, reader, overlays)
        .map_err(|message| Error::case(case.name(), message))
}
