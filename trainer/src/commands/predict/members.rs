//! The networks that predict: one run's, or those of several runs that agree.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use unet3d::UNet3d;

use crate::cli::Predict;
use crate::commands::all_folds;
use crate::config::Config;
use crate::predict::{Asked, ByClass, Choice, Logits, Restore, SlidingWindow};
use crate::preprocess::Case;
use crate::report::PatchProgress;
use crate::run::checkpoint::{Saved, State};
use crate::run::folder;
use crate::{Error, Result};

/// A trained network with all that it takes to ask it.
pub(super) struct Member {
    /// The run's folder.
    run: PathBuf,
    /// The checkpoint's.
    pub(super) path: PathBuf,
    pub(super) state: State,
    pub(super) config: Config,
    /// What its configuration and the command line ask for.
    asked: Asked,
    /// Where the weights are, until they are read.
    saved: Option<Saved>,
    model: Option<UNet3d<f32>>,
    window: SlidingWindow,
}

/// The networks that a command line names, which agree on what they read and answer.
pub(super) fn load(args: &Predict) -> Result<Vec<Member>> {
    let mut members: Vec<Member> = Vec::new();
    for run in std::iter::once(&args.run).chain(&args.ensemble) {
        for folder in runs(run)? {
            let member = Member::load(&folder, args)?;
            members.first().map_or(Ok(()), |first| first.check(&member))?;
            members.push(member);
        }
    }
    Ok(members)
}

/// Reads the networks' weights. Not before it is known whether memory suffices: that is measured with networks alike.
pub(super) fn read_weights(members: &mut [Member]) -> Result<()> {
    for member in members {
        let Some(saved) = member.saved.take() else { continue };
        member.model = Some(saved.into_network(&member.path)?);
    }
    // What they were read into is none of the patches'.
    autograd::buffer::release_unused();
    Ok(())
}

/// What is done to masks, and the words for it and for where it comes from.
pub(super) fn postprocess(members: &[Member]) -> (ByClass, String) {
    let (asked, classes) = (&members[0].asked, &members[0].state.preparation.reader.description.classes);
    let choices: Vec<Option<&Choice>> =
        members.iter().map(|member| member.state.postprocess.as_ref()).collect();
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

/// The run itself, or the runs of its folds.
fn runs(folder: &Path) -> Result<Vec<PathBuf>> {
    let fold = |index: usize| all_folds::folder(folder, index);
    if folder.join("checkpoints").is_dir() || !fold(0).is_dir() {
        return Ok(vec![folder.to_owned()]);
    }
    let folds: Vec<PathBuf> = (0..).map(fold).take_while(|folder| folder.is_dir()).collect();
    if let Some(unfinished) = all_folds::unfinished(folder)? {
        let message = format!(
            "is not trained to its end: go on with the `trainer train --all-folds` that it was begun with, or name single runs such as {} and further ones with --ensemble",
            folds[0].display()
        );
        return Err(Error::file(unfinished, message));
    }
    Ok(folds)
}

impl Member {
    fn load(run: &Path, args: &Predict) -> Result<Self> {
        let (path, saved) = folder::checkpoint(run, args.checkpoint)?;
        let state = saved.state.clone();
        let config = Config::for_prediction("the checkpoint's configuration", &state.config)?;
        let window = SlidingWindow {
            patch: state.plan.patch_size,
            overlap: args.overlap.unwrap_or(config.inference.overlap),
            mirror: args.mirror.unwrap_or(config.inference.mirror),
        };
        let configured = Asked::of(&config.inference);
        let asked = Asked {
            min_component: args.min_component.or(configured.min_component),
            keep_largest: args.keep_largest.or(configured.keep_largest),
            fill_holes: args.fill_holes.or(configured.fill_holes),
        };
        let (saved, model) = (Some(saved), None);
        Ok(Self { run: run.to_owned(), path, state, config, asked, saved, model, window })
    }

    /// Refuses a member that does not mean the same as this one.
    fn check(&self, other: &Self) -> Result<()> {
        let (ours, theirs) = (&self.state.preparation.reader, &other.state.preparation.reader);
        let differ = |what: &str, ours: String, theirs: String| {
            let message = format!(
                "{what} {theirs}, {} {ours}: runs that predict together must agree on that",
                self.run.display()
            );
            Err(Error::file(&other.run, message))
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
        let [a, b] = [self, other].map(|member| member.state.plan.model.out_channels);
        if a != b {
            return differ("answers with channels of logits:", a.to_string(), b.to_string());
        }
        if self.asked != other.asked {
            let message = format!(
                "is configured with {}, {} with {}: give --min-component, --keep-largest and --fill-holes for both",
                other.asked,
                self.run.display(),
                self.asked
            );
            return Err(Error::file(&other.run, message));
        }
        Ok(())
    }

    fn model(&self) -> &UNet3d<f32> {
        self.model.as_ref().expect("weights are read before the first image")
    }

    /// The logits of a case whose intensities are as in the files; `None` if the work was stopped.
    pub(super) fn logits(&self, mut case: Case, title: &str, stop: &AtomicBool) -> Result<Option<Logits>> {
        self.state.preparation.normalisation.apply(&mut case)?;
        watched(title, stop, |progress| self.window.run(self.model(), &case.image, case.shape, progress))
    }

    /// The mask alone, of the part of the file that the case is, for which the logits of the whole volume are never in memory.
    pub(super) fn mask(
        &self,
        mut case: Case,
        logit: f32,
        title: &str,
        stop: &AtomicBool,
    ) -> Result<Option<Vec<u8>>> {
        self.state.preparation.normalisation.apply(&mut case)?;
        watched(title, stop, |progress| {
            let restore = Restore::new(&case.geometry.grids, self.state.plan.model.out_channels);
            self.window.classes(self.model(), &case.image, restore, logit, progress)
        })
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
