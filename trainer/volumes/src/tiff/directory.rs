//! A TIFF file's directories: what each page's tags say, held against the file's length before anything is read for it.
//!
//! No memory is taken for what a tag claims: a page keeps its numbers, and where longer lists of them lie.
//!
//! # Source
//! TIFF 6.0, section 2; the BigTIFF proposal for 64-bit offsets.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::Path;

use super::page::Page;
use crate::{ByteOrder, Error, Result, Voxel};

/// A page with more tags than this is none.
const MOST_TAGS: u64 = 4096;
/// Each page costs a search in the file, so their number is limited, too.
const MOST_PAGES: usize = 1 << 18;

/// A file whose tags are being read.
pub(super) struct Directory<'a> {
    pub(super) path: &'a Path,
    pub(super) file: BufReader<File>,
    pub(super) bytes: u64,
    pub(super) order: ByteOrder,
    big: bool,
}

/// Where a tag's values lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    kind: u16,
    pub(super) count: u64,
    at: u64,
}

/// The tags of one page.
pub(super) struct Tags(Vec<(u16, Entry)>);

impl Tags {
    pub(super) fn get(&self, tag: u16) -> Option<Entry> {
        self.0.iter().find(|(own, _)| *own == tag).map(|(_, entry)| *entry)
    }
}

impl<'a> Directory<'a> {
    /// Reads every page's tags in turn, and gives them to `take` with where they are in the order of pages.
    ///
    /// # Errors
    /// A cycle of directories, or some that lie over each other; too many pages; a tag whose values are longer than the
    /// file; what `take` refuses.
    pub(super) fn pages(path: &'a Path, file: BufReader<File>, bytes: u64) -> Result<(Self, Vec<Page>)> {
        let mut directory = Self { path, file, bytes, order: ByteOrder::Little, big: false };
        let mut next = directory.start()?;
        let (mut seen, mut pages, mut listed) = (BTreeSet::new(), Vec::new(), 0);
        while next != 0 {
            if !seen.insert(next) {
                return Err(Error::file(path, "names the same page twice, in a circle; export it again"));
            }
            if seen.len() > MOST_PAGES {
                return Err(Error::file(path, format!("has more than {MOST_PAGES} pages; save it in parts")));
            }
            let (tags, after, length) = directory.tags(next)?;
            listed += length;
            if listed > bytes {
                return Err(directory.damaged("its pages' lists of tags lie over each other"));
            }
            pages.push(Page::read(&mut directory, seen.len() - 1, &tags)?);
            next = after;
        }
        Ok((directory, pages))
    }

    /// Where the first page's tags are.
    fn start(&mut self) -> Result<u64> {
        let start: [u8; 4] = self.read()?;
        (self.order, self.big) = match start {
            [b'I', b'I', 42, 0] => (ByteOrder::Little, false),
            [b'M', b'M', 0, 42] => (ByteOrder::Big, false),
            [b'I', b'I', 43, 0] => (ByteOrder::Little, true),
            [b'M', b'M', 0, 43] => (ByteOrder::Big, true),
            _ => {
                let message =
                    format!("is not a TIFF file: it begins with {start:?}; export it as TIFF again");
                return Err(Error::file(self.path, message));
            }
        };
        if self.big {
            let _sizes: [u8; 4] = self.read()?;
        }
        let size = if self.big { 8 } else { 4 };
        let field: [u8; 8] = self.read_field(size)?;
        Ok(self.number(&field, size))
    }

