//! From files to cases: values are checked here, so that what comes after can rely on them.

use super::folder::{check_headers, group, list};
use super::{AxisOrder, Case, CaseFiles, Description, Geometry, IGNORE};
use crate::nifti::{self, Image};
use crate::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is needed to read a case as the training cases were read; a checkpoint keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CaseReader {
    /// What channels and labels mean.
    pub description: Description,
    /// Which axis is d.
    pub order: AxisOrder,
}

impl CaseReader {
    /// Reads a case's images and, where it has them, its labels.
    ///
    /// # Errors
    /// Files that do not fit together; voxels that are NaN or infinite; labels that are no whole number or are not in
    /// `dataset.json`.
    pub fn read(&self, files: &CaseFiles) -> Result<Case> {
        let channels = self.description.channel_names.len();
        if files.images.len() != channels {
            let message =
                format!("has {} image(s), but {channels} channel(s) are expected", files.images.len());
            return Err(Error::case(&files.name, message));
        }
        let header = check_headers(files)?;
        let geometry = Geometry { header, order: self.order };
        let (shape, spacing) = (geometry.shape(), geometry.spacing());
        let mut image = Vec::new();
        for (channel, path) in files.images.iter().enumerate() {
            let values = self.turned(finite(&nifti::read(path)?, &files.name)?, shape);
            if channels == 1 {
                image = values;
                continue;
            }
            image.resize(values.len() * channels, 0.0);
            for (voxel, value) in image.chunks_exact_mut(channels).zip(values) {
                voxel[channel] = value;
            }
        }
        let labels = match &files.label {
            Some(path) => {
                Some(self.turned(labels(&nifti::read(path)?, &files.name, &self.description)?, shape))
            }
            None => None,
        };
        Ok(Case { name: files.name.clone(), image, shape, channels, spacing, labels, geometry })
    }

    /// Reads several cases, in parallel, in their order.
    ///
    /// # Errors
    /// As [`CaseReader::read`], for the first case that fails.
    pub fn read_all(&self, files: &[CaseFiles]) -> Result<Vec<Case>> {
        // Collected whole, so that the error is that of the first case for any number of threads.
        let cases: Vec<Result<Case>> = files.par_iter().map(|f| self.read(f)).collect();
        cases.into_iter().collect()
    }

    /// The cases of a plain folder of images, or of one image: `CASE_0000.nii.gz` and its further channels, or
    /// `CASE.nii.gz` where there is one channel. No labels.
    ///
    /// # Errors
    /// A path that does not exist, a folder without images, a missing channel.
    pub fn inputs(&self, path: impl AsRef<Path>) -> Result<Vec<CaseFiles>> {
        let path = path.as_ref();
        let channels = self.description.channel_names.len();
        if path.is_dir() {
            let files = nifti_files(path)?;
            if files.is_empty() {
                let hint = if path.join("dataset.json").is_file() {
                    "; name its imagesTs"
                } else {
                    "; name a folder with .nii.gz files"
                };
                return Err(Error::file(path, format!("holds no NIfTI images{hint}")));
            }
            return group(&files, channels);
        }
        let (Some(name), true) = (path.file_name().map(|n| n.to_string_lossy().into_owned()), path.is_file())
        else {
            return Err(Error::file(path, "does not exist; name a NIfTI image or a folder of them"));
        };
        let Some(stem) = stem(&name) else {
            return Err(Error::file(path, "is not named as a NIfTI image; convert it to .nii.gz"));
        };
        match super::folder::split_channel(stem) {
            Some((case, channel)) if channel < channels => {
                let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let of_case = |(stem, _): &(String, PathBuf)| {
                    super::folder::split_channel(stem).is_some_and(|(other, c)| other == case && c < channels)
                };
                group(&nifti_files(folder)?.into_iter().filter(of_case).collect::<Vec<_>>(), channels)
            }
            _ => group(&[(stem.to_owned(), path.to_path_buf())], channels),
        }
    }

