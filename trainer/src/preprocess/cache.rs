//! Preprocessed cases in files, for data sets that do not fit into memory or take long to prepare.
//!
//! A cache is a folder with one file for each case: normalised intensities, labels and the lists of voxels by class. A
//! file belongs to a [`Fingerprint`], the input files' checksums and the settings that shaped the voxels; under another
//! one it is stale. It is written whole or not at all, so that processes may share a cache, and its checksums are compared
//! when it is opened. After that, boxes of voxels are read where they lie ([`CachedCase`]). Beside these may lie files of
//! what a normalisation takes of each case ([`CaseStatistics`]).

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Case, CaseStatistics, Normalisation};
use crate::dataset::{CaseFiles, Checksums, FileSum};
use crate::{Error, Result};

mod file;
mod format;
mod positioned;
mod statistics;

pub use file::CachedCase;

/// What the files of cases end in.
const VOXELS: &str = "voxels";
/// What the files of their statistics end in.
const STATISTICS: &str = "statistics";

/// A folder of preprocessed cases.
///
/// ```
/// # use trainer::preprocess::Cache;
/// // What BraTS' four channels take on disk, before anything is written.
/// assert_eq!(Cache::size_of([155, 240, 240], 4), 155 * 240 * 240 * 17);
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// What the voxels of a case follow from: its files, and how they were preprocessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Name, length and checksum of each input file.
    files: Vec<FileSum>,
    /// The settings, as their bytes.
    settings: Vec<u8>,
}

/// What a cache holds of a case.
#[derive(Debug)]
pub enum Found {
    /// The case, whole, and of the fingerprint asked for.
    Case(Box<CachedCase>),
    /// No file.
    Nothing,
    /// A file that cannot be used.
    Unusable {
        /// What was wrong with it, for a message: "FILE: is …".
        why: String,
    },
}

impl Fingerprint {
    /// Of a case's files, which are read for their checksums where these are not known. `settings` are the bytes of
    /// everything else that the voxels follow from: the normalisation with its numbers, the order of the axes, what the
    /// labels mean.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(files: &CaseFiles, settings: &[u8], known: &Checksums) -> Result<Self> {
        Ok(Self { files: known.of_case(files)?, settings: settings.to_vec() })
    }

    /// What is not as in `other`, in words.
    fn change_from(&self, other: &Self) -> Option<String> {
        let names = |sums: &[FileSum]| sums.iter().map(|sum| sum.path.clone()).collect::<Vec<_>>();
        if names(&self.files) != names(&other.files) {
            return Some(format!("the files {:?}, not {:?}", names(&other.files), names(&self.files)));
        }
        if let Some((now, _)) = self.files.iter().zip(&other.files).find(|(now, before)| now != before) {
            return Some(format!("a {} of other content", now.path));
        }
        (self.settings != other.settings).then(|| "other settings".to_owned())
    }
}

impl Cache {
    /// A cache in this folder, which is made with the first case.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Bytes of a case's voxels on disk: `d·h·w·(4·channels + 1)`.
    ///
    /// The file is longer by its header, below 4 KiB but for long file names, and by 4 bytes for each listed voxel of the
    /// foreground, at most 1 MiB for each class.
    pub fn size_of(shape: [usize; 3], channels: usize) -> u64 {
        let factors = shape.into_iter().chain([channels.saturating_mul(4).saturating_add(1)]);
        factors.fold(1u64, |bytes, n| bytes.saturating_mul(n as u64))
    }

    /// Opens a case that was written with this fingerprint, and compares its checksums.
    ///
    /// # Errors
    /// A file that is missing, foreign, of another version, truncated, damaged, or of another fingerprint.
    pub fn open(&self, name: &str, fingerprint: &Fingerprint) -> Result<CachedCase> {
        CachedCase::open(&self.path(name, VOXELS)?, name, fingerprint)
    }

    /// Writes a preprocessed case with the normalisation that it has been given, in place of an older file, and opens it.
    ///
    /// # Errors
    /// If the disk refuses, or the case's name is no file's name.
    pub fn write(
        &self,
        case: &Case,
        normalisation: &Normalisation,
        fingerprint: &Fingerprint,
    ) -> Result<CachedCase> {
        let path = self.path(&case.name, VOXELS)?;
        fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        format::write(&path, case, normalisation, fingerprint)?;
        self.open(&case.name, fingerprint)
    }

    /// Looks for a case that was written with this fingerprint and is whole.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn find(&self, name: &str, fingerprint: &Fingerprint) -> Result<Found> {
        if !self.path(name, VOXELS)?.exists() {
            return Ok(Found::Nothing);
        }
        match self.open(name, fingerprint) {
            Ok(case) => Ok(Found::Case(Box::new(case))),
            Err(error @ Error::File { .. }) => Ok(Found::Unusable { why: error.to_string() }),
            Err(error) => Err(error),
        }
    }

    /// What a normalisation takes of a case, if it was written with this fingerprint and is whole.
    ///
    /// # Errors
    /// If the case's name is no file's name.
    pub fn find_statistics(&self, name: &str, fingerprint: &Fingerprint) -> Result<Option<CaseStatistics>> {
        Ok(statistics::read(&self.path(name, STATISTICS)?, name, fingerprint))
    }

    /// Writes what a normalisation takes of a case, in place of an older file.
    ///
    /// # Errors
    /// If the disk refuses, or the case's name is no file's name.
    pub fn write_statistics(
        &self,
        name: &str,
        statistics: &CaseStatistics,
        fingerprint: &Fingerprint,
    ) -> Result<()> {
        let path = self.path(name, STATISTICS)?;
        fs::create_dir_all(&self.folder).map_err(Error::io(&self.folder))?;
        statistics::write(&path, name, statistics, fingerprint)
    }

    /// A file of a case.
    fn path(&self, name: &str, ending: &str) -> Result<PathBuf> {
        if Path::new(name).file_name() != Some(OsStr::new(name)) {
            let message = "its name cannot name a file of the cache; rename the case's files";
            return Err(Error::case(name, message));
        }
        Ok(self.folder.join(format!("{name}.{ending}")))
    }
}
