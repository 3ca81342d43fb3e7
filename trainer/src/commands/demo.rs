//! `trainer demo`: the whole way on synthetic volumes, in about a minute of training.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::train;
use crate::cli::{Demo, Loading, Train};
use crate::dataset::synthetic::Synthetic;
use crate::{Error, Result};

/// What differs from the default configuration: small volumes and a minute's time.
const SETTINGS: [&str; 6] = [
    "data.patch_size=[16,64,64]",
    "model.base_channels=8",
    "model.levels=3",
    "training.epochs=4",
    "training.steps_per_epoch=60",
    "training.log_every=20",
];

pub(super) fn run(args: &Demo, stop: &AtomicBool) -> Result<()> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => fresh(Path::new("runs"))?,
    };
    let (data, run) = (out.join("data"), out.join("run"));
    crate::run::folder::create(&out)?;
    println!("tiny lesions in synthetic volumes: {}", data.display());
    Synthetic { seed: args.seed, ..Synthetic::default() }.write(&data)?;
    let arguments = Train {
        dataset: data.clone(),
        out: run.clone(),
        config: None,
        set: SETTINGS.map(str::to_owned).to_vec(),
        epochs: None,
        time: None,
        steps_per_epoch: None,
        seed: Some(args.seed),
        threads: Some(args.threads),
        init: None,
        validation: None,
        fold: None,
        folds: None,
        all_folds: false,
        resume: false,
        check_numerics: false,
        checkpoint: None,
        loading: Loading::default(),
    };
    let outcome = train::run(&arguments, stop)?;
    if outcome.stopped {
        return Ok(());
    }
    let (data, run, masks) = (data.display(), run.display(), out.join("masks"));
    println!(
        "
next, on the two test volumes:
  cargo run -p trainer -- predict {run} {data}/imagesTs --out {masks}
  cargo run -p trainer -- evaluate --predictions {masks} --labels {data}/labelsTs
and with volumes of your own, as a folder with dataset.json, imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz:
  cargo run -p trainer -- inspect MY_DATA
  cargo run -p trainer -- train MY_DATA --out MY_RUN
  cargo run -p trainer -- predict MY_RUN MY_IMAGES --out MY_MASKS",
        masks = masks.display()
    );
    Ok(())
}

/// The first `demo-N` that is not there yet.
fn fresh(parent: &Path) -> Result<PathBuf> {
    (1..10_000).map(|i| parent.join(format!("demo-{i}"))).find(|path| !path.exists()).ok_or_else(|| {
        Error::file(parent, "holds 9999 demos: remove some, or name another folder with --out")
    })
}