    /// A page's tags, where the next page's are, and the bytes of these.
    fn tags(&mut self, at: u64) -> Result<(Tags, u64, u64)> {
        self.seek(at)?;
        let [counted, field] = if self.big { [8, 8] } else { [2, 4] };
        let head = self.read_field(counted)?;
        let count = self.number(&head, counted);
        if count > MOST_TAGS {
            return Err(self.damaged(&format!("a page has {count} tags, of {MOST_TAGS} at most")));
        }
        let record = 4 + 2 * field as u64;
        let mut bytes = vec![0; (count * record) as usize];
        self.fill(&mut bytes)?;
        let mut tags = Vec::new();
        for (index, tag) in bytes.chunks_exact(record as usize).enumerate() {
            let (id, kind) = (self.number(tag, 2) as u16, self.number(&tag[2..], 2) as u16);
            let count = self.number(&tag[4..], field);
            let length = count.saturating_mul(size(kind));
            if length > self.bytes {
                let message = format!(
                    "tag {id} claims {count} values ({length} bytes), the file has {} bytes",
                    self.bytes
                );
                return Err(self.damaged(&message));
            }
            let own = at + counted as u64 + index as u64 * record + 4 + field as u64;
            let at = if length <= field as u64 { own } else { self.number(&tag[4 + field..], field) };
            tags.push((id, Entry { kind, count, at }));
        }
        let next = self.read_field(field)?;
        let length = counted as u64 + count * record + field as u64;
        Ok((Tags(tags), self.number(&next, field), length))
    }

    /// A tag's whole numbers; `None` where it is missing, empty or of another type. The file can hold as many, so there is
    /// memory for them.
    pub(super) fn numbers(&mut self, entry: Option<Entry>) -> Result<Option<Vec<u64>>> {
        let whole = |kind| matches!(kind, 1 | 3 | 4 | 6 | 7 | 8 | 9 | 13 | 16 | 17 | 18);
        let Some(entry) = entry.filter(|entry| entry.count > 0 && whole(entry.kind)) else { return Ok(None) };
        let bytes = self.of(entry)?;
        let size = size(entry.kind) as usize;
        Ok(Some(bytes.chunks_exact(size).map(|number| self.number(number, size)).collect()))
    }

    /// The first of a tag's whole numbers, or `default` where it has none.
    pub(super) fn first(&mut self, entry: Option<Entry>, default: u64) -> Result<u64> {
        let first = self.numbers(entry.map(|entry| Entry { count: entry.count.min(1), ..entry }))?;
        Ok(first.map_or(default, |numbers| numbers[0]))
    }

    /// A tag's one number, whole or not.
    pub(super) fn real(&mut self, entry: Option<Entry>) -> Result<Option<f64>> {
        let Some(entry) = entry.filter(|entry| entry.count == 1) else { return Ok(None) };
        let bytes = self.of(entry)?;
        let at = |from: usize| self.number(&bytes[from..], 4) as f64;
        Ok(match entry.kind {
            5 => Some(at(0) / at(4)),
            11 => Some(f64::from(f32::from_bytes(&bytes, self.order))),
            12 => Some(f64::from_bytes(&bytes, self.order)),
            _ => self.numbers(Some(entry))?.map(|numbers| numbers[0] as f64),
        })
    }

    /// A tag's bytes.
    pub(super) fn of(&mut self, entry: Entry) -> Result<Vec<u8>> {
        let length = entry.count * size(entry.kind);
        if entry.at.saturating_add(length) > self.bytes {
            return Err(self.damaged("a tag's values lie behind its end"));
        }
        self.seek(entry.at)?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A number of so many bytes.
    fn number(&self, bytes: &[u8], size: usize) -> u64 {
        match size {
            1 => u64::from(bytes[0]),
            2 => u64::from(u16::from_bytes(&bytes[..2], self.order)),
            4 => u64::from(u32::from_bytes(&bytes[..4], self.order)),
            _ => u64::from_bytes(&bytes[..8], self.order),
        }
    }

    fn read<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes).map(|()| bytes)
    }

    fn read_field(&mut self, size: usize) -> Result<[u8; 8]> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes[..size]).map(|()| bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => self.damaged("it ends inside a page's list of tags"),
            _ => Error::io(self.path)(e),
        })
    }

    fn seek(&mut self, at: u64) -> Result<()> {
        if at > self.bytes {
            return Err(self.damaged("a page's list of tags lies behind its end"));
        }
        // Relative, so that the reader keeps what it has read.
        let from = self.file.stream_position().map_err(Error::io(self.path))?;
        self.file.seek_relative(at as i64 - from as i64).map_err(Error::io(self.path))
    }

    /// What copying or exporting again may mend.
    pub(super) fn damaged(&self, why: &str) -> Error {
        Error::file(self.path, format!("is cut or damaged: {why}; copy or export it again"))
    }
}

/// Bytes of a value of a tag's type.
fn size(kind: u16) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}
