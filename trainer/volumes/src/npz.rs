//! NumPy's `.npz`: a zip archive of `.npy` arrays, stored or deflated. The volume is the only array, or the one whose name
//! says that it is an image or a mask, as what the file is read for ([`Role`]); upper or lower case is of no matter.
//!
//! Only what NumPy writes is read of zip: one disk, no encryption, entries found by the central directory.
//!
//! # Source
//! APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::CrcReader;
use flate2::read::DeflateDecoder;

use super::stream::{self, MOST_EXPANSION};
use super::{Format, Header, Role, Stored, npy};
use crate::{Error, Result};

/// The end record and the longest comment behind it.
const LONGEST_END: u64 = 22 + 0xffff;
/// An archive with a larger directory holds no volume.
const LONGEST_DIRECTORY: u64 = 1 << 20;
/// Names of masks, of arrays as well as at the end of files' names.
pub const MASK_NAMES: [&str; 9] =
    ["mask", "masks", "seg", "segmentation", "label", "labels", "labelmap", "gt", "annotation"];
/// Names of arrays that are images.
const IMAGE_NAMES: [&str; 6] = ["image", "img", "images", "data", "vol", "volume"];
const UNREADABLE: &str =
    "is not a zip archive as NumPy writes it, or is cut; save it with numpy.savez_compressed";

pub(super) fn header(path: &Path, role: Role) -> Result<Header> {
    let (mut entry, member, note) = open(path, role)?;
    let array = npy::parse_start(path, &mut entry).map_err(|e| in_member(path, &member, e))?;
    Ok(Header { notes: note.into_iter().collect(), ..array.header(Format::Npz) })
}

/// Whether one array is the image and another one its mask.
pub fn holds_image_and_mask(path: &Path) -> bool {
    let members = stream::open(path).and_then(|(mut file, bytes)| directory(path, &mut file, bytes));
    let names: Vec<String> = members.unwrap_or_default().into_iter().map(|member| member.name).collect();
    matches!([Role::Image, Role::Mask].map(|role| choose(&names, role)), [Some(a), Some(b)] if a != b)
}

pub(super) fn read(path: &Path, role: Role) -> Result<Stored> {
    let (entry, member, note) = open(path, role)?;
    let mut checked = CrcReader::new(entry);
    let stored = npy::read_array(path, Format::Npz, BufReader::new(&mut checked), member.most());
    let mut stored = stored.map_err(|e| in_member(path, &member, e))?;
    stored.header.notes.extend(note);
    // What is behind the array still belongs to the checksum.
    std::io::copy(&mut checked, &mut std::io::sink()).map_err(|e| damaged(path, &member.name, &e))?;
    if checked.crc().sum() == member.crc {
        Ok(stored)
    } else {
        let message = format!(
            "the array {} is damaged (its checksum differs); copy or save the file again",
            member.name.escape_debug()
        );
        Err(Error::file(path, message))
    }
}

/// An entry of the directory.
struct Member {
    name: String,
    deflated: bool,
    crc: u32,
    /// Bytes in the archive, and once expanded.
    packed: u64,
    size: u64,
    at: u64,
}

impl Member {
    /// Bytes that can come of it at most.
    fn most(&self) -> u64 {
        let packed = if self.deflated { self.packed.saturating_mul(MOST_EXPANSION) } else { self.packed };
        packed.min(self.size)
    }
}

/// The bytes of the archive's volume, and what is to be said of the choice.
fn open(path: &Path, role: Role) -> Result<(Box<dyn Read>, Member, Option<String>)> {
    let (mut file, file_bytes) = stream::open(path)?;
    let (member, note) = chosen(path, directory(path, &mut file, file_bytes)?, role)?;
    // The local header repeats the directory's, with a name and an extra field of lengths of its own.
    let mut local = [0; 30];
    seek(path, &mut file, member.at)?;
    fill(path, &mut file, &mut local)?;
    let behind = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
    let start = member.at.saturating_add(30 + behind);
    if !local.starts_with(b"PK\x03\x04") || start.saturating_add(member.packed) > file_bytes {
        return Err(Error::file(path, UNREADABLE));
    }
    seek(path, &mut file, start)?;
    let packed = file.take(member.packed);
    let entry: Box<dyn Read> =
        if member.deflated { Box::new(DeflateDecoder::new(packed)) } else { Box::new(packed) };
    Ok((Box::new(entry.take(member.size)), member, note))
}

