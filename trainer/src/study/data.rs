//! What all arms share: the cases, the plan, and the halves that are measured.

use std::sync::Arc;

use crate::config::Config;
use crate::dataset::{CrossValidation, Dataset, IGNORE};
use crate::preprocess::{
    Case, CaseReader, CaseSummary, Normalisation, PackedLabels, Preparation, PreparedCase,
};
use crate::run::{Facts, Plan};
use crate::{Error, Result};

/// Normalised cases with one foreground class.
#[derive(Debug)]
pub struct StudyData {
    /// The data set's name.
    pub name: String,
    /// How its cases become what the network sees.
    pub preparation: Preparation,
    /// The patch and the network with one channel of logits.
    pub plan: Plan,
    /// Cases to train on.
    pub training: Arc<[PreparedCase]>,
    /// Cases to measure on.
    pub evaluation: Vec<Case>,
    /// What they are.
    pub evaluation_kind: String,
    /// How they are divided.
    pub halves: String,
    /// For each evaluation case, how many of its first planes d thresholds are fitted on; the others are measured.
    pub fitted: Vec<usize>,
    /// Positive and negative voxels of the training cases.
    pub counts: [u64; 2],
}

impl StudyData {
    /// Reads a data set. Measured are its validation cases; without such, its labelled test cases; without those, the
    /// training cases themselves.
    ///
    /// # Errors
    /// If a case cannot be read, or one of the two sides of the training voxels is empty.
    pub fn read(set: &Dataset, config: &Config) -> Result<Self> {
        let folds = CrossValidation::new(set, config)?;
        let mut reader = CaseReader::new(set, &config.data);
        let cases = reader.read_all(&set.training)?;
        let (mut training, mut evaluation) = folds.cases().divide(cases);
        let mut kind = "validation cases".to_owned();
        if evaluation.is_empty() {
            let labelled: Vec<_> = set.test.iter().filter(|files| files.label.is_some()).cloned().collect();
            evaluation = reader.read_all(&labelled)?;
            kind = "the data set's labelled test cases, as it has no validation cases".to_owned();
        }
        if evaluation.is_empty() {
            evaluation.clone_from(&training);
            kind = "the TRAINING cases, as there are no others: every figure flatters".to_owned();
        }
        let classes = set.description.classes.len();
        if classes < 2 {
            return Err(Error::file(set.path.join("dataset.json"), "names no foreground class"));
        }
        training.iter_mut().chain(&mut evaluation).for_each(join_foreground);
        let foreground = set.description.classes[1..].join(" + ");
        reader.description.classes = vec![set.description.classes[0].clone(), foreground];

        let normalisation = Normalisation::fit(config.data.normalization, &set.description, &training)?;
        let preparation = Preparation { reader, normalisation };
        let finish = |cases: Vec<Case>| cases.into_iter().map(|case| preparation.finish(case)).collect();
        let (training, evaluation): (Result<Vec<Case>>, Result<Vec<Case>>) =
            (finish(training), finish(evaluation));
        let (training, evaluation) = (training?, evaluation?);
        let summaries: Vec<_> = training.iter().map(CaseSummary::of).collect();
        let plan = Plan::new(Facts::of(&summaries, 2), config)?;
        let mut counts = [0, 0];
        for case in &summaries {
            let voxels = case.class_counts(2).0;
            counts = [counts[0] + voxels[1], counts[1] + voxels[0]];
        }
        if counts.contains(&0) {
            let message =
                "the training cases hold foreground nowhere or everywhere: there is nothing to weigh";
            return Err(Error::file(&set.path, message));
        }
        if let [case] = evaluation.as_slice()
            && case.shape[0] < 2
        {
            let message = "is the only case to measure on, and has one plane: it cannot be divided into two halves; add cases";
            return Err(Error::case(&case.name, message));
        }
        let (fitted, halves) = halves(&evaluation);
        let name = set.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self {
            name,
            preparation,
            plan,
            training: training.into_iter().map(PreparedCase::from).collect(),
            evaluation,
            evaluation_kind: kind,
            halves,
            fitted,
            counts,
        })
    }

    /// The evaluation cases' names.
    pub fn evaluation_names(&self) -> Vec<String> {
        self.evaluation.iter().map(|case| case.name.clone()).collect()
    }
}

fn join_foreground(case: &mut Case) {
    let joined = |label: &u8| if *label == IGNORE { IGNORE } else { (*label).min(1) };
    let whole = case.file_labels.take().and_then(|packed| packed.unpack());
    case.file_labels = whole.map(|labels| PackedLabels::new(&labels.iter().map(joined).collect::<Vec<_>>()));
    for label in case.labels.iter_mut().flatten() {
        if *label != IGNORE {
            *label = (*label).min(1);
        }
    }
}

/// Every other case; or the planes of a single case up to the one where half of its foreground is reached.
fn halves(cases: &[Case]) -> (Vec<usize>, String) {
    if let [case] = cases {
        let plane = case.shape[1] * case.shape[2];
        let of_plane = |labels: &[u8]| labels.iter().filter(|&&l| l == 1).count();
        let planes: Vec<usize> =
            case.labels.as_deref().unwrap_or_default().chunks(plane).map(of_plane).collect();
        let total: usize = planes.iter().sum();
        let mut sum = 0;
        let reached = planes.iter().position(|&count| {
            sum += count;
            2 * sum >= total
        });
        let cut = reached.map_or(0, |plane| plane + 1).clamp(1, case.shape[0].max(2) - 1);
        let text = format!("fitted on planes 1 to {cut} of {}, measured on the others", case.name);
        return (vec![cut], text);
    }
    let fitted: Vec<&str> = cases.iter().step_by(2).map(|case| case.name.as_str()).collect();
    let planes = cases.iter().enumerate().map(|(i, case)| if i % 2 == 0 { case.shape[0] } else { 0 });
    (planes.collect(), format!("fitted on {}, measured on the others", fitted.join(", ")))
}
