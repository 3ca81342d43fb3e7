//! Whether the parts of a card fit together. Checksums say that a file is whole, not that it was written by this program.

use super::NetworkCard;
use crate::predict::MaskRule;
use crate::preprocess::{ChannelNorm, Preparation};
use crate::words::counted;

impl NetworkCard {
    /// What does not fit, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Self { plan, decision, .. } = self;
        let Preparation { reader, normalisation } = self.preparation();
        let (model, calibration) = (&plan.model, &decision.calibration);
        model
            .clone()
            .validated()
            .and_then(|model| model.check_size(plan.patch_size))
            .map_err(|e| e.to_string())?;
        crate::config::check_patch(plan.patch_size, 1)?;
        let (channels, classes) = (reader.description.channel_names.len(), reader.description.num_classes());
        if !(2..=255).contains(&classes) {
            return Err(format!("{classes} classes, of 2 to 255"));
        }
        let answers = if classes == 2 { 1 } else { classes };
        for (what, number, wanted) in [
            ("channels of the network's input", model.in_channels, channels),
            ("normalised channels", normalisation.channels.len(), channels),
            ("channels of logits", model.out_channels, answers),
            ("calibrated channels", calibration.shift.len(), answers),
        ] {
            if number != wanted {
                return Err(format!("{number} {what}, not {wanted}"));
            }
        }
        let is_scale = |scale: f64| scale.is_finite() && scale > 0.0;
        if !normalisation.channels.iter().all(ChannelNorm::is_sound) {
            return Err(format!("intensities normalised by {:?}", normalisation.channels));
        }
        if !(is_scale(calibration.scale)
            && calibration.shift.iter().all(|s| s.is_finite())
            && !decision.logit().is_some_and(f32::is_nan))
        {
            return Err(format!("logits read by {decision:?}"));
        }
        let is_rule = match decision.rule {
            MaskRule::Above { .. } => answers == 1,
            MaskRule::Foreground | MaskRule::MostProbable | MaskRule::LargestLogit => answers > 1,
        };
        if !is_rule {
            return Err(format!("masks of {} of logits by {:?}", counted(answers, "channel"), decision.rule));
        }
        match reader.preprocessing.spacing {
            Some(spacing) if !spacing.iter().copied().all(is_scale) => {
                Err(format!("voxels of {spacing:?} mm"))
            }
            _ => Ok(()),
        }
    }
}
