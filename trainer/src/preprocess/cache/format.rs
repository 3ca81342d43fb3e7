//! The bytes of a cached case, little endian.
//!
//! | offset | what |
//! |---|---|
//! | 0 | 8 bytes of magic |
//! | 8 | version, u32 |
//! | 12 | length of the header, u64 |
//! | 20 | length of the body, u64 |
//! | 28 | CRC-32C of the body, u32 |
//! | 32 | CRC-32C of the 32 bytes before and of the header, u32 |
//! | 36 | the header (bincode) |
//! | then | the body: listed voxels (u32), of the foreground class by class, then those that are not ignored, intensities `[d, h, w, c]` (f32), labels `[d, h, w]` (u8), packed labels of the whole file |

use std::io;
use std::path::Path;

use bincode::Options;
use serde::{Deserialize, Serialize};
use volumes::files::rename_into_place;

use super::Fingerprint;
use crate::codec::options;
use crate::dataset::IGNORE;
use crate::preprocess::class_locations::{ClassLocations, Listed};
use crate::preprocess::{Case, CaseSummary, ChannelNorm, Normalisation, Vanished};
use crate::{Error, Result};

pub(super) const MAGIC: &[u8; 8] = b"UNET3D-V";
pub(super) const VERSION: u32 = 6;
/// Bytes before the header.
pub(super) const PREFIX: usize = 36;
/// Names and checksums of a case's files are a few kilobytes; a longer header is none.
pub(super) const LONGEST_HEADER: u64 = 1 << 20;
/// No volume has more.
const MOST_VOXELS: u64 = 1 << 40;
/// Values that are turned into bytes at once.
const CHUNK: usize = 1 << 14;

/// What is known of a case beside its voxels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) summary: CaseSummary,
    pub(super) fingerprint: Fingerprint,
    /// How its intensities were normalised.
    pub(super) normalisation: Normalisation,
    pub(super) foreground: Vec<Listed>,
    /// How many voxels that are not ignored are listed; none where no voxel is ignored.
    pub(super) annotated: Option<u32>,
    /// Bytes of the packed labels of the whole file, where those of the case are not they.
    pub(super) file_labels: Option<u64>,
}

/// Where the parts of a body lie, in bytes from its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) image: u64,
    pub(super) labels: u64,
    pub(super) file_labels: u64,
    /// The body's length.
    pub(super) end: u64,
}

impl Header {
    /// Whether its parts fit together. Checksums say that a file is whole, not that it was written by this program.
    pub(super) fn fits(&self) -> bool {
        let CaseSummary { shape, channels, spacing, labelled, counts, lost, grids, .. } = &self.summary;
        let voxels = shape.iter().fold(1u64, |n, &size| n.saturating_mul(size as u64));
        let file_voxels = grids.whole_shape().iter().fold(1u64, |n, &size| n.saturating_mul(size as u64));
        let is_spacing = |spacing: f32| spacing.is_finite() && spacing > 0.0;
        let counted = counts.iter().fold(0u64, |sum, &n| sum.saturating_add(n));
        let labels: Vec<u8> = self.foreground.iter().map(|class| class.label).collect();
        let is_listed = |class: &Listed| {
            ![0, IGNORE].contains(&class.label)
                && (1..=counts[usize::from(class.label)]).contains(&u64::from(class.voxels))
        };
        let ignored = counts.get(usize::from(IGNORE)).copied().unwrap_or(0);
        let has_annotated = match self.annotated {
            None => ignored == 0,
            Some(listed) => {
                ignored > 0 && u64::from(listed) <= counted - ignored && (listed == 0) == (ignored == counted)
            }
        };
        let is_lost = |lost: &Vanished| {
            ![0, IGNORE].contains(&lost.label) && (1..=lost.of).contains(&lost.lesions) && *labelled
        };
        (1..=MOST_VOXELS).contains(&voxels)
            && grids.is_sound()
            && grids.shape() == *shape
            && (1..=MOST_VOXELS).contains(&file_voxels)
            && *channels > 0
            && spacing.iter().copied().all(is_spacing)
            && counts.len() == 256
            && counted == if *labelled { voxels } else { 0 }
            && labels.is_sorted_by(|a, b| a < b)
            && self.foreground.iter().all(is_listed)
            && has_annotated
            && lost.vanished.iter().all(is_lost)
            && (lost.cut_off == 0 || *labelled && lost.cut_off < file_voxels)
            && self.normalisation.channels.len() == *channels
            && self.normalisation.channels.iter().all(ChannelNorm::is_sound)
    }

    /// Where what the header promises lies; none if that is more than a file can hold.
    pub(super) fn layout(&self) -> Option<Layout> {
        let foreground = self.foreground.iter().map(|class| u64::from(class.voxels)).sum::<u64>();
        let listed = foreground + u64::from(self.annotated.unwrap_or(0));
        let CaseSummary { shape, channels, labelled, .. } = &self.summary;
        let voxels = shape.iter().try_fold(1u64, |n, &size| n.checked_mul(size as u64))?;
        let image = listed.checked_mul(4)?;
        let labels = voxels.checked_mul(*channels as u64)?.checked_mul(4)?.checked_add(image)?;
        let file_labels = labels.checked_add(if *labelled { voxels } else { 0 })?;
        let end = file_labels.checked_add(self.file_labels.unwrap_or(0))?;
        Some(Layout { image, labels, file_labels, end })
    }
}

