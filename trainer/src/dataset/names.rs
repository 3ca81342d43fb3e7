//! Which files belong to which case, by their names. What is wrong is collected; [`super::Dataset::open`] stops at the
//! first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use volumes::split_channel;

use super::CaseFiles;
use super::fault::{Fault, Kind, all, first};
use crate::words::counted;
use crate::{Error, Result};

/// The names of a folder's files, sorted; hidden files are left out.
pub(crate) fn list(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Endings of volumes and of other files that are found among them. They are stripped in turn, so that the order does
/// not matter.
const ENDINGS: [&str; 19] = [
    ".gz", ".nii", ".hdr", ".img", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh", ".dcm", ".tif", ".tiff",
    ".png", ".npy", ".npz", ".zip", ".bak", ".txt",
];

/// A file's name without any of [`ENDINGS`].
pub(crate) fn stem(name: &str) -> &str {
    let mut rest = name;
    loop {
        let lower = rest.to_ascii_lowercase();
        let found = ENDINGS.iter().find(|ending| lower.ends_with(*ending) && lower.len() > ending.len());
        let Some(ending) = found else { return rest };
        rest = &rest[..rest.len() - ending.len()];
    }
}

/// A side of a data set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Training,
    Test,
}

impl Part {
    /// The names of its folders.
    pub(crate) fn folders(self) -> [&'static str; 2] {
        match self {
            Self::Training => ["imagesTr", "labelsTr"],
            Self::Test => ["imagesTs", "labelsTs"],
        }
    }
}

/// The files that a case has, whether or not they are all.
#[derive(Clone, Debug)]
pub(crate) struct LooseCase {
    pub(crate) name: String,
    /// By channel, or a single file that is to hold all.
    pub(crate) images: Vec<Option<PathBuf>>,
    pub(crate) label: Option<PathBuf>,
}

impl LooseCase {
    /// The case if it lacks no channel.
    pub(crate) fn whole(self) -> Result<CaseFiles> {
        first(self.missing_channels().collect())?;
        Ok(CaseFiles {
            name: self.name,
            images: self.images.into_iter().flatten().collect(),
            label: self.label,
        })
    }

    fn missing_channels(&self) -> impl Iterator<Item = Fault> + '_ {
        let missing = self.images.iter().enumerate().filter(|(_, image)| image.is_none());
        missing.map(|(channel, _)| {
            let (name, channels) = (&self.name, self.images.len());
            let message = format!("channel {channel} is missing (of {channels} in dataset.json)");
            Fault::case(Kind::MissingChannel, name, message, format!("add {name}_{channel:04}"))
        })
    }
}

/// The cases of a side and what is wrong with their files' names. A side for testing may be missing, or lack labels.
///
/// # Errors
/// A folder that cannot be listed.
pub(crate) fn side(
    root: &Path,
    part: Part,
    channels: usize,
    ending: &str,
    faults: &mut Vec<Fault>,
) -> Result<Vec<LooseCase>> {
    let [image_folder, label_folder] = part.folders().map(|name| root.join(name));
    if part == Part::Test && !image_folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut cases = images(&image_folder, part, channels, ending, faults)?;
    if part == Part::Training || label_folder.is_dir() {
        labels(&label_folder, part, ending, &mut cases, faults)?;
    }
    Ok(cases)
}

/// Groups images by case. `files` are (name without ending, path), sorted.
pub(crate) fn group(files: &[(String, PathBuf)], channels: usize) -> Result<Vec<CaseFiles>> {
    let mut faults = Vec::new();
    let cases = loose(files, channels, &mut faults);
    all(faults)?;
    cases.into_iter().map(LooseCase::whole).collect()
}

/// As [`group`], but goes on where something is wrong.
pub(crate) fn loose(files: &[(String, PathBuf)], channels: usize, faults: &mut Vec<Fault>) -> Vec<LooseCase> {
    let stems: BTreeSet<&str> = files.iter().map(|(stem, _)| stem.as_str()).collect();
    let mut cases: BTreeMap<&str, Vec<Option<PathBuf>>> = BTreeMap::new();
    let mut together: BTreeMap<&str, &Path> = BTreeMap::new();
    for (stem, path) in files {
        let (case, channel) = match split_channel(stem) {
            Some((case, channel)) if channel < channels => (case, channel),
            Some((case, channel)) if channels > 1 || stems.contains(format!("{case}_0000").as_str()) => {
                let message = format!(
                    "is channel {channel} of case {case}, but dataset.json names {}, counted from 0000",
                    counted(channels, "channel")
                );
                let remedy = "name it in channel_names or take the file away";
                faults.push(Fault::file(Kind::ExtraChannel, path, message, remedy));
                continue;
            }
            // One image a case needs no number.
            _ if channels == 1 => (stem.as_str(), 0),
            // Without a number a file holds all channels, along a fourth axis; its header will tell.
            _ => {
                if let Some(other) = together.insert(stem, path) {
                    let message = format!("and {} are both case {stem}", other.display());
                    faults.push(Fault::file(Kind::ChannelTwice, path, message, "take one away"));
                }
                continue;
            }
        };
        let slot = &mut cases.entry(case).or_insert_with(|| vec![None; channels])[channel];
        if let Some(other) = slot {
            let message = format!("and {} are both channel {channel} of case {case}", other.display());
            faults.push(Fault::file(Kind::ChannelTwice, path, message, "take one away"));
        } else {
            *slot = Some(path.clone());
        }
    }
    for (case, path) in together {
        if cases.contains_key(case) {
            let message = format!("has no channel number, but other files of case {case} have one");
            let remedy = format!("take it away, or name it {case}_0000 (channel 0), {case}_0001, …");
            faults.push(Fault::file(Kind::UnexpectedName, path, message, remedy));
        } else {
            cases.insert(case, vec![Some(path.to_path_buf())]);
        }
    }
    let case = |(name, images): (&str, _)| LooseCase { name: name.to_owned(), images, label: None };
    let cases: Vec<LooseCase> = cases.into_iter().map(case).collect();
    faults.extend(cases.iter().flat_map(LooseCase::missing_channels));
    cases
}

