//! One way from file to mask: training, validation, cross-validation, studies and prediction all take it.

use unet3d::UNet3d;

use super::{ByClass, Decision, Restore, SlidingWindow};
use crate::Result;
use crate::dataset::CaseFiles;
use crate::preprocess::{Case, Grids, Preparation};

/// All that lies between a file and its mask, but the network's weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// From files to what the network sees.
    pub preparation: Preparation,
    /// How the network is asked.
    pub window: SlidingWindow,
    /// How its logits are read.
    pub decision: Decision,
    /// What is done to the mask.
    pub postprocessing: ByClass,
}

impl Pipeline {
    /// A case as the network sees it; see [`Preparation::prepare`].
    ///
    /// # Errors
    /// As there.
    pub fn prepare(&self, files: &CaseFiles, voxel_sizes: Option<[f64; 3]>) -> Result<Case> {
        self.preparation.prepare(files, voxel_sizes)
    }

    /// The logits of a prepared image `[d, h, w, c]` in the voxels of its file: `sink` is given plane after plane `[h, w, c]`
    /// of the part of the file that the case is. `progress` is called with (patches done, patches in all) and ends the work
    /// by returning false.
    ///
    /// # Errors
    /// If image and network do not fit, or `progress` ended the work.
    pub fn logits(
        &self,
        model: &UNet3d<f32>,
        image: &[f32],
        grids: &Grids,
        progress: impl FnMut(usize, usize) -> bool,
        mut sink: impl FnMut(&[f32]),
    ) -> Result<()> {
        let mut restore = Restore::new(grids, model.config().out_channels);
        self.window.stream(model, image, grids.shape(), progress, |plane| restore.push(plane, &mut sink))
    }

    /// The mask `[d, h, w]` of the part of a file that a case is, given its classes there: as it lies in the whole file, where
    /// what was cut off is background, after post-processing.
    pub fn finish(&self, part: Vec<u8>, grids: &Grids) -> Vec<u8> {
        finish(part, grids, &self.postprocessing)
    }

    /// The mask `[d, h, w]` of a prepared image's whole file; logits are held for a few planes at a time.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn mask(
        &self,
        model: &UNet3d<f32>,
        image: &[f32],
        grids: &Grids,
        progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<Vec<u8>> {
        let mut part = memory::with_capacity(grids.part_shape().iter().product());
        self.logits(model, image, grids, progress, |plane| part.extend(self.decision.classes(plane)))?;
        Ok(self.finish(part, grids))
    }
}

/// See [`Pipeline::finish`].
pub(crate) fn finish(part: Vec<u8>, grids: &Grids, postprocessing: &ByClass) -> Vec<u8> {
    let mut mask = grids.uncropped(part, &[0]);
    postprocessing.on_grid(grids.file_voxels_per_voxel()).apply(&mut mask, grids.whole_shape());
    mask
}