/// The entries that are arrays.
fn directory(path: &Path, file: &mut BufReader<File>, file_bytes: u64) -> Result<Vec<Member>> {
    let tail_start = file_bytes.saturating_sub(LONGEST_END);
    seek(path, file, tail_start)?;
    let mut tail = vec![0; (file_bytes - tail_start) as usize];
    fill(path, file, &mut tail)?;
    let malformed = || Error::file(path, UNREADABLE);
    let last = tail.len().checked_sub(22).ok_or_else(malformed)?;
    let end = (0..=last).rev().find(|&at| tail[at..].starts_with(b"PK\x05\x06")).ok_or_else(malformed)?;
    let (size, at) = (u64::from(u32_at(&tail, end + 12)), u64::from(u32_at(&tail, end + 16)));
    if at == u64::from(u32::MAX) {
        return Err(Error::file(path, "is an archive of more than 4 GiB; save the array with numpy.save"));
    }
    if size > LONGEST_DIRECTORY || at.saturating_add(size) > file_bytes {
        return Err(malformed());
    }
    seek(path, file, at)?;
    let mut bytes = memory::filled(0, size as usize);
    fill(path, file, &mut bytes)?;
    let mut members = Vec::new();
    let mut rest = bytes.as_slice();
    while rest.starts_with(b"PK\x01\x02") {
        if rest.len() < 46 {
            return Err(malformed());
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(rest, at)));
        let name_bytes = rest.get(46..46 + name).ok_or_else(malformed)?;
        let name_text = String::from_utf8_lossy(name_bytes).into_owned();
        if name_text.ends_with(".npy") {
            members.push(member(rest, name_text).map_err(|m| Error::file(path, m))?);
        }
        rest = rest.get(46 + name + extra + comment..).ok_or_else(malformed)?;
    }
    Ok(members)
}

fn member(record: &[u8], name: String) -> Result<Member, String> {
    let method = u16_at(record, 10);
    if u16_at(record, 8) & 1 != 0 || !matches!(method, 0 | 8) {
        return Err(format!(
            "the array {} is encrypted or compressed by method {method}; save it with numpy.savez_compressed",
            name.escape_debug()
        ));
    }
    let [crc, packed, size, at] = [16, 20, 24, 42].map(|offset| u32_at(record, offset));
    if [packed, size, at].contains(&u32::MAX) {
        return Err(format!(
            "the array {} takes more than 4 GiB; save it with numpy.save",
            name.escape_debug()
        ));
    }
    let [packed, size, at] = [packed, size, at].map(u64::from);
    Ok(Member { name, deflated: method == 8, crc, packed, size, at })
}

/// The array to read, and a note on it where there are others.
fn chosen(path: &Path, mut members: Vec<Member>, role: Role) -> Result<(Member, Option<String>)> {
    if members.is_empty() {
        return Err(Error::file(path, "holds no array (.npy); save it with numpy.savez_compressed"));
    }
    let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    let Some(index) = choose(&names, role) else {
        let (what, called) = match role {
            Role::Image => ("image", "image, data or volume"),
            Role::Mask => ("mask", "label, mask or seg"),
        };
        let message = format!(
            "holds {} arrays ({}), of which it is not clear which is the {what}; name one of them {called}, or save the {what} by itself",
            names.len(),
            listed(&names)
        );
        return Err(Error::file(path, message));
    };
    let member = members.swap_remove(index);
    let others: Vec<String> = names.iter().filter(|name| **name != member.name).cloned().collect();
    let note = (!others.is_empty()).then(|| {
        format!("the array {} is read; left out: {}", bare(&member.name).escape_debug(), listed(&others))
    });
    Ok((member, note))
}

/// Which of the arrays is the image or the mask; `None` where it is not clear.
fn choose(names: &[String], role: Role) -> Option<usize> {
    if names.len() == 1 {
        return Some(0);
    }
    let lower: Vec<String> = names.iter().map(|name| bare(name).to_ascii_lowercase()).collect();
    let one = |is: &dyn Fn(&str) -> bool| {
        let mut found = (0..lower.len()).filter(|&index| is(&lower[index]));
        found.next().filter(|_| found.next().is_none())
    };
    let is_image = |name: &str| IMAGE_NAMES.contains(&name);
    let is_mask = |name: &str| MASK_NAMES.contains(&name);
    let any = |is: &dyn Fn(&str) -> bool| lower.iter().any(|name| is(name));
    match role {
        Role::Mask if any(&is_mask) => one(&is_mask),
        // As a program names the one array that matters beside what describes it.
        Role::Mask => one(&|name| name == "data"),
        Role::Image if any(&is_image) => one(&is_image),
        // NumPy's name of the first, where none was given.
        Role::Image => one(&|name| name == "arr_0").or_else(|| one(&|name| !is_mask(name))),
    }
}

/// An array's name as it was given to NumPy.
fn bare(name: &str) -> &str {
    name.strip_suffix(".npy").unwrap_or(name)
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|name| bare(name).escape_debug().to_string()).collect();
    let more = if names.len() > 8 { format!(" and {} more", names.len() - 8) } else { String::new() };
    shown.join(", ") + &more
}

fn seek(path: &Path, file: &mut BufReader<File>, at: u64) -> Result<()> {
    file.seek(SeekFrom::Start(at)).map(drop).map_err(Error::io(path))
}

fn fill(path: &Path, file: &mut BufReader<File>, bytes: &mut [u8]) -> Result<()> {
    file.read_exact(bytes).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::file(path, UNREADABLE),
        _ => Error::io(path)(e),
    })
}

/// An error of the system, while an entry is expanded, is one of its stream.
fn in_member(path: &Path, member: &Member, error: Error) -> Error {
    match error {
        Error::Io { source, .. } => damaged(path, &member.name, &source),
        other => other,
    }
}

fn damaged(path: &Path, name: &str, error: &std::io::Error) -> Error {
    let message =
        format!("the array {} is damaged ({error}); copy or save the file again", name.escape_debug());
    Error::file(path, message)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
