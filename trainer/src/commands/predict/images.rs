//! The images to predict for, and what their headers say before the first is predicted.

use std::path::Path;

use memory::{Machine, in_words};

use super::Failures;
use super::members::Member;
use crate::cli::Predict;
use crate::config::Config;
use crate::dataset::{CaseFiles, note_on_spacing, notes};
use crate::preprocess::Geometry;
use crate::training::{CaseMemory, MemoryProbe, PredictionMemory};
use crate::{Error, Result};

/// An image whose headers can be read.
pub(super) struct Image {
    pub(super) files: CaseFiles,
    /// Of the whole file: what there is to cut off only its voxels say.
    geometry: Geometry,
}

impl Image {
    /// The ending of the files that are written for it.
    pub(super) fn ending(&self) -> &'static str {
        self.geometry.ending()
    }
}

/// The cases of a command line's share of those that it names, by name.
pub(super) fn named(args: &Predict, member: &Member) -> Result<Vec<CaseFiles>> {
    let mut inputs: Vec<CaseFiles> = Vec::new();
    for input in &args.inputs {
        inputs.extend(member.preparation().reader.inputs(input)?);
    }
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = inputs.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let message = "is given twice: its masks would overwrite each other; predict into two folders";
        return Err(Error::case(&twice[0].name, message));
    }
    if let Some(share) = args.share {
        let mut number = 0..;
        inputs.retain(|_| number.next().is_some_and(|number| share.holds(number)));
    }
    Ok(inputs)
}

/// Those whose headers can be read and that memory will suffice for; the others are failures.
pub(super) fn readable(
    args: &Predict,
    members: &[Member],
    is_mask_alone: bool,
    inputs: Vec<CaseFiles>,
    failures: &mut Failures,
) -> Vec<Image> {
    let config = Config { inference: members[0].inference.clone(), ..Config::default() };
    let probe = MemoryProbe::new(&config, rayon::current_num_threads(), Machine::here());
    let mut images = Vec::new();
    for files in inputs {
        let reader = &members[0].preparation().reader;
        let geometry = reader.geometry(&files, args.spacing);
        let checked = geometry.and_then(|geometry| {
            check_memory(members, is_mask_alone, &files, &geometry, &probe).map(|()| geometry)
        });
        match checked {
            Ok(geometry) => images.push(Image { files, geometry }),
            Err(error) => fails(failures, error),
        }
    }
    images
}

/// Says at once why an image cannot be predicted, for the others may take hours.
pub(super) fn fails(failures: &mut Failures, error: Error) {
    tell!("not predicted: {error}");
    failures.add(error);
}

/// What there is to say of how the images' files are taken, a line each.
pub(super) fn notes(args: &Predict, member: &Member, images: &[Image]) -> Result<Vec<String>> {
    let silent = images.iter().filter(|image| !image.geometry.header().spacing_known).count();
    let mut notes = Vec::new();
    for image in images {
        notes.extend(member.preparation().reader.notes(&image.files)?);
    }
    let lines = notes::lines(&notes, Path::new(""));
    Ok(lines.into_iter().chain(note_on_spacing(silent, images.len(), args.spacing)).collect())
}

/// More voxels than this, in the file or after resampling, are refused by their number when the image is read.
const MOST_VOXELS: usize = 1 << 40;

/// Refuses an image that memory will not suffice for. Where borders may be cut off, what is left may be little: then the
/// file's own voxels alone are reckoned with.
fn check_memory(
    members: &[Member],
    is_mask_alone: bool,
    files: &CaseFiles,
    geometry: &Geometry,
    probe: &MemoryProbe<'_>,
) -> Result<()> {
    let machine = Machine::here();
    let Some(available) = machine.available else { return Ok(()) };
    let (reader, plan) = (&members[0].preparation().reader, &members[0].card.plan);
    let voxels = |shape: [usize; 3]| shape.into_iter().fold(1usize, usize::saturating_mul);
    let largest = if reader.preprocessing.crop { [1; 3] } else { geometry.grids.shape() };
    let largest_file = voxels(geometry.grids.whole_shape());
    if voxels(largest).max(largest_file) > MOST_VOXELS {
        return Ok(());
    }
    let case = CaseMemory {
        largest,
        largest_file,
        channels: reader.description.channel_names.len(),
        count: 1,
        ..CaseMemory::default()
    };
    let memory = PredictionMemory::new(plan, &case, probe)?;
    // Logits of the whole volume, and what is made of them.
    let logits =
        if is_mask_alone && members.len() == 1 { 0 } else { 2 * size_of::<f32>() * plan.model.out_channels };
    let others = (members.len() - 1) * memory.step.weights;
    let needed = memory.total + others + logits * voxels(largest);
    if needed <= available {
        return Ok(());
    }
    let message = format!(
        "predicting this image takes about {}, but {machine}: {}",
        in_words(needed),
        machine.remedy()
    );
    Err(Error::file(&files.images[0], message))
}
