//! What all arms share: the cases, the plan, and the halves that are measured.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Auto, Config};
use crate::dataset::{CrossValidation, Dataset};
use crate::preprocess::{CaseLoader, CaseReader, LoadedCases, Preparation, PreparedCase};
use crate::run::Plan;
use crate::training::Settled;
use crate::{Error, Result};

/// Prepared cases with one foreground class.
#[derive(Debug)]
pub struct StudyData {
    /// The data set's name.
    pub name: String,
    /// How its cases become what the network sees.
    pub preparation: Preparation,
    /// Cases to train on.
    pub training: Arc<[PreparedCase]>,
    /// Cases to measure on.
    pub evaluation: Arc<[PreparedCase]>,
    /// What they are.
    pub evaluation_kind: String,
    /// How they are divided.
    pub halves: String,
    /// For each evaluation case, how many of the first planes d of its part of the file thresholds are fitted on; the others
    /// are measured.
    pub fitted: Vec<usize>,
    /// Positive and negative voxels of the training cases.
    pub counts: [u64; 2],
    /// Whether voxels are in files.
    in_files: bool,
}

impl StudyData {
    /// Loads a data set as [`CaseLoader::load`] does. Measured are its validation cases; without such, its labelled test cases;
    /// without those, the training cases themselves.
    ///
    /// # Errors
    /// If a case cannot be read, or one of the two sides of the training voxels is empty.
    pub fn load(
        set: &Dataset,
        config: &Config,
        cache: Option<&Path>,
        force: bool,
        say: &(dyn Fn(String) + Sync),
    ) -> Result<Self> {
        if set.description.num_classes() < 2 {
            return Err(Error::file(set.path.join("dataset.json"), "names no foreground class"));
        }
        let folds = CrossValidation::new(set, config)?;
        let mut reader = CaseReader::new(set, &config.data);
        reader.description = reader.description.joined();
        let (training, mut validation) = folds.cases().divide(set.training.iter().cloned());
        let mut kind = "validation cases";
        if validation.is_empty() {
            validation = set.test.iter().filter(|files| files.label.is_some()).cloned().collect();
            kind = "the data set's labelled test cases, as it has no validation cases";
        }
        let scheme = config.data.normalization;
        let loader = CaseLoader { reader: &reader, training, validation, scheme, normalisation: None, say };
        let loaded = loader.load(cache, force, config.training.threads)?;
        let LoadedCases { training, validation, preparation, in_files } = loaded;
        let counts = PreparedCase::class_counts(&training, 2);
        let counts = [counts[1], counts[0]];
        if counts.contains(&0) {
            let message =
                "the training cases hold foreground nowhere or everywhere: there is nothing to weigh";
            return Err(Error::file(&set.path, message));
        }
        let training: Arc<[PreparedCase]> = training.into();
        let evaluation = match validation.is_empty() {
            true => {
                kind = "the TRAINING cases, as there are no others: every figure flatters";
                Arc::clone(&training)
            }
            false => validation.into(),
        };
        let (fitted, halves) = halves(&evaluation)?;
        let name = set.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            name,
            preparation,
            training,
            evaluation,
            evaluation_kind: kind.to_owned(),
            halves,
            fitted,
            counts,
            in_files,
        })
    }

    /// The patch and the network of every arm, with one channel of logits, and how many patches are in a batch; `before` is
    /// what they were, where a study goes on.
    ///
    /// # Errors
    /// If the configuration's patch or network do not fit; unless by `force`, if memory will not hold them.
    pub fn settle(&self, config: &Config, before: Option<(Plan, usize)>, force: bool) -> Result<Settled> {
        let mut config = config.clone();
        let before = before.map(|(plan, batch)| {
            config.data.batch_size = Auto::Value(batch);
            plan
        });
        let summaries = [&self.training, &self.evaluation].map(|cases| PreparedCase::summaries(cases));
        let reader = &self.preparation.reader;
        let settled = Settled::for_cases(&summaries, self.in_files, reader, &config, before)?;
        if !force {
            settled.outlook.check()?;
        }
        Ok(settled)
    }

    /// The evaluation cases' names.
    pub fn evaluation_names(&self) -> Vec<String> {
        PreparedCase::names(&self.evaluation)
    }
}

/// Every other case; or the planes of a single case up to the one where half of its foreground is reached.
fn halves(cases: &[PreparedCase]) -> Result<(Vec<usize>, String)> {
    let depth = |case: &PreparedCase| case.summary().grids.part_shape()[0];
    if let [case] = cases {
        let [d, h, w] = case.summary().grids.part_shape();
        if d < 2 {
            let message = "is the only case to measure on, and has one plane: it cannot be divided into two halves; add cases";
            return Err(Error::case(case.name(), message));
        }
        let labels = case.part_labels()?;
        let of_plane = |labels: &[u8]| labels.iter().filter(|&&l| l == 1).count();
        let planes: Vec<usize> = labels.chunks(h * w).map(of_plane).collect();
        let total: usize = planes.iter().sum();
        let mut sum = 0;
        let reached = planes.iter().position(|&count| {
            sum += count;
            2 * sum >= total
        });
        let cut = reached.map_or(0, |plane| plane + 1).clamp(1, d - 1);
        let text = format!("fitted on planes 1 to {cut} of {}, measured on the others", case.name());
        return Ok((vec![cut], text));
    }
    let fitted: Vec<&str> = cases.iter().step_by(2).map(PreparedCase::name).collect();
    let planes = cases.iter().enumerate().map(|(i, case)| if i % 2 == 0 { depth(case) } else { 0 });
    Ok((planes.collect(), format!("fitted on {}, measured on the others", fitted.join(", "))))
}
