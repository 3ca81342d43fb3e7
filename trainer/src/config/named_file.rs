//! A file that a key names, or a word in its place.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A file, or a word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NamedFile {
    /// `"auto"`: the file of the usual name, if there is one.
    Auto,
    /// `"none"`: no file.
    None,
    /// A path; a relative one begins in the data set's folder, so that it leads to the same file wherever a run goes on.
    Path(PathBuf),
}

impl NamedFile {
    /// The path that was given, from `folder` on.
    pub fn within(&self, folder: &Path) -> Option<PathBuf> {
        match self {
            Self::Path(path) => Some(folder.join(path)),
            Self::Auto | Self::None => None,
        }
    }
}

impl TryFrom<String> for NamedFile {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "" => Err("a file's name is empty: give its path, or \"none\""),
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => Ok(Self::Path(text.into())),
        }
    }
}

impl From<NamedFile> for String {
    fn from(file: NamedFile) -> Self {
        match file {
            NamedFile::Auto => "auto".into(),
            NamedFile::None => "none".into(),
            NamedFile::Path(path) => path.to_string_lossy().into_owned(),
        }
    }
}
