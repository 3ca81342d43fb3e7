//! `trainer study`: arms by seeds, one after the other, then the table, the verdict and the page.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use volumes::files::write_json;

use crate::cli::Loading;
use crate::config::{Auto, Config};
use crate::dataset::Dataset;
use crate::run::{Plan, folder};
use crate::study::{Arm, Study, StudyData, html, run_arm};
use crate::{Error, Result, cli, threads};

/// The file of what its runs share.
pub(super) const TERMS: &str = "terms.json";

/// What runs of one folder must share.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Terms {
    dataset: String,
    config: String,
    recall: f64,
    training: Vec<String>,
    evaluation: Vec<String>,
    /// Positive and negative voxels of the training cases.
    voxels: [u64; 2],
    /// The patch and the network with one channel, as they were settled when the study began.
    plan: Plan,
    /// Patches in a batch.
    batch: usize,
}

pub(super) fn run(args: &cli::Study, stop: &AtomicBool) -> Result<()> {
    let config = configuration(args)?;
    let pool = threads::pool("training.threads", config.training.threads)?;
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
    let Loading { cache, force } = &args.loading;
    let data = StudyData::load(&set, config, cache.as_deref(), *force, &|line| say!("{line}"))?;
    let [positives, negatives] = data.counts;
    // Tasks that train other arms or seeds may write here at the same time.
    let turn = folder::turn(&args.out, TERMS)?;
    let before = Terms::read(&args.out)?;
    let planned = before.as_ref().map(|terms| (terms.plan.clone(), terms.batch));
    let settled = data.settle(config, planned, *force)?;
    let terms = Terms {
        dataset: dataset.display().to_string(),
        config: config.to_toml(),
        recall: args.recall,
        training: data.training.iter().map(|case| case.name().to_owned()).collect(),
        evaluation: data.evaluation_names(),
        voxels: data.counts,
        plan: settled.plan,
        batch: settled.outlook.batch_size,
    };
    match before {
        Some(before) => before.agree(&args.out, &terms)?,
        None => write_json(&args.out.join(TERMS), &terms)?,
    }
    drop(turn);
    let mut config = config.clone();
    config.data.batch_size = Auto::Value(terms.batch);
    say!("{}", settled.outlook);
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
            say!("\nrun {number} of {total}: {arm}, seed {seed}: {}", arm.describe(positives, negatives));
            let mut config = config.clone();
            config.training.seed = seed;
            let folder = args.out.join("runs").join(format!("{arm}-{seed}"));
            let Some(result) = run_arm(&folder, &data, &terms.plan, &config, arm, args.recall, stop)? else {
                tell!("the same command goes on from here: {}", args.out.display());
                return Ok(());
            };
            if seed == config.training.seed && slices.iter().all(|(other, _)| *other != arm) {
                let path = folder.join(folder::SLICES);
                slices.push((arm, STANDARD.encode(fs::read(&path).map_err(Error::io(&path))?)));
            }
            study.runs.push(result);
        }
    }
    study.runs.sort_by_key(|run| (arms.iter().position(|arm| *arm == run.arm), run.seed));
    tell!("\n{study}");
    let _turn = folder::turn(&args.out, TERMS)?;
    write_json(&args.out.join("study.json"), &study)?;
    let (text, page) = (args.out.join("study.txt"), args.out.join("study.html"));
    fs::write(&text, study.to_string()).map_err(Error::io(&text))?;
    fs::write(&page, html(&study, &slices)).map_err(Error::io(&page))?;
    tell!("{}", page.display());
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

impl Terms {
    /// Those of the study in a folder that is locked, if there is one.
    fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(TERMS);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        serde_json::from_str(&text).map(Some).map_err(|e| {
            Error::file(&path, format!("is not of a study of this version ({e}): name another --out"))
        })
    }

    /// Makes sure that the runs there were trained on the same.
    fn agree(&self, folder: &Path, now: &Self) -> Result<()> {
        let threadless = |terms: &Self| -> Result<Config> {
            let mut config = Config::load(Some((TERMS, &terms.config)), &[])?;
            // The same bits for any number.
            config.training.threads = 0;
            Ok(config)
        };
        let of = |terms: &Self| Self { config: String::new(), ..terms.clone() };
        if of(self) == of(now) && threadless(self)? == threadless(now)? {
            return Ok(());
        }
        let message = "the study there has another data set, other cases or other settings: name another --out, or the settings it had";
        Err(Error::file(folder, message))
    }
}
