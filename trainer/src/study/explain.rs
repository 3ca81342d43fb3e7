//! What a weight will do, before a network is trained: the arithmetic of rare foreground, with a data set's numbers.
//!
//! π is the share of positive voxels, p a `pos_weight`, σ the sigmoid. With weight p the loss of a constant logit z, mean over
//! all voxels, is −p·π·log σ(z) − (1 − π)·log σ(−z). It is least at z = log(p·π/(1 − π)); so a network that has
//! learnt nothing but the share answers with that, and one that has learnt more is moved by log p everywhere.

mod page;

use serde::Serialize;

use crate::config::{Config, LossName};
use crate::dataset::{Dataset, IGNORE};
use crate::preprocess::PreparedCase;
use crate::run::{Facts, Plan};
use crate::training::Sampler;
use crate::{Error, Result};

/// The clipped weight is at most this.
const CLIP: f64 = 100.0;
/// Patches that are drawn to measure the share in patches, at least.
const PATCHES: usize = 400;

/// Everything that follows from the counts. Its `Display` is the page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The data set's name, or what was counted.
    pub name: String,
    /// Voxels of each class, background first.
    pub classes: Vec<ClassVoxels>,
    /// Positive voxels: of all foreground classes together.
    pub positives: u64,
    /// Voxels of the background.
    pub negatives: u64,
    /// Labelled cases; `None` for bare counts.
    pub cases: Option<usize>,
    /// Those without any positive voxel.
    pub empty_cases: Vec<String>,
    /// π
    pub share: f64,
    /// (1 − π)/π, the weight that makes both sides equal.
    pub neg_per_pos: f64,
    /// What each weight does.
    pub weights: Vec<WeightEffect>,
    /// What the training's patches look like; only for a data set.
    pub patches: Option<Patches>,
    /// The loss that was asked about; what `auto` becomes.
    pub loss: LossName,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassVoxels {
    /// Its name.
    pub name: String,
    /// Its voxels.
    pub voxels: u64,
    /// Voxels of all others per voxel of it; `None` where it does not occur.
    pub neg_per_pos: Option<f64>,
    /// All voxels / (classes · its voxels): the balancing class weight.
    pub class_weight: Option<f64>,
}

/// What `pos_weight` = p does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WeightEffect {
    /// What it is called.
    pub name: String,
    /// p
    pub pos_weight: f64,
    /// log p, by which every logit moves.
    pub shift: f64,
    /// log(p·π/(1 − π)).
    pub best_constant_logit: f64,
    /// Its sigmoid.
    pub best_constant_probability: f64,
    /// The loss of the best constant: what a network that has learnt the share alone has.
    pub best_constant_loss: f64,
    /// The loss of logit 0, where a network without prior-bias initialisation begins.
    pub loss_at_zero: f64,
    /// 1/(1 + p): the unweighted probability above which a voxel is called positive at a weighted 1/2.
    pub cut: f64,
}

/// What training sees, which is not what the volumes hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Patches {
    /// The share of patches that are placed around a foreground voxel.
    pub foreground_fraction: f64,
    /// Their size `[d, h, w]`.
    pub size: [usize; 3],
    /// How many were drawn.
    pub drawn: usize,
    /// The share of positive voxels in them.
    pub share: f64,
    /// logit of that share − logit π: how far off the logits of a network trained on patches are at most; `None` where no
    /// drawn voxel was positive, or every one.
    pub shift: Option<f64>,
}

/// What is asked beside the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Explains this loss.
    pub loss: LossName,
    /// A weight given by hand.
    pub pos_weight: Option<f64>,
    /// Overrides the configuration's `data.foreground_share`.
    pub foreground_fraction: Option<f64>,
}

impl Explanation {
    /// Of bare counts.
    ///
    /// # Errors
    /// If either is 0, or the weight is no weight.
    pub fn of_counts(positives: u64, negatives: u64, question: &Question) -> Result<Self> {
        let names = ["negative", "positive"].map(str::to_owned);
        Self::new("bare counts".into(), &names, &[negatives, positives], question)
    }

    /// Of the labels of a data set's training cases, as they are trained on.
    ///
    /// # Errors
    /// If no voxel is foreground, the weight is no weight, or voxels cannot be read.
    pub fn of_cases(set: &Dataset, cases: &[PreparedCase], question: &Question) -> Result<Self> {
        let names = &set.description.classes;
        let voxels = PreparedCase::class_counts(cases, names.len());
        let name = set.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let mut found = Self::new(name, names, &voxels, question)?;
        found.cases = Some(cases.len());
        let is_empty =
            |case: &&PreparedCase| case.summary().class_counts(names.len()).0[1..].iter().sum::<u64>() == 0;
        found.empty_cases = cases.iter().filter(is_empty).map(|case| case.name().to_owned()).collect();
        found.patches = Some(draw(cases, names.len(), found.share, question)?);
        Ok(found)
    }

