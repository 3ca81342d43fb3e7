//! The cases of a run, normalised: all in memory, or in the files of a cache.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use bincode::Options;
use memory::{Machine, in_words};
use rayon::prelude::*;
use serde::Serialize;

use super::{Cache, CaseReader, Fingerprint, Fit, Found, Grids, Normalisation, Preparation, PreparedCase};
use crate::codec::options;
use crate::config::Scheme;
use crate::dataset::fault::{Fault, Subject};
use crate::dataset::warnings::{lines, of_constant};
use crate::dataset::{CaseFiles, Checksums};
use crate::{Error, Result};

const GIGABYTE: f64 = (1u64 << 30) as f64;

/// What cases are loaded from, and how.
pub struct CaseLoader<'a> {
    /// How files become cases.
    pub reader: &'a CaseReader,
    /// The cases that the normalisation is fitted on.
    pub training: Vec<CaseFiles>,
    /// Further cases.
    pub validation: Vec<CaseFiles>,
    /// How intensities are made comparable.
    pub scheme: Scheme,
    /// As it was fitted before, of a run that goes on.
    pub normalisation: Option<Normalisation>,
    /// Is told what goes on, a line each.
    pub say: &'a (dyn Fn(String) + Sync),
}

/// Cases as a network sees them, and how they were made so.
#[derive(Debug)]
pub struct LoadedCases {
    /// The cases to train on.
    pub training: Vec<PreparedCase>,
    /// Those to validate on.
    pub validation: Vec<PreparedCase>,
    /// What was done to both.
    pub preparation: Preparation,
    /// Whether voxels are in files.
    pub in_files: bool,
}

impl LoadedCases {
    /// Refuses training cases in which there is nothing to tell apart.
    ///
    /// # Errors
    /// Names the cases.
    pub fn check_classes(&self, classes: usize) -> Result<()> {
        let voxels = PreparedCase::class_counts(&self.training, classes);
        let what = match (voxels[0], voxels[1..].iter().sum::<u64>()) {
            (0, 0) => "hold no voxel that counts: all are to be ignored",
            (_, 0) => "hold no voxel of the foreground: there is nothing to find",
            (0, _) => "hold no voxel of the background: there is nothing to tell the foreground from",
            _ => return Ok(()),
        };
        let names: Vec<&str> = self.training.iter().map(PreparedCase::name).collect();
        let message = format!(
            "the training cases {} {what}; look at their label maps, which `trainer inspect` counts",
            names.join(", ")
        );
        Err(Error::Usage(message))
    }

    /// The training cases that no patch is cut from, a line each.
    pub fn left_out(&self) -> Vec<String> {
        let is_ignored = |case: &&PreparedCase| case.summary().annotated() == 0;
        let line = |case: &PreparedCase| {
            format!("case {}: all of its voxels are to be ignored; no patch is cut from it", case.name())
        };
        self.training.iter().filter(is_ignored).map(line).collect()
    }

    /// What deserves a look in the cases' voxels, a line for each kind of thing.
    ///
    /// # Errors
    /// If a file of the cache cannot be read.
    pub fn warnings(&self) -> Result<Vec<String>> {
        let description = &self.preparation.reader.description;
        let of_case = |case: &PreparedCase| -> Result<Vec<Fault>> {
            let channels = case.constant_channels()?.into_iter().zip(&description.channel_names);
            let constant = channels.filter(|(is_constant, _)| *is_constant).map(|(_, name)| {
                of_constant(
                    Subject::Case(case.name().to_owned()),
                    format!("every voxel of {name} is the same"),
                )
            });
            Ok(constant.chain(case.summary().warnings(&description.classes)).collect())
        };
        let cases: Vec<&PreparedCase> = self.training.iter().chain(&self.validation).collect();
        let faults = cases.into_par_iter().map(of_case).collect::<Vec<_>>();
        let faults = faults.into_iter().collect::<Result<Vec<_>>>()?.concat();
        Ok(lines(&faults, Path::new("")))
    }
}

