//! What is wrong with a data set, one thing at a time: `open` and `read` stop at the first fault and make it an error,
//! `trainer verify` lists them all.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The kinds of faults.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// There is no `dataset.json`.
    DescriptionMissing,
    /// `dataset.json` is no JSON object.
    DescriptionUnreadable,
    /// `channel_names` is missing or names no channels.
    ChannelNames,
    /// `labels` is missing or names no classes.
    Labels,
    /// A label is a list of labels.
    Regions,
    /// The labels are not 0, 1, 2, ….
    LabelsNotConsecutive,
    /// `file_ending` is none that is read.
    FileEnding,
    /// `numTraining` is not the number of training cases.
    NumTraining,
    /// A folder is missing.
    FolderMissing,
    /// A folder holds no images.
    NoImages,
    /// A file's name has another ending than `file_ending`, or two endings.
    UnexpectedEnding,
    /// An image's name has no channel number, or a label map's name has one.
    UnexpectedName,
    /// A channel's number is beyond those that `dataset.json` names.
    ExtraChannel,
    /// Cases under `dataset` in `dataset.json` are not listed as they must be, or their files are not there.
    CaseList,
    /// Two files are the same channel of a case.
    ChannelTwice,
    /// A case lacks a channel.
    MissingChannel,
    /// An image has no label map.
    MissingLabel,
    /// A label map has no image.
    MissingImage,
    /// Training and testing have a case of the same name.
    SameName,
    /// A folder or file of the data set is a link to what lies outside of it.
    LinkOutside,
    /// A file of the data set is a link to nowhere.
    LinkDangling,
    /// A file cannot be read to its end.
    Unreadable,
    /// A file holds a series or vectors.
    NotOneVolume,
    /// Files of one case have different shapes.
    ShapeDiffers,
    /// Files of one case lie at different places.
    PlaceDiffers,
    /// A case's voxels are far larger or smaller than is usual in the data set.
    UnusualSpacing,
    /// Files do not say how large their voxels are.
    UnknownSpacing,
    /// A file says two things, or is not taken as it is written.
    HeaderContradicts,
    /// A case's axes run otherwise than is usual in the data set.
    UnusualOrientation,
    /// Voxels of an image are NaN or infinite.
    NotFinite,
    /// All voxels of an image are equal.
    ConstantImage,
    /// Labels are no whole numbers.
    NotWholeLabels,
    /// The foreground is 255.
    Mask255,
    /// Labels are not in `dataset.json`.
    UnknownLabels,
    /// A class occurs in no training case.
    AbsentClass,
    /// A class that a fold cannot learn, or cannot validate.
    ClassByFold,
    /// Cropping or resampling leaves no voxel of some of a case's foreground.
    Vanished,
    /// A case has no foreground.
    EmptyCase,
    /// A case has no background.
    AllForeground,
    /// Two images have the same voxels.
    DuplicateImage,
    /// Two label maps have the same voxels.
    DuplicateLabels,
    /// Cases have different numbers of channels, or not as many as are named.
    ChannelCount,
    /// A case's name cannot name a file, is another case's, or is no case's.
    CaseName,
    /// A table is not written as it must be.
    Table,
    /// A file of folds is not written as it must be.
    Folds,
    /// The data set is refused for a reason that no other kind names.
    Refused,
}

/// Where a fault is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    File(PathBuf),
    Case(String),
}

/// A fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) subject: Subject,
    /// What is wrong, with the offending value.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) remedy: String,
}

impl Fault {
    pub(crate) fn file(
        kind: Kind,
        path: impl Into<PathBuf>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let subject = Subject::File(path.into());
        Self { kind, subject, message: message.into(), remedy: remedy.into() }
    }

    pub(crate) fn case(
        kind: Kind,
        case: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let subject = Subject::Case(case.to_owned());
        Self { kind, subject, message: message.into(), remedy: remedy.into() }
    }
}

impl Fault {
    /// Its subject, message and remedy, with names of files from the data set's folder `root` on.
    pub(crate) fn within(&self, root: &Path) -> [String; 3] {
        let subject = match &self.subject {
            Subject::Case(case) => format!("case {case}"),
            Subject::File(path) if path == root => ".".into(),
            Subject::File(path) => path.strip_prefix(root).unwrap_or(path).display().to_string(),
        };
        let prefix = root.join("").display().to_string();
        [subject, without_root(&self.message, &prefix), without_root(&self.remedy, &prefix)]
    }
}

/// A text whose paths begin in the data set's folder, `prefix`, instead of leading there.
fn without_root(text: &str, prefix: &str) -> String {
    if prefix.is_empty() {
        return text.to_owned();
    }
    let mut short = String::new();
    for (at, part) in text.split(prefix).enumerate() {
        // Within a path the same letters are another folder's.
        let is_within = short.ends_with(|c: char| c.is_alphanumeric() || "/._-".contains(c));
        if at > 0 && is_within {
            short.push_str(prefix);
        }
        short.push_str(part);
    }
    short
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match &fault.subject {
            Subject::File(path) => Self::file(path, fault.to_string()),
            Subject::Case(case) => Self::case(case, fault.to_string()),
        }
    }
}

/// The first of several faults as an error.
pub(crate) fn first(faults: Vec<Fault>) -> crate::Result<()> {
    faults.into_iter().next().map_or(Ok(()), |fault| Err(fault.into()))
}

/// So many faults stand in one line.
const SHOWN: usize = 5;

/// Several faults as one error.
pub(crate) fn all(faults: Vec<Fault>) -> crate::Result<()> {
    if faults.len() < 2 {
        return first(faults);
    }
    let more = match faults.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let told: Vec<String> =
        faults.into_iter().take(SHOWN).map(|fault| Error::from(fault).to_string()).collect();
    Err(Error::Usage(format!("{}{more}", told.join("; "))))
}
