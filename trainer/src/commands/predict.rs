//! `trainer predict`: masks in the geometry of their images, by one network or by several together.
//!
//! What can be known before the first mask is said before it: images that cannot be read, files that would be written
//! over, memory that will not suffice. What fails later is named and the other images are done; the run then ends in an
//! error.

use std::sync::atomic::AtomicBool;

use crate::cli::Predict;
use crate::predict::{Decision, Ensemble, Logits, ProbabilityMean};
use crate::preprocess::Case;
use crate::report::Failures;
use crate::{Error, Result};

mod images;
mod members;
mod output;

use images::Image;
use members::Member;
use output::Output;

pub(super) fn run(args: &Predict, stop: &AtomicBool) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build();
    let pool = pool.map_err(|e| Error::Usage(format!("--threads {}: {e}", args.threads)))?;
    pool.install(|| predict(args, stop))
}

fn predict(args: &Predict, stop: &AtomicBool) -> Result<()> {
    let mut members = members::load(args)?;
    let first = &members[0];
    let ensemble = Ensemble::new(members.iter().map(|member| member.state.decision.clone()).collect());
    let ensemble = match threshold(args, first)? {
        Some(threshold) => ensemble.at(threshold),
        None => ensemble,
    };
    let (decision, words) = reading(args, &members, &ensemble);
    let (postprocess, treatment) = members::postprocess(&members);
    let channels = output::channel_names(
        &first.state.preparation.reader.description.classes,
        first.state.plan.model.out_channels,
    );
    let output = Output { args, channels, decision, postprocess };
    let named = images::named(args, first)?;
    let (total, mut failures) = (named.len(), Failures::default());
    let images = images::readable(args, &members, output.is_mask_alone(), named, &mut failures);
    if images.is_empty() {
        return failures.end(total, NOT_PREDICTED);
    }
    members::read_weights(&mut members)?;
    let first = &members[0];
    output.prepare(&images)?;
    for member in &members {
        println!("{}, after {} steps", member.path.display(), member.state.step);
    }
    println!("{words}");
    if !treatment.is_empty() {
        println!("{treatment}");
    }
    images::notes(args, first, &images)?.iter().for_each(|note| println!("{note}"));
    for image in &images {
        let case = &image.files.name;
        let found = memory::within(|| predicted(&members, &ensemble, image, &output, stop));
        let written = match found {
            Ok(Some((case, Predicted::Mask(mask)))) => memory::within(|| output.write_mask(&case, mask)),
            Ok(Some((case, Predicted::Logits(logits)))) => memory::within(|| output.write(&case, logits)),
            Ok(None) => {
                println!("stopped; the masks above are whole");
                return Ok(());
            }
            Err(error) => {
                images::fails(&mut failures, error.of_case(case));
                continue;
            }
        };
        match written {
            Err(error @ Error::File(volumes::Error::Memory(_) | volumes::Error::File { .. })) => {
                images::fails(&mut failures, error.of_case(case));
            }
            // A disk that is full stays so for the next image.
            written => written?,
        }
    }
    failures.end(total, NOT_PREDICTED)
}

/// What images could not be.
const NOT_PREDICTED: &str = "images could not be predicted";

/// What was found for a case.
enum Predicted {
    /// The mask of the part that was looked at.
    Mask(Vec<u8>),
    Logits(Logits),
}

/// Reads an image and asks the networks; `None` if it was stopped.
fn predicted(
    members: &[Member],
    ensemble: &Ensemble,
    image: &Image,
    output: &Output<'_>,
    stop: &AtomicBool,
) -> Result<Option<(Case, Predicted)>> {
    let first = &members[0];
    let mut case = first.state.preparation.reader.read_sized(&image.files, output.args.spacing)?;
    let found = if members.len() == 1 && output.is_mask_alone() {
        let voxels = std::mem::take(&mut case.image);
        let own = Case { image: voxels, ..case.clone() };
        first.mask(own, output.decision.logit, &case.name, stop)?.map(Predicted::Mask)
    } else {
        logits(members, &mut case, ensemble, stop)?.map(Predicted::Logits)
    };
    Ok(found.map(|found| (case, found)))
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
        let image = std::mem::take(&mut case.image);
        let mut own = case.clone();
        if number < members.len() {
            own.image = memory::collected(image.iter().copied());
            case.image = image;
        } else {
            own.image = image;
        }
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
