//! NumPy's `.npz`: a zip archive of `.npy` arrays, stored or deflated. The volume is the only array, or the one named
//! `data`, `image` or `arr_0`.
//!
//! Only what NumPy writes is read of zip: one disk, no encryption, entries found by the central directory.
//!
//! # Source
//! APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.

use super::stream::{self, MOST_EXPANSION};
use super::{Format, Header, Stored, npy};
use crate::{Error, Result};
use flate2::{CrcReader, read::DeflateDecoder};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// The end record and the longest comment behind it.
const LONGEST_END: u64 = 22 + 0xffff;
/// An archive with a larger directory holds no volume.
const LONGEST_DIRECTORY: u64 = 1 << 20;
/// Names of arrays that are taken where there are several.
const PREFERRED: [&str; 3] = ["data.npy", "image.npy", "arr_0.npy"];
const UNREADABLE: &str =
    "is not a zip archive as NumPy writes it, or is cut; save it with numpy.savez_compressed";

pub(super) fn header(path: &Path) -> Result<Header> {
    let (mut entry, member) = open(path)?;
    let array = npy::parse_start(path, &mut entry).map_err(|e| in_member(path, &member, e))?;
    Ok(array.header(Format::Npz))
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    let (entry, member) = open(path)?;
    let mut checked = CrcReader::new(entry);
    let stored = npy::read_array(path, Format::Npz, BufReader::new(&mut checked), member.most());
    let stored = stored.map_err(|e| in_member(path, &member, e))?;
    // What is behind the array still belongs to the checksum.
    std::io::copy(&mut checked, &mut std::io::sink()).map_err(|e| damaged(path, &member.name, &e))?;
    if checked.crc().sum() == member.crc {
        Ok(stored)
    } else {
        let message = format!(
            "the array {} is damaged (its checksum differs); copy or save the file again",
            member.name
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

/// The bytes of the archive's volume.
fn open(path: &Path) -> Result<(Box<dyn Read>, Member)> {
    let (mut file, file_bytes) = stream::open(path)?;
    let member = choose(path, directory(path, &mut file, file_bytes)?)?;
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
    Ok((Box::new(entry.take(member.size)), member))
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
    let mut bytes = vec![0; size as usize];
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

fn choose(path: &Path, mut members: Vec<Member>) -> Result<Member> {
    let preferred = PREFERRED.iter().find_map(|name| members.iter().position(|member| member.name == *name));
    let names: Vec<String> =
        members.iter().take(8).map(|member| member.name.escape_debug().to_string()).collect();
    match (members.len(), preferred) {
        (0, _) => Err(Error::file(path, "holds no array (.npy); save it with numpy.savez_compressed")),
        (1, _) => Ok(members.remove(0)),
        (_, Some(index)) => Ok(members.remove(index)),
        (count, None) => {
            let message = format!(
                "holds {count} arrays ({}), none of them named data, image or arr_0; save the volume by itself",
                names.join(", ")
            );
            Err(Error::file(path, message))
        }
    }
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
