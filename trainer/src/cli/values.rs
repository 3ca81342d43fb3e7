//! Values of the command line that are more than one word or number.

use crate::config::is_overlap;

/// Voxel sizes along x, y, z in mm.
pub type Spacing = [f64; 3];

/// Three lengths between commas.
pub(super) fn spacing(text: &str) -> Result<Spacing, String> {
    let numbers: Vec<f64> = text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    let spacing: Option<Spacing> = numbers.try_into().ok().filter(|_| text.split(',').count() == 3);
    let is_length = |mm: &f64| mm.is_finite() && *mm > 0.0;
    spacing
        .filter(|spacing| spacing.iter().all(is_length))
        .ok_or_else(|| "three lengths above 0 in mm are needed, such as 0.7,0.7,5".to_owned())
}

/// A share of a patch.
pub(super) fn overlap(text: &str) -> Result<f64, String> {
    let overlap: Option<f64> = text.parse().ok();
    overlap
        .filter(|&overlap| is_overlap(overlap))
        .ok_or_else(|| "a share from 0 to below 0.95 is needed, such as 0.5".to_owned())
}
