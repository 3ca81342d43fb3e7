//! A data set's folder: its cases, and whether their files fit together.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use volumes::{Alignment, Format, Header, Role};

use super::description::Parts;
use super::fault::{Fault, Kind, first};
use super::names::{LooseCase, Part, dangling, side};
use super::nature::Nature;
use super::notes::{self, Note};
use super::{Checksums, Description, FileSum, listed, warnings};
use crate::words::counted;
use crate::{Error, Result};

/// The files of one case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseFiles {
    /// The case's name.
    pub name: String,
    /// One image per channel, in the channels' order; or one that holds all of them along its fourth axis.
    pub images: Vec<PathBuf>,
    /// The label map.
    pub label: Option<PathBuf>,
}

/// A data set whose files are all there and fit together. Voxels are read later, by a `CaseReader`.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its folder.
    pub path: PathBuf,
    /// Its `dataset.json`.
    pub description: Description,
    /// The training cases by name; each has labels.
    pub training: Vec<CaseFiles>,
    /// The test cases by name; some may have labels.
    pub test: Vec<CaseFiles>,
    /// What the first image of each training case says of its grid.
    pub headers: Vec<Header>,
    /// What is to be said of how its files are taken, and what deserves a look, a line each.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Opens a folder and checks its files' names, headers and shapes; voxels are not read.
    ///
    /// # Errors
    /// A folder, `dataset.json`, image, label map or channel that is missing; a link that leads nowhere; shapes that differ within a
    /// case;
    /// volumes with more than three axes; files that are no NIfTI.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        must_be_folder(path)?;
        first(dangling(&path.join("dataset.json")).into_iter().collect())?;
        let mut parts = Parts::read(path)?;
        let (listed, said) = (std::mem::replace(&mut parts.cases, Ok(None))?, parts.num_training);
        let description = parts.whole()?;
        let (channels, ending) = (description.channel_names.len(), &description.file_ending);
        let cases_of = |part: Part| {
            let mut faults = Vec::new();
            let cases = match &listed {
                Some(listed) if part == Part::Training => {
                    listed::loose(listed, path, channels, ending, &mut faults)
                }
                _ => side(path, part, channels, ending, &mut faults)?,
            };
            first(faults)?;
            cases.into_iter().map(LooseCase::whole).collect::<Result<Vec<_>>>()
        };
        let (training, test) = (cases_of(Part::Training)?, cases_of(Part::Test)?);
        let check = |case: &CaseFiles| check_headers(case, channels);
        let checked = training.par_iter().map(check).collect::<Result<Vec<_>>>()?;
        let of_test = test.par_iter().map(check).collect::<Result<Vec<_>>>()?;
        let all = || checked.iter().chain(&of_test);
        let mut doubts: Vec<Fault> = all().flat_map(|checked| checked.warnings.iter().cloned()).collect();
        let [names, test_names]: [Vec<&str>; 2] =
            [&training, &test].map(|cases| cases.iter().map(|case| case.name.as_str()).collect());
        let headers = names.iter().chain(&test_names).copied().zip(all().map(|checked| &checked.header));
        doubts.extend(warnings::of_headers(path, &headers.collect::<Vec<_>>()));
        doubts.extend(warnings::of_names(path, [names, test_names], said));
        doubts.extend(warnings::of_links(path, training.iter().chain(&test)));
        let notes: Vec<Note> = all().flat_map(|checked| checked.notes.iter().cloned()).collect();
        let notes = notes::lines(&notes, path).into_iter().chain(warnings::lines(&doubts, path)).collect();
        let headers = checked.into_iter().map(|checked| checked.header).collect();
        Ok(Self { path: path.to_path_buf(), description, training, test, headers, notes })
    }

    /// Length and checksum of `dataset.json` and of every file of every case, with those that are read with them, in a fixed
    /// order.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn checksums(&self, known: &Checksums) -> Result<Vec<FileSum>> {
        let described = std::iter::once(self.path.join("dataset.json"));
        self.sums(described.chain(files_of(self.training.iter().chain(&self.test))).collect(), known)
    }

    /// Length and checksum of every file of some cases of this data set.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn checksums_of(&self, cases: &[CaseFiles], known: &Checksums) -> Result<Vec<FileSum>> {
        self.sums(files_of(cases), known)
    }

    fn sums(&self, files: Vec<PathBuf>, known: &Checksums) -> Result<Vec<FileSum>> {
        files.par_iter().map(|file| known.of(&self.path, file)).collect()
    }
}

