//! Names: which file is meant to be what, also where it is not named so.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use volumes::split_channel;

use super::{Declared, Faults};
use crate::Result;
use crate::dataset::fault::{Fault, Kind};
use crate::dataset::names::{
    LooseCase, Part, attach, list, list_images, list_labels, loose, no_images, stem,
};
use crate::dataset::{Description, listed};

/// How many channels the training images seem to have, where `dataset.json` does not say: as many as are numbered from
/// 0000 on without a gap, at least one.
pub(super) fn channels(root: &Path, ending: &str) -> Result<usize> {
    let folder = root.join("imagesTr");
    let names = if folder.is_dir() { list(&folder)? } else { Vec::new() };
    let numbers = names.iter().filter_map(|name| Some(split_channel(name.strip_suffix(ending)?)?.1));
    let numbers: BTreeSet<usize> = numbers.collect();
    Ok(numbers.iter().enumerate().take_while(|(i, n)| i == *n).count().max(1))
}

/// The cases of a side, with the files that are there. A file whose name is wrong, but whose case is plain, is taken as
/// what it is meant to be, so that its mistake is the only one that is found.
pub(super) fn side(
    root: &Path,
    part: Part,
    declared: &Declared,
    found: &mut Faults,
) -> Result<Vec<LooseCase>> {
    if let (Some(listed), Part::Training) = (&declared.listed, part) {
        let Description { channel_names, file_ending, .. } = &declared.description;
        return Ok(listed::loose(listed, root, channel_names.len(), file_ending, &mut found.errors));
    }
    let [image_folder, label_folder] = part.folders().map(|name| root.join(name));
    if part == Part::Test && !image_folder.is_dir() {
        if label_folder.is_dir() {
            let message = "is missing, though there is labelsTs, which is not read without it";
            let remedy = "put the test images there, as CASE_0000.nii.gz";
            found.warnings.push(Fault::file(Kind::FolderMissing, image_folder, message, remedy));
        }
        return Ok(Vec::new());
    }
    let ending = &declared.description.file_ending;
    let image_names = list_images(&image_folder, &mut found.errors)?;
    let label_names = match part == Part::Training || label_folder.is_dir() {
        true => list_labels(&label_folder, &mut found.errors)?,
        false => None,
    };
    let (Some(image_names), labels) = (image_names, label_names.as_deref().unwrap_or_default()) else {
        return Ok(Vec::new());
    };
    let names = Names { ending, channels: declared.description.channel_names.len(), part };
    let images = names.images(&image_folder, &image_names, &names.proper(labels), found);
    if images.is_empty() {
        if part == Part::Training {
            found.errors.push(no_images(&image_folder, &image_names, ending));
        }
        return Ok(Vec::new());
    }
    let mut cases = loose(&images, names.channels, &mut found.errors);
    if label_names.is_some() {
        let labels = names.labels(&label_folder, labels, &cases, found);
        attach(&labels, &label_folder, part, ending, &mut cases, &mut found.errors);
    }
    Ok(cases)
}

/// How files are to be named.
struct Names<'a> {
    ending: &'a str,
    channels: usize,
    part: Part,
}

