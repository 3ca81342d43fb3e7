//! The log of a run for programs: one JSON object a line, each handed to the system before the next begins.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{Error, Result};

/// Appends events to a file such as `log.jsonl`.
///
/// A run that resumes goes on in the same file, behind what its checkpoint knew of. A last line that was cut off half-way,
/// by a crash, is dropped first, so that every line is whole.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// An event with its name in front.
#[derive(Serialize)]
struct Line<'a, T> {
    event: &'a str,
    #[serde(flatten)]
    data: &'a T,
}

impl JsonLines {
    /// Opens the file for appending behind its first `most` bytes, and makes it where it is missing.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn append(path: impl AsRef<Path>, most: u64) -> Result<Self> {
        let path = path.as_ref();
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(Error::io(path))?;
        let mut cut = || {
            let len = file.metadata()?.len();
            file.set_len(len.min(most))?;
            let end = end_of_last_line(&mut file)?;
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))
        };
        let bytes = cut().map_err(Error::io(path))?;
        Ok(Self { path: path.to_path_buf(), file, bytes })
    }

    /// The file's length so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits until all lines are on disk, as they must be before a checkpoint counts on them.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }

    /// Writes `{"event": event, …data}` as one line, and gives it. Numbers that are not finite become `null`.
    ///
    /// # Errors
    /// When `data` is no JSON object, or the file cannot be written.
    pub fn write<T: Serialize>(&mut self, event: &str, data: &T) -> Result<String> {
        let mut line = serde_json::to_string(&Line { event, data }).map_err(|error| {
            Error::file(&self.path, format!("event {event} has no form in JSON: {error}"))
        })?;
        line.push('\n');
        // One call to the system for each line: nothing waits in a buffer of ours.
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(Error::io(&self.path))?;
        self.bytes += line.len() as u64;
        Ok(line)
    }
}

/// The position after the last line break; 0 where there is none.
fn end_of_last_line(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let block = &mut block[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
