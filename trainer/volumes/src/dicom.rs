//! DICOM is not read, but named: a folder of a scanner's files is what people have first, and its series must become
//! volumes before anything else.
//!
//! # Source
//! DICOM PS3.10, section 7.1: a preamble of 128 bytes, then `DICM`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// So many files and folders are looked at, and so deep.
const MOST: usize = 500;
const DEEPEST: usize = 3;

/// What to do with a series.
const REMEDY: &str =
    "convert its series by `dcm2niix -z y -o OUT FOLDER`, and name the .nii.gz files that it writes";

/// What to say of a file, or of a folder, that is DICOM; `None` where it is not.
pub fn dicom_instead(path: &Path) -> Option<String> {
    if !path.is_dir() {
        return is_dicom(path).then(|| format!("is DICOM, which is not read as it is: {REMEDY}"));
    }
    let mut left = MOST;
    let found = search(path, DEEPEST, &mut left)?;
    let found = found.strip_prefix(path).unwrap_or(&found).display();
    Some(format!("holds DICOM files ({found}): {REMEDY}"))
}

fn search(folder: &Path, depth: usize, left: &mut usize) -> Option<std::path::PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).take(*left).collect();
    *left -= paths.len();
    paths.sort();
    let folders: Vec<_> = paths.iter().filter(|path| path.is_dir() && !path.is_symlink()).cloned().collect();
    let file = paths.into_iter().find(|path| is_dicom(path));
    file.or_else(|| {
        let depth = depth.checked_sub(1)?;
        folders.iter().find_map(|inner| search(inner, depth, left))
    })
}

/// By the letters behind the preamble; or, of older files without it, by the name.
fn is_dicom(path: &Path) -> bool {
    if !path.is_file() {
        return false;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if name == "dicomdir" || [".dcm", ".dicom", ".ima"].iter().any(|ending| name.ends_with(ending)) {
        return true;
    }
    let mut start = [0; 132];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && start.ends_with(b"DICM")
}