impl Names<'_> {
    /// A name's part before the ending that is expected, unless another ending stands there.
    fn proper_stem<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_suffix(self.ending)?;
        let lower = rest.to_ascii_lowercase();
        (![".nii", ".gz", ".hdr", ".img"].iter().any(|ending| lower.ends_with(ending))).then_some(rest)
    }

    /// The stems of the files with the right ending.
    fn proper(&self, names: &[String]) -> BTreeSet<String> {
        names.iter().filter_map(|name| self.proper_stem(name)).map(str::to_owned).collect()
    }

    /// The file of a header and voxel pair that goes with one of the right ending, or the text with a TIFF case's spacing.
    fn is_partner(&self, name: &str, proper: &BTreeSet<String>) -> bool {
        let partner = match self.ending {
            ".hdr" => ".img",
            ".img" => ".hdr",
            ".hdr.gz" => ".img.gz",
            ".img.gz" => ".hdr.gz",
            ".tif" | ".tiff" => {
                let is_of =
                    |stem: &String, case| stem == case || split_channel(stem).is_some_and(|s| s.0 == case);
                let case = name.strip_suffix(".json");
                return case.is_some_and(|case| proper.iter().any(|stem| is_of(stem, case)));
            }
            _ => return false,
        };
        name.strip_suffix(partner).is_some_and(|stem| proper.contains(stem))
    }

    /// Images by their stems as they should be. `labels` are the cases that have a label map.
    fn images(
        &self,
        folder: &Path,
        names: &[String],
        labels: &BTreeSet<String>,
        found: &mut Faults,
    ) -> Vec<(String, PathBuf)> {
        let proper = self.proper(names);
        let mut images = Vec::new();
        for name in names {
            let (path, is_proper) = (folder.join(name), self.proper_stem(name).is_some());
            let stem = self.proper_stem(name).unwrap_or_else(|| stem(name));
            let case = match split_channel(stem) {
                Some((case, channel)) if channel < self.channels => Some(case),
                Some((case, _)) if proper.contains(&format!("{case}_0000")) => Some(case),
                _ => None,
            };
            if !is_proper {
                images.extend(self.misnamed_image(path, stem, case, labels, &proper, found));
                continue;
            }
            let numbered = format!("{stem}_0000");
            let fault = |message: String| {
                let remedy = format!("rename it {numbered}{}", self.ending);
                Fault::file(Kind::UnexpectedName, &path, message, remedy)
            };
            match case {
                Some(_) => images.push((stem.to_owned(), path)),
                None if self.channels == 1 => {
                    let message = "has no channel number; it is read as channel 0 here, but not by nnU-Net";
                    found.warnings.push(fault(message.into()));
                    images.push((stem.to_owned(), path));
                }
                // What holds all channels needs no number.
                None if proper.contains(&numbered)
                    || split_channel(stem).is_some()
                    || volumes::read_header(&path).is_ok_and(|header| header.channels() == self.channels) =>
                {
                    images.push((stem.to_owned(), path));
                }
                None => {
                    let message = format!("has no channel number, but there are {} channels", self.channels);
                    found.errors.push(fault(message));
                    images.push((numbered, path));
                }
            }
        }
        images.sort();
        images
    }

    /// Label maps by the names of their cases.
    fn labels(
        &self,
        folder: &Path,
        names: &[String],
        cases: &[LooseCase],
        found: &mut Faults,
    ) -> Vec<(String, PathBuf)> {
        let proper = self.proper(names);
        let is_case = |name: &str| cases.iter().any(|case| case.name == name);
        let mut labels = Vec::new();
        for name in names {
            let (path, is_proper) = (folder.join(name), self.proper_stem(name).is_some());
            let stem = self.proper_stem(name).unwrap_or_else(|| stem(name));
            // A number that no case's name has is a channel's.
            let case = match split_channel(stem) {
                Some((case, _)) if !is_case(stem) && is_case(case) && !proper.contains(case) => case,
                _ => stem,
            };
            if !is_proper {
                let wanted = is_case(case) && !proper.contains(case);
                let fault = self.wrong_ending(path.clone(), case, wanted);
                if self.is_partner(name, &proper) {
                    continue;
                }
                // A test case may lack its label map.
                let severe = name.ends_with(self.ending) || wanted && self.part == Part::Training;
                found.push(severe, fault);
                labels.extend(wanted.then(|| (case.to_owned(), path)));
                continue;
            }
            if case != stem {
                let message = "has a channel number, which label maps do not have";
                let remedy = format!("rename it {case}{}", self.ending);
                found.errors.push(Fault::file(Kind::UnexpectedName, &path, message, remedy));
            }
            labels.push((case.to_owned(), path));
        }
        labels
    }

    /// Complains of an image with another ending; gives it where its case lacks it.
    fn misnamed_image(
        &self,
        path: PathBuf,
        stem: &str,
        case: Option<&str>,
        labels: &BTreeSet<String>,
        proper: &BTreeSet<String>,
        found: &mut Faults,
    ) -> Option<(String, PathBuf)> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        if self.is_partner(&name, proper) {
            return None;
        }
        let beyond =
            case.is_some() && split_channel(stem).is_some_and(|(_, channel)| channel >= self.channels);
        let right = case.map_or_else(|| format!("{stem}_0000"), |_| stem.to_owned());
        let case = case.unwrap_or(stem);
        let wanted = labels.contains(case) && !proper.contains(&right) && !proper.contains(case) && !beyond;
        let fault = self.wrong_ending(path.clone(), &right, wanted);
        let severe = wanted || name.ends_with(self.ending);
        found.push(severe, fault);
        wanted.then_some((right, path))
    }

    /// What is wrong with the ending of a file whose name should be `right` and the ending that is expected. It is
    /// `wanted` where its case lacks it.
    fn wrong_ending(&self, path: PathBuf, right: &str, wanted: bool) -> Fault {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (ends, right) = (&name[stem(&name).len()..], format!("{right}{}", self.ending));
        let lower = ends.to_ascii_lowercase();
        let twice = lower.matches(".nii").count() > 1 || lower.matches(".gz").count() > 1;
        let message = match ends {
            "" => format!("has no ending, where {} is expected", self.ending),
            _ if twice => format!("has a double ending, {ends}, where {} is expected", self.ending),
            _ => format!("ends in {ends}, where {} is expected", self.ending),
        };
        let message = if wanted { message } else { format!("{message}; no case needs it") };
        let remedy = match lower.as_str() {
            _ if !wanted => format!("take it away, or save it as {right} if it belongs to the data set"),
            _ if lower == self.ending || twice => format!("rename it {right}"),
            ".nii" if self.ending == ".nii.gz" => format!("compress it with gzip, which makes it {right}"),
            ".nii.gz" if self.ending == ".nii" => format!("expand it with gunzip, which makes it {right}"),
            _ => format!("convert it to {right}"),
        };
        Fault::file(Kind::UnexpectedEnding, path, message, remedy)
    }
}