impl CaseLoader<'_> {
    /// Loads the cases, in as many threads as the plan's memory reckons with: into the files of a cache where one is named,
    /// else into memory, which `force` tries though the files' headers say that they are too many.
    ///
    /// # Errors
    /// As [`CaseReader::read`]; cases that memory will not hold; a cache that cannot be written.
    pub fn load(self, cache: Option<&Path>, force: bool, threads: usize) -> Result<LoadedCases> {
        let pool = crate::threads::pool("training.threads", threads)?;
        let (reader, say) = (self.reader, self.say);
        let loaded = pool.install(|| match cache {
            Some(folder) => self.cached(folder),
            None => self.in_memory(force),
        })?;
        loaded.preparation.normalisation.lines(&reader.description.channel_names).into_iter().for_each(say);
        Ok(loaded)
    }

    /// All voxels in memory; refused where the files' headers already say that they are too many, unless by `force`.
    fn in_memory(self, force: bool) -> Result<LoadedCases> {
        let machine = Machine::here();
        if let (Some(there), false) = (machine.available, force) {
            let bytes = self.most_bytes(self.all(), larger)?;
            if bytes > there as u64 {
                let message = format!(
                    "the cases take up to {}, before empty borders are cut off, and {machine}: keep them in files with --cache DIR, or try with --force",
                    in_words(usize::try_from(bytes).unwrap_or(usize::MAX))
                );
                return Err(Error::config("data.memory", message));
            }
        }
        let Self { reader, scheme, normalisation, .. } = self;
        let (training, validation) = (reader.read_all(&self.training)?, reader.read_all(&self.validation)?);
        let normalisation = match normalisation {
            Some(normalisation) => normalisation,
            None => {
                let mut fit = Fit::new(scheme, &reader.description);
                for case in &training {
                    let statistics = fit.statistics(case);
                    fit.add(statistics);
                }
                validation.iter().for_each(|case| fit.add_grids(&case.geometry.grids));
                fit.finish()?
            }
        };
        let preparation = Preparation { reader: reader.clone(), normalisation };
        let prepared = |cases: Vec<_>| -> Result<Vec<PreparedCase>> {
            let cases = cases.into_par_iter().map(|case| preparation.finish(case).map(PreparedCase::from));
            cases.collect::<Vec<_>>().into_iter().collect()
        };
        let (training, validation) = (prepared(training)?, prepared(validation)?);
        Ok(LoadedCases { training, validation, preparation, in_files: false })
    }

    /// One case at a time in memory. What the cache holds of these files and settings is taken from there, without a look at
    /// the files' voxels; the rest is made and written, after its size was said.
    fn cached(self, folder: &Path) -> Result<LoadedCases> {
        let _turn = self.turn(folder);
        let checksums = Checksums::kept_in(folder);
        let normalisation = match &self.normalisation {
            Some(normalisation) => normalisation.clone(),
            None => self.fitted(folder, &checksums)?,
        };
        // The numbers are among the settings: folds and arms with the same share a place, others have their own.
        let preparation = Preparation { reader: self.reader.clone(), normalisation };
        let settings = bytes(&preparation);
        let folder = &place(folder, "prepared", &settings);
        let cache = Cache::new(folder);
        // Collected whole, so that the error is that of the first case for any number of threads.
        let files: Vec<&CaseFiles> = self.all().collect();
        let find = |files: &&CaseFiles| {
            let fingerprint = Fingerprint::of(files, &settings, &checksums)?;
            let found = cache.find(&files.name, &fingerprint)?;
            Ok((fingerprint, found))
        };
        let found: Vec<Result<(Fingerprint, Found)>> = files.par_iter().map(find).collect();
        let found = found.into_iter().collect::<Result<Vec<_>>>()?;
        checksums.keep()?;
        self.announce(folder, &found)?;
        let make = |files: &CaseFiles, fingerprint: &Fingerprint| -> Result<PreparedCase> {
            let case = preparation.prepare(files, None)?;
            (self.say)(format!("{} goes into the cache", case.name));
            Ok(cache.write(&case, &preparation.normalisation, fingerprint)?.into())
        };
        let prepared = self.all().zip(found).map(|(files, (fingerprint, found))| match found {
            Found::Case(case) => Ok(PreparedCase::from(*case)),
            Found::Nothing | Found::Unusable { .. } => make(files, &fingerprint),
        });
        let mut training = prepared.collect::<Result<Vec<_>>>()?;
        let validation = training.split_off(self.training.len());
        Ok(LoadedCases { training, validation, preparation, in_files: true })
    }

    /// Waits until no other process fills the cache, so that nothing is made twice. Where files cannot be locked, processes
    /// do not wait; each file of the cache is whole or not there all the same.
    fn turn(&self, folder: &Path) -> Option<File> {
        std::fs::create_dir_all(folder).ok()?;
        let file = File::create(folder.join("lock")).ok()?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            (self.say)(format!("waiting for another process that fills the cache {}", folder.display()));
            file.lock().ok()?;
        }
        Some(file)
    }

    /// Training cases, then validation cases.
    fn all(&self) -> impl Iterator<Item = &CaseFiles> {
        self.training.iter().chain(&self.validation)
    }

    /// The normalisation as it is fitted on the cases, of which the cache says what it takes of them; what it does not know
    /// yet is written there.
    fn fitted(&self, folder: &Path, checksums: &Checksums) -> Result<Normalisation> {
        let mut fit = Fit::new(self.scheme, &self.reader.description);
        let of_grids = fit.needs_grids() && self.reader.preprocessing.crop;
        let of_foreground = fit.foreground_channels() > 0;
        let settings = bytes(&(self.reader, self.scheme));
        let cache = Cache::new(place(folder, "statistics", &settings));
        for (index, files) in self.all().enumerate() {
            let is_training = index < self.training.len();
            let is_asked = of_grids || of_foreground && is_training;
            if !is_asked {
                continue;
            }
            let fingerprint = Fingerprint::of(files, &settings, checksums)?;
            let statistics = match cache.find_statistics(&files.name, &fingerprint)? {
                Some(statistics) => statistics,
                None => {
                    (self.say)(format!("{}: what its normalisation follows from", files.name));
                    let statistics = fit.statistics(&self.reader.read(files)?);
                    cache.write_statistics(&files.name, &statistics, &fingerprint)?;
                    statistics
                }
            };
            if is_training { fit.add(statistics) } else { fit.add_grids(&statistics.grids) }
        }
        fit.finish()
    }

    /// Says what will be written, and why.
    fn announce(&self, folder: &Path, found: &[(Fingerprint, Found)]) -> Result<()> {
        for (_, found) in found {
            if let Found::Unusable { why } = found {
                (self.say)(format!("{why}; it is made again"));
            }
        }
        let missing = self.all().zip(found).filter(|(_, (_, found))| !matches!(found, Found::Case(_)));
        let missing: Vec<&CaseFiles> = missing.map(|(files, _)| files).collect();
        let (all, there) = (found.len(), found.len() - missing.len());
        let bytes = self.most_bytes(missing.iter().copied(), Grids::shape)?;
        match bytes {
            0 => (self.say)(format!("all {all} cases are in the cache {}", folder.display())),
            bytes => (self.say)(format!(
                "the cache {} holds {there} of {all} cases; the others take up to {:.2} GB of disk",
                folder.display(),
                bytes as f64 / GIGABYTE
            )),
        }
        Ok(())
    }

    /// What the voxels of cases take, by the headers of their files, before empty borders are cut off; on the grid of a
    /// case that `on` chooses.
    fn most_bytes<'f>(
        &self,
        cases: impl Iterator<Item = &'f CaseFiles>,
        on: impl Fn(&Grids) -> [usize; 3],
    ) -> Result<u64> {
        let channels = self.reader.description.channel_names.len();
        let mut bytes = 0u64;
        for files in cases {
            bytes = bytes.saturating_add(Cache::size_of(on(&self.reader.largest_grids(files)?), channels));
        }
        Ok(bytes)
    }
}

/// Settings as their bytes.
fn bytes(settings: &impl Serialize) -> Vec<u8> {
    options().serialize(settings).expect("settings are plain data")
}

/// Where a cache keeps what follows from these settings.
fn place(folder: &Path, kind: &str, settings: &[u8]) -> PathBuf {
    folder.join(format!("{kind}-{:08x}", crc32c::crc32c(settings)))
}

/// The shape of which a case has more voxels: its file's, on which it is read, or that on which it is kept.
fn larger(grids: &Grids) -> [usize; 3] {
    let voxels = |shape: &[usize; 3]| shape.iter().fold(1usize, |n, &size| n.saturating_mul(size));
    [grids.whole_shape(), grids.shape()].into_iter().max_by_key(voxels).expect("there are two")
}