/// All files of cases, those beside the images and label maps first.
fn files_of<'a>(cases: impl IntoIterator<Item = &'a CaseFiles>) -> Vec<PathBuf> {
    let cases = cases.into_iter();
    let files: Vec<PathBuf> = cases.flat_map(|case| case.images.iter().chain(&case.label).cloned()).collect();
    volumes::files_beside(&files).into_iter().chain(files).collect()
}

/// Refuses what is no folder, or one of a scanner's files.
pub(crate) fn must_be_folder(path: &Path) -> Result<()> {
    let named = path.display();
    let remedy = "name the folder that holds dataset.json, imagesTr and labelsTr";
    let message = if path.is_dir() {
        match (Nature::of(path), volumes::dicom_instead(path)) {
            (Nature::Dataset, _) => return Ok(()),
            (_, Some(message)) => message,
            (Nature::Run, None) => format!("is the folder of a run and no data set; {remedy}"),
            (Nature::PartOfDataset, None) => {
                "is a part of the data set that is the folder above: name that one".to_owned()
            }
            (Nature::Volumes, None) => format!(
                "holds volumes, but no dataset.json that says what they are: `trainer convert --images {named} --masks MASKS --out Dataset001_Name` makes a data set of them and their masks"
            ),
            (Nature::Other, None) => return Ok(()),
        }
    } else {
        format!("{}; {remedy}", if path.exists() { "is a file" } else { "does not exist" })
    };
    Err(Error::file(path, message))
}

/// What the headers of a case say.
pub(crate) struct Checked {
    /// The first image's.
    pub(crate) header: Header,
    /// What is to be said of the files.
    pub(crate) notes: Vec<Note>,
    /// What is to be said of where they lie.
    pub(crate) warnings: Vec<Fault>,
}

/// Checks that a case's files lie on one grid and hold so many channels.
pub(crate) fn check_headers(case: &CaseFiles, channels: usize) -> Result<Checked> {
    let mut first: Option<Header> = None;
    let (mut notes, mut warnings) = (Vec::new(), Vec::new());
    for path in case.images.iter().chain(&case.label) {
        let role = if case.label.as_ref() == Some(path) { Role::Mask } else { Role::Image };
        let header = volumes::read_header_as(path, role)?;
        one_volume_each(case, path, &header, channels)?;
        notes.extend(header.notes.iter().map(|text| (path.clone(), text.clone())));
        match &first {
            Some(other) => {
                let first = (case.images[0].as_path(), other);
                let alignment = same_grid(case, path, &header, first)?;
                warnings.extend(warnings::of_place(alignment, path, &header, first));
            }
            None => first = Some(header),
        }
    }
    let header = first.ok_or_else(|| Error::case(&case.name, "has no image; name at least one file"))?;
    Ok(Checked { header, notes, warnings })
}

/// Checks that a file of a case holds one volume, or is the only image and holds one for each of the channels.
pub(crate) fn one_volume_each(
    case: &CaseFiles,
    path: &Path,
    header: &Header,
    channels: usize,
) -> Result<(), Fault> {
    let holds_all = case.images.len() == 1 && channels > 1 && case.images[0] == path;
    if !holds_all {
        return one_volume(path, header);
    }
    let (held, name) = (header.channels(), &case.name);
    if held == channels {
        return Ok(());
    }
    planes_of_one_slice(path)?;
    let message = format!(
        "holds {}, shape {:?}, but dataset.json names {channels} channels",
        counted(held, "volume"),
        header.shape
    );
    let remedy = format!(
        "name it {name}_0000 (channel 0), and the others {name}_0001, …; or let its fourth axis hold all {channels}"
    );
    Err(Fault::file(Kind::NotOneVolume, path, message, remedy))
}

