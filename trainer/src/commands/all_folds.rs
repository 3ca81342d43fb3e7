//! `trainer train --all-folds`: the folds one after the other, then their figures.
//!
//! | file in `RUN` | what |
//! |---|---|
//! | `folds.json` | the terms that all folds share |
//! | `fold_0/`, `fold_1/`, … | run folders; `fold.json` in one says that it is finished. Others may have trained them, with `--fold` |
//! | `model.safetensors` | the model of all folds, with what was chosen on the cases that each held out |
//! | `summary.json` | the figures of these cases |
//! | `report.html` | the folds side by side |

mod joined;
mod out_of_fold;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ranks::Ranks;
use serde::{Deserialize, Serialize};
use volumes::files::{read_text, write_json};

use super::train;
use crate::cli::Train;
use crate::config::{Auto, Config, Training};
use crate::dataset::{CaseClasses, ClassesByFold, CrossValidation, Dataset, Fold};
use crate::evaluate::folds::Summary;
use crate::report::write_comparison;
use crate::run::checkpoint::{self, MODEL_FILE};
use crate::run::folder::{self, PAGE};
use crate::run::record::CONFIGURATION;
use crate::{Error, Result, threads};

/// What the folds of one folder must share.
#[derive(PartialEq, Serialize, Deserialize)]
struct Terms {
    dataset: String,
    folds: usize,
    init: Option<PathBuf>,
    config: String,
    /// The seconds that all folds were given together.
    #[serde(default)]
    time: Option<u64>,
    /// The cases that each fold holds out; folders of older versions do not say it.
    #[serde(default)]
    held_out: Option<Vec<Vec<String>>>,
}

pub(super) fn run(args: &Train, ranks: &Ranks, stop: &AtomicBool) -> Result<()> {
    let mut config = train::configuration(args, None)?;
    let dataset = Dataset::open(&args.dataset)?;
    let folds = train::folds(args, &config, &dataset)?;
    let Some(Fold { of, .. }) = folds.fold() else {
        let cases = dataset.training.len();
        let message = format!(
            "--all-folds: no case of {cases} is held out: it takes two cases, and validation.split = \"auto\""
        );
        return Err(Error::Usage(message));
    };
    // A fold that cannot be trained is found before others are, for hours.
    let counted = CaseClasses::read(&dataset.training, &dataset.description)?;
    let classes = ClassesByFold::new(&folds, &counted, &dataset.description.classes);
    classes.check()?;
    let _lock = match ranks.is_first() {
        true => Some(folder::share(&args.out, TERMS, joined::is_fold)?),
        false => None,
    };
    classes.warnings().iter().for_each(|warning| tell!("{warning}"));
    let held_out = held_out(&folds, &dataset);
    train::first(ranks, || {
        if !args.out.join(TERMS).exists() {
            // Nothing is written beside folds that were trained otherwise.
            (0..of).try_for_each(|index| joined::agree(args, &folder(&args.out, index)))?;
        }
        agree(args, &config, &held_out)
    })?;
    for index in 0..of {
        let fold = Fold { index, of };
        let folder = folder(&args.out, index);
        let is_trained = || {
            Ok(folder.join(DONE).is_file() || joined::take(args, fold, &folder, &held_out[index], &dataset)?)
        };
        if train::first(ranks, is_trained)? {
            say!("{fold} was trained before: {}", folder.display());
            continue;
        }
        say!("\n{fold}: {}", folder.display());
        let is_stopped = ranks.any(stop.load(Ordering::Relaxed))?;
        if is_stopped || train_fold(args, fold, &folder, (ranks, stop))?.is_none() {
            tell!("the same command goes on from here: {}", args.out.display());
            return Ok(());
        }
    }
    // From the folds' models alone, so that a run that was interrupted ends with the summary of one that was not.
    let pool = threads::pool("training.threads", config.training.threads)?;
    say!("");
    let first = configuration(&folder(&args.out, 0).join(CONFIGURATION))?;
    config.inference.mirror = first.inference.mirror;
    let chosen = pool.install(|| {
        out_of_fold::choose(&args.out, &dataset, &config, (&held_out, &classes.learnt()), (ranks, stop))
    })?;
    if !ranks.is_first() {
        return Ok(());
    }
    let Some((figures, together)) = chosen else {
        tell!("the same command goes on from here: {}", args.out.display());
        return Ok(());
    };
    let summary = Summary::new(figures, &held_out, together.threshold)?;
    let path = args.out.join("summary.json");
    write_json(&path, &summary)?;
    tell!("\n{summary}\n{}", path.display());
    let folders: Vec<PathBuf> = (0..of).map(|index| folder(&args.out, index)).collect();
    let page = args.out.join(PAGE);
    write_comparison(&folders.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &page)?;
    tell!("the folds side by side: {}", page.display());
    classes.warnings().iter().for_each(|warning| tell!("{warning}"));
    tell!("`trainer predict {}` predicts with all folds together", args.out.join(MODEL_FILE).display());
    Ok(())
}

/// What marks a finished fold.
const DONE: &str = "fold.json";
/// What all folds share.
pub(super) const TERMS: &str = "folds.json";

