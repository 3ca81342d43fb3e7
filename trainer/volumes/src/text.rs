//! Headers in text: lines of `key: value` (NRRD) or `key = value` (MetaImage).

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::{Component, Path, PathBuf};

use crate::{Error, Result};

/// A header longer than this is none.
const LONGEST: u64 = 1 << 20;
/// How much of a value is repeated in a message.
const SHOWN: usize = 80;

/// The lines of a header and how many bytes they take.
pub(super) struct Lines {
    pub(super) lines: Vec<String>,
    pub(super) bytes: u64,
}

/// Reads lines up to and with the first for which `last` holds, or to the end of the file.
pub(super) fn read_lines(
    path: &Path,
    reader: &mut impl BufRead,
    last: impl Fn(&str) -> bool,
) -> Result<Lines> {
    let mut limited = reader.take(LONGEST);
    let mut all = Lines { lines: Vec::new(), bytes: 0 };
    loop {
        let mut line = Vec::new();
        let read = limited.read_until(b'\n', &mut line).map_err(Error::io(path))?;
        all.bytes += read as u64;
        if read == 0 {
            return Ok(all);
        }
        if all.bytes == LONGEST {
            let message = format!("has a header of more than {LONGEST} bytes; export it again");
            return Err(Error::file(path, message));
        }
        let line = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        let end = last(&line);
        all.lines.push(line);
        if end {
            return Ok(all);
        }
    }
}

/// A header's fields.
pub(super) struct Fields<'a> {
    path: &'a Path,
    values: BTreeMap<String, String>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, values: BTreeMap::new() }
    }

    /// The file that a field names, in the header's folder or a folder within. Any other is refused: a header that comes
    /// from elsewhere would have any file of this machine shown as voxels.
    pub(super) fn file(&self, names: &[&str], name: &str) -> Result<PathBuf> {
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if !Path::new(name).components().all(inside) {
            return Err(self.error(names, "the voxels must lie in the header's folder; put their file there"));
        }
        Ok(self.path.with_file_name("").join(name))
    }

    /// Adds a field; one that is there twice keeps its first value.
    pub(super) fn add(&mut self, key: &str, value: &str) {
        self.values.entry(key.trim().to_owned()).or_insert_with(|| value.trim().to_owned());
    }

    /// The value of the first of `keys` that is there.
    pub(super) fn get(&self, keys: &[&str]) -> Option<&str> {
        keys.iter().find_map(|key| self.values.get(*key)).map(String::as_str)
    }

    /// The value of a field that must be there.
    pub(super) fn needed(&self, keys: &[&str]) -> Result<&str> {
        self.get(keys).ok_or_else(|| {
            Error::file(self.path, format!("lacks the field \"{}\"; export it again", keys[0]))
        })
    }

    /// A complaint about a field: what is wrong with it, and the remedy.
    pub(super) fn error(&self, keys: &[&str], why: impl std::fmt::Display) -> Error {
        let key = keys.iter().find(|key| self.values.contains_key(**key)).unwrap_or(&keys[0]);
        let value = self.values.get(*key).map_or("", String::as_str);
        let mut shown: String = value.chars().take(SHOWN).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        Error::file(self.path, format!("the field \"{key}\" is \"{}\": {why}", shown.escape_debug()))
    }

    /// `count` numbers between blanks, where the field is there.
    pub(super) fn numbers<T: std::str::FromStr>(
        &self,
        keys: &[&str],
        count: usize,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.get(keys) else { return Ok(None) };
        let words: Vec<&str> = value.split_ascii_whitespace().take(count + 1).collect();
        if words.len() != count {
            return Err(
                self.error(keys, format!("{count} number(s) must stand there; export the file again"))
            );
        }
        let numbers: Result<Vec<T>, _> = words.iter().map(|word| word.parse()).collect();
        let numbers = numbers.map_err(|_| {
            self.error(keys, format!("that is not {count} number(s) of the kind; export the file again"))
        });
        numbers.map(Some)
    }

    /// One number, or `default`.
    pub(super) fn number<T: std::str::FromStr>(&self, keys: &[&str], default: T) -> Result<T> {
        Ok(self.numbers(keys, 1)?.and_then(|mut all| all.pop()).unwrap_or(default))
    }

    /// `count` finite numbers, where the field is there.
    pub(super) fn finite(&self, keys: &[&str], count: usize) -> Result<Option<Vec<f64>>> {
        let numbers: Option<Vec<f64>> = self.numbers(keys, count)?;
        match &numbers {
            Some(all) if !all.iter().all(|v| v.is_finite()) => {
                Err(self.error(keys, "every number must be finite; export the file again"))
            }
            _ => Ok(numbers),
        }
    }

    /// `count` lengths of axes, each at least 1.
    pub(super) fn lengths(&self, keys: &[&str], count: usize) -> Result<Vec<usize>> {
        self.needed(keys)?;
        let lengths: Vec<usize> = self.numbers(keys, count)?.unwrap_or_default();
        // Bytes are counted here, so that the message can name the field.
        super::layout::bytes(&lengths, 1).map_err(|why| self.error(keys, why))?;
        Ok(lengths)
    }
}
