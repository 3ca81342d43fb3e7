//! Labels of whole files, kept for validation: a deflated label map takes about a hundredth of its voxels.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

/// The labels `[d, h, w]` of a whole file, packed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackedLabels {
    bytes: Vec<u8>,
    voxels: usize,
}

impl PackedLabels {
    /// Packs labels.
    pub fn new(labels: &[u8]) -> Self {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(labels).expect("a vector takes what is written");
        Self { bytes: encoder.finish().expect("a vector takes what is written"), voxels: labels.len() }
    }

    /// Of bytes that [`bytes`](Self::bytes) gave, for so many voxels.
    pub(super) fn from_bytes(bytes: Vec<u8>, voxels: usize) -> Self {
        Self { bytes, voxels }
    }

    /// As they are kept.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The labels; `None` where the bytes are not of so many.
    pub fn unpack(&self) -> Option<Vec<u8>> {
        let mut labels = memory::with_capacity(self.voxels);
        let most = self.voxels as u64 + 1;
        ZlibDecoder::new(self.bytes.as_slice()).take(most).read_to_end(&mut labels).ok()?;
        (labels.len() == self.voxels).then_some(labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn labels_come_back_and_damage_is_seen(labels in prop::collection::vec(0u8..4, 0..500), cut in 1usize..9) {
            let packed = PackedLabels::new(&labels);
            prop_assert_eq!(packed.unpack(), Some(labels.clone()));
            let bytes = packed.bytes();
            let short = PackedLabels::from_bytes(bytes[..bytes.len() - cut].to_vec(), labels.len());
            prop_assert_eq!(short.unpack(), None);
            prop_assert_eq!(PackedLabels::from_bytes(bytes.to_vec(), labels.len() + 1).unpack(), None);
        }
    }
}
