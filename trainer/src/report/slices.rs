//! Pictures of slices of cases, in the voxels of their files.

use super::SliceFigure;
use crate::predict::Restore;
use crate::preprocess::{CaseReader, Grids};

/// What is drawn beside the image of a case, on the part of its file that the case is.
#[derive(Clone, Copy, Debug)]
pub struct Overlays<'a> {
    /// Labels by an expert.
    pub truth: Option<&'a [u8]>,
    /// Predicted labels.
    pub mask: &'a [u8],
}

/// Slices of the part of its file that a case is, as a PNG file. `image` has so many channels on the case's grid, of which the
/// first is drawn as the network sees it; `reader` is what the case was read with.
///
/// # Errors
/// If the overlays have other voxels than the part.
pub fn slices_of_case(
    (image, channels): (&[f32], usize),
    grids: &Grids,
    reader: &CaseReader,
    overlays: Overlays<'_>,
) -> Result<Vec<u8>, String> {
    let [_, h, w] = grids.shape();
    let mut of_part = memory::with_capacity(grids.part_shape().iter().product());
    let mut restore = Restore::new(grids, 1);
    for plane in image.chunks_exact(h * w * channels) {
        let first: Vec<f32> = plane.iter().copied().step_by(channels).collect();
        restore.push(&first, &mut |plane| of_part.extend_from_slice(plane));
    }
    let figure = SliceFigure {
        image: &of_part,
        truth: overlays.truth,
        prediction: overlays.mask,
        shape: grids.part_shape(),
        spacing: grids.spacing_of_file(),
        ends: reader.ends().map(|[_, h, w]| [h, w]),
        classes: reader.description.classes.len().saturating_sub(1),
    };
    figure.png()
}
