//! What the networks of all folds say of the cases that each held out: what the ensemble decides by, and the table.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::BinaryCounts;
use ranks::Ranks;

use super::folder;
use crate::config::{Auto, Config};
use crate::dataset::{Dataset, Fold};
use crate::evaluate::folds::{FoldClass, FoldFigures};
use crate::predict::{
    Asked, ByClass, Calibration, Decision, MaskRule, ModelCard, ModelFile, Pipeline, SlidingWindow, Together,
};
use crate::preprocess::PreparedCase;
use crate::run::checkpoint::MODEL_FILE;
use crate::training::{Choices, WholeCases};
use crate::{Error, Result};

/// Predicts each fold's held-out cases with its model, chooses threshold and post-processing of the ensemble on all of them,
/// and writes the model of all folds; `learnt` are the classes that every fold was trained on. Gives the figures of each fold;
/// `None` if it was stopped, or if it is the first rank that has them.
pub(super) fn choose(
    out: &Path,
    dataset: &Dataset,
    config: &Config,
    (held_out, learnt): (&[Vec<String>], &[bool]),
    (ranks, stop): (&Ranks, &AtomicBool),
) -> Result<Option<(Vec<FoldFigures>, Together)>> {
    let open = |index: usize| ModelFile::open(&folder(out, index).join(MODEL_FILE));
    let first = open(0)?.card.networks[0].clone();
    let (names, channels) = (&first.preparation().reader.description.classes, first.plan.model.out_channels);
    let mut voxels = 0;
    for header in &dataset.headers {
        voxels += header.size().iter().product::<usize>();
    }
    let mut cases = WholeCases::new((names, learnt), channels, voxels, out);
    let asked = Asked::of(&config.inference);
    let (mut networks, mut weights) = (Vec::new(), Vec::new());
    for (index, held_out) in held_out.iter().enumerate() {
        let mut file = open(index)?;
        let mut card = file.card.networks[0].clone();
        let pipeline = Pipeline {
            preparation: card.preparation().clone(),
            window: SlidingWindow {
                patch: card.plan.patch_size,
                overlap: config.inference.overlap,
                mirror: config.inference.mirror.axes(),
            },
            decision: card.decision.clone(),
            postprocessing: ByClass::default(),
        };
        let model = file.network(0)?;
        let case = |number: usize| {
            let name: &String = &held_out[number];
            let Some(files) = dataset.training.iter().find(|files| files.name == *name) else {
                return Err(Error::case(name, "is held out and no training case: the data set has changed"));
            };
            Ok(PreparedCase::from(pipeline.prepare(files, None)?))
        };
        let are_predicted = cases.share(ranks, held_out.len(), case, |cases, case| {
            say!("{}, by fold {index}, which had not seen it", case.name());
            let calibration = Some(&card.decision.calibration);
            let go_on = |_, _| !stop.load(Ordering::Relaxed);
            match cases.predict(&pipeline, &model, case, calibration, go_on) {
                Err(_) if stop.load(Ordering::Relaxed) => Ok(None),
                spill => spill.map(Some),
            }
        })?;
        if !are_predicted {
            return Ok(None);
        }
        if !ranks.is_first() {
            continue;
        }
        weights.push(file.weights(0)?);
        card.name = format!("fold_{index}");
        networks.push(card);
    }
    if !ranks.is_first() {
        return Ok(None);
    }
    let identity = Calibration::identity(channels);
    let decide = |evidence: crate::predict::Evidence<'_>| match config.inference.threshold {
        _ if channels > 1 => Decision { calibration: identity.clone(), rule: MaskRule::Foreground },
        Auto::Value(probability) => {
            Decision::threshold(&identity, evidence, config.inference.aim).at(probability)
        }
        Auto::Word(_) => Decision::threshold(&identity, evidence, config.inference.aim),
    };
    let found = cases.finish(&Choices { asked, decide: &decide, on_training_cases: false })?;
    say!("{}", found.decision);
    found.postprocess.iter().for_each(|choice| say!("{choice}"));
    found.by_case.iter().for_each(|case| say!("{case}"));
    let together = Together {
        cases: found.cases.clone(),
        threshold: found.decision.probability(),
        postprocessing: found.postprocess.clone(),
    };
    let first = networks[0].clone();
    let card = ModelCard {
        networks,
        together: Some(together.clone()),
        ..ModelCard::of(first, config.inference.clone())
    };
    ModelFile::write(&out.join(MODEL_FILE), &card, &weights)?;
    let folds = card.networks.len();
    // Cases are in the order of the folds.
    let mut rest = found.by_case.iter();
    let figures = held_out.iter().enumerate().map(|(index, held_out)| {
        let mut sums = vec![BinaryCounts::default(); names.len() - 1];
        for case in rest.by_ref().take(held_out.len()) {
            sums.iter_mut().zip(&case.classes).for_each(|(sum, counts)| sum.add(counts));
        }
        let class = |(name, counts): (&String, BinaryCounts)| FoldClass::new(name.clone(), counts);
        let fold = Fold { index, of: folds };
        let classes = names[1..].iter().zip(sums).map(class).collect();
        FoldFigures { fold, cases: held_out.clone(), classes }
    });
    Ok(Some((figures.collect(), together)))
}
