//! The three questions of someone whose recall is 0, answered with a study's numbers.

use std::fmt::Write;

use super::{Arm, Difference, Figure, Study};

/// A recall that is hardly any.
const NONE: f64 = 0.05;

/// The answers, in words; nothing is said of arms that were not trained, and no difference within the noise is called one.
pub(super) fn verdict(study: &Study) -> String {
    let mut text = String::new();
    difference(study, &mut text).expect("a string takes text");
    which_way(study, &mut text).expect("a string takes text");
    why_zero(study, &mut text).expect("a string takes text");
    text
}

fn digits(value: Option<f64>) -> String {
    value.map_or_else(|| "undefined".to_owned(), |value| format!("{value:.3}"))
}

/// "by +0.12, more than noise" or what else may be said.
fn by(study: &Study, figure: Figure, arm: Arm, base: Arm) -> String {
    match Difference::new(study, figure, arm, base) {
        None => "not comparable".to_owned(),
        Some(d) if d.beyond_noise => format!("{:+.3}, more than the noise", d.mean),
        Some(d) if d.seeds.len() == 1 => format!("{:+.3} with one seed, from which nothing follows", d.mean),
        Some(d) => format!("{:+.3}, within the noise: no difference can be claimed", d.mean),
    }
}

fn difference(study: &Study, text: &mut String) -> std::fmt::Result {
    let arms = study.arms();
    let [recall, precision] = [Figure::RecallAtHalf, Figure::PrecisionAtHalf];
    let of = |figure: Figure, arm| digits(study.mean(arm, |run| figure.of(run)));
    let weighted = [Arm::Bce, Arm::Shares, Arm::PosWeight, Arm::Sqrt].into_iter();
    let weighted: Vec<Arm> = weighted.filter(|arm| arms.contains(arm)).collect();
    match weighted.as_slice() {
        [] => {}
        [arm] => writeln!(text, "What does the weight of {arm} do?")?,
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(|arm| arm.name()).collect();
            writeln!(text, "What is the difference between {} and {last}?", first.join(", "))?;
        }
    }
    for arm in weighted {
        let weight = arm.weight(study.positives, study.negatives);
        write!(
            text,
            "- {arm}: positives weigh {weight:.4}, which moves the best logit by {:+.3}. At 0.5: recall {}, precision {}",
            weight.ln(),
            of(recall, arm),
            of(precision, arm)
        )?;
        match arm {
            Arm::Bce => writeln!(text, ".")?,
            _ if arms.contains(&Arm::Bce) => writeln!(
                text,
                "; beside bce recall {}; average precision {}.",
                by(study, recall, arm, Arm::Bce),
                by(study, Figure::AveragePrecision, arm, Arm::Bce)
            )?,
            _ => writeln!(text, ".")?,
        }
    }
    if arms.contains(&Arm::PosWeight) {
        writeln!(
            text,
            "- Weighting each voxel's loss by weight[y] instead is pos_weight = weight[1]/weight[0] times the constant \
             weight[0]: with [1, p] the very same loss, so it is no arm of its own; a test of this project proves it."
        )?;
    }
    if arms.contains(&Arm::CrossEntropy) && arms.contains(&Arm::PosWeight) {
        writeln!(
            text,
            "- Two logits with class weights [1, p] are the same loss of their difference too, divided by the weights' sum \
             and with one more row of weights to train: beside pos_weight recall {}, average precision {}.",
            by(study, recall, Arm::CrossEntropy, Arm::PosWeight),
            by(study, Figure::AveragePrecision, Arm::CrossEntropy, Arm::PosWeight)
        )?;
    }
    Ok(())
}

fn which_way(study: &Study, text: &mut String) -> std::fmt::Result {
    writeln!(text, "Which way to go for high precision with a recall of {} or more?", study.recall)?;
    let figure = Figure::PrecisionAtRecall;
    let mut ranked: Vec<(Arm, f64)> = study
        .arms()
        .into_iter()
        .filter_map(|arm| Some((arm, study.mean(arm, |run| figure.of(run))?)))
        .collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some(&(best, precision)) = ranked.first() else {
        return writeln!(
            text,
            "- It cannot be said: one of the two halves of the measured voxels holds no foreground."
        );
    };
    let recall = study.mean(best, |run| run.precise.and_then(|point| point.counts.recall()));
    writeln!(
        text,
        "- By the threshold, not by the weight: each arm's was chosen for the highest precision with recall >= {} on one half \
         and measured on the other. The highest mean precision has {best}: {precision:.3} at recall {}.",
        study.recall,
        digits(recall)
    )?;
    let (worse, alike): (Vec<_>, Vec<_>) = ranked[1..].iter().partition(|(arm, _)| {
        Difference::new(study, figure, best, *arm).is_some_and(|d| d.beyond_noise && d.mean > 0.0)
    });
    let list = |arms: &[&(Arm, f64)]| {
        arms.iter().map(|(arm, value)| format!("{arm} ({value:.3})")).collect::<Vec<_>>().join(", ")
    };
    let (worse, alike): (Vec<_>, Vec<_>) = (worse.into_iter().collect(), alike.into_iter().collect());
    if !worse.is_empty() {
        writeln!(text, "- Lower by more than the noise: {}.", list(&worse))?;
    }
    if !alike.is_empty() {
        writeln!(
            text,
            "- Not to be told from it with {} seed{}: {}.",
            study.seeds().len(),
            if study.seeds().len() == 1 { "" } else { "s" },
            list(&alike)
        )?;
    }
    Ok(())
}

fn why_zero(study: &Study, text: &mut String) -> std::fmt::Result {
    let zero = |arm: &Arm| {
        study.mean(*arm, |run| run.epochs.first().map(|e| e.recall)).is_some_and(|recall| recall <= NONE)
    };
    let is_zero = study.arms().iter().any(zero);
    let question = if is_zero {
        "Why is recall 0 after the first epoch?"
    } else {
        "How is recall after the first epoch?"
    };
    writeln!(text, "{question}")?;
    if study.runs.iter().all(|run| run.at_half.support() == 0) {
        return writeln!(text, "- It cannot be said: the measured cases hold no foreground.");
    }
    for arm in study.arms() {
        let runs = study.of(arm);
        let Some(first) = runs.iter().find_map(|run| run.epochs.first()) else { continue };
        let recall = study.mean(arm, |run| run.epochs.first().map(|e| e.recall)).unwrap_or(0.0);
        let probability =
            study.mean(arm, |run| run.epochs.first().map(|e| e.mean_probability)).unwrap_or(0.0);
        // The first epoch whose mean recall is some.
        let mean = |i: usize| study.mean(arm, |run| run.epochs.get(i).map(|e| e.recall));
        let some = (0..runs[0].epochs.len()).find(|&i| mean(i).is_some_and(|recall| recall > NONE));
        let when = match some {
            _ if recall > NONE => String::new(),
            Some(i) => format!("; recall is above {NONE} after epoch {}", runs[0].epochs[i].epoch),
            None => format!("; recall stays below {NONE} to the end"),
        };
        writeln!(
            text,
            "- {arm}: after epoch {} recall {recall:.3}, mean probability {probability:.4} where the foreground's share is {:.4}{when}.",
            first.epoch, first.share
        )?;
    }
    if !is_zero {
        return Ok(());
    }
    writeln!(
        text,
        "- How rare foreground is is learnt before where it is: where recall is near 0, a mean probability near its share says \
         that hardly any voxel reaches 0.5 yet. A weight p above 1 moves all probabilities up by log p in the logit, and \
         recall with them, at the price of precision; the ranking, seen in the average precision, is what training improves."
    )
}
