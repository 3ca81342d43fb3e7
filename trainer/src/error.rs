//! What can go wrong outside the arithmetic. Every message names the file or key, the value and the remedy.

use std::path::Path;

/// The crate's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written, does not hold what it should, or does not fit into memory.
    #[error(transparent)]
    File(#[from] volumes::Error),
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
    #[error(transparent)]
    Metric(#[from] metrics::Error),
    /// The network refused its input or its settings.
    #[error(transparent)]
    Model(#[from] unet3d::Error),
    /// Numbers that are no longer finite.
    #[error("{0}")]
    Diverged(String),
    /// Another process of a run is gone.
    #[error(transparent)]
    Ranks(#[from] ranks::Lost),
    /// The command line asks for something impossible.
    #[error("{0}")]
    Usage(String),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A malformed file.
    pub fn file(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        volumes::Error::file(path, message).into()
    }

    /// An unusable case.
    pub fn case(case: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Case { case: case.into(), message: message.into() }
    }

    /// An unusable configuration value.
    pub fn config(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Config { key: key.into(), message: message.into() }
    }

    /// Whether a large block of memory could not be had.
    pub fn is_memory(&self) -> bool {
        matches!(self, Self::File(volumes::Error::Memory(_)))
    }

    /// With the case's name where memory did not suffice; other errors name a file or the case already.
    pub(crate) fn of_case(self, case: &str) -> Self {
        if self.is_memory() { Self::case(case, self.to_string()) } else { self }
    }

    /// Attaches a path to an I/O error: `fs::read(p).map_err(Error::io(p))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let attach = volumes::Error::io(path);
        move |source| attach(source).into()
    }
}

impl From<memory::Exhausted> for Error {
    fn from(exhausted: memory::Exhausted) -> Self {
        Self::File(exhausted.into())
    }
}
