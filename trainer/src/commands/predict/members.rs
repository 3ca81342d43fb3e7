//! The networks that predict: a model's, a run's, or those of several that agree.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use unet3d::UNet3d;

use crate::cli::Predict;
use crate::commands::all_folds;
use crate::config::Inference;
use crate::predict::{
    Asked, ByClass, Choice, Decision, Ensemble, Logits, ModelFile, NetworkCard, Pipeline, SlidingWindow,
    Together,
};
use crate::preprocess::{Case, Preparation};
use crate::report::PatchProgress;
use crate::run::checkpoint::MODEL_FILE;
use crate::run::folder;
use crate::{Error, Result};

/// A trained network with all that it takes to ask it.
pub(super) struct Member {
    /// What the command line named.
    named: PathBuf,
    /// Where its weights are, in words.
    pub(super) source: String,
    pub(super) card: NetworkCard,
    pub(super) inference: Inference,
    /// What its configuration and the command line ask for.
    asked: Asked,
    pub(super) window: SlidingWindow,
    /// The weights' place, and which network of it this is.
    file: Option<(ModelFile, usize)>,
    model: Option<UNet3d<f32>>,
}

/// The networks that a command line names, which agree on what they read and answer, and what they decided together.
pub(super) fn load(args: &Predict) -> Result<(Vec<Member>, Option<Together>)> {
    let mut members: Vec<Member> = Vec::new();
    let mut together = None;
    for named in std::iter::once(&args.run).chain(&args.ensemble) {
        for place in places(named)? {
            let open = || match place.is_file() {
                true => ModelFile::open(&place),
                false => Ok(folder::checkpoint(&place, args.checkpoint)?.1.into_model()),
            };
            let networks = open()?.card.networks.len();
            for network in 0..networks {
                let file = open()?;
                together = file.card.together.clone();
                let member = Member::new(named, &place, (file, network), args);
                members.first().map_or(Ok(()), |first| first.check(&member))?;
                members.push(member);
            }
        }
    }
    // What the networks of one model decided together is not for others beside them.
    Ok((members, together.filter(|_| args.ensemble.is_empty())))
}

/// Reads the networks' weights. Not before it is known whether memory suffices: that is measured with networks alike.
pub(super) fn read_weights(members: &mut [Member]) -> Result<()> {
    for member in members {
        let Some((mut file, network)) = member.file.take() else { continue };
        member.model = Some(file.network(network)?);
    }
    // What they were read into is none of the patches'.
    autograd::buffer::release_unused();
    Ok(())
}

/// How logits, or the mean of several networks' probabilities, are read, and the words for it.
pub(super) fn reading(
    members: &[Member],
    together: Option<&Together>,
    given: Option<f64>,
) -> (Decision, String) {
    if let [member] = members {
        let own = member.card.decision.clone();
        let decision = given.map_or(own.clone(), |threshold| own.at(threshold));
        let words = decision.to_string();
        return (decision, words);
    }
    let ensemble = Ensemble::new(members.iter().map(|member| member.card.decision.clone()).collect());
    let chosen = together.and_then(|together| Some((together.threshold?, together.cases.len())));
    let ensemble = match (given, chosen) {
        (Some(threshold), _) => ensemble.at(threshold),
        (None, Some((threshold, cases))) => {
            ensemble.chosen(threshold, format!("{cases} cases, each by the network that had not seen it"))
        }
        (None, None) => ensemble,
    };
    (ensemble.decision(), ensemble.to_string())
}

/// What is done to masks, and the words for it and for where it comes from.
pub(super) fn postprocess(members: &[Member], together: Option<&Together>) -> (ByClass, String) {
    let first = &members[0];
    let (asked, classes) = (&first.asked, &first.preparation().reader.description.classes);
    let choices: Vec<Option<&Choice>> = match together {
        Some(together) => vec![together.postprocessing.as_ref()],
        None => members.iter().map(|member| member.card.postprocessing.as_ref()).collect(),
    };
    let by_class = ByClass::new(&classes[1..], asked, &choices);
    let whence = match choices.as_slice() {
        _ if asked.is_settled() && by_class.is_off() => return (by_class, String::new()),
        _ if asked.is_settled() => String::new(),
        [Some(choice)] => format!("\n{choice}"),
        [None] => ": nothing was chosen, without validation cases or before the end of training".into(),
        all if all.iter().all(Option::is_some) => ", as all runs chose on their validation cases".into(),
        _ => ": not every run could choose on validation cases".into(),
    };
    let words = format!("{by_class}{whence}");
    (by_class, words)
}

/// What is named: a model's file, a run's folder, or what the folds of a cross-validation left.
fn places(named: &Path) -> Result<Vec<PathBuf>> {
    let fold = |index: usize| all_folds::folder(named, index);
    if named.is_file() || named.join("checkpoints").is_dir() || !fold(0).is_dir() {
        return Ok(vec![named.to_owned()]);
    }
    let folds: Vec<PathBuf> = (0..).map(fold).take_while(|folder| folder.is_dir()).collect();
    if let Some(unfinished) = all_folds::unfinished(named)? {
        let message = format!(
            "is not trained to its end: go on with the `trainer train --all-folds` that it was begun with, or name single runs such as {} and further ones with --ensemble",
            folds[0].display()
        );
        return Err(Error::file(unfinished, message));
    }
    let model = named.join(MODEL_FILE);
    if model.is_file() { Ok(vec![model]) } else { Ok(folds) }
}

