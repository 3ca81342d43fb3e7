//! `trainer plan`: what `trainer train` would do with a data set, and what memory that takes.

use std::path::Path;

use rayon::prelude::*;
use volumes::files::{read_text, write_where_named};

use crate::config::Config;
use crate::dataset::fault::Fault;
use crate::dataset::warnings::lines;
use crate::dataset::{CaseClasses, CaseFiles, ClassesByFold, CrossValidation, Dataset};
use crate::preprocess::{CaseReader, CaseSummary};
use crate::training::Settled;
use crate::{Error, Result, cli};

pub(super) fn run(args: &cli::Plan) -> Result<()> {
    let config = read_configuration(args.config.as_deref(), &args.set)?;
    let dataset = Dataset::open(&args.dataset)?;
    let reader = CaseReader::new(&dataset, &config.data);
    let folds = CrossValidation::new(&dataset, &config)?;
    let cases = summaries(&reader, &dataset.training)?;
    let classes = dataset.description.num_classes();
    let counted: Vec<CaseClasses> = cases.iter().map(|case| case.classes(classes)).collect();
    let by_fold = ClassesByFold::new(&folds, &counted, &dataset.description.classes);
    by_fold.only(folds.fold()).check()?;
    let faults: Vec<Fault> =
        cases.iter().flat_map(|case| case.warnings(&dataset.description.classes)).collect();
    let (training, validation) = folds.cases().divide(cases);
    let settled = Settled::for_cases(&[training, validation], args.cached, &reader, &config, None)?;
    if args.json {
        let text = serde_json::to_string_pretty(&settled.outlook);
        println!("{}", text.map_err(|e| Error::Usage(format!("the plan is no JSON: {e}")))?);
    } else {
        let of_cases = by_fold.warnings().into_iter().chain(lines(&faults, &dataset.path));
        let of_folds = folds.notes(&dataset.training);
        dataset.notes.iter().cloned().chain(of_folds).chain(of_cases).for_each(|note| println!("{note}"));
        println!("{}", settled.outlook);
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

/// The default with the changes of a file and of pairs.
pub(super) fn read_configuration(file: Option<&Path>, set: &[String]) -> Result<Config> {
    let Some(path) = file else { return Config::load(None, set) };
    let text = read_text(path)?;
    Config::load(Some((&path.display().to_string(), &text)), set)
}

/// The cases without their voxels, of which each thread holds one case's at a time.
fn summaries(reader: &CaseReader, files: &[CaseFiles]) -> Result<Vec<CaseSummary>> {
    // Collected whole, so that the error is that of the first case for any number of threads.
    let cases: Vec<Result<_>> = files.par_iter().map(|files| reader.summary(files)).collect();
    cases.into_iter().collect()
}