/// Checks that a file holds one volume.
fn one_volume(path: &Path, header: &Header) -> Result<(), Fault> {
    if header.channels() == 1 {
        return Ok(());
    }
    planes_of_one_slice(path)?;
    let message =
        format!("has {} axes, shape {:?}: each file must hold one volume", header.shape.len(), header.shape);
    let remedy = "split it into one file per channel (_0000, _0001, …) or per case";
    Err(Fault::file(Kind::NotOneVolume, path, message, remedy))
}

/// Checks that a file's voxels are those of the case's first file, in its order or another.
pub(crate) fn same_grid(
    case: &CaseFiles,
    path: &Path,
    header: &Header,
    (first_path, first): (&Path, &Header),
) -> Result<Alignment, Fault> {
    let alignment = Alignment::of(first, header);
    match alignment {
        Alignment::Turned(_) => return Ok(alignment),
        // A channel has to be there everywhere.
        Alignment::Part(_) if case.label.as_deref() == Some(path) => return Ok(alignment),
        Alignment::Same | Alignment::Part(_) | Alignment::Apart => {}
    }
    same_shape(case, path, header.size(), (first_path, first.size()))?;
    if alignment == Alignment::Same {
        return Ok(alignment);
    }
    let message = format!(
        "{}, {}, runs {} by its header and {} {}, and their voxels are not the same ones",
        role(case, path),
        path.display(),
        header.axcodes(),
        first_path.display(),
        first.axcodes()
    );
    let remedy = "if they belong together voxel by voxel, save it with the image's affine; else resample it onto the image's grid";
    Err(Fault::case(Kind::PlaceDiffers, &case.name, message, remedy))
}

/// Refuses slices that a file counts as times or channels.
pub(crate) fn planes_of_one_slice(path: &Path) -> Result<(), Fault> {
    let Some(planes) = volumes::of_one_slice(path) else { return Ok(()) };
    let remedy = "if they are slices, say so: in ImageJ by Image > Properties, where they and slices are swapped, in tifffile by metadata={'axes': 'ZYX'}";
    Err(Fault::file(Kind::NotOneVolume, path, format!("has {planes}"), remedy))
}

/// What a file is to its case.
fn role(case: &CaseFiles, path: &Path) -> &'static str {
    if case.label.as_deref() == Some(path) { "the label map" } else { "a channel" }
}

/// Checks that a file of a case has the shape of the case's first file.
pub(crate) fn same_shape(
    case: &CaseFiles,
    path: &Path,
    shape: [usize; 3],
    (first, other): (&Path, [usize; 3]),
) -> Result<(), Fault> {
    if shape == other {
        let Some(numbers) = volumes::other_slices(path, first) else { return Ok(()) };
        let [own, others] = numbers.map(|all| all.iter().map(u64::to_string).collect::<Vec<_>>().join(", "));
        let message = format!(
            "{}, {}, has the slices {own}, but {} has {others}",
            role(case, path),
            path.display(),
            first.display()
        );
        let remedy = "add those that are missing, or take away those that have no counterpart";
        return Err(Fault::case(Kind::ShapeDiffers, &case.name, message, remedy));
    }
    [path, first].into_iter().try_for_each(planes_of_one_slice)?;
    let message = format!(
        "{}, {}, has shape {shape:?} but {} has {other:?} (x, y, z)",
        role(case, path),
        path.display(),
        first.display()
    );
    let says_where = |path: &Path| Format::of(path).is_ok_and(Format::has_geometry);
    let remedy = match says_where(path) && says_where(first) {
        true => {
            "if they are of one scan, resample it onto the image's grid by their headers; else name the right file"
        }
        false => "nothing says how their voxels lie to each other: save it voxel by voxel as the image",
    };
    Err(Fault::case(Kind::ShapeDiffers, &case.name, message, remedy))
}
