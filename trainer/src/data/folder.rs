//! A data set's folder: its cases, and whether their files fit together.

use super::fault::{Fault, Kind, first};
use super::names::{LooseCase, Part, side};
use super::{AxisOrder, Case, CaseReader, Description};
use crate::nifti::{self, Header};
use crate::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
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
        must_be_folder(path)?;
        let description = Description::read(path)?;
        let (channels, ending) = (description.channel_names.len(), &description.file_ending);
        let cases_of = |part: Part| {
            let mut faults = Vec::new();
            let cases = side(path, part, channels, ending, &mut faults)?;
            first(faults)?;
            cases.into_iter().map(LooseCase::whole).collect::<Result<Vec<_>>>()
        };
        let (training, test) = (cases_of(Part::Training)?, cases_of(Part::Test)?);
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

/// Length and checksum of a file; its name is told from `folder` on.
pub(super) fn checksum(folder: &Path, path: &Path) -> Result<FileSum> {
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

/// Refuses what is no folder.
pub(crate) fn must_be_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let what = if path.exists() { "is a file" } else { "does not exist" };
    let remedy = "name the folder that holds dataset.json, imagesTr and labelsTr";
    Err(Error::file(path, format!("{what}; {remedy}")))
}

/// Checks that a case's files lie on one grid; gives the first image's header.
pub(super) fn check_headers(case: &CaseFiles) -> Result<Header> {
    let mut first: Option<(Header, [usize; 3])> = None;
    for path in case.images.iter().chain(&case.label) {
        let header = nifti::read_header(path)?;
        let shape = one_volume(path, &header)?;
        match &first {
            Some((_, other)) => same_shape(case, path, shape, (&case.images[0], *other))?,
            None => first = Some((header, shape)),
        }
    }
    let first = first.map(|(header, _)| header);
    first.ok_or_else(|| Error::case(&case.name, "has no image; name at least one file"))
}

/// Voxels along x, y, z of a file that holds one volume.
pub(crate) fn one_volume(path: &Path, header: &Header) -> Result<[usize; 3], Fault> {
    header.shape3().ok_or_else(|| {
        let message = format!(
            "has {} axes, shape {:?}: each file must hold one volume",
            header.shape.len(),
            header.shape
        );
        let remedy = "split it into one file per channel (_0000, _0001, …) or per case";
        Fault::file(Kind::NotOneVolume, path, message, remedy)
    })
}

/// Checks that a file of a case has the shape of the case's first file.
pub(crate) fn same_shape(
    case: &CaseFiles,
    path: &Path,
    shape: [usize; 3],
    (first, other): (&Path, [usize; 3]),
) -> Result<(), Fault> {
    if shape == other {
        return Ok(());
    }
    let what = if case.label.as_deref() == Some(path) { "the label map" } else { "a channel" };
    let message = format!(
        "{what}, {}, has shape {shape:?} but {} has {other:?} (x, y, z)",
        path.display(),
        first.display()
    );
    Err(Fault::case(Kind::ShapeDiffers, &case.name, message, "resample it onto the image's grid"))
}
