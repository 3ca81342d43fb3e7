//! A data set's folder: which files belong to which case, and whether they fit together.

use super::{AxisOrder, Case, CaseReader, Description};
use crate::nifti::{self, Header};
use crate::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The files of one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseFiles {
    /// The case's name.
    pub name: String,
    /// One image per channel, in the channels' order.
    pub images: Vec<PathBuf>,
    /// The label map.
    pub label: Option<PathBuf>,
}

/// A data set whose files are all there and fit together. Voxels are read later, by [`Dataset::read`].
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its folder.
    pub path: PathBuf,
    /// Its `dataset.json`.
    pub description: Description,
    /// The training cases by name; each has labels.
    pub training: Vec<CaseFiles>,
    /// The test cases by name; some may have labels.
    pub test: Vec<CaseFiles>,
    /// Which axis is d, decided by the training cases.
    pub order: AxisOrder,
}

/// A file's length and checksum, for the record of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileSum {
    /// Relative to the data set's folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// CRC-32C of its content.
    pub crc32c: u32,
}

impl Dataset {
    /// Opens a folder and checks its files' names, headers and shapes; voxels are not read.
    ///
    /// # Errors
    /// A folder, `dataset.json`, image, label map or channel that is missing; shapes that differ within a case;
    /// volumes with more than three axes; files that are no NIfTI.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            let what = if path.exists() { "is a file" } else { "does not exist" };
            return Err(Error::file(
                path,
                format!("{what}; name the folder that holds dataset.json, imagesTr and labelsTr"),
            ));
        }
        let description = Description::read(path)?;
        let mut training = images(&path.join("imagesTr"), &description)?;
        labels(&path.join("labelsTr"), &description, &mut training, true)?;
        let mut test = Vec::new();
        if path.join("imagesTs").is_dir() {
            test = images(&path.join("imagesTs"), &description).or_else(allow_empty)?;
            if path.join("labelsTs").is_dir() {
                labels(&path.join("labelsTs"), &description, &mut test, false)?;
            }
        }
        let headers = training.par_iter().map(check_headers).collect::<Result<Vec<_>>>()?;
        test.par_iter().map(check_headers).collect::<Result<Vec<_>>>()?;
        let order = AxisOrder::for_headers(&headers);
        Ok(Self { path: path.to_path_buf(), description, training, test, order })
    }

    /// What reads cases of this data set, and of others with the same meaning.
    pub fn reader(&self) -> CaseReader {
        CaseReader { description: self.description.clone(), order: self.order }
    }

    /// Reads one case.
    ///
    /// # Errors
    /// As [`CaseReader::read`].
    pub fn read(&self, files: &CaseFiles) -> Result<Case> {
        self.reader().read(files)
    }

    /// Length and checksum of `dataset.json` and of every file of every case, in a fixed order.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn checksums(&self) -> Result<Vec<FileSum>> {
        let cases = self.training.iter().chain(&self.test);
        let files = cases.flat_map(|case| case.images.iter().chain(&case.label).cloned());
        let all: Vec<PathBuf> = std::iter::once(self.path.join("dataset.json")).chain(files).collect();
        all.par_iter().map(|file| checksum(&self.path, file)).collect()
    }
}

fn checksum(folder: &Path, path: &Path) -> Result<FileSum> {
    let mut file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut buffer = vec![0; 1 << 16];
    let mut sum = FileSum {
        path: path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned(),
        bytes: 0,
        crc32c: 0,
    };
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => return Ok(sum),
            n => {
                sum.bytes += n as u64;
                sum.crc32c = crc32c::crc32c_append(sum.crc32c, &buffer[..n]);
            }
        }
    }
}

/// An empty test folder is no mistake.
fn allow_empty(error: Error) -> Result<Vec<CaseFiles>> {
    match error {
        Error::File { message, .. } if message.starts_with("holds no images") => Ok(Vec::new()),
        other => Err(other),
    }
}