/// The names of the cases that each fold holds out.
fn held_out(folds: &CrossValidation, dataset: &Dataset) -> Vec<Vec<String>> {
    let name = |&case: &usize| dataset.training[case].name.clone();
    folds.folds().iter().map(|fold| fold.validation.iter().map(name).collect()).collect()
}

/// Where a cross-validation keeps a fold.
pub(super) fn folder(out: &Path, index: usize) -> PathBuf {
    out.join(format!("fold_{index}"))
}

/// A fold of a cross-validation that is not trained to its end, if there is one. Folds that were trained one by one into a
/// folder are whatever they are.
pub(super) fn unfinished(out: &Path) -> Result<Option<PathBuf>> {
    let path = out.join(TERMS);
    if !path.is_file() {
        return Ok(None);
    }
    let terms: Terms = read(&path)?;
    Ok((0..terms.folds).map(|index| folder(out, index)).find(|folder| !folder.join(DONE).is_file()))
}

/// The folders of a cross-validation's folds that have been trained, if that is what this folder is.
pub(super) fn trained(out: &Path) -> Result<Option<Vec<PathBuf>>> {
    let path = out.join(TERMS);
    if !path.is_file() {
        return Ok(None);
    }
    let terms: Terms = read(&path)?;
    let folds = (0..terms.folds).map(|index| folder(out, index)).filter(|folder| folder.join(DONE).is_file());
    Ok(Some(folds.collect()))
}

/// Trains a fold to its end, from where it is; `None` if it was stopped.
fn train_fold(
    args: &Train,
    fold: Fold,
    folder: &Path,
    (ranks, stop): (&Ranks, &AtomicBool),
) -> Result<Option<()>> {
    // Nobody writes before all have seen what there is.
    let resume = train::first(ranks, || Ok(checkpoint::latest(folder).is_some()))?;
    joined::agree(args, folder)?;
    let first = self::folder(&args.out, 0).join(CONFIGURATION);
    let mut args = Train {
        out: folder.to_owned(),
        fold: Some(fold.index),
        folds: Some(fold.of),
        // Stays set: a fold is not gone on with by itself.
        ..args.clone()
    };
    if resume {
        args = train::goes_on(&args);
    }
    // The first fold settles mirror images and its share of the time, the others have the same and take as many steps.
    let time = args.time.take();
    if fold.index == 0 {
        args.time = time.map(|time| time / fold.of as u32);
    } else if !resume {
        let Config { training, inference, .. } = configuration(&first)?;
        args.set.push(format!("inference.mirror={}", inference.mirror.axes()));
        if time.is_some() {
            let Training { epochs, steps_per_epoch, .. } = training;
            (args.epochs, args.steps_per_epoch) = (Some(epochs), Some(steps_per_epoch));
        }
    }
    let outcome = train::train_run(&args, ranks, stop)?;
    if outcome.stopped {
        return Ok(None);
    }
    if ranks.is_first() {
        write_json(&folder.join(DONE), &fold)?;
    }
    Ok(Some(()))
}

fn configuration(path: &Path) -> Result<Config> {
    Config::load(Some((&path.display().to_string(), &read_text(path)?)), &[])
}

/// Writes the terms into a folder that is locked, or makes sure that its folds are trained on the same.
fn agree(args: &Train, config: &Config, held_out: &[Vec<String>]) -> Result<()> {
    let absolute = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (folds, mut shared) = (held_out.len(), config.clone());
    // The same bits for any number of threads, and each fold in its turn.
    shared.training.threads = 0;
    (shared.validation.fold, shared.validation.folds) = (0, Auto::Value(folds));
    let terms = Terms {
        dataset: absolute(&args.dataset).display().to_string(),
        folds,
        init: args.init.as_deref().map(absolute),
        config: shared.to_toml(),
        time: args.time.map(|time| time.as_secs()),
        held_out: Some(held_out.to_vec()),
    };
    let path = args.out.join(TERMS);
    if !path.exists() {
        return Ok(write_json(&path, &terms)?);
    }
    let before: Terms = read(&path)?;
    let load = |terms: &Terms| Config::load(Some((TERMS, &terms.config)), &[]);
    let alike = (&before.dataset, before.folds, &before.init) == (&terms.dataset, folds, &terms.init);
    let alike = alike && before.time == terms.time;
    let alike = alike && before.held_out.as_ref().is_none_or(|cases| cases == held_out);
    if alike && load(&before)? == load(&terms)? {
        return Ok(());
    }
    let begun = |index| checkpoint::exists(&folder(&args.out, index).join("checkpoints").join("last"));
    if !(0..before.folds).any(begun) {
        // What could not start, or not get far, is in nobody's way.
        return Ok(write_json(&path, &terms)?);
    }
    let message = format!(
        "holds {} folds of {} with other settings, folds, cases, weights or data than those given: name another --out, or give what it was begun with",
        before.folds, before.dataset
    );
    Err(Error::file(&args.out, message))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text).map_err(|e| Error::file(path, format!("is damaged ({e}): remove it")))
}
