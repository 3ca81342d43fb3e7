//! `trainer plan`: what `trainer train` would do with a data set, and what memory and time that takes.

use std::path::Path;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use serde::Serialize;
use volumes::files::{read_text, write_where_named};

use crate::config::{Auto, Config, Training};
use crate::dataset::fault::Fault;
use crate::dataset::warnings::lines;
use crate::dataset::{CaseClasses, CaseFiles, ClassesByFold, CrossValidation, Dataset};
use crate::preprocess::{CaseReader, CaseSummary};
use crate::training::{
    Length, Link, Objective, Outlook, Pace, RunTime, Settled, Sharing, SharingBasis, TimeTable,
    check_settings,
};
use crate::{Error, Result, cli, threads};

pub(super) fn run(args: &cli::Plan) -> Result<()> {
    let config = read_configuration(args.config.as_deref(), &args.set)?;
    let dataset = Dataset::open(&args.dataset)?;
    let reader = CaseReader::new(&dataset, &config.data);
    let folds = CrossValidation::new(&dataset, &config)?;
    let began = Instant::now();
    let cases = summaries(&reader, &dataset.training)?;
    let reading = began.elapsed();
    let classes = dataset.description.num_classes();
    let counted: Vec<CaseClasses> = cases.iter().map(|case| case.classes(classes)).collect();
    let by_fold = ClassesByFold::new(&folds, &counted, &dataset.description.classes);
    by_fold.only(folds.fold()).check()?;
    let faults: Vec<Fault> =
        cases.iter().flat_map(|case| case.warnings(&dataset.description.classes)).collect();
    let (training, validation) = folds.cases().divide(cases);
    let validated = validated(&training, &validation).to_vec();
    check_settings(&config, validation.len())?;
    let voxels = training.iter().fold(vec![0; classes.max(2)], |mut sums, case| {
        let (counts, _) = case.class_counts(classes.max(2));
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        sums
    });
    let settled = Settled::for_cases(&[training, validation], args.cached, &reader, &config, None)?;
    let loss = Objective::of_counts(&config, &settled.plan, voxels)?.words(&config.loss);
    let time = match settled.outlook.fits {
        Some(false) => None,
        _ => Some(time_table(&settled, &config, reading, &validated)?),
    };
    let sharing = match (&time, args.ranks) {
        (Some(_), Some(ranks)) => Some(sharing(&settled, &config, ranks, args.link)?),
        _ => None,
    };
    if args.json {
        let text = serde_json::to_string_pretty(&Said { outlook: &settled.outlook, loss, time, sharing });
        println!("{}", text.map_err(|e| Error::Usage(format!("the plan is no JSON: {e}")))?);
    } else {
        let of_cases = by_fold.warnings().into_iter().chain(lines(&faults, &dataset.path));
        let of_folds = folds.notes(&dataset.training);
        dataset.notes.iter().cloned().chain(of_folds).chain(of_cases).for_each(|note| tell!("{note}"));
        tell!("{loss}");
        tell!("{}", settled.outlook);
        time.iter().for_each(|time| tell!("\n{time}"));
        sharing.iter().for_each(|sharing| tell!("\n{sharing}"));
        if let (None, Some(_)) = (&sharing, args.ranks) {
            tell!("what several ranks take cannot be measured, as the memory does not suffice for a step");
        }
    }
    let Some(path) = &args.write else { return Ok(()) };
    let header = format!(
        "# What `trainer plan` chose for {}, beside the keys that were given or are the default; `trainer config` explains them.\n\n",
        dataset.path.display()
    );
    let text = header + &settled.written(&config).to_toml();
    if path.is_file() {
        return Err(Error::file(
            path,
            "exists already, and may have been edited; name another file, or take it away",
        ));
    }
    Ok(write_where_named(path, |out| out.write_all(text.as_bytes()))?)
}

/// The plan for a program.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    outlook: &'a Outlook,
    /// What is minimised, in words.
    loss: String,
    /// None where the memory does not suffice to find out.
    time: Option<TimeTable>,
    /// What several ranks would take, where that is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    sharing: Option<Sharing>,
}

/// What it pays to share a batch.
fn sharing(settled: &Settled, config: &Config, ranks: usize, link: Link) -> Result<Sharing> {
    let mut config = settled.written(config);
    let samples = config.data.batch();
    config.training.accumulate = 1;
    let mut measure = |batch: usize| {
        config.data.batch_size = Auto::Value(batch);
        Pace::step(&settled.plan, &config, settled.outlook.median_spacing)
    };
    let all = measure(samples)?;
    let one = if samples == 1 { all } else { measure(1)? };
    let basis = SharingBasis {
        steps: [one[0], all[0]],
        processor: [one[1], all[1]],
        samples,
        parameters: settled.outlook.parameters,
        cores: threads::available(),
    };
    Ok(Sharing::new(&basis, ranks, link))
}

/// The cases that a run validates on: where none is held out, those that it trains on.
pub(super) fn validated<'a, C>(training: &'a [C], validation: &'a [C]) -> &'a [C] {
    if validation.is_empty() { training } else { validation }
}

/// The time of a run of this configuration; reading its cases took so long just now.
fn time_table(
    settled: &Settled,
    config: &Config,
    reading: Duration,
    cases: &[CaseSummary],
) -> Result<TimeTable> {
    let mut time = RunTime::measure(settled, &settled.written(config), cases, 1)?;
    time.once += reading.as_secs_f64();
    let Training { epochs, steps_per_epoch, .. } = config.training;
    Ok(time.of(Length { epochs: epochs as u64, steps_per_epoch: steps_per_epoch as u64 }))
}

/// The default with the changes of a file and of pairs.
pub(super) fn read_configuration(file: Option<&Path>, set: &[String]) -> Result<Config> {
    let Some(path) = file else { return Config::load(None, set) };
    if !path.exists() {
        let message =
            "does not exist; `trainer config > FILE.toml` writes a file with every key and its default";
        return Err(Error::file(path, message));
    }
    let text = read_text(path)?;
    Config::load(Some((&path.display().to_string(), &text)), set)
}

/// The cases without their voxels, of which each thread holds one case's at a time.
fn summaries(reader: &CaseReader, files: &[CaseFiles]) -> Result<Vec<CaseSummary>> {
    // Collected whole, so that the error is that of the first case for any number of threads.
    let cases: Vec<Result<_>> = files.par_iter().map(|files| reader.summary(files)).collect();
    cases.into_iter().collect()
}
