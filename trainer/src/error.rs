//! What can go wrong outside the arithmetic. Every message names the file or key, the value and the remedy.

use std::path::{Path, PathBuf};

/// The crate's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is there but does not hold what it should.
    #[error("{}: {message}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, the offending value, and what to do.
        message: String,
    },
    /// A case of a data set cannot be used.
    #[error("case {case}: {message}")]
    Case {
        /// The case's name, without suffix.
        case: String,
        /// What is wrong, the offending value, and what to do.
        message: String,
    },
    /// A configuration value cannot be used.
    #[error("configuration: {key}: {message}")]
    Config {
        /// The dotted key.
        key: String,
        /// What is wrong, the offending value, and what to do.
        message: String,
    },
    /// Values that a metric is not defined for.
    #[error("metric: {0}")]
    Metric(String),
    /// The network refused its input or its settings.
    #[error(transparent)]
    Model(#[from] unet3d::Error),
    /// Numbers that are no longer finite.
    #[error("{0}")]
    Diverged(String),
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A malformed file.
    pub fn file(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), message: message.into() }
    }

    /// An unusable case.
    pub fn case(case: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Case { case: case.into(), message: message.into() }
    }

    /// An unusable configuration value.
    pub fn config(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { key: key.into(), message: message.into() }
    }

    /// Attaches a path to an I/O error: `fs::read(p).map_err(Error::io(p))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}
