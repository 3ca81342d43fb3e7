//! What can go wrong with a file. Every message names the file, the value and the remedy.

use std::path::{Path, PathBuf};

/// The crate's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}{}", path.display(), remedy(source))]
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
    /// A large block of memory could not be had.
    #[error(transparent)]
    Memory(#[from] memory::Exhausted),
}

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A malformed file.
    pub fn file(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), message: message.into() }
    }

    /// With the file's name where memory did not suffice; other errors name it already.
    #[must_use]
    pub fn of_file(self, path: &Path) -> Self {
        match self {
            Self::Memory(_) => Self::file(path, self.to_string()),
            other => other,
        }
    }

    /// Attaches a path to an I/O error: `fs::read(p).map_err(Error::io(p))`.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { path, source }
    }
}

/// What to do about what the system said, where it is more than to look at the path.
fn remedy(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded => {
            "; make room there, then go on: what was written before is whole, and a run goes on with `trainer train --resume`"
        }
        ReadOnlyFilesystem => "; name a folder on a disk that can be written to",
        OutOfMemory => {
            "; close other programs, raise the limit of the process (ulimit -v), or take a smaller volume"
        }
        PermissionDenied => "; ask for the right to it, or name another place",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn what_the_system_refuses_is_told_with_a_remedy() {
        let told = |kind: io::ErrorKind| Error::io("runs/a")(kind.into()).to_string();
        assert_eq!(
            told(io::ErrorKind::StorageFull),
            "runs/a: no storage space; make room there, then go on: what was written before is whole, and a run goes on with `trainer train --resume`"
        );
        assert_eq!(
            told(io::ErrorKind::ReadOnlyFilesystem),
            "runs/a: read-only filesystem or storage medium; name a folder on a disk that can be written to"
        );
        assert!(
            told(io::ErrorKind::PermissionDenied)
                .ends_with("; ask for the right to it, or name another place")
        );
        assert_eq!(told(io::ErrorKind::NotFound), "runs/a: entity not found");
    }
}
