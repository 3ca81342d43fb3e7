//! What a prediction leaves on disk.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::Predict;
use crate::data::{Case, CaseFiles};
use crate::decision::Decision;
use crate::inference::Logits;
use crate::postprocess::ByClass;
use crate::{Error, Result};

/// How everything written here ends.
const ENDING: &str = ".nii.gz";

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
        inputs.iter().try_for_each(|files| spare_images(files, &self.mask_path(&files.name)))
    }

    /// Whether the mask is all that is asked for.
    pub(super) fn is_mask_alone(&self) -> bool {
        !self.args.save_probabilities && !self.args.save_logits
    }

    /// Writes a case's mask.
    pub(super) fn write_mask(&self, case: &Case, mut mask: Vec<u8>) -> Result<()> {
        let foreground = |mask: &[u8]| mask.iter().filter(|&&m| m > 0).count();
        let before = foreground(&mask);
        self.postprocess.apply(&mut mask, case.shape);
        let path = self.mask_path(&case.name);
        case.geometry.write(&path, &mask)?;
        let note = if self.postprocess.is_off() {
            String::new()
        } else {
            format!(" ({before} before post-processing)")
        };
        println!("{}: {} of {} voxels are foreground{note}", path.display(), foreground(&mask), mask.len());
        Ok(())
    }

    /// Writes a case's mask and, if asked for, probabilities and logits.
    pub(super) fn write(&self, case: &Case, logits: &Logits) -> Result<()> {
        self.write_mask(case, logits.classes(self.decision.logit))?;
        if self.args.save_probabilities {
            self.write_channels(
                case,
                logits,
                "probability",
                &logits.probabilities(&self.decision.calibration),
            )?;
        }
        if self.args.save_logits {
            self.write_channels(case, logits, "logit", &logits.values)?;
        }
        Ok(())
    }

    fn mask_path(&self, case: &str) -> PathBuf {
        self.args.out.join(format!("{case}{ENDING}"))
    }

    fn write_channels(&self, case: &Case, logits: &Logits, kind: &str, values: &[f32]) -> Result<()> {
        let names = if logits.channels == 1 { &self.classes[1..2] } else { self.classes };
        // Not beside the masks, where they would be taken for more masks.
        let folder = self.args.out.join(kind);
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        for (channel, name) in names.iter().enumerate() {
            let values: Vec<f32> = values.iter().copied().skip(channel).step_by(logits.channels).collect();
            // A class may be called anything; a file may not.
            let name = name.replace(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)), "-");
            case.geometry.write(folder.join(format!("{}_{name}{ENDING}", case.name)), &values)?;
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
