//! The picture of a case that a run ends with.

use std::path::Path;

use super::Outcome;
use crate::Result;
use crate::predict::Decision;
use crate::preprocess::PreparedCase;
use crate::report::SliceFigure;

impl Outcome {
    /// Draws slices of a case as the network sees it, with truth and prediction, its logits read by `decision`.
    ///
    /// # Errors
    /// If the case's voxels cannot be read, or the file cannot be written.
    pub fn draw_slices(&self, case: &PreparedCase, decision: &Decision, path: &Path) -> Result<()> {
        let (voxels, shape) = (case.voxels()?, case.summary().shape);
        let logits = self.pipeline.window.run(&self.model, voxels.image(), shape, |_, _| true)?;
        let image: Vec<f32> = voxels.image().iter().copied().step_by(voxels.channels()).collect();
        let figure = SliceFigure {
            image: &image,
            truth: voxels.labels(),
            prediction: &decision.classes(&logits.values),
            shape,
            spacing: case.summary().spacing.map(f64::from),
        };
        figure.save(path)
    }
}
