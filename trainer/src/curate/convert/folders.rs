//! Pairs by name: a folder of images and a folder of masks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use volumes::{Format, MASK_NAMES, dicom_instead, holds_image_and_mask, split_channel};

use super::prefix;
use super::source::{NamedCase, NamedCases, check_names};
use crate::curate::verify::Faults;
use crate::dataset::fault::{Fault, Kind};
use crate::dataset::listing::{Volumes, folder_of_volumes};
use crate::dataset::names::{Part, stem};
use crate::{Error, Result};

/// What names of images end in where those of masks do not.
const IMAGE_SUFFIXES: [&str; 2] = ["image", "img"];
/// What pairs files whatever their names.
const TABLE: &str =
    "pair the files by --csv FILE, a table with the columns image, mask and perhaps case, split";
/// How many names are listed of files that are left out.
const SHOWN: usize = 3;

/// A name without `_`, `-` or `.` and one of `suffixes`.
fn without<'a>(name: &'a str, suffixes: &[&str]) -> Option<&'a str> {
    let (rest, suffix) = name.rsplit_once(['_', '-', '.'])?;
    let known = suffixes.iter().any(|known| suffix.eq_ignore_ascii_case(known));
    (known && !rest.is_empty()).then_some(rest)
}

/// The cases of two folders; images that `test` names are for testing and need no mask.
pub(super) fn pair(images: &Path, masks: &Path, test: &[String], found: &mut Faults) -> Result<NamedCases> {
    let faults = &mut found.errors;
    let mut notes = Vec::new();
    let (image_files, mask_files) = list(images, masks, &mut notes, faults)?;
    if image_files.is_empty() || mask_files.is_empty() {
        return Ok(NamedCases { cases: Vec::new(), notes });
    }
    let named = Masks::new(&mask_files, faults);
    let mut cases = Vec::new();
    let groups = group(&image_files, &named, faults);
    let names = || groups.keys().map(String::as_str);
    let by_prefix = named.by_prefix(names(), &named.taken(names()));
    notes.extend(note_on_prefixes(&by_prefix));
    for (name, images) in &groups {
        let part = if test.contains(name) { Part::Test } else { Part::Training };
        let mask = named.of(name).or(by_prefix.get(name.as_str()).copied()).map(Path::to_path_buf);
        if mask.is_none() && part == Part::Training {
            let message = format!("{} has no mask", images[0].display());
            let remedy = format!("add a mask named {name}, or name the case in --test {name}, or {TABLE}");
            faults.push(Fault::case(Kind::MissingLabel, name, message, remedy));
        }
        cases.push(NamedCase { name: name.clone(), part, images: images.clone(), mask });
    }
    let used: BTreeSet<&PathBuf> = cases.iter().filter_map(|case| case.mask.as_ref()).collect();
    let is_channel = |(name, _): &Named| split_channel(name).is_some();
    if used.is_empty() && mask_files.iter().all(is_channel) && !image_files.iter().any(is_channel) {
        let message = format!(
            "--masks names {}, whose files are named as images are (CASE_0000), and --images names {}, whose are not: swap the two",
            masks.display(),
            images.display()
        );
        return Err(Error::Usage(message));
    }
    for (_, path) in mask_files.iter().filter(|(_, path)| !used.contains(path)) {
        let remedy = format!(
            "name it as its image, with a suffix such as _mask if you like, or take it away, or {TABLE}"
        );
        faults.push(Fault::file(Kind::MissingImage, path, "is a mask without image", remedy));
    }
    for name in test.iter().filter(|name| cases.iter().all(|case| case.name != **name)) {
        let known: Vec<&str> = cases.iter().take(SHOWN).map(|case| case.name.as_str()).collect();
        let remedy =
            format!("name cases as their images, without ending and channel: {}, …", known.join(", "));
        faults.push(Fault::case(Kind::CaseName, name, "is named by --test, but has no image", remedy));
    }
    check_names(&cases, "rename the files", faults);
    Ok(NamedCases { cases, notes })
}

