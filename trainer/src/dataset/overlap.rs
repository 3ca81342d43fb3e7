//! Cases that two data sets have in common, whatever they are called: what is trained on must not be validated on.

use std::collections::BTreeSet;
use std::fs::{File, canonicalize, metadata};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::notes::some;
use super::{CaseFiles, Checksums, Dataset};
use crate::{Error, Result};

impl Dataset {
    /// Opens another data set, on whose training cases a network is validated that is trained on those of this one.
    ///
    /// # Errors
    /// As [`Dataset::open`]; other classes; cases that both have, whatever they are called.
    pub fn open_for_validation(&self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let other = Self::open(path)?;
        if other.description.classes != self.description.classes {
            let message = format!(
                "has the classes {:?}, the training set {:?}: they must be the same",
                other.description.classes, self.description.classes
            );
            return Err(Error::file(path.join("dataset.json"), message));
        }
        let shared = shared_cases(&self.training, &other.training)?;
        if shared.is_empty() {
            return Ok(other);
        }
        let named = |&[ours, theirs]: &[&str; 2]| match ours == theirs {
            true => theirs.to_owned(),
            false => format!("{theirs} (in training {ours})"),
        };
        let named: Vec<String> = shared.iter().map(named).collect();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        let message = format!(
            "has images of training cases: {}; a network knows what it was trained on, so take them out of one of the two",
            some(&named)
        );
        Err(Error::file(path, message))
    }
}

/// Says which cases to validate on have the images of cases to train on.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn same_images(training: &[CaseFiles], validation: &[CaseFiles]) -> Result<Option<String>> {
    let shared = shared_cases(training, validation)?;
    let named: Vec<String> = shared.iter().map(|[ours, theirs]| format!("{theirs} ({ours})")).collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    Ok((!named.is_empty()).then(|| {
        format!(
            "validation cases have the images of training cases: {}; a network knows what it was trained on, so take one of the two away",
            some(&named)
        )
    }))
}

/// The pairs of a case of `cases` and one of `others` that have an image file in common, or images of the same content. A
/// name in common means nothing: each data set gives its own. Only files of lengths that both have are read.
///
/// # Errors
/// A file that cannot be read.
fn shared_cases<'a>(cases: &'a [CaseFiles], others: &'a [CaseFiles]) -> Result<Vec<[&'a str; 2]>> {
    let all = |cases: &'a [CaseFiles]| cases.iter().map(Images::new).collect::<Result<Vec<_>>>();
    let (mut cases, mut others) = (all(cases)?, all(others)?);
    let lengths = |all: &[Images]| all.iter().map(|images| images.lengths.clone()).collect();
    let [ours, theirs]: [BTreeSet<Vec<u64>>; 2] = [lengths(&cases), lengths(&others)];
    let in_both = |images: &&mut Images| ours.contains(&images.lengths) && theirs.contains(&images.lengths);
    cases.par_iter_mut().chain(&mut others).filter(in_both).try_for_each(Images::add_checksums)?;
    let mut shared = Vec::new();
    for case in &cases {
        for other in &others {
            if case.is(other)? {
                shared.push([case.name, other.name]);
            }
        }
    }
    Ok(shared)
}

/// A case's images, with the files that are read with them.
struct Images<'a> {
    name: &'a str,
    files: Vec<PathBuf>,
    /// Bytes of each file.
    lengths: Vec<u64>,
    /// CRC-32C of each file; none where they are not needed.
    checksums: Vec<u32>,
}

impl<'a> Images<'a> {
    fn new(case: &'a CaseFiles) -> Result<Self> {
        let files = case.images.iter().cloned().chain(volumes::files_beside(&case.images));
        let files = files.map(|path| canonicalize(&path).map_err(Error::io(&path)));
        let files = files.collect::<Result<Vec<_>>>()?;
        let length = |path: &PathBuf| Ok(metadata(path).map_err(Error::io(path))?.len());
        let lengths = files.iter().map(length).collect::<Result<_>>()?;
        Ok(Self { name: &case.name, files, lengths, checksums: Vec::new() })
    }

    fn add_checksums(&mut self) -> Result<()> {
        let sums = self.files.iter().map(|path| Ok(Checksums::default().of(Path::new(""), path)?.crc32c));
        self.checksums = sums.collect::<Result<_>>()?;
        Ok(())
    }

    /// Whether the two are one case.
    fn is(&self, other: &Self) -> Result<bool> {
        if self.files.iter().any(|path| other.files.contains(path)) {
            return Ok(true);
        }
        if (&self.lengths, &self.checksums) != (&other.lengths, &other.checksums) {
            return Ok(false);
        }
        // Among millions of pairs a checksum of 32 bits agrees by chance.
        let mut pairs = self.files.iter().zip(&other.files);
        pairs.try_fold(true, |same, (a, b)| Ok(same && same_bytes(a, b)?))
    }
}

/// Whether two files hold the same bytes.
fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    let open = |path| File::open(path).map(BufReader::new).map_err(Error::io(path));
    let (mut one, mut two) = (open(a)?, open(b)?);
    loop {
        let (left, right) = (one.fill_buf().map_err(Error::io(a))?, two.fill_buf().map_err(Error::io(b))?);
        let read = left.len().min(right.len());
        if left[..read] != right[..read] || (read == 0 && left.len() != right.len()) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
        one.consume(read);
        two.consume(read);
    }
}
