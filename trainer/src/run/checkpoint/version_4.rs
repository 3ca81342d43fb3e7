//! Checkpoints of version 4, which are read for ever: to predict with, not to go on.

use bincode::Options;
use metrics::{Aim, OperatingPoint};
use serde::{Deserialize, Serialize};
use volumes::AxisOrder;

use super::{SkipCounts, State};
use crate::codec::options;
use crate::config::Config;
use crate::dataset::Description;
use crate::predict::{
    Calibration, Choice, Decision, MaskRule, ModelCard, NetworkCard, Plan, PreparationKind, Threshold,
};
use crate::preprocess::{CaseReader, Normalisation, Preparation, Preprocessing, Revision};

pub(super) const VERSION: u32 = 4;
/// The file of the weights, which has no card.
pub(super) const WEIGHTS: &str = "weights.safetensors";

#[derive(Serialize, Deserialize)]
struct StateOf4 {
    step: u64,
    seconds: f64,
    config: String,
    plan: Plan,
    reader: ReaderOf4,
    normalisation: Normalisation,
    decision: DecisionOf4,
    postprocess: Option<Choice>,
    metric: String,
    metric_now: Option<f64>,
    metric_best: Option<f64>,
    validated: bool,
    idle: SkipCounts,
    plateau: nn::schedule::PlateauState,
    log_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct ReaderOf4 {
    description: DescriptionOf4,
    order: AxisOrder,
    preprocessing: PreprocessingOf4,
}

#[derive(Serialize, Deserialize)]
struct DescriptionOf4 {
    name: String,
    channel_names: Vec<String>,
    classes: Vec<String>,
    ignore: Option<u32>,
    file_ending: String,
}

#[derive(Serialize, Deserialize)]
struct PreprocessingOf4 {
    reorient: bool,
    crop: bool,
    spacing: Option<[f64; 3]>,
}

#[derive(Serialize, Deserialize)]
struct DecisionOf4 {
    calibration: Calibration,
    logit: f32,
    rule: RuleOf4,
}

#[derive(Serialize, Deserialize)]
enum RuleOf4 {
    Untouched,
    Given(f64),
    Chosen(Aim, OperatingPoint),
}

/// A state's bytes as what they mean today.
pub(super) fn read(bytes: &[u8]) -> Result<(State, ModelCard), String> {
    let old: StateOf4 = options().deserialize(bytes).map_err(|e| e.to_string())?;
    let config = Config::for_prediction("the checkpoint's configuration", &old.config);
    let config = config.map_err(|e| e.to_string())?;
    let DecisionOf4 { calibration, logit, rule } = old.decision;
    let origin = match rule {
        RuleOf4::Untouched => Threshold::Untouched,
        RuleOf4::Given(probability) => Threshold::Given(probability),
        RuleOf4::Chosen(aim, point) => Threshold::Chosen(aim, point),
    };
    let rule = match calibration.shift.len() {
        1 => MaskRule::Above { logit, origin },
        _ => MaskRule::LargestLogit,
    };
    let ReaderOf4 { description, order, preprocessing } = old.reader;
    let DescriptionOf4 { name, channel_names, classes, ignore, file_ending } = description;
    let description = Description { name, channel_names, classes, ignore, joined_up_to: None, file_ending };
    let PreprocessingOf4 { reorient, crop, spacing } = preprocessing;
    let preprocessing = Preprocessing { reorient, crop, spacing, revision: Revision::First };
    let reader = CaseReader { description, order, preprocessing };
    let preparation = Preparation { reader, normalisation: old.normalisation };
    let network = NetworkCard {
        name: String::new(),
        steps: old.step,
        digest: String::new(),
        loss: None,
        plan: old.plan,
        preparation: PreparationKind::Trainer(preparation),
        decision: Decision { calibration, rule },
        postprocessing: old.postprocess,
    };
    network.check()?;
    let state = State {
        step: old.step,
        seconds: old.seconds,
        config: old.config,
        metric: old.metric,
        metric_now: old.metric_now,
        metric_best: old.metric_best,
        validated: old.validated,
        idle: old.idle,
        plateau: old.plateau,
        log_bytes: old.log_bytes,
    };
    Ok((state, ModelCard { program: "0.1.0".into(), ..ModelCard::of(network, config.inference) }))
}