/// Says which files are paired although their names differ.
fn note_on_prefixes(pairs: &BTreeMap<&str, &Path>) -> Option<String> {
    let (case, mask) = pairs.first_key_value()?;
    let more = if pairs.len() > 1 { format!(", and {} more so", pairs.len() - 1) } else { String::new() };
    Some(format!("paired by what follows the first word: {case} with {}{more}", mask.display()))
}

/// Images and masks. In one folder for both, suffixes tell them apart; where no name has one, first words do.
fn list(
    images: &Path,
    masks: &Path,
    notes: &mut Vec<String>,
    faults: &mut Vec<Fault>,
) -> Result<(Vec<Named>, Vec<Named>)> {
    let image_files = volumes(images, "--images", notes)?;
    let is_one = matches!((images.canonicalize(), masks.canonicalize()), (Ok(a), Ok(b)) if a == b);
    let (mask_files, image_files) = if is_one {
        let has_suffix = |(name, _): &Named| without(name, &MASK_NAMES).is_some();
        let by_suffix = image_files.iter().any(has_suffix);
        image_files
            .into_iter()
            .partition(|file| if by_suffix { has_suffix(file) } else { prefix::is_mask(&file.0) })
    } else {
        (volumes(masks, "--masks", notes)?, image_files)
    };
    // An archive may hold an image and its mask.
    let is_both =
        |(_, path): &Named| Format::of(path).is_ok_and(|f| f == Format::Npz) && holds_image_and_mask(path);
    let mask_files = match is_one && mask_files.is_empty() && image_files.iter().all(is_both) {
        true => image_files.clone(),
        false => mask_files,
    };
    if image_files.is_empty() {
        faults.push(no_volumes(images));
    }
    if mask_files.is_empty() && is_one && !image_files.is_empty() {
        let message = "holds no masks: no name ends in _mask, _seg or _label, or begins with mask, seg or label and a number";
        faults.push(Fault::file(Kind::NoImages, masks, message, "name the masks' folder"));
    } else if mask_files.is_empty() && !is_one {
        faults.push(no_volumes(masks));
    }
    Ok((image_files, mask_files))
}

/// What a folder without volumes holds instead, as far as that is known, and what to do with it.
fn no_volumes(folder: &Path) -> Fault {
    let fault = |message: &str, remedy: &str| Fault::file(Kind::NoImages, folder, message, remedy);
    if let Some((message, remedy)) = dicom_instead(folder).as_deref().and_then(|text| text.split_once(": ")) {
        return fault(message, remedy);
    }
    if let Some(patient) = folder_of_volumes(folder) {
        let message = format!("holds a folder per patient, such as {patient}, and no volumes itself");
        let remedy = "list the files in a table with the columns case, image_0, image_1, …, mask, and give it by --csv FILE";
        return fault(&message, remedy);
    }
    fault("holds no volumes", "name a folder of .nii.gz, .nrrd, .mha, .npy, .npz, .tif or .png")
}

type Named = (String, PathBuf);

/// The volumes of a folder by their names without ending, and a note on files that are none.
fn volumes(folder: &Path, flag: &str, notes: &mut Vec<String>) -> Result<Vec<Named>> {
    if !folder.is_dir() {
        let what = if folder.exists() { "is a file" } else { "does not exist" };
        return Err(Error::file(folder, format!("{what}; {flag} names a folder of volumes")));
    }
    let Volumes { volumes, mut others } = Volumes::of(folder)?;
    let name =
        |(name, path): Named| if path.is_dir() { (name, path) } else { (stem(&name).to_owned(), path) };
    let mut volumes: Vec<Named> = volumes.into_iter().map(name).collect();
    volumes.sort();
    let beside = volumes::files_beside(volumes.iter().map(|(_, path)| path));
    others.retain(|name| !beside.contains(&folder.join(name)));
    // Notes beside their image.
    others.retain(|name| {
        !volumes.iter().any(|(known, _)| known == stem(name) || name.starts_with(&format!("{known}.")))
    });
    // Where there is no volume at all, the refusal says what there is.
    if !others.is_empty() && (!volumes.is_empty() || others.iter().all(|name| folder.join(name).is_file())) {
        let more = others.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        others.truncate(SHOWN);
        notes.push(format!("{}: left out, as no volumes: {}{more}", folder.display(), others.join(", ")));
    }
    Ok(volumes)
}

