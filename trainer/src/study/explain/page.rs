//! The page: the questions that people ask about rare foreground, answered with these numbers.

use std::fmt;

use super::{CLIP, Explanation, Patches, WeightEffect};
use crate::config::LossName;

/// Shifts below this are lost among the differences between seeds.
const SMALL_SHIFT: f64 = 0.2;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts(f)?;
        self.table(f)?;
        if self.share >= 0.5 {
            return writeln!(
                f,
                "\nForeground is not rare here: what follows for rare foreground (recall 0 at first, a weight above 1) does not apply. \
                 A pos_weight of neg/pos, below 1, would weigh it down; where both sides matter alike, leave it out."
            );
        }
        if self.classes.len() > 2 {
            self.several_classes(f)?;
        }
        self.what_to_pass(f)?;
        self.beginning(f)?;
        if let Some(patches) = &self.patches {
            self.patches(f, patches)?;
        }
        self.loss(f)?;
        if let Some(yours) = self.weight("yours") {
            by_hand(f, yours)?;
        }
        self.advice(f)
    }
}

impl Explanation {
    fn counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.name)?;
        let width = self.classes.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max(5);
        writeln!(
            f,
            "{:>width$} {:>14} {:>10} {:>10} {:>13}",
            "class", "voxels", "share", "neg/pos", "class weight"
        )?;
        let total = (self.positives + self.negatives) as f64;
        for class in &self.classes {
            let number = |v: Option<f64>, digits: usize| v.map_or("-".into(), |v| format!("{v:.digits$}"));
            writeln!(
                f,
                "{:>width$} {:>14} {:>8.4} % {:>10} {:>13}",
                class.name,
                class.voxels,
                100.0 * class.voxels as f64 / total,
                number(class.neg_per_pos, 1),
                number(class.class_weight, 3),
            )?;
        }
        if let Some(cases) = self.cases {
            let plural = if cases == 1 { "" } else { "s" };
            match self.empty_cases.as_slice() {
                [] => writeln!(f, "\n{cases} labelled case{plural}, none without foreground.")?,
                empty => {
                    writeln!(
                        f,
                        "\n{cases} labelled case{plural}, {} without foreground: {}.",
                        empty.len(),
                        empty.join(", ")
                    )?;
                }
            }
        }
        if self.classes.len() > 2 {
            writeln!(f, "Below, all foreground classes together are called positive.")?;
        }
        writeln!(
            f,
            "\nOne voxel in {:.0} is positive: neg/pos = {}/{} = {:.1}, and log {:.1} = {:.2}.",
            1.0 / self.share,
            self.negatives,
            self.positives,
            self.neg_per_pos,
            self.neg_per_pos,
            self.neg_per_pos.ln()
        )
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nWhat a weight on positive voxels (pos_weight p) does")?;
        writeln!(
            f,
            "{:>15} {:>9} {:>8} {:>14} {:>12} {:>10} {:>10} {:>12}",
            "", "p", "log p", "best constant", "probability", "its loss", "at logit 0", "cuts above"
        )?;
        for w in &self.weights {
            writeln!(
                f,
                "{:>15} {:>9.2} {:>+8.3} {:>+14.3} {:>12.6} {:>10.5} {:>10.5} {:>12.6}",
                w.name,
                w.pos_weight,
                w.shift,
                w.best_constant_logit,
                w.best_constant_probability,
                w.best_constant_loss,
                w.loss_at_zero,
                w.cut
            )?;
        }
        writeln!(
            f,
            "best constant: log(p·π/(1 − π)), the answer of a network that knows the share and nothing else; its loss, and \
             that of logit 0, are means over all voxels. cuts above: at a weighted probability of 1/2 a voxel is called \
             positive from this unweighted probability on, 1/(1 + p)."
        )
    }

    /// Several classes are trained with one logit each.
    fn several_classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights: Vec<String> =
            self.classes.iter().map(|c| c.class_weight.map_or("-".into(), |w| format!("{w:.3}"))).collect();
        writeln!(
            f,
            "\nSeveral foreground classes\n\
             - `trainer train` gives each class a logit and takes cross-entropy or Dice + CE: loss.class_weights = [{}], or \
             \"auto\" for these, background first; without them, Dice + CE is the default. Each logit moves by log of its weight.\n\
             - What follows is for one logit: `trainer study`, or labels that are joined to one class.",
            weights.join(", ")
        )
    }

    fn what_to_pass(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = self.neg_per_pos;
        writeln!(
            f,
            "\nWhat to pass\n\
             - With one channel of logits: one number. {p:.0} or {p:.1}, an integer or not; shape [1] in PyTorch, which has one \
             weight per channel, aligned to the last axis. Here: pos_weight = {p:.1}, or \"auto\" for neg/pos.\n\
             - Not a vector of the batch's length: weights are not per sample. PyTorch aligns such a vector with the last \
             axis, w: an error, or, where the lengths happen to agree, a weight per column of the image. Here it is an error.\n\
             - Not the shares of the classes, [{:.4}, {:.4}] in whichever order (or [0.2, 0.8]): with one channel there is \
             no second place for the second number. As a weight per element, weight[y], the order is [background, foreground] \
             and the larger number belongs to the rarer class: [{:.4}, {:.4}]. The same vector handed over as pos_weight \
             gives positives {:.4}, which moves their logit by log {:.4} = {:+.4}: {}.\n\
             - With two logits and cross-entropy: class weights [1, {p:.1}], background first. It is the same loss: the sums are \
             equal with z = z1 − z0, and the means differ by numel/Σ w[t] = {:.4}, since cross-entropy divides by the \
             weights' sum.",
            1.0 - self.share,
            self.share,
            self.share,
            1.0 - self.share,
            1.0 - self.share,
            1.0 - self.share,
            (1.0 - self.share).ln(),
            if (1.0 - self.share).ln() > -SMALL_SHIFT { "nearly nothing" } else { "down" },
            // Σ w[t] = neg + p·pos.
            (self.positives + self.negatives) as f64 / (self.negatives as f64 + p * self.positives as f64),
        )
    }

    fn beginning(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(none), Some(full)) = (self.weight("none"), self.weight("neg/pos")) else { return Ok(()) };
        writeln!(
            f,
            "\nWhy recall is 0 after the first epoch\n\
             - The share is learnt first. Unweighted, the best constant is probability {:.6}, far below 1/2: no voxel is called \
             positive, precision is undefined, recall 0, accuracy {:.3} %. The loss has fallen from {:.4} (logit 0) to {:.5} \
             all the same. Recall rises once the network tells voxels apart by more than {:.2} in the logit.\n\
             - With neg/pos the best constant is logit {:+.3}: undecided everywhere, so recall is high at once and precision \
             about the share. That is no better a ranking of the voxels: average precision is training's doing, and so \
             large a weight can slow it.\n\
             - Prior-bias initialisation starts the last bias at the best constant for the weight in use: at {:+.3} unweighted, \
             which spares the first steps, and at {:+.3} with neg/pos, where it changes nothing.",
            none.best_constant_probability,
            100.0 * (1.0 - self.share),
            none.loss_at_zero,
            none.best_constant_loss,
            -none.best_constant_logit,
            // −0 is printed as 0.
            full.best_constant_logit + 0.0,
            none.best_constant_logit,
            full.best_constant_logit + 0.0,
        )
    }

    fn patches(&self, f: &mut fmt::Formatter<'_>, patches: &Patches) -> fmt::Result {
        let Patches { foreground_fraction, size: [d, h, w], drawn, share, shift } = patches;
        writeln!(
            f,
            "\nWhat training sees\n\
             - {:.0} % of the patches ({d}x{h}x{w}) are placed around foreground: of {drawn} patches the share was {:.4} %, where the \
             volumes have {:.4} %.",
            100.0 * foreground_fraction,
            100.0 * share,
            100.0 * self.share,
        )?;
        match shift {
            Some(shift) => writeln!(
                f,
                "  So neg/pos is {:.1} in patches, and logits are off by up to {shift:+.3}, beside log p. How much of it a network takes \
                 over depends on what it sees of its surroundings: training fits the rest on validation cases.",
                (1.0 - share) / share,
            ),
            None => writeln!(f, "  No weight can be found from such patches: raise data.foreground_share."),
        }
    }

    fn loss(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.loss {
            LossName::Bce | LossName::Ce => {
                "is a proper score: probabilities are shares again after log p is subtracted from the logit."
            }
            LossName::Auto | LossName::DiceBce | LossName::DiceCe => {
                "has a part that is not voxel by voxel: Dice does not care for the share, so it lifts recall without a weight; \
                 log p holds for the cross-entropy's part alone, and probabilities need a temperature too."
            }
            LossName::Focal => {
                "turns down voxels that are easy already, most of the background, by (1 − p_t)^γ: a weight that moves with the \
                 network. It pulls probabilities towards 1/2, so they need a temperature."
            }
            LossName::Dice | LossName::GeneralizedDice => {
                "is a ratio of overlaps: it needs no weight, takes none, and gives no probabilities without a fit."
            }
            LossName::Tversky | LossName::FocalTversky => {
                "has its weights inside: α prices false positives, β false negatives; β above α is for recall. It gives no \
                 probabilities without a fit."
            }
        };
        let which = match self.loss == LossName::Auto.resolved(self.classes.len() == 2) {
            true => ", which \"auto\" and so the default is here,",
            false => "",
        };
        writeln!(f, "\nThe loss {}{which} {text}", self.loss)
    }

    fn advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let p = self.neg_per_pos;
        writeln!(
            f,
            "\nWhich way for high precision with fair recall\n\
             - A weight and a threshold do the same to a network that is trained to the end: p with the cut at 1/2 is no \
             weight with the cut at 1/(1 + p). So train with a moderate weight ({:.1} = √(neg/pos), or at most {CLIP:.0}; the larger, \
             the more each gradient is a few positive voxels' own), or with Dice+BCE, and choose \
             the threshold afterwards on validation cases: inference.aim = \"precision>=0.9\", \"recall>=0.8\" or \"max-f1\".\n\
             - `trainer study` trains the choices side by side on this data and says which differences are more than noise.",
            p.sqrt(),
        )
    }
}

fn by_hand(f: &mut fmt::Formatter<'_>, yours: &WeightEffect) -> fmt::Result {
    let WeightEffect { pos_weight: p, shift, cut, .. } = yours;
    write!(f, "\nYour pos_weight {p}\n- It moves the best logit by log {p} = {shift:+.4}: ")?;
    match *shift {
        0.0 => writeln!(f, "1 is no weight."),
        shift if shift < 0.0 => writeln!(
            f,
            "recall will fall{}.\n  A voxel is called positive above an unweighted {cut:.4} instead of 0.5. Weights below 1 are for precision.",
            if shift > -SMALL_SHIFT { ", but by less than two seeds differ" } else { ", and by much" }
        ),
        shift if shift < SMALL_SHIFT => {
            writeln!(
                f,
                "recall will rise, but by less than two seeds differ.\n  A voxel is called positive above an unweighted {cut:.4} instead of 0.5."
            )
        }
        _ => writeln!(
            f,
            "recall will rise and precision fall.\n  A voxel is called positive above an unweighted {cut:.4} instead of 0.5."
        ),
    }
}