impl Member {
    fn new(named: &Path, place: &Path, (file, network): (ModelFile, usize), args: &Predict) -> Self {
        let card = file.card.networks[network].clone();
        let inference = file.card.inference.clone();
        let window = SlidingWindow {
            patch: card.plan.patch_size,
            overlap: args.overlap.unwrap_or(inference.overlap),
            mirror: args.mirror.unwrap_or(inference.mirror.axes()),
        };
        let configured = Asked::of(&inference);
        let asked = Asked {
            min_component: args.min_component.or(configured.min_component),
            keep_largest: args.keep_largest.or(configured.keep_largest),
            fill_holes: args.fill_holes.or(configured.fill_holes),
        };
        let path = file.path();
        // A checkpoint is known by its folder.
        let place = if place.is_file() { path } else { path.parent().unwrap_or(path) };
        let of = if card.name.is_empty() { String::new() } else { format!(" {}", card.name) };
        let source = format!("{}{of}, after {} steps", place.display(), card.steps);
        let (file, model) = (Some((file, network)), None);
        Self { named: named.to_owned(), source, card, inference, asked, window, file, model }
    }

    pub(super) fn preparation(&self) -> &Preparation {
        self.card.preparation()
    }

    /// Refuses a member that does not mean the same as this one.
    fn check(&self, other: &Self) -> Result<()> {
        let (ours, theirs) = (&self.preparation().reader, &other.preparation().reader);
        let differ = |what: &str, ours: String, theirs: String| {
            let message = format!(
                "{what} {theirs}, {} {ours}: runs that predict together must agree on that",
                self.named.display()
            );
            Err(Error::file(&other.named, message))
        };
        let (a, b) = (&ours.description, &theirs.description);
        if a.classes != b.classes {
            return differ("tells apart the classes", format!("{:?}", a.classes), format!("{:?}", b.classes));
        }
        if a.channel_names != b.channel_names {
            let [a, b] = [a, b].map(|description| format!("{:?}", description.channel_names));
            return differ("reads the channels", a, b);
        }
        if ours.order != theirs.order {
            return differ("reads axes as", format!("{:?}", ours.order), format!("{:?}", theirs.order));
        }
        if ours.preprocessing != theirs.preprocessing {
            let [a, b] = [ours, theirs].map(|reader| reader.preprocessing.to_string());
            return differ("looks at cases", a, b);
        }
        let [a, b] = [self, other].map(|member| member.card.plan.model.out_channels);
        if a != b {
            return differ("answers with channels of logits:", a.to_string(), b.to_string());
        }
        if self.asked != other.asked {
            let message = format!(
                "is configured with {}, {} with {}: give --min-component, --keep-largest and --fill-holes for both",
                other.asked,
                self.named.display(),
                self.asked
            );
            return Err(Error::file(&other.named, message));
        }
        Ok(())
    }

    fn model(&self) -> &UNet3d<f32> {
        self.model.as_ref().expect("weights are read before the first image")
    }

    /// The logits of a prepared case in its file's voxels, of the part of the file that it is; `None` if the work was
    /// stopped.
    pub(super) fn logits(
        &self,
        pipeline: &Pipeline,
        case: &Case,
        title: &str,
        stop: &AtomicBool,
    ) -> Result<Option<Logits>> {
        let (grids, channels) = (&case.geometry.grids, self.card.plan.model.out_channels);
        let shape = grids.part_shape();
        watched(title, stop, |progress| {
            let mut values = memory::with_capacity(shape.iter().product::<usize>() * channels);
            let take = |plane: &[f32]| values.extend_from_slice(plane);
            pipeline.logits(self.model(), &case.image, grids, progress, take)?;
            Ok(Logits { shape, channels, values })
        })
    }

    /// The mask of a prepared case's whole file, for which the logits of the whole volume are never in memory.
    pub(super) fn mask(
        &self,
        pipeline: &Pipeline,
        case: &Case,
        title: &str,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<u8>>> {
        let grids = &case.geometry.grids;
        watched(title, stop, |progress| pipeline.mask(self.model(), &case.image, grids, progress))
    }
}

/// Shows the progress of `work`; `None` if it was stopped.
fn watched<R>(
    title: &str,
    stop: &AtomicBool,
    work: impl FnOnce(&mut dyn FnMut(usize, usize) -> bool) -> Result<R>,
) -> Result<Option<R>> {
    let mut shown = PatchProgress::new(title);
    let result = work(&mut |done, total| {
        shown.at(done as u64, total as u64);
        !stop.load(Ordering::Relaxed)
    });
    shown.finish();
    match result {
        Err(_) if stop.load(Ordering::Relaxed) => Ok(None),
        other => other.map(Some),
    }
}
