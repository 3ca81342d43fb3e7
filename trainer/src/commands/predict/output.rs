//! What a prediction leaves on disk.

use std::fs;
use std::path::Path;

use crate::cli::Predict;
use crate::data::{Case, CaseFiles};
use crate::decision::Decision;
use crate::inference::{Logits, Restore};
use crate::postprocess::ByClass;
use crate::volume;
use crate::{Error, Result};

/// The logit that stands for certainty outside of what was looked at; its probability differs from 0 or 1 by 1e-13.
const CERTAIN: f32 = 30.0;

/// What turns logits into files.
pub(super) struct Output<'a> {
    pub(super) args: &'a Predict,
    /// Background first.
    pub(super) classes: &'a [String],
    pub(super) decision: Decision,
    pub(super) postprocess: ByClass,
}

impl Output<'_> {
    /// Makes the folder; refuses one in which a mask would take the place of an image.
    pub(super) fn prepare(&self, inputs: &[CaseFiles]) -> Result<()> {
        let out = &self.args.out;
        fs::create_dir_all(out).map_err(Error::io(out))?;
        inputs.iter().try_for_each(|files| {
            let masks = volume::WRITTEN.iter().map(|ending| out.join(format!("{}{ending}", files.name)));
            masks.into_iter().try_for_each(|mask| spare_images(files, &mask))
        })
    }

    /// Whether the mask is all that is asked for.
    pub(super) fn is_mask_alone(&self) -> bool {
        !self.args.save_probabilities && !self.args.save_logits
    }

    /// Writes a case's mask, given that of the part that was looked at.
    pub(super) fn write_mask(&self, case: &Case, part: Vec<u8>) -> Result<()> {
        let geometry = &case.geometry;
        let mut mask = geometry.uncropped(part, &[0]);
        let foreground = |mask: &[u8]| mask.iter().filter(|&&m| m > 0).count();
        let before = foreground(&mask);
        self.postprocess.on_grid(geometry.file_voxels_per_voxel()).apply(&mut mask, geometry.whole_shape());
        let path = self.args.out.join(format!("{}{}", case.name, geometry.ending()));
        let note = if self.postprocess.is_off() {
            String::new()
        } else {
            format!(" ({before} before post-processing)")
        };
        let words = format!("{} of {} voxels are foreground{note}", foreground(&mask), mask.len());
        geometry.write(&path, mask)?;
        println!("{}: {words}", path.display());
        Ok(())
    }

    /// Writes a case's mask and, if asked for, probabilities and logits, given the logits on the case's grid.
    pub(super) fn write(&self, case: &Case, logits: Logits) -> Result<()> {
        let channels = logits.channels;
        let logits = Restore::new(&case.geometry, channels).all(logits);
        self.write_mask(case, logits.classes(self.decision.logit))?;
        let background = |of_background: f32, of_others: f32| {
            let class = |c: usize| if channels > 1 && c == 0 { of_background } else { of_others };
            (0..channels).map(class).collect::<Vec<f32>>()
        };
        if self.args.save_probabilities {
            let probabilities = logits.probabilities(&self.decision.calibration);
            self.write_channels(case, "probability", &probabilities, &background(1.0, 0.0))?;
        }
        if self.args.save_logits {
            self.write_channels(case, "logit", &logits.values, &background(CERTAIN, -CERTAIN))?;
        }
        Ok(())
    }

    /// Writes values `[d, h, w, c]`; `outside` is the voxel around the part that was looked at.
    fn write_channels(&self, case: &Case, kind: &str, values: &[f32], outside: &[f32]) -> Result<()> {
        let channels = outside.len();
        let names = if channels == 1 { &self.classes[1..2] } else { self.classes };
        // Not beside the masks, where they would be taken for more masks.
        let folder = self.args.out.join(kind);
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        for (channel, name) in names.iter().enumerate() {
            let values: Vec<f32> = values.iter().copied().skip(channel).step_by(channels).collect();
            let values = case.geometry.uncropped(values, &[outside[channel]]);
            // A class may be called anything; a file may not.
            let name = name.replace(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)), "-");
            let file = format!("{}_{name}{}", case.name, case.geometry.ending());
            case.geometry.write(folder.join(file), values)?;
        }
        Ok(())
    }
}

/// Refuses a mask in the place of an image.
fn spare_images(files: &CaseFiles, mask: &Path) -> Result<()> {
    let Ok(there) = mask.canonicalize() else { return Ok(()) };
    if files.images.iter().any(|image| image.canonicalize().is_ok_and(|image| image == there)) {
        let message = "is an image to predict for: its mask would overwrite it; name another --out";
        return Err(Error::file(mask, message));
    }
    Ok(())
}
