//! Choosing post-processing at the end of a run, for each of its checkpoints.

use std::path::Path;

use nn::Module;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use unet3d::UNet3d;

use super::Setup;
use crate::config::Mirror;
use crate::predict::{Asked, Candidates, Choice, Restore, SlidingWindow};
use crate::run::checkpoint::{BEST, CHECKPOINTS, LAST, Saved, State, exists};
use crate::{Error, Result};

/// Whether there is something to choose, and cases to choose it on.
pub(super) fn is_due(setup: &Setup) -> bool {
    !Asked::of(&setup.config.inference).is_settled() && !setup.validation.is_empty()
}

/// Chooses on the validation cases, at the threshold that each checkpoint decided, and keeps the choice there. Gives that
/// of the best weights; `None` where `go_on` ended the work.
///
/// One mask is in memory at a time. Where the best and the last weights are of one step, they are asked once.
pub(super) fn choose(setup: &Setup, mut go_on: impl FnMut() -> bool) -> Result<Option<Choice>> {
    let asked = Asked::of(&setup.config.inference);
    let mut chosen: Option<(u64, Choice)> = None;
    for name in [BEST, LAST] {
        let path = setup.folder.join(CHECKPOINTS).join(name);
        if !exists(&path) {
            continue;
        }
        let mut saved = Saved::open(&path)?;
        let step = saved.state.step;
        let known = chosen.as_ref().filter(|(known, _)| *known == step).map(|(_, choice)| choice.clone());
        let choice = match known {
            Some(choice) => choice,
            None => match of_checkpoint(setup, &asked, &path, &mut saved, &mut go_on)? {
                Some(choice) => choice,
                None => return Ok(None),
            },
        };
        let state = State { postprocess: Some(choice.clone()), ..saved.state };
        // Opened again: the weights were read.
        Saved::open(&path)?.save_as(&path, &state)?;
        chosen.get_or_insert((step, choice));
    }
    Ok(chosen.map(|(_, choice)| choice))
}

/// `None` where the work was ended.
fn of_checkpoint(
    setup: &Setup,
    asked: &Asked,
    path: &Path,
    saved: &mut Saved,
    go_on: &mut impl FnMut() -> bool,
) -> Result<Option<Choice>> {
    let mut model = UNet3d::new(setup.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(0))?;
    model.load_state_dict(saved.weights()?).map_err(|e| Error::file(path, e.to_string()))?;
    // As validations are.
    let overlap = setup.config.inference.overlap;
    let window = SlidingWindow { patch: setup.plan.patch_size, overlap, mirror: Mirror::NONE };
    let mut candidates = Candidates::new(asked, &setup.preparation.reader.description.classes[1..]);
    for case in &*setup.validation {
        let voxels = case.whole()?;
        let (Some(labels), shape) = (voxels.labels(), voxels.shape()) else { continue };
        let logit = saved.state.decision.logit;
        let mut goes_on = true;
        let same = Restore::same(shape, setup.plan.model.out_channels);
        let mask = window.classes(&model, voxels.image(), same, logit, |_, _| {
            goes_on = go_on();
            goes_on
        });
        if !goes_on {
            return Ok(None);
        }
        candidates.add(case.name(), &mask?, labels, shape);
    }
    Ok(candidates.choose())
}