fn images(
    folder: &Path,
    part: Part,
    channels: usize,
    ending: &str,
    faults: &mut Vec<Fault>,
) -> Result<Vec<LooseCase>> {
    let Some(names) = list_images(folder, faults)? else { return Ok(Vec::new()) };
    let files = stems(folder, &names, ending);
    // An empty test folder is no mistake.
    if files.is_empty() && part == Part::Training {
        faults.push(no_images(folder, &names, ending));
    }
    Ok(loose(&files, channels, faults))
}

fn labels(
    folder: &Path,
    part: Part,
    ending: &str,
    cases: &mut [LooseCase],
    faults: &mut Vec<Fault>,
) -> Result<()> {
    let Some(names) = list_labels(folder, faults)? else { return Ok(()) };
    attach(&stems(folder, &names, ending), folder, part, ending, cases, faults);
    Ok(())
}

/// The files in a folder of images, or the fault that it is missing.
pub(crate) fn list_images(folder: &Path, faults: &mut Vec<Fault>) -> Result<Option<Vec<String>>> {
    list_or_fault(folder, "put the images there, as CASE_0000.nii.gz", faults)
}

/// The files in a folder of label maps, or the fault that it is missing.
pub(crate) fn list_labels(folder: &Path, faults: &mut Vec<Fault>) -> Result<Option<Vec<String>>> {
    list_or_fault(folder, "put the label maps there, as CASE.nii.gz", faults)
}

/// `folder` lies in the data set's own.
fn list_or_fault(folder: &Path, remedy: &str, faults: &mut Vec<Fault>) -> Result<Option<Vec<String>>> {
    if !folder.is_dir() {
        faults.push(Fault::file(Kind::FolderMissing, folder, "is missing", remedy));
        return Ok(None);
    }
    let names = list(folder)?;
    faults.extend(names.iter().filter_map(|name| dangling(&folder.join(name))));
    Ok(Some(names))
}

/// The fault of a link that leads nowhere.
pub(crate) fn dangling(path: &Path) -> Option<Fault> {
    let target = std::fs::read_link(path).ok().filter(|_| !path.exists())?;
    let message = format!("is a link to {}, which is not there", target.display());
    Some(Fault::file(
        Kind::LinkDangling,
        path,
        message,
        "put the file itself there, or a link to where it is",
    ))
}

/// The files with an ending: (name without it, path).
fn stems(folder: &Path, names: &[String], ending: &str) -> Vec<(String, PathBuf)> {
    let stem = |name: &String| Some((name.strip_suffix(ending)?.to_owned(), folder.join(name)));
    names.iter().filter_map(stem).collect()
}

/// A folder without images has these files.
pub(crate) fn no_images(folder: &Path, names: &[String], ending: &str) -> Fault {
    let found = match names.first() {
        None => "the folder is empty".to_owned(),
        Some(name) => format!("but {}, such as {name}", counted(names.len(), "other file")),
    };
    let message = format!("holds no images named CASE_0000{ending} ({found})");
    Fault::file(Kind::NoImages, folder, message, "put them there, or set file_ending in dataset.json")
}

/// Gives each case its label map. `files` are (name without ending, path) in `folder`.
pub(crate) fn attach(
    files: &[(String, PathBuf)],
    folder: &Path,
    part: Part,
    ending: &str,
    cases: &mut [LooseCase],
    faults: &mut Vec<Fault>,
) {
    for (stem, path) in files {
        if let Some(case) = cases.iter_mut().find(|case| case.name == *stem) {
            case.label = Some(path.clone());
            continue;
        }
        let message = format!("{} has no image", path.display());
        let (kind, remedy) = match split_channel(stem) {
            Some((case, _)) => (
                Kind::UnexpectedName,
                format!("label maps carry no channel number: rename it {case}{ending}"),
            ),
            None => {
                (Kind::MissingImage, format!("add the image {stem}_0000{ending} or take the label map away"))
            }
        };
        faults.push(Fault::case(kind, stem, message, remedy));
    }
    for case in cases.iter().filter(|case| part == Part::Training && case.label.is_none()) {
        let Some(image) = case.images.iter().flatten().next() else { continue };
        let expected = folder.join(format!("{}{ending}", case.name));
        let message = format!("{} has no label map", image.display());
        let remedy = format!("add {} or move the image to imagesTs", expected.display());
        faults.push(Fault::case(Kind::MissingLabel, &case.name, message, remedy));
    }
}