/// Writes a case to `path`, whole or not at all.
///
/// # Errors
/// If the disk refuses, or the header is too long.
pub(super) fn write(
    path: &Path,
    case: &Case,
    normalisation: &Normalisation,
    fingerprint: &Fingerprint,
) -> Result<()> {
    let locations = ClassLocations::of(case);
    let header = Header {
        summary: CaseSummary::of(case),
        fingerprint: fingerprint.clone(),
        normalisation: normalisation.clone(),
        foreground: locations.listed().to_vec(),
        annotated: locations.annotated().map(|voxels| voxels.len() as u32),
        file_labels: case.file_labels.as_ref().map(|packed| packed.bytes().len() as u64),
    };
    let bytes = options().serialize(&header).expect("a header is plain data");
    if bytes.len() as u64 > LONGEST_HEADER {
        let message =
            format!("its settings and file names take {} bytes: shorten them to below 2^20", bytes.len());
        return Err(Error::case(&case.name, message));
    }
    let (mut length, mut sum) = (0, 0);
    let counted = body(case, &locations, &mut |part| {
        length += part.len() as u64;
        sum = crc32c::crc32c_append(sum, part);
        Ok(())
    });
    counted.expect("a checksum cannot fail");
    let mut prefix = Vec::with_capacity(PREFIX);
    prefix.extend_from_slice(MAGIC);
    prefix.extend_from_slice(&VERSION.to_le_bytes());
    prefix.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    prefix.extend_from_slice(&length.to_le_bytes());
    prefix.extend_from_slice(&sum.to_le_bytes());
    prefix.extend_from_slice(&head_sum(&prefix, &bytes).to_le_bytes());
    Ok(rename_into_place(path, |out| {
        out.write_all(&prefix)?;
        out.write_all(&bytes)?;
        body(case, &locations, &mut |part| out.write_all(part))
    })?)
}

/// The checksum of all that precedes the body, itself left out.
pub(super) fn head_sum(prefix: &[u8], header: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&prefix[..PREFIX - 4]), header)
}

/// Hands the body's bytes over, part by part.
fn body(
    case: &Case,
    locations: &ClassLocations,
    give: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(4 * CHUNK);
    let foreground = (0..locations.listed().len()).map(|class| locations.voxels(class));
    for voxels in foreground.chain(locations.annotated()).flat_map(|list| list.chunks(CHUNK)) {
        bytes.clear();
        bytes.extend(voxels.iter().flat_map(|voxel| voxel.to_le_bytes()));
        give(&bytes)?;
    }
    for values in case.image.chunks(CHUNK) {
        bytes.clear();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        give(&bytes)?;
    }
    case.labels.as_deref().map_or(Ok(()), &mut *give)?;
    case.file_labels.as_ref().map_or(Ok(()), |packed| give(packed.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::{Grids, LostForeground};

    fn header() -> Header {
        let mut counts = vec![0; 256];
        (counts[0], counts[1], counts[3]) = (20, 3, 1);
        let summary = CaseSummary {
            name: "case".into(),
            shape: [2, 3, 4],
            channels: 2,
            spacing: [3.0, 1.0, 1.0],
            labelled: true,
            counts,
            lost: LostForeground::default(),
            grids: Grids::of_whole(volumes::Grid { size: [2, 3, 4], spacing: [3.0, 1.0, 1.0] }),
        };
        Header {
            summary,
            fingerprint: Fingerprint { files: Vec::new(), settings: Vec::new() },
            normalisation: Normalisation { channels: vec![ChannelNorm::ZScore, ChannelNorm::None] },
            foreground: vec![Listed { label: 1, voxels: 3 }, Listed { label: 3, voxels: 1 }],
            annotated: None,
            file_labels: None,
        }
    }

    #[test]
    fn a_header_whose_parts_contradict_each_other_does_not_fit() {
        assert!(header().fits());
        let lies: [fn(&mut Header); 22] = [
            |header| header.summary.shape[1] = 0,
            |header| header.summary.shape = [usize::MAX; 3],
            |header| header.summary.channels = 0,
            |header| header.summary.channels = 1,
            |header| header.summary.spacing[0] = 0.0,
            |header| header.summary.spacing[2] = f32::NAN,
            |header| header.summary.labelled = false,
            |header| header.summary.counts[0] += 1,
            |header| header.summary.counts[5] = u64::MAX,
            |header| header.summary.counts.truncate(4),
            |header| {
                let grid = volumes::Grid { size: [2, 3, 5], spacing: [3.0, 1.0, 1.0] };
                header.summary.grids = Grids::of_whole(grid);
            },
            |header| header.summary.lost.cut_off = 40,
            |header| header.summary.lost.vanished = vec![Vanished { label: 1, lesions: 3, of: 2 }],
            |header| header.summary.lost.vanished = vec![Vanished { label: IGNORE, lesions: 1, of: 2 }],
            |header| {
                header.normalisation.channels[0] = ChannelNorm::Ct { low: 0.0, high: 1.0, mean: 0.5, sd: 0.0 }
            },
            |header| header.foreground.reverse(),
            |header| header.foreground[0].label = 0,
            |header| header.foreground[1].label = IGNORE,
            |header| header.foreground[0].voxels = 4,
            |header| header.annotated = Some(3),
            |header| (header.summary.counts[0], header.summary.counts[255]) = (19, 1),
            |header| {
                (header.summary.counts[0], header.summary.counts[255]) = (19, 1);
                header.annotated = Some(24);
            },
        ];
        for (i, lie) in lies.into_iter().enumerate() {
            let mut header = header();
            lie(&mut header);
            assert!(!header.fits(), "lie {i}");
        }
    }
}