/// Masks by the names that a case may have.
struct Masks<'a> {
    files: &'a [Named],
    exact: BTreeMap<&'a str, &'a Path>,
    /// Without a suffix of masks.
    bare: BTreeMap<&'a str, &'a Path>,
}

impl<'a> Masks<'a> {
    fn new(files: &'a [Named], faults: &mut Vec<Fault>) -> Self {
        let mut masks = Self { files, exact: BTreeMap::new(), bare: BTreeMap::new() };
        let twice = |path: &Path, other: Option<&Path>| {
            let message = format!("and {} are masks of one case", other?.display());
            Some(Fault::file(Kind::ChannelTwice, path, message, "take one away, or merge them into one"))
        };
        for (name, path) in files {
            let bare = without(name, &MASK_NAMES);
            let same = masks.exact.insert(name, path);
            let same = same.or(bare.and_then(|bare| masks.bare.insert(bare, path)));
            faults.extend(twice(path, same));
        }
        masks
    }

    fn of(&self, case: &str) -> Option<&'a Path> {
        self.exact.get(case).or_else(|| self.bare.get(case)).copied()
    }

    /// The masks that belong to one of these cases by [`Self::of`].
    fn taken<'n>(&self, cases: impl Iterator<Item = &'n str>) -> BTreeSet<&'a Path> {
        cases.filter_map(|case| self.of(case)).collect()
    }

    /// The masks of cases that have none otherwise, by what follows the first word of the names; without those `taken`.
    fn by_prefix<'n>(
        &self,
        cases: impl Iterator<Item = &'n str>,
        taken: &BTreeSet<&Path>,
    ) -> BTreeMap<&'n str, &'a Path> {
        let named = |(name, path): &'a Named| (name.as_str(), without(name, &MASK_NAMES), path.as_path());
        let masks = self.files.iter().map(named);
        let mut found = prefix::counterparts(cases, masks);
        found.retain(|case, mask| self.of(case).is_none() && !taken.contains(mask));
        found
    }
}

/// Images by case, in the order of their channels.
fn group(images: &[Named], masks: &Masks<'_>, faults: &mut Vec<Fault>) -> BTreeMap<String, Vec<PathBuf>> {
    // img_0001 and img_0002 may be cases as well as channels: they are cases where there is a mask of that name, or one
    // such as label_0001 that belongs to nothing else.
    let names = || images.iter().map(|(name, _)| name.as_str());
    let taken = masks.taken(names().map(|name| split_channel(name).map_or(name, |(case, _)| case)));
    let by_prefix = masks.by_prefix(names(), &taken);
    let numbered_masks = names().any(|name| {
        split_channel(name).is_some() && (masks.of(name).is_some() || by_prefix.contains_key(name))
    });
    let mut cases: BTreeMap<String, BTreeMap<usize, PathBuf>> = BTreeMap::new();
    for (name, path) in images {
        let (case, channel) = split_channel(name).filter(|_| !numbered_masks).unwrap_or((name, 0));
        let bare = without(case, &IMAGE_SUFFIXES).filter(|_| masks.of(case).is_none());
        let case = bare.unwrap_or(case).to_owned();
        let channels = cases.entry(case.clone()).or_default();
        if let Some(other) = channels.insert(channel, path.clone()) {
            let message = format!("and {} are both channel {channel} of case {case}", other.display());
            faults.push(Fault::file(Kind::ChannelTwice, path, message, "take one away"));
        }
    }
    for (case, channels) in &cases {
        let numbers: Vec<usize> = channels.keys().copied().collect();
        if numbers.iter().enumerate().any(|(i, &n)| i != n) {
            let message = format!("has the channels {numbers:?}, which must be 0, 1, …");
            let remedy = format!("add what is missing, from {case}_0000 on");
            faults.push(Fault::case(Kind::MissingChannel, case, message, remedy));
        }
    }
    cases.into_iter().map(|(case, channels)| (case, channels.into_values().collect())).collect()
}