/// The names of a folder's files, sorted; hidden files are left out.
pub(super) fn list(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// `CASE_0003` to (`CASE`, 3).
pub(super) fn split_channel(stem: &str) -> Option<(&str, usize)> {
    let (case, digits) = stem.rsplit_once('_')?;
    (digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| (case, digits.parse().unwrap_or(0)))
}

/// Groups images by case. `files` are (name without ending, path), sorted.
pub(super) fn group(files: &[(String, PathBuf)], channels: usize) -> Result<Vec<CaseFiles>> {
    let stems: std::collections::BTreeSet<&str> = files.iter().map(|(stem, _)| stem.as_str()).collect();
    let mut cases: BTreeMap<&str, Vec<Option<&PathBuf>>> = BTreeMap::new();
    for (stem, path) in files {
        let (case, channel) = match split_channel(stem) {
            Some((case, channel)) if channel < channels => (case, channel),
            Some((case, channel)) if channels > 1 || stems.contains(format!("{case}_0000").as_str()) => {
                let message = format!(
                    "is channel {channel} of case {case}, but dataset.json names {channels} channel(s), counted from 0000; name it in channel_names or take the file away"
                );
                return Err(Error::file(path, message));
            }
            // One image a case needs no number.
            _ if channels == 1 => (stem.as_str(), 0),
            _ => {
                return Err(Error::file(
                    path,
                    format!(
                        "has no channel number; with {channels} channels name it {stem}_0000 (channel 0), {stem}_0001, …"
                    ),
                ));
            }
        };
        let slot = &mut cases.entry(case).or_insert_with(|| vec![None; channels])[channel];
        if let Some(other) = slot {
            let message =
                format!("and {} are both channel {channel} of case {case}; take one away", other.display());
            return Err(Error::file(path, message));
        }
        *slot = Some(path);
    }
    let whole = |(name, slots): (&str, Vec<Option<&PathBuf>>)| {
        let images = slots.iter().enumerate().map(|(channel, slot)| {
            slot.cloned().ok_or_else(|| {
                let message = format!(
                    "channel {channel} is missing (of {channels} in dataset.json): add {name}_{channel:04}"
                );
                Error::case(name, message)
            })
        });
        Ok(CaseFiles { name: name.to_owned(), images: images.collect::<Result<_>>()?, label: None })
    };
    cases.into_iter().map(whole).collect()
}

fn images(folder: &Path, description: &Description) -> Result<Vec<CaseFiles>> {
    if !folder.is_dir() {
        return Err(Error::file(folder, "is missing; put the images there, as CASE_0000.nii.gz"));
    }
    let names = list(folder)?;
    let ending = &description.file_ending;
    let stem = |name: &String| Some((name.strip_suffix(ending.as_str())?.to_owned(), folder.join(name)));
    let files: Vec<_> = names.iter().filter_map(stem).collect();
    if files.is_empty() {
        let found = match names.first() {
            None => "the folder is empty".to_owned(),
            Some(name) => format!("but {} other file(s), such as {name}", names.len()),
        };
        let message = format!(
            "holds no images named CASE_0000{ending} ({found}); put them there, or set file_ending in dataset.json"
        );
        return Err(Error::file(folder, message));
    }
    group(&files, description.channel_names.len())
}

fn labels(folder: &Path, description: &Description, cases: &mut [CaseFiles], all: bool) -> Result<()> {
    if !folder.is_dir() {
        return Err(Error::file(folder, "is missing; put the label maps there, as CASE.nii.gz"));
    }
    for name in list(folder)? {
        let Some(stem) = name.strip_suffix(description.file_ending.as_str()) else { continue };
        let path = folder.join(&name);
        match cases.iter_mut().find(|case| case.name == stem) {
            Some(case) => case.label = Some(path),
            None => {
                let hint = match split_channel(stem) {
                    Some((case, _)) => format!(
                        "label maps carry no channel number: rename it {case}{}",
                        description.file_ending
                    ),
                    None => format!(
                        "add the image {stem}_0000{} or take the label map away",
                        description.file_ending
                    ),
                };
                return Err(Error::case(stem, format!("{} has no image; {hint}", path.display())));
            }
        }
    }
    match cases.iter().find(|case| all && case.label.is_none()) {
        None => Ok(()),
        Some(case) => {
            let expected = folder.join(format!("{}{}", case.name, description.file_ending));
            let message = format!(
                "{} has no label map; add {} or move the image to imagesTs",
                case.images[0].display(),
                expected.display()
            );
            Err(Error::case(&case.name, message))
        }
    }
}

/// Checks that a case's files lie on one grid; gives the first image's header.
pub(super) fn check_headers(case: &CaseFiles) -> Result<Header> {
    let mut first: Option<Header> = None;
    for path in case.images.iter().chain(&case.label) {
        let header = nifti::read_header(path)?;
        let Some(shape) = header.shape3() else {
            let message = format!(
                "has {} axes, shape {:?}: each file must hold one volume; split it into one file per channel (_0000, _0001, …) or per case",
                header.shape.len(),
                header.shape
            );
            return Err(Error::file(path, message));
        };
        match first.as_ref().and_then(Header::shape3) {
            Some(other) if other != shape => {
                let what = if case.label.as_ref() == Some(path) { "the label map" } else { "a channel" };
                let message = format!(
                    "{what}, {}, has shape {shape:?} but {} has {other:?} (x, y, z); resample it onto the image's grid",
                    path.display(),
                    case.images[0].display()
                );
                return Err(Error::case(&case.name, message));
            }
            Some(_) => {}
            None => first = Some(header),
        }
    }
    first.ok_or_else(|| Error::case(&case.name, "has no image; name at least one file"))
}
