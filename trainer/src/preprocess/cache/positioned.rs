//! A file that several threads read at places of their own.

use std::fs::File;
use std::io;

/// A file open for reading; its position is nobody's business.
#[derive(Debug)]
pub(super) struct Positioned {
    file: File,
    /// Held while the position is moved and read from.
    #[cfg(not(unix))]
    turn: std::sync::Mutex<()>,
}

impl Positioned {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            #[cfg(not(unix))]
            turn: std::sync::Mutex::new(()),
        }
    }

    /// Fills the buffer from `offset` on.
    #[cfg(unix)]
    pub(super) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    /// Fills the buffer from `offset` on.
    #[cfg(not(unix))]
    pub(super) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        seek_and_read(&self.file, buffer, offset)
    }
}

/// The portable way, for one thread at a time.
#[cfg(any(not(unix), test))]
fn seek_and_read(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    proptest! {
        #[test]
        fn both_ways_read_the_same_and_neither_reads_over_the_end(
            content in prop::collection::vec(any::<u8>(), 0..64),
            offset in 0u64..80,
            length in 0usize..80,
        ) {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&content).unwrap();
            let positioned = Positioned::new(file.reopen().unwrap());
            let (mut there, mut sought) = (vec![0; length], vec![0; length]);
            let read = positioned.read_exact_at(&mut there, offset);
            let seek = seek_and_read(&positioned.file, &mut sought, offset);
            let end = offset as usize + length;
            prop_assert_eq!(read.is_ok(), length == 0 || end <= content.len());
            prop_assert_eq!(seek.is_ok(), read.is_ok());
            if read.is_ok() && length > 0 {
                prop_assert_eq!(&there, &content[offset as usize..end]);
                prop_assert_eq!(there, sought);
            }
        }
    }
}
