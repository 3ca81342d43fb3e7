//! `trainer study`: arms by seeds, one after the other, then the table, the verdict and the page.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};
use volumes::files::write_json;

use crate::config::Config;
use crate::dataset::Dataset;
use crate::run::folder;
use crate::study::{Arm, Study, StudyData, html, run_arm};
use crate::{Error, Result, cli};

/// The file of what its runs share.
const TERMS: &str = "terms.json";

/// What runs of one folder must share.
#[derive(PartialEq, Serialize, Deserialize)]
struct Terms {
    dataset: String,
    config: String,
    recall: f64,
    training: Vec<String>,
    evaluation: Vec<String>,
    /// Positive and negative voxels of the training cases.
    voxels: [u64; 2],
}

pub(super) fn run(args: &cli::Study, stop: &AtomicBool) -> Result<()> {
    let config = configuration(args)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(config.training.threads).build();
    let pool = pool.map_err(|e| Error::config("training.threads", e.to_string()))?;
    pool.install(|| study(args, &config, stop))
}

fn study(args: &cli::Study, config: &Config, stop: &AtomicBool) -> Result<()> {
    let set = Dataset::open(&args.dataset)?;
    let arms = arms(&args.arms)?;
    if !(args.recall > 0.0 && args.recall <= 1.0) {
        return Err(Error::Usage(format!("--recall {}: a share above 0 and up to 1", args.recall)));
    }
    if args.seeds == 0 {
        return Err(Error::Usage("--seeds 0: at least 1".into()));
    }
    let dataset = args.dataset.canonicalize().unwrap_or_else(|_| args.dataset.clone());
    let data = StudyData::read(&set, config)?;
    let [positives, negatives] = data.counts;
    let terms = Terms {
        dataset: dataset.display().to_string(),
        config: config.to_toml(),
        recall: args.recall,
        training: data.training.iter().map(|case| case.name().to_owned()).collect(),
        evaluation: data.evaluation_names(),
        voxels: data.counts,
    };
    let _lock = folder::share(&args.out, TERMS)?;
    agree(&args.out, &terms)?;
    let mut study = Study {
        dataset: data.name.clone(),
        training: data.training.iter().map(|case| case.name().to_owned()).collect(),
        evaluation: data.evaluation_names(),
        evaluation_kind: data.evaluation_kind.clone(),
        halves: data.halves.clone(),
        positives,
        negatives,
        recall: args.recall,
        steps: (config.training.epochs * config.training.steps_per_epoch) as u64,
        runs: Vec::new(),
    };
    let total = arms.len() * args.seeds as usize;
    let mut slices = Vec::new();
    // Seed by seed: a study that is stopped holds whole comparisons.
    for seed in config.training.seed..config.training.seed + args.seeds {
        for &arm in &arms {
            let number = study.runs.len() + 1;
            println!("\nrun {number} of {total}: {arm}, seed {seed}: {}", arm.describe(positives, negatives));
            let mut config = config.clone();
            config.training.seed = seed;
            let folder = args.out.join("runs").join(format!("{arm}-{seed}"));
            let Some(result) = run_arm(&folder, &data, &config, arm, args.recall, stop)? else {
                println!("the same command goes on from here: {}", args.out.display());
                return Ok(());
            };
            if seed == config.training.seed && slices.iter().all(|(other, _)| *other != arm) {
                let path = folder.join("slices.png");
                slices.push((arm, fs::read(&path).map_err(Error::io(&path))?));
            }
            study.runs.push(result);
        }
    }
    study.runs.sort_by_key(|run| (arms.iter().position(|arm| *arm == run.arm), run.seed));
    println!("\n{study}");
    write_json(&args.out.join("study.json"), &study)?;
    let (text, page) = (args.out.join("study.txt"), args.out.join("study.html"));
    fs::write(&text, study.to_string()).map_err(Error::io(&text))?;
    fs::write(&page, html(&study, &slices)).map_err(Error::io(&page))?;
    println!("{}", page.display());
    Ok(())
}

fn configuration(args: &cli::Study) -> Result<Config> {
    let mut set = args.set.clone();
    set.extend(args.epochs.map(|epochs| format!("training.epochs={epochs}")));
    set.extend(args.threads.map(|threads| format!("training.threads={threads}")));
    super::plan::read_configuration(args.config.as_deref(), &set)
}

/// The arms by name, each once.
fn arms(names: &[String]) -> Result<Vec<Arm>> {
    if names.is_empty() {
        return Ok(Arm::ALL.to_vec());
    }
    let mut arms = Vec::new();
    for name in names {
        let arm: Arm = name.trim().parse().map_err(|message| Error::Usage(format!("--arms: {message}")))?;
        if !arms.contains(&arm) {
            arms.push(arm);
        }
    }
    Ok(arms)
}

/// Writes the terms into a folder that is locked, or makes sure that its runs were trained on the same.
fn agree(folder: &Path, terms: &Terms) -> Result<()> {
    let path = folder.join(TERMS);
    if !path.exists() {
        return Ok(write_json(&path, terms)?);
    }
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let before: Terms = serde_json::from_str(&text).map_err(|e| Error::file(&path, e.to_string()))?;
    let threadless = |terms: &Terms| -> Result<Config> {
        let mut config = Config::load(Some((TERMS, &terms.config)), &[])?;
        // The same bits for any number.
        config.training.threads = 0;
        Ok(config)
    };
    let of = |terms: &Terms| {
        (terms.dataset.clone(), terms.recall, terms.training.clone(), terms.evaluation.clone(), terms.voxels)
    };
    let alike = of(&before) == of(terms);
    if alike && threadless(&before)? == threadless(terms)? {
        return Ok(());
    }
    let message = "the study there has another data set, other cases or other settings: name another --out, or the settings it had";
    Err(Error::file(folder, message))
}
