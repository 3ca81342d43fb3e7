//! `trainer predict`: masks in the geometry of their images, by one network or by several together.
//!
//! What can be known before the first mask is said before it: images that cannot be read, files that would be written
//! over, memory that will not suffice. What fails later is named and the other images are done; the run then ends in an
//! error.

use std::cell::RefCell;
use std::sync::atomic::AtomicBool;

use ranks::Ranks;

use crate::cli::{Predict, Share};
use crate::predict::{Logits, Pipeline, ProbabilityMean};
use crate::preprocess::Case;
use crate::report::Failures;
use crate::{Error, Result, threads};

mod images;
mod members;
mod output;

use images::Image;
use members::Member;
use output::Output;

pub(super) fn run(mut args: Predict, ranks: &Ranks, stop: &AtomicBool) -> Result<()> {
    if !ranks.is_alone() {
        if let Some(share) = args.share {
            let message = format!("--share {share}: {} ranks share the images out among them", ranks.size());
            return Err(Error::Usage(message));
        }
        args.share = Some(Share { index: ranks.rank(), of: ranks.size() });
    }
    let pool = threads::pool("--threads", args.threads)?;
    let done = pool.install(|| predict(&args, stop));
    if ranks.is_alone() {
        return done;
    }
    // What fails in one share is no reason to leave the others undone.
    let own = done.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let said = ranks.gather(own.as_bytes())?;
    let errors: Vec<_> =
        said.iter().filter(|said| !said.is_empty()).map(|said| String::from_utf8_lossy(said)).collect();
    if errors.is_empty() { done } else { Err(Error::Usage(errors.join("; "))) }
}

fn predict(args: &Predict, stop: &AtomicBool) -> Result<()> {
    let (mut members, together) = members::load(args)?;
    let first = &members[0];
    let (decision, words) = members::reading(&members, together.as_ref(), threshold(args, first)?);
    let (postprocessing, treatment) = members::postprocess(&members, together.as_ref());
    let classes = &first.preparation().reader.description.classes;
    let channels = output::channel_names(classes, first.card.plan.model.out_channels);
    let pipelines: Vec<Pipeline> = members
        .iter()
        .map(|member| Pipeline {
            preparation: member.preparation().clone(),
            window: member.window,
            decision: decision.clone(),
            postprocessing: postprocessing.clone(),
        })
        .collect();
    let pictures = RefCell::default();
    let output = Output { args, channels, pipeline: &pipelines[0], pictures };
    let named = images::named(args, first)?;
    let (total, mut failures) = (named.len(), Failures::default());
    let images = images::readable(args, &members, output.is_mask_alone(), named, &mut failures);
    if let (0, Some(share)) = (total, args.share) {
        tell!("the share {share} holds no image: there are fewer images than shares");
        return Ok(());
    }
    if images.is_empty() {
        return failures.end(total, NOT_PREDICTED);
    }
    members::read_weights(&mut members)?;
    let first = &members[0];
    output.prepare(&images)?;
    for member in &members {
        say!("{}", member.source);
    }
    say!("{words}");
    if !treatment.is_empty() {
        say!("{treatment}");
    }
    images::notes(args, first, &images)?.iter().for_each(|note| tell!("{note}"));
    for image in &images {
        let case = &image.files.name;
        let found = memory::within(|| predicted(&members, &pipelines, image, &output, stop));
        let written: Result<()> = match found {
            Ok(Some((case, Predicted::Mask(mask)))) => memory::within(|| output.write_mask(&case, mask)),
            Ok(Some((case, Predicted::Logits(logits)))) => memory::within(|| output.write(&case, logits)),
            Ok(None) => {
                tell!("stopped; the masks above are whole");
                return output.write_page(&members[0].source);
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
    output.write_page(&members[0].source)?;
    failures.end(total, NOT_PREDICTED)
}

/// What images could not be.
const NOT_PREDICTED: &str = "images could not be predicted";

/// What was found for a case.
enum Predicted {
    /// The mask of its whole file.
    Mask(Vec<u8>),
    /// In the voxels of the part of the file that it is.
    Logits(Logits),
}

/// Reads an image and asks the networks; `None` if it was stopped.
fn predicted(
    members: &[Member],
    pipelines: &[Pipeline],
    image: &Image,
    output: &Output<'_>,
    stop: &AtomicBool,
) -> Result<Option<(Case, Predicted)>> {
    let prepared = |pipeline: &Pipeline| pipeline.prepare(&image.files, output.args.spacing);
    let mut case = prepared(&pipelines[0])?;
    if let ([member], [pipeline]) = (members, pipelines) {
        let title = case.name.clone();
        let found = match output.is_mask_alone() {
            true => member.mask(pipeline, &case, &title, stop)?.map(Predicted::Mask),
            false => member.logits(pipeline, &case, &title, stop)?.map(Predicted::Logits),
        };
        return Ok(found.map(|found| (case, found)));
    }
    let mut mean = ProbabilityMean::default();
    for (number, (member, pipeline)) in (1..).zip(members.iter().zip(pipelines)) {
        // Each sees the image in its own way.
        if number > 1 && pipeline.preparation != pipelines[number - 2].preparation {
            case = prepared(pipeline)?;
        }
        let title = format!("{} {number}/{}", case.name, members.len());
        let Some(logits) = member.logits(pipeline, &case, &title, stop)? else { return Ok(None) };
        mean.add(logits, &member.card.decision.calibration);
    }
    Ok(Some((case, Predicted::Logits(mean.logits()))))
}

/// The threshold of the command line, if there is one and it can be used.
fn threshold(args: &Predict, member: &Member) -> Result<Option<f64>> {
    let Some(threshold) = args.threshold else { return Ok(None) };
    if member.card.plan.model.out_channels > 1 {
        let message = "--threshold is for one foreground class; of several background is taken where it is as probable as the rest";
        return Err(Error::Usage(message.into()));
    }
    if !(0.0..=1.0).contains(&threshold) {
        return Err(Error::Usage(format!("--threshold {threshold}: a probability from 0 to 1")));
    }
    Ok(Some(threshold))
}
