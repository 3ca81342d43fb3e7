//! `trainer predict`: masks in the geometry of their images.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nn::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use unet3d::UNet3d;

use super::run_folder;
use crate::checkpoint::State;
use crate::cli::Predict;
use crate::config::Config;
use crate::data::{Case, CaseFiles};
use crate::decision::Decision;
use crate::inference::{Logits, SlidingWindow};
use crate::{Error, Result};

/// How everything written here ends.
const ENDING: &str = ".nii.gz";

pub(super) fn run(args: &Predict, stop: &AtomicBool) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build();
    let pool = pool.map_err(|e| Error::Usage(format!("--threads {}: {e}", args.threads)))?;
    pool.install(|| predict(args, stop))
}

fn predict(args: &Predict, stop: &AtomicBool) -> Result<()> {
    let (path, checkpoint) = run_folder::checkpoint(&args.run, args.checkpoint)?;
    let state = checkpoint.state;
    let config = Config::load(Some(("the checkpoint's configuration", &state.config)), &[])?;
    let decision = decision(args, &state)?;
    let mut model = UNet3d::new(state.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0))
        .map_err(|e| Error::file(&path, format!("holds a network that cannot be built: {e}")))?;
    model.load_state_dict(checkpoint.weights).map_err(|e| Error::file(&path, e.to_string()))?;

    let mut inputs: Vec<CaseFiles> = Vec::new();
    for input in &args.inputs {
        inputs.extend(state.reader.inputs(input)?);
    }
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = inputs.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let message = "is given twice: its masks would overwrite each other; predict into two folders";
        return Err(Error::case(&twice[0].name, message));
    }
    fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    inputs.iter().try_for_each(|files| spare_images(files, &mask_path(args, &files.name)))?;
    println!("{}, after {} steps", path.display(), state.step);
    println!("{decision}");
    let window = SlidingWindow {
        patch: state.plan.patch_size,
        overlap: config.inference.overlap,
        mirror: config.inference.mirror,
    };
    for files in &inputs {
        let mut case = state.reader.read(files)?;
        state.normalisation.apply(&mut case)?;
        let bar = bar(&case.name);
        let logits = window.run(&model, &case.image, case.shape, |done, total| {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            !stop.load(Ordering::Relaxed)
        });
        bar.finish_and_clear();
        let logits = match logits {
            Err(_) if stop.load(Ordering::Relaxed) => {
                println!("stopped; the masks above are whole");
                return Ok(());
            }
            other => other?,
        };
        write(args, &state, &case, &logits, &decision)?;
    }
    Ok(())
}

/// The checkpoint's, or with the threshold of the command line.
fn decision(args: &Predict, state: &State) -> Result<Decision> {
    let Some(threshold) = args.threshold else { return Ok(state.decision.clone()) };
    if state.plan.model.out_channels > 1 {
        let message = "--threshold is for one foreground class; of several the most probable is taken";
        return Err(Error::Usage(message.into()));
    }
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::Usage(format!("--threshold {threshold}: a probability from 0 to 1")));
    }
    Ok(state.decision.clone().at(threshold))
}

fn mask_path(args: &Predict, case: &str) -> PathBuf {
    args.out.join(format!("{case}{ENDING}"))
}

/// Refuses a mask in the place of an image.
fn spare_images(files: &CaseFiles, mask: &Path) -> Result<()> {
    let Ok(there) = mask.canonicalize() else { return Ok(()) };
    if files.images.iter().any(|image| image.canonicalize().is_ok_and(|image| image == there)) {
        let message = "is an image to predict for: its mask would overwrite it; name another --out";
        return Err(Error::file(mask, message));
    }
    Ok(())
}

fn write(args: &Predict, state: &State, case: &Case, logits: &Logits, decision: &Decision) -> Result<()> {
    let classes = &state.reader.description.classes;
    let mask = logits.classes(decision.logit);
    let path = mask_path(args, &case.name);
    case.geometry.write(&path, &mask)?;
    let foreground = mask.iter().filter(|&&m| m > 0).count();
    println!("{}: {foreground} of {} voxels are foreground", path.display(), mask.len());

    let channel_names: Vec<&str> = match logits.channels {
        1 => vec![classes[1].as_str()],
        _ => classes.iter().map(String::as_str).collect(),
    };
    let kinds = [
        (args.save_probabilities, "probability", logits.probabilities(&decision.calibration)),
        (args.save_logits, "logit", logits.values.clone()),
    ];
    for (_, kind, values) in kinds.iter().filter(|(wanted, ..)| *wanted) {
        // Not beside the masks, where they would be taken for more masks.
        let folder = args.out.join(kind);
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        for (channel, name) in channel_names.iter().enumerate() {
            let values: Vec<f32> = values.iter().copied().skip(channel).step_by(logits.channels).collect();
            // A class may be called anything; a file may not.
            let name = name.replace(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)), "-");
            case.geometry.write(folder.join(format!("{}_{name}{ENDING}", case.name)), &values)?;
        }
    }
    Ok(())
}

/// A bar on a terminal, nothing in a pipe.
fn bar(name: &str) -> ProgressBar {
    if !std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {pos}/{len} patches {eta}");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout())
        .with_prefix(name.to_owned())
        .with_style(style.expect("the template is a constant that parses"))
}
