//! `[augmentation]`: its keys, and which values they take.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// `[augmentation]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "config/default.toml explains every key, once")]
pub struct Augmentation {
    pub enabled: bool,
    pub flip: [f64; 3],
    pub rotation_probability: f64,
    pub rotation_degrees: f64,
    pub scale_probability: f64,
    pub scale_range: [f64; 2],
    pub elastic_probability: f64,
    pub elastic_spacing: f64,
    pub elastic_magnitude: f64,
    pub noise_probability: f64,
    pub noise_deviation: [f64; 2],
    pub blur_probability: f64,
    pub blur_sigma: [f64; 2],
    pub brightness_probability: f64,
    pub brightness_range: [f64; 2],
    pub contrast_probability: f64,
    pub contrast_range: [f64; 2],
    pub contrast_clip: bool,
    pub low_resolution_probability: f64,
    pub low_resolution_zoom: [f64; 2],
    pub gamma_probability: f64,
    pub gamma_inverted_probability: f64,
    pub gamma_range: [f64; 2],
}

/// A cubic B-spline whose control points move by less than this share of their spacing along each axis folds nowhere:
/// Choi and Lee, "Injectivity conditions of 2D and 3D uniform cubic B-spline functions", Graphical Models 62 (2000),
/// 1/K₃ = 0.4033….
const WITHOUT_FOLDS: f64 = 0.4;

impl Augmentation {
    /// # Errors
    /// Names the first key whose value cannot be used, and the remedy.
    pub(super) fn check(&self) -> Result<()> {
        let [flip_d, flip_h, flip_w] = self.flip;
        for (key, value) in [
            ("flip", flip_d),
            ("flip", flip_h),
            ("flip", flip_w),
            ("rotation_probability", self.rotation_probability),
            ("scale_probability", self.scale_probability),
            ("elastic_probability", self.elastic_probability),
            ("noise_probability", self.noise_probability),
            ("blur_probability", self.blur_probability),
            ("brightness_probability", self.brightness_probability),
            ("contrast_probability", self.contrast_probability),
            ("low_resolution_probability", self.low_resolution_probability),
            ("gamma_probability", self.gamma_probability),
            ("gamma_inverted_probability", self.gamma_inverted_probability),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(refused(key, format!("is {value}: a number from 0 to 1")));
            }
        }
        for (key, [low, high], least, most) in [
            ("scale_range", self.scale_range, 0.1, 10.0),
            ("noise_deviation", self.noise_deviation, 0.0, 1e3),
            ("blur_sigma", self.blur_sigma, 0.0, 10.0),
            ("brightness_range", self.brightness_range, 0.0, 10.0),
            ("contrast_range", self.contrast_range, 0.0, 10.0),
            ("low_resolution_zoom", self.low_resolution_zoom, 0.05, 1.0),
            ("gamma_range", self.gamma_range, 0.1, 10.0),
        ] {
            if !(least <= low && low <= high && high <= most) {
                let message = format!("is [{low}, {high}]: two ascending numbers from {least} to {most}");
                return Err(refused(key, message));
            }
        }
        if !(0.0..=180.0).contains(&self.rotation_degrees) {
            let message = format!("is {}: an angle from 0 to 180 degrees", self.rotation_degrees);
            return Err(refused("rotation_degrees", message));
        }
        let (spacing, magnitude) = (self.elastic_spacing, self.elastic_magnitude);
        if !(spacing > 0.0 && spacing.is_finite()) {
            return Err(refused("elastic_spacing", format!("is {spacing}: a length above 0 mm")));
        }
        if !(0.0..=WITHOUT_FOLDS * spacing).contains(&magnitude) {
            let message = format!(
                "is {magnitude}: from 0 to {WITHOUT_FOLDS} of augmentation.elastic_spacing, which is {spacing} mm; more folds the volume"
            );
            return Err(refused("elastic_magnitude", message));
        }
        Ok(())
    }
}

fn refused(key: &str, message: String) -> Error {
    Error::config(format!("augmentation.{key}"), message)
}