    fn new(name: String, names: &[String], voxels: &[u64], question: &Question) -> Result<Self> {
        let (negatives, positives) = (voxels[0], voxels[1..].iter().sum::<u64>());
        if positives == 0 || negatives == 0 {
            let what = if positives == 0 { "positive" } else { "negative" };
            let message = format!("{name}: no voxel is {what}, so no weight can balance the classes");
            return Err(Error::Usage(message));
        }
        if let Some(p) = question.pos_weight.filter(|p| !(p.is_finite() && *p > 0.0)) {
            return Err(Error::Usage(format!("--pos-weight {p}: a finite number above 0 is needed")));
        }
        let total = (positives + negatives) as f64;
        let share = positives as f64 / total;
        let full = negatives as f64 / positives as f64;
        let mut weights = vec![
            WeightEffect::new("none", 1.0, share),
            WeightEffect::new("neg/pos", full, share),
            WeightEffect::new("√(neg/pos)", full.sqrt(), share),
            WeightEffect::new(&format!("clipped at {CLIP}"), full.min(CLIP), share),
        ];
        weights.extend(question.pos_weight.map(|p| WeightEffect::new("yours", p, share)));
        let count = names.len() as f64;
        let class = |(name, &voxels): (&String, &u64)| ClassVoxels {
            name: name.clone(),
            voxels,
            neg_per_pos: (voxels > 0).then(|| (total - voxels as f64) / voxels as f64),
            class_weight: (voxels > 0).then(|| total / (count * voxels as f64)),
        };
        Ok(Self {
            name,
            classes: names.iter().zip(voxels).map(class).collect(),
            positives,
            negatives,
            cases: None,
            empty_cases: Vec::new(),
            share,
            neg_per_pos: full,
            weights,
            patches: None,
            loss: question.loss.resolved(names.len() == 2),
        })
    }

    /// The effect of a weight by name.
    fn weight(&self, name: &str) -> Option<&WeightEffect> {
        self.weights.iter().find(|weight| weight.name == name)
    }
}

impl WeightEffect {
    fn new(name: &str, p: f64, share: f64) -> Self {
        let logit = (p * share / (1.0 - share)).ln();
        Self {
            name: name.to_owned(),
            pos_weight: p,
            shift: p.ln(),
            best_constant_logit: logit,
            best_constant_probability: autograd::Real::sigmoid(logit),
            best_constant_loss: constant_loss(logit, p, share),
            loss_at_zero: constant_loss(0.0, p, share),
            cut: 1.0 / (1.0 + p),
        }
    }
}

/// −p·π·log σ(z) − (1 − π)·log σ(−z)
pub fn constant_loss(z: f64, p: f64, share: f64) -> f64 {
    // −log σ(z) = log(1 + e^−z), without overflow.
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    p * share * softplus(-z) + (1.0 - share) * softplus(z)
}

/// Draws patches as training would, unaugmented, and counts.
fn draw(cases: &[PreparedCase], classes: usize, share: f64, question: &Question) -> Result<Patches> {
    let mut config = Config::default();
    if let Some(fraction) = question.foreground_fraction {
        config.data.foreground_share = fraction;
    }
    config.augmentation.enabled = false;
    let config = config.validated()?;
    let plan = Plan::new(Facts::of(&PreparedCase::summaries(cases), classes), &config)?;
    let sampler = Sampler::new(cases, plan.patch_size, &config);
    let batches = PATCHES.div_ceil(config.data.batch());
    let (mut positives, mut total) = (0u64, 0u64);
    for step in 0..batches {
        for label in sampler.batch(step as u64)?.labels.iter() {
            total += u64::from(label != i32::from(IGNORE));
            positives += u64::from(label != i32::from(IGNORE) && label > 0);
        }
    }
    let drawn = positives as f64 / total.max(1) as f64;
    let logit = |share: f64| (share / (1.0 - share)).ln();
    Ok(Patches {
        foreground_fraction: config.data.foreground_share,
        size: plan.patch_size,
        drawn: batches * config.data.batch(),
        share: drawn,
        shift: (drawn > 0.0 && drawn < 1.0).then(|| logit(drawn) - logit(share)),
    })
}
