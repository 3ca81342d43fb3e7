//! What there is to say of cases whose files do not say how large voxels are.

/// Where the voxel sizes of `silent` of `all` cases are made up, or those that were `given` are not used.
pub(crate) fn note_on_spacing(silent: usize, all: usize, given: Option<[f64; 3]>) -> Option<String> {
    match (given, silent) {
        (Some(_), 0) if all > 0 => {
            Some("--spacing is not used: every case has a file that says how large its voxels are".into())
        }
        (None, 1..) => Some(format!("{}; --spacing X,Y,Z says what they are", taken_as_a_millimetre(silent))),
        _ => None,
    }
}

/// So many cases do not say it.
pub(crate) fn taken_as_a_millimetre(silent: usize) -> String {
    format!("{} without voxel sizes: taken as 1 mm", crate::dataset::notes::counted(silent, "case"))
}
