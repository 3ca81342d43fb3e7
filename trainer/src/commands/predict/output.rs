//! What a prediction leaves on disk: where, and that it takes the place of nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use volumes::Voxel;
use volumes::files::rename_into_place;

use super::images::Image;
use crate::cli::{Predict, Share};
use crate::predict::{Logits, Pipeline};
use crate::preprocess::Case;
use crate::report::{Overlays, Picture, predictions_page, slices_of_case};
use crate::run::folder::PAGE;
use crate::words::counted;
use crate::{Error, Result};

/// The logit that stands for certainty outside of what was looked at; its probability differs from 0 or 1 by 1e-13.
const CERTAIN: f32 = 30.0;

/// What turns logits into files.
pub(super) struct Output<'a> {
    pub(super) args: &'a Predict,
    /// Those that a channel of logits is of, by the names of their files.
    pub(super) channels: Vec<String>,
    /// Which all networks share but for what they see.
    pub(super) pipeline: &'a Pipeline,
    /// Slices of the masks that were written, and what is said of each.
    pub(super) pictures: RefCell<Vec<(Picture, String)>>,
}

/// What is written beside a mask, for each channel of logits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Probability,
    Logit,
}

impl Kind {
    /// The folder, not that of the masks, where they would be taken for more masks.
    fn folder(self) -> &'static str {
        match self {
            Self::Probability => "probability",
            Self::Logit => "logit",
        }
    }
}

/// The names, for files, of the classes that so many channels of logits are of; background first.
pub(super) fn channel_names(classes: &[String], channels: usize) -> Vec<String> {
    let classes = if channels == 1 { &classes[1..2] } else { classes };
    // A class may be called anything; a file may not.
    let plain = |name: &String| name.replace(|c: char| !(c.is_alphanumeric() || "-_.".contains(c)), "-");
    let mut names: Vec<String> = classes.iter().map(plain).collect();
    let mut seen = BTreeMap::<String, usize>::new();
    names.iter().for_each(|name| *seen.entry(name.to_lowercase()).or_default() += 1);
    for (class, name) in names.iter_mut().enumerate() {
        if seen[&name.to_lowercase()] > 1 {
            *name = format!("{class}-{name}");
        }
    }
    names
}

