//! The statistics of a case in a file, little endian: 8 bytes of magic, version (u32), CRC-32C of what follows (u32), then
//! name, fingerprint and statistics (bincode).

use std::path::Path;

use bincode::Options;
use serde::{Deserialize, Serialize};
use volumes::files::{read_plain, rename_into_place};

use super::Fingerprint;
use crate::Result;
use crate::codec::{LARGEST_STATE, options};
use crate::preprocess::CaseStatistics;

const MAGIC: &[u8; 8] = b"UNET3D-S";
const VERSION: u32 = 1;
/// Bytes before what is kept.
const PREFIX: usize = 16;

#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    fingerprint: Fingerprint,
    statistics: CaseStatistics,
}

/// Reads a case's statistics; none where there is no file, or one that is damaged, of another version, case or fingerprint.
pub(super) fn read(path: &Path, name: &str, fingerprint: &Fingerprint) -> Option<CaseStatistics> {
    let bytes = read_plain(path, LARGEST_STATE + PREFIX as u64).ok()?;
    let (prefix, kept) = bytes.split_at_checked(PREFIX)?;
    if prefix != head(kept) {
        return None;
    }
    let Kept { name: of, fingerprint: made_from, statistics } = options().deserialize(kept).ok()?;
    (of == name && made_from == *fingerprint && statistics.is_sound()).then_some(statistics)
}

/// Writes a case's statistics, whole or not at all.
///
/// # Errors
/// If the disk refuses.
pub(super) fn write(
    path: &Path,
    name: &str,
    statistics: &CaseStatistics,
    fingerprint: &Fingerprint,
) -> Result<()> {
    let (name, fingerprint, statistics) = (name.to_owned(), fingerprint.clone(), statistics.clone());
    let kept =
        options().serialize(&Kept { name, fingerprint, statistics }).expect("statistics are plain data");
    Ok(rename_into_place(path, |out| {
        out.write_all(&head(&kept))?;
        out.write_all(&kept)
    })?)
}

/// What stands before what is kept.
fn head(kept: &[u8]) -> [u8; PREFIX] {
    let mut head = [0; PREFIX];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..].copy_from_slice(&crc32c::crc32c(kept).to_le_bytes());
    head
}