    fn turned<T: Copy>(&self, values: Vec<T>, dhw: [usize; 3]) -> Vec<T> {
        self.order.voxels_to_dhw(values, self.order.to_zyx(dhw))
    }
}

/// A name without its NIfTI ending. Of a pair the header stands for both.
fn stem(name: &str) -> Option<&str> {
    [".nii.gz", ".nii", ".hdr", ".hdr.gz"].iter().find_map(|ending| name.strip_suffix(ending))
}

fn nifti_files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let names = list(folder)?;
    Ok(names.iter().filter_map(|name| Some((stem(name)?.to_owned(), folder.join(name)))).collect())
}

/// Index to (x, y, z).
fn position(image: &Image, index: usize) -> [usize; 3] {
    let [nx, ny, _] = image.header.shape3().expect("the header was checked to hold one volume");
    [index % nx, index / nx % ny, index / nx / ny]
}

fn finite(image: &Image, case: &str) -> Result<Vec<f32>> {
    let values = image.to_f32();
    let Some(first) = values.iter().position(|v| !v.is_finite()) else { return Ok(values) };
    let count = values.iter().filter(|v| !v.is_finite()).count();
    let message = format!(
        "{} holds {count} voxel(s) that are NaN or infinite (as 32-bit numbers), the first at (x, y, z) = {:?}; replace them, for example by the background's value",
        image.path.display(),
        position(image, first)
    );
    Err(Error::case(case, message))
}

fn labels(image: &Image, case: &str, description: &Description) -> Result<Vec<u8>> {
    let classes = description.num_classes();
    let ignore = description.ignore.map(f64::from);
    let mut unknown = std::collections::BTreeMap::new();
    let mut labels = Vec::with_capacity(image.header.len());
    for (index, value) in image.to_f64().into_iter().enumerate() {
        let label = if value >= 0.0 && value < classes as f64 && value.fract() == 0.0 {
            value as u8
        } else if Some(value) == ignore {
            IGNORE
        } else if value.is_finite() && value.fract() == 0.0 {
            // Whole numbers below 2^63 keep their order as integers; a thousand kinds are enough to tell.
            if unknown.len() < 1000 {
                *unknown.entry(value as i64).or_insert(0u64) += 1;
            }
            IGNORE
        } else {
            let message = format!(
                "the label map {} holds {value} at (x, y, z) = {:?}, which is no whole number; save labels as integers and resample them with nearest neighbour",
                image.path.display(),
                position(image, index)
            );
            return Err(Error::case(case, message));
        };
        labels.push(label);
    }
    if unknown.is_empty() {
        Ok(labels)
    } else {
        Err(unknown_labels(image, case, description, &labels, &unknown))
    }
}

fn unknown_labels(
    image: &Image,
    case: &str,
    description: &Description,
    labels: &[u8],
    unknown: &std::collections::BTreeMap<i64, u64>,
) -> Error {
    let listed: Vec<String> = unknown.iter().take(5).map(|(v, n)| format!("{v} ({n} voxels)")).collect();
    let more =
        if unknown.len() > 5 { format!(" and {} more values", unknown.len() - 5) } else { String::new() };
    let only_255 = unknown.len() == 1 && unknown.contains_key(&255);
    let remedy = if only_255 && !labels.contains(&1) {
        "this looks like a 0/255 mask: save it with 1 in place of 255"
    } else if only_255 {
        "if 255 marks voxels to leave out, add \"ignore\": 255 to the labels; else correct the file"
    } else {
        "add them to the labels or correct the file"
    };
    let names: Vec<String> =
        description.classes.iter().enumerate().map(|(v, name)| format!("{name} = {v}")).collect();
    Error::case(
        case,
        format!(
            "the label map {} holds {}{more}, not in dataset.json ({}); {remedy}",
            image.path.display(),
            listed.join(", "),
            names.join(", ")
        ),
    )
}