impl Output<'_> {
    /// Refuses, before anything is predicted, a folder of the images, and files that exist; makes the folder.
    pub(super) fn prepare(&self, images: &[Image]) -> Result<()> {
        let out = &self.args.out;
        check_way(out)?;
        for folder in self.folders() {
            self.spare_images(images, &folder)?;
        }
        let files = images.iter().flat_map(|image| self.files(&image.files.name, image.ending()));
        let files = files.chain(self.args.report.then(|| self.page_file()));
        // A link that leads nowhere is there, too.
        let there: Vec<PathBuf> = files.filter(|file| file.symlink_metadata().is_ok()).collect();
        if let Some(folder) = there.iter().find(|file| file.is_dir()) {
            return Err(Error::file(
                folder,
                "is a folder in the place of a file to write; name another --out",
            ));
        }
        if let (Some(first), false) = (there.first(), self.args.force) {
            let name = first.strip_prefix(out).unwrap_or(first).display();
            let message = match there.len() {
                1 => format!("{name} exists already: --force writes over it, or name another --out"),
                n => format!(
                    "{n} of the files to write exist already, the first is {name}: --force writes over them, or name another --out"
                ),
            };
            return Err(Error::file(out, message));
        }
        fs::create_dir_all(out).map_err(Error::io(out))
    }

    /// Refuses to write where an image lies, by whatever path or link.
    fn spare_images(&self, images: &[Image], folder: &Path) -> Result<()> {
        // What is not there yet holds no image.
        let Ok(folder) = folder.canonicalize() else { return Ok(()) };
        for path in images.iter().flat_map(|image| &image.files.images) {
            let beside = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let own = path.canonicalize().ok();
            let of_own = own.as_deref().and_then(Path::parent).map(Path::to_path_buf);
            // The image itself where it is a folder of slices.
            let lies_in = [beside.canonicalize().ok(), of_own, own.filter(|own| own.is_dir())];
            if lies_in.into_iter().flatten().any(|lies_in| lies_in == folder) {
                let message = format!(
                    "is the folder of the image {}: nothing is written among images; name another --out",
                    path.display()
                );
                return Err(Error::file(folder, message));
            }
        }
        Ok(())
    }

    /// The folders that are written to.
    fn folders(&self) -> Vec<PathBuf> {
        let out = &self.args.out;
        std::iter::once(out.clone()).chain(self.kinds().map(|kind| out.join(kind.folder()))).collect()
    }

    /// All files of a case, whose volumes have this ending.
    fn files(&self, case: &str, ending: &str) -> Vec<PathBuf> {
        let channels =
            self.kinds().flat_map(|kind| (0..self.channels.len()).map(move |channel| (kind, channel)));
        let channels = channels.map(|(kind, channel)| self.channel_file(kind, channel, case, ending));
        std::iter::once(self.mask_file(case, ending)).chain(channels).collect()
    }

    /// The page of all masks; each share of the images has its own.
    fn page_file(&self) -> PathBuf {
        let of_share = |share: Share| format!("report_{}_of_{}.html", share.index, share.of);
        self.args.out.join(self.args.share.map_or_else(|| PAGE.to_owned(), of_share))
    }

    fn mask_file(&self, case: &str, ending: &str) -> PathBuf {
        self.args.out.join(format!("{case}{ending}"))
    }

    fn channel_file(&self, kind: Kind, channel: usize, case: &str, ending: &str) -> PathBuf {
        self.args.out.join(kind.folder()).join(format!("{case}_{}{ending}", self.channels[channel]))
    }

    /// What is asked for beside the masks.
    fn kinds(&self) -> impl Iterator<Item = Kind> + use<> {
        let asked = [(Kind::Probability, self.args.save_probabilities), (Kind::Logit, self.args.save_logits)];
        asked.into_iter().filter_map(|(kind, asked)| asked.then_some(kind))
    }

    /// Whether the mask is all that is asked for.
    pub(super) fn is_mask_alone(&self) -> bool {
        self.kinds().next().is_none()
    }

    /// Writes the mask of a case's whole file.
    pub(super) fn write_mask(&self, case: &Case, mask: Vec<u8>) -> Result<()> {
        let path = self.mask_file(&case.name, case.geometry.ending());
        let foreground = mask.iter().filter(|&&m| m > 0).count();
        let words = format!("{foreground} of {} voxels are foreground", mask.len());
        if self.args.report {
            let (grids, reader) = (&case.geometry.grids, &self.pipeline.preparation.reader);
            let part = grids.part_of(&mask);
            let overlays = Overlays { truth: None, mask: &part };
            let png = slices_of_case((&case.image, case.channels), grids, reader, overlays)
                .map_err(|message| Error::case(&case.name, message))?;
            self.pictures.borrow_mut().push((Picture::new(&case.name, &png), words.clone()));
        }
        self.write_file(case, &path, mask)?;
        say!("{}: {words}", path.display());
        Ok(())
    }

    /// Writes a case's mask and, if asked for, probabilities and logits, given the logits in the file's voxels.
    pub(super) fn write(&self, case: &Case, logits: Logits) -> Result<()> {
        let (channels, Pipeline { decision, .. }) = (logits.channels, self.pipeline);
        let part = decision.classes(&logits.values);
        self.write_mask(case, self.pipeline.finish(part, &case.geometry.grids))?;
        let outside = |of_background: f32, of_others: f32| {
            let class = |c: usize| if channels > 1 && c == 0 { of_background } else { of_others };
            (0..channels).map(class).collect::<Vec<f32>>()
        };
        for kind in self.kinds() {
            match kind {
                Kind::Probability => {
                    let probabilities = logits.probabilities(&decision.calibration);
                    self.write_channels(case, kind, &probabilities, &outside(1.0, 0.0))?;
                }
                Kind::Logit => {
                    self.write_channels(case, kind, &logits.values, &outside(CERTAIN, -CERTAIN))?;
                }
            }
        }
        Ok(())
    }

    /// Writes the page of all masks, if it is asked for; `model` says what predicted them.
    pub(super) fn write_page(&self, model: &str) -> Result<()> {
        if !self.args.report {
            return Ok(());
        }
        let (pictures, path) = (self.pictures.borrow(), self.page_file());
        let page = predictions_page(model, &pictures);
        rename_into_place(&path, |out| out.write_all(page.as_bytes()))?;
        tell!("slices of {}: {}", counted(pictures.len(), "mask"), path.display());
        Ok(())
    }

    /// Writes values `[d, h, w, c]`; `outside` is the voxel around the part that was looked at.
    fn write_channels(&self, case: &Case, kind: Kind, values: &[f32], outside: &[f32]) -> Result<()> {
        let folder = self.args.out.join(kind.folder());
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        for (channel, &outside) in outside.iter().enumerate() {
            let channels = self.channels.len();
            let values = memory::collected(values.iter().copied().skip(channel).step_by(channels));
            let values = case.geometry.grids.uncropped(values, &[outside]);
            let file = self.channel_file(kind, channel, &case.name, case.geometry.ending());
            self.write_file(case, &file, values)?;
        }
        Ok(())
    }

    /// Writes a volume where a case lies; without `--force` in no place that was taken since [`prepare`](Self::prepare), as
    /// by another run into the same folder.
    fn write_file<V: Voxel>(&self, case: &Case, path: &Path, values: Vec<V>) -> Result<()> {
        if !self.args.force && path.symlink_metadata().is_ok() {
            return Err(Error::file(path, "was written by somebody else meanwhile: it stays as it is"));
        }
        case.geometry.write(path, values)
    }
}

/// Refuses a way that goes back from a folder that is not there: where it leads nobody can tell before that is made.
fn check_way(out: &Path) -> Result<()> {
    let mut way = PathBuf::new();
    let mut is_there = true;
    for part in out.components() {
        if part == Component::ParentDir && !is_there {
            let message = format!(
                "goes back by .. from {}, which is not there; name the folder directly",
                way.display()
            );
            return Err(Error::file(out, message));
        }
        way.push(part);
        is_there = way.symlink_metadata().is_ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_whose_names_differ_have_files_of_their_own() {
        let names = |names: &[&str], channels: usize| {
            channel_names(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), channels)
        };
        assert_eq!(
            names(&["background", "left/lung", "left lung", "heart"], 4),
            ["background", "1-left-lung", "2-left-lung", "heart"]
        );
        assert_eq!(names(&["background", "a lesion"], 1), ["a-lesion"]);
    }
}
