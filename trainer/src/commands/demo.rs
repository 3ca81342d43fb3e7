//! `trainer demo`: the whole way on synthetic volumes, in about a minute of training.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::train;
use ranks::Ranks;

use crate::cli::{Demo, Loading, Train, called, quoted};
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
    say!(
        "`trainer demo`, which is also what `trainer` alone does: makes a small data set of synthetic volumes with tiny lesions in {}, trains on it for about a minute, and leaves the trained network in {}",
        data.display(),
        run.display()
    );
    say!(
        "Ctrl-C stops it; `trainer --help` lists what else there is, `trainer COMMAND --help` shows a command with examples\n"
    );
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
        go_on: false,
        json: false,
        check_numerics: false,
        checkpoint: None,
        loading: Loading::default(),
    };
    let outcome = train::train_run(&arguments, &Ranks::alone(), stop)?;
    if outcome.stopped {
        show!("\n{}", train::next(&arguments, &outcome));
        return Ok(());
    }
    let (called, masks) = (called(), quoted(&out.join("masks")));
    let [images, labels] = ["imagesTs", "labelsTs"].map(|folder| quoted(&data.join(folder)));
    show!(
        "
next, on the two test volumes:
  {called} predict {run} {images} --out {masks}
  {called} evaluate --predictions {masks} --labels {labels}
and with volumes of your own, as a folder with dataset.json, imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz:
  {called} inspect MY_DATA
  {called} train MY_DATA --out MY_RUN
  {called} predict MY_RUN MY_IMAGES --out MY_MASKS",
        run = quoted(&run)
    );
    Ok(())
}

/// The first `demo-N` that is not there yet.
fn fresh(parent: &Path) -> Result<PathBuf> {
    (1..10_000).map(|i| parent.join(format!("demo-{i}"))).find(|path| !path.exists()).ok_or_else(|| {
        Error::file(parent, "holds 9999 demos: remove some, or name another folder with --out")
    })
}
