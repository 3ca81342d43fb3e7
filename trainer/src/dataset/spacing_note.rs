//! What there is to say of cases whose files do not say how large voxels are.

use super::notes::counted;

/// Where the voxel sizes of `silent` of `all` cases are made up, or those that were `given` are not used.
pub(crate) fn note_on_spacing(silent: usize, all: usize, given: Option<[f64; 3]>) -> Option<String> {
    match (given, silent) {
        (Some(_), 0) if all > 0 => {
            Some("--spacing is not used: every case has a file that says how large its voxels are".into())
        }
        (None, 1..) => {
            let cases = counted(silent, "case");
            Some(format!("{cases} without voxel sizes: taken as 1 mm; --spacing X,Y,Z says what they are"))
        }
        _ => None,
    }
}
