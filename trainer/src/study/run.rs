//! One arm with one seed, from its first or next step to its figures.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use autograd::Tensor;
use nn::Module;
use ranks::Ranks;
use unet3d::UNet3d;
use volumes::files::{rename_into_place, write_json};

use super::measure::measure;
use super::{Arm, EpochFigures, RunResult, StudyData};
use crate::config::{Auto, Config, Mirror, Mirroring, Word};
use crate::predict::{Calibration, Tensors};
use crate::random::{Purpose, generator};
use crate::report::{Console, LogEntry, LoggedValidation};
use crate::run::Plan;
use crate::run::checkpoint::{CHECKPOINTS, LAST, PREVIOUS, Saved, clear_unfinished, exists};
use crate::run::folder::{LOG, SLICES, lock};
use crate::training::{Objective, Setup, draw_slices, train};
use crate::{Error, Result};

/// Trains an arm in `folder` or goes on with it, and measures it; `None` if it was stopped.
///
/// # Errors
/// As [`train`].
pub fn run_arm(
    folder: &Path,
    data: &StudyData,
    plan: &Plan,
    config: &Config,
    arm: Arm,
    recall: f64,
    stop: &AtomicBool,
) -> Result<Option<RunResult>> {
    let result_path = folder.join("result.json");
    if let Ok(text) = fs::read_to_string(&result_path) {
        let result = serde_json::from_str(&text);
        return result
            .map(Some)
            .map_err(|e| Error::file(&result_path, format!("is damaged ({e}): remove it")));
    }
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let _lock = lock(folder)?;
    let (resume, abandons_last) = go_on(folder)?;
    let [positives, negatives] = data.counts;
    let mut config = arm.configure(config, positives, negatives);
    // Reports are at probability 1/2, as the network gives it; thresholds are chosen afterwards.
    config.inference.threshold = Auto::Word(Word::Auto);
    // Every arm takes all steps.
    config.training.patience = 0;
    // Measured is the network's answer alone.
    config.inference.mirror = Mirroring::Along(Mirror::NONE);
    config.inference.min_component = Auto::Value(0);
    config.inference.keep_largest = Auto::Value(false);
    config.inference.fill_holes = Auto::Value(false);
    let single = plan;
    let mut plan = single.clone();
    plan.model.out_channels = arm.channels();
    let objective = Objective::new(&config, &plan, &data.training)?;
    let init = first_weights(&config, single, &plan, &objective)?;
    let setup = Setup {
        folder: folder.to_owned(),
        config: config.clone(),
        plan: plan.clone(),
        preparation: data.preparation.clone(),
        training: data.training.clone(),
        validation: data.evaluation.clone(),
        init: Some(init),
        resume,
        abandons_last,
        ranks: Ranks::alone(),
        preparing: Duration::ZERO,
    };
    let outcome = train(setup, stop)?;
    if outcome.stopped {
        return Ok(None);
    }
    let known = difference(&Calibration::known(objective.config(), arm.channels()));
    let scaled = !Calibration::is_shift_enough(objective.config());
    let (pipeline, model) = (&outcome.pipeline, &outcome.model);
    let Some(measured) = measure(pipeline, model, data, &known, scaled, stop)? else { return Ok(None) };
    let epochs = epochs(&folder.join(LOG))?;
    let seconds = outcome.elapsed.as_secs_f64();
    let slices = draw_slices(&data.evaluation[0], &data.preparation.reader, &measured.first_mask)?;
    rename_into_place(&folder.join(SLICES), |out| out.write_all(&slices))?;
    let result = measured.result(arm, config.training.seed, recall, epochs, seconds);
    write_json(&result_path, &result)?;
    Ok(Some(result))
}

/// Where an arm goes on, and whether it had to go back behind its last checkpoint.
fn go_on(folder: &Path) -> Result<(Option<Saved>, bool)> {
    let all = folder.join(CHECKPOINTS);
    if !all.is_dir() {
        return Ok((None, false));
    }
    clear_unfinished(&all)?;
    let mut refused = Vec::new();
    for path in [LAST, PREVIOUS].map(|name| all.join(name)).into_iter().filter(|path| exists(path)) {
        match Saved::open(&path) {
            Ok(checkpoint) => {
                let step = checkpoint.state.step;
                for error in &refused {
                    let line = format_args!("{error}; going back to {PREVIOUS}, after {step} steps");
                    Console::get().tell(line);
                }
                return Ok((Some(checkpoint), !refused.is_empty()));
            }
            Err(error) => refused.push(error.to_string()),
        }
    }
    if refused.is_empty() {
        return Ok((None, false));
    }
    let message = format!(
        "holds no checkpoint to go on from: delete this folder, and the arm is trained again ({})",
        refused.join("; ")
    );
    Err(Error::file(folder, message))
}

/// The weights that every arm of a seed begins with: those of the network with one channel. A second logit begins as this
/// one, the first as 0, so that their difference is it. The last bias is the loss's own, if the configuration wants so.
fn first_weights(config: &Config, single: &Plan, plan: &Plan, objective: &Objective) -> Result<Tensors> {
    let network = |plan: &Plan| {
        let mut rng = generator(config.training.seed, Purpose::Weights, 0);
        UNet3d::<f32>::new(plan.model.clone(), &mut rng)
    };
    let (one, mut model) = (network(single)?, network(plan)?);
    let shapes: Tensors = model.state_dict().into_iter().collect();
    let mut weights: Tensors = one.state_dict().into_iter().collect();
    for (name, tensor) in &mut weights {
        let wanted = shapes[name].shape();
        if tensor.shape() != wanted {
            // PyTorch's layout has the output channels first: zeros, then the weights there are.
            let mut data = vec![0.0; shapes[name].data().len() - tensor.data().len()];
            data.extend_from_slice(tensor.data());
            *tensor = Tensor::from_vec(wanted, data);
        }
    }
    model.load_state_dict(weights).map_err(|e| Error::config("model", e.to_string()))?;
    if config.model.prior_bias {
        objective.set_prior_bias(&mut model)?;
    }
    Ok(model.state_dict().into_iter().collect())
}

/// The calibration of z1 − z0.
fn difference(known: &Calibration) -> Calibration {
    match known.shift.as_slice() {
        [first, second] => Calibration { shift: vec![second - first], ..known.clone() },
        _ => known.clone(),
    }
}

/// The validations of a run's log; of an epoch that was repeated after a stop, the last.
fn epochs(path: &Path) -> Result<Vec<EpochFigures>> {
    let ratio = |value: Option<f64>| value.unwrap_or(0.0);
    let mut epochs: Vec<EpochFigures> = Vec::new();
    for LoggedValidation { epoch, classes, .. } in
        LogEntry::read_all(path)?.into_iter().filter_map(LogEntry::validation)
    {
        let class = &classes[0];
        epochs.retain(|other| other.epoch != epoch);
        epochs.push(EpochFigures {
            epoch,
            precision: ratio(class.at_half.precision()),
            recall: ratio(class.at_half.recall()),
            f1: ratio(class.at_half.f1()),
            average_precision: class.average_precision,
            mean_probability: class.mean_probability,
            share: class.share,
        });
    }
    Ok(epochs)
}
