//! `trainer predict`: masks in the geometry of their images, by one network or by several together.

use std::sync::atomic::AtomicBool;

use crate::cli::Predict;
use crate::data::{Case, CaseFiles};
use crate::decision::Decision;
use crate::ensemble::{Ensemble, ProbabilityMean};
use crate::inference::Logits;
use crate::{Error, Result};

mod members;
mod output;

use members::Member;
use output::Output;

pub(super) fn run(args: &Predict, stop: &AtomicBool) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build();
    let pool = pool.map_err(|e| Error::Usage(format!("--threads {}: {e}", args.threads)))?;
    pool.install(|| predict(args, stop))
}

fn predict(args: &Predict, stop: &AtomicBool) -> Result<()> {
    let members = members::load(args)?;
    let first = &members[0];
    let ensemble = Ensemble::new(members.iter().map(|member| member.state.decision.clone()).collect());
    let ensemble = match threshold(args, first)? {
        Some(threshold) => ensemble.at(threshold),
        None => ensemble,
    };
    let (decision, words) = reading(args, &members, &ensemble);
    let (postprocess, treatment) = members::postprocess(&members);
    let inputs = inputs(args, first)?;
    let output = Output { args, classes: &first.state.reader.description.classes, decision, postprocess };
    output.prepare(&inputs)?;
    for member in &members {
        println!("{}, after {} steps", member.path.display(), member.state.step);
    }
    println!("{words}");
    if !treatment.is_empty() {
        println!("{treatment}");
    }
    for files in &inputs {
        let mut case = first.state.reader.read(files)?;
        let written = if members.len() == 1 && output.is_mask_alone() {
            let image = std::mem::take(&mut case.image);
            let own = Case { image, ..case.clone() };
            let mask = first.mask(own, output.decision.logit, &case.name, stop)?;
            mask.map(|mask| output.write_mask(&case, mask))
        } else {
            logits(&members, &mut case, &ensemble, stop)?.map(|logits| output.write(&case, logits))
        };
        let Some(written) = written else {
            println!("stopped; the masks above are whole");
            return Ok(());
        };
        written?;
    }
    Ok(())
}

/// How the logits are read, and the words for it: a single run's own, or the ensemble's.
fn reading(args: &Predict, members: &[Member], ensemble: &Ensemble) -> (Decision, String) {
    let [member] = members else { return (ensemble.decision(), ensemble.to_string()) };
    let own = member.state.decision.clone();
    let decision = args.threshold.map_or(own.clone(), |threshold| own.at(threshold));
    let words = decision.to_string();
    (decision, words)
}

/// The threshold of the command line, if there is one and it can be used.
fn threshold(args: &Predict, member: &Member) -> Result<Option<f64>> {
    let Some(threshold) = args.threshold else { return Ok(None) };
    if member.state.plan.model.out_channels > 1 {
        let message = "--threshold is for one foreground class; of several the most probable is taken";
        return Err(Error::Usage(message.into()));
    }
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::Usage(format!("--threshold {threshold}: a probability from 0 to 1")));
    }
    Ok(Some(threshold))
}

/// The cases to predict for, by name.
fn inputs(args: &Predict, member: &Member) -> Result<Vec<CaseFiles>> {
    let mut inputs: Vec<CaseFiles> = Vec::new();
    for input in &args.inputs {
        inputs.extend(member.state.reader.inputs(input)?);
    }
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = inputs.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let message = "is given twice: its masks would overwrite each other; predict into two folders";
        return Err(Error::case(&twice[0].name, message));
    }
    Ok(inputs)
}

/// One network's logits, or those of the mean probability of several; takes the case's image. `None` if it was stopped.
fn logits(
    members: &[Member],
    case: &mut Case,
    ensemble: &Ensemble,
    stop: &AtomicBool,
) -> Result<Option<Logits>> {
    let mut mean = ProbabilityMean::default();
    for (number, member) in (1..).zip(members) {
        // Each normalises the image in its own way; the last may have it.
        let own = if number < members.len() {
            case.clone()
        } else {
            let image = std::mem::take(&mut case.image);
            Case { image, ..case.clone() }
        };
        let title = match members {
            [_] => case.name.clone(),
            _ => format!("{} {number}/{}", case.name, members.len()),
        };
        let Some(logits) = member.logits(own, &title, stop)? else { return Ok(None) };
        if members.len() == 1 {
            return Ok(Some(logits));
        }
        mean.add(logits, &member.state.decision.calibration);
    }
    Ok(Some(ensemble.logits(mean)))
}
