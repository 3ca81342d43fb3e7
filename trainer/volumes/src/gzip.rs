//! gzip streams as they lie in files: members one after another, and padding behind them.
//!
//! What follows the last member and does not begin another is no part of it and left alone, as `gzip`, zlib's `gzread` and
//! nibabel leave it: tapes and block devices fill up with zeros. The voxels are whole all the same, since their checksum
//! stands before it.

use std::io::{BufRead, Read, Result};

use flate2::bufread::GzDecoder;

/// The first byte of every member.
const MAGIC: u8 = 0x1f;

/// The bytes of all members of a gzip stream, each held to its checksum.
pub(crate) struct Gunzip<R> {
    /// `None` behind the last member.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gunzip<R> {
    /// What `reader` gives is to begin with a member.
    pub(crate) fn new(reader: R) -> Self {
        Self { member: Some(GzDecoder::new(reader)) }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            match member.read(bytes)? {
                0 => {}
                n => return Ok(n),
            }
            let mut rest = self.member.take().expect("it was read from").into_inner();
            skip_zeros(&mut rest)?;
            let is_next = rest.fill_buf()?.first() == Some(&MAGIC);
            self.member = is_next.then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

/// Leaves out the zeros that stand next.
fn skip_zeros(reader: &mut impl BufRead) -> Result<()> {
    loop {
        let bytes = reader.fill_buf()?;
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        let goes_on = zeros > 0 && zeros == bytes.len();
        reader.consume(zeros);
        if !goes_on {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::{BufReader, Write};

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(file: &[u8], buffer: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        Gunzip::new(BufReader::with_capacity(buffer, file)).read_to_end(&mut out).map(|_| out)
    }

    proptest! {
        #[test]
        fn members_are_joined_and_what_is_behind_them_is_left_out(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
            padding in prop_oneof![
                (0usize..600).prop_map(|n| vec![0; n]),
                prop::collection::vec(any::<u8>(), 0..40)
                    .prop_filter("a member", |p| p.iter().find(|&&byte| byte != 0) != Some(&0x1f)),
            ],
            buffer in 1usize..64,
        ) {
            // Zeros may stand between members, too.
            let between = vec![0; parts.len() * 7 % 40];
            let members = parts.iter().flat_map(|part| [between.clone(), member(part)].concat());
            let file = [members.skip(between.len()).collect(), padding].concat();
            prop_assert_eq!(read(&file, buffer).unwrap(), parts.concat());
        }

        #[test]
        fn a_member_that_is_cut_or_altered_is_an_error(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 40..300), 1..3), at in any::<prop::sample::Index>(),
        ) {
            let last = member(parts.last().unwrap());
            let before: Vec<u8> = parts[1..].iter().flat_map(|part| member(part)).collect();
            // Any part of a member but none of it.
            let cut = 1 + at.index(last.len() - 1);
            prop_assert!(read(&[&before, &last[..cut]].concat(), 32).is_err());
            // Its checksum and length are its last eight bytes.
            let mut altered = last.clone();
            let end = altered.len();
            altered[end - 8 + cut % 8] ^= 0x40;
            prop_assert!(read(&[before, altered].concat(), 32).is_err());
        }
    }
}
