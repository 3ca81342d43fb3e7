//! The picture of a case that a run ends with.

use std::path::Path;

use crate::Result;
use crate::predict::Restore;
use crate::preprocess::PreparedCase;
use crate::report::SliceFigure;

/// Draws slices of the part of its file that a case is, in the file's voxels: the first channel as the network sees it, the
/// truth and a mask `[d, h, w]` of that part.
///
/// # Errors
/// If the case's voxels cannot be read, or the file cannot be written.
pub fn draw_slices(case: &PreparedCase, mask: &[u8], path: &Path) -> Result<()> {
    let (voxels, grids) = (case.voxels()?, &case.summary().grids);
    let ([_, h, w], channels) = (grids.shape(), voxels.channels());
    let mut image = memory::with_capacity(mask.len());
    let mut restore = Restore::new(grids, 1);
    for plane in voxels.image().chunks_exact(h * w * channels) {
        let first: Vec<f32> = plane.iter().copied().step_by(channels).collect();
        restore.push(&first, &mut |plane| image.extend_from_slice(plane));
    }
    let truth = case.file_labels()?.map(|whole| grids.part_of(&whole));
    let (shape, spacing) = (grids.part_shape(), grids.spacing_of_file());
    SliceFigure { image: &image, truth: truth.as_deref(), prediction: mask, shape, spacing }.save(path)
}
