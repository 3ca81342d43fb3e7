//! The cases of a run, normalised: all in memory, or in the files of a cache.

use std::path::Path;

use bincode::Options;
use memory::{Machine, in_words};
use rayon::prelude::*;

use super::{Cache, CaseReader, Fingerprint, Fit, Found, Grids, Normalisation, Preparation, PreparedCase};
use crate::codec::options;
use crate::config::Scheme;
use crate::dataset::CaseFiles;
use crate::dataset::fault::{Fault, Subject};
use crate::dataset::warnings::{lines, of_constant};
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
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| Error::config("training.threads", format!("is {threads}: {e}")))?;
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
                training.iter().for_each(|case| fit.add(case));
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

    /// One case at a time in memory. What the cache holds of these files and settings is taken from there; the rest is made
    /// and written, after its size was said.
    fn cached(self, folder: &Path) -> Result<LoadedCases> {
        let settings = self.settings()?;
        // What was fitted on other cases, such as those of another fold, keeps a place of its own.
        let folder = &match self.fit().needs_foreground() {
            true => folder.join(format!("fitted-{:08x}", crc32c::crc32c(&settings))),
            false => folder.to_owned(),
        };
        let cache = Cache::new(folder);
        let mut found = self.find(&cache, &settings)?;
        let normalisation = self.normalisation(&found)?;
        for (_, found) in &mut found {
            if let Found::Case(case) = found
                && case.normalisation() != &normalisation
            {
                let why =
                    format!("{}: {} was normalised by other numbers", folder.display(), case.summary().name);
                *found = Found::Unusable { why };
            }
        }
        self.announce(folder, &found)?;
        let preparation = Preparation { reader: self.reader.clone(), normalisation };
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

    /// Training cases, then validation cases.
    fn all(&self) -> impl Iterator<Item = &CaseFiles> {
        self.training.iter().chain(&self.validation)
    }

    /// A normalisation without cases so far.
    fn fit(&self) -> Fit {
        Fit::new(self.scheme, &self.reader.description)
    }

    /// What a case's voxels follow from beside its own files: where the normalisation is fitted, all training cases' too.
    fn settings(&self) -> Result<Vec<u8>> {
        let fitted_on: Vec<Fingerprint> = match self.fit().needs_foreground() {
            true => self.training.iter().map(|files| Fingerprint::of(files, &[])).collect::<Result<_>>()?,
            false => Vec::new(),
        };
        let settings = (self.reader, self.scheme, fitted_on);
        Ok(options().serialize(&settings).expect("settings are plain data"))
    }

    /// What the cache holds of each case.
    fn find(&self, cache: &Cache, settings: &[u8]) -> Result<Vec<(Fingerprint, Found)>> {
        let of = |files: &CaseFiles| {
            let fingerprint = Fingerprint::of(files, settings)?;
            let found = cache.find(&files.name, &fingerprint)?;
            Ok((fingerprint, found))
        };
        self.all().map(of).collect()
    }

    /// The run's; else it is fitted on the cases, of which the cached ones say what they came to.
    fn normalisation(&self, found: &[(Fingerprint, Found)]) -> Result<Normalisation> {
        if let Some(normalisation) = &self.normalisation {
            return Ok(normalisation.clone());
        }
        let mut fit = self.fit();
        let known = found.iter().find_map(|(_, found)| match found {
            Found::Case(case) => Some(case.normalisation()),
            Found::Nothing | Found::Unusable { .. } => None,
        });
        known.into_iter().for_each(|known| fit.take_foreground_from(known));
        let of_foreground = fit.needs_foreground();
        let of_grids = fit.needs_grids() && self.reader.preprocessing.crop;
        for (index, (files, (_, found))) in self.all().zip(found).enumerate() {
            let is_training = index < self.training.len();
            if let Found::Case(case) = found {
                fit.add_grids(&case.summary().grids);
            } else if of_grids || (of_foreground && is_training) {
                (self.say)(format!("{}: what its normalisation follows from", files.name));
                let case = self.reader.read(files)?;
                if is_training { fit.add(&case) } else { fit.add_grids(&case.geometry.grids) }
            }
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

/// The shape of which a case has more voxels: its file's, on which it is read, or that on which it is kept.
fn larger(grids: &Grids) -> [usize; 3] {
    let voxels = |shape: &[usize; 3]| shape.iter().fold(1usize, |n, &size| n.saturating_mul(size));
    [grids.whole_shape(), grids.shape()].into_iter().max_by_key(voxels).expect("there are two")
}
